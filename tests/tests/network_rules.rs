//! Rules by address: whose requests of which kind are answered at all.

use http::Method;
use hubgate_tests::http::{Answer, Request};
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::socket::Dialing;
use hubgate_tests::wait::until;
use hubgate_tests::{Gateway, Token};
use serde_json::json;

/// The kinds of requests, and an address that is denied just that one.
const KINDS: [(&str, [u8; 4]); 4] =
    [("client", [127, 0, 0, 2]), ("server", [127, 0, 0, 3]), ("rest", [127, 0, 0, 4]), ("admin", [127, 0, 0, 5])];

/// A rule for each of them, after one that allows a part of what the others deny.
fn a_rule_for_each_kind() -> String {
    let deny = |(kind, [.., last]): (&str, [u8; 4])| {
        format!("{{ action = 'deny', kinds = ['{kind}'], networks = ['127.0.0.{last}/32'] }}, ")
    };
    format!(
        "network-rules = [{{ action = 'allow', networks = ['127.0.0.1'] }}, {}{{ action = 'deny', networks = ['127.0.0.0/29'], kinds = ['client'] }}]",
        KINDS.map(deny).concat()
    )
}

/// Requests of each kind that come from all over the gateway.
fn requests(gateway: &Gateway) -> Vec<(&'static str, Request)> {
    let client = gateway.token("probe").sign();
    let server = gateway.token("probe").audience(&format!("{}/server/?hub=probe", gateway.url())).sign();
    let of_client = |method, path| gateway.request(method, path).bearer(&client);
    let upgrade = |request: Request| {
        let headers = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")];
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    let id = "AAAAAAAAAAAAAAAAAAAAAA";
    let of_connection = format!("/client/?hub=probe&id={id}");
    let admin = |path| gateway.admin_request(path).bearer(&gateway.ready().admin_token);
    vec![
        ("client", of_client(Method::POST, "/client/negotiate?hub=probe&negotiateVersion=1")),
        ("client", upgrade(of_client(Method::GET, "/client/?hub=probe"))),
        ("client", of_client(Method::GET, &of_connection)),
        ("client", of_client(Method::GET, &of_connection).header("accept", "text/event-stream")),
        ("client", of_client(Method::POST, &of_connection)),
        ("client", of_client(Method::DELETE, &of_connection)),
        ("client", gateway.request(Method::POST, "/hubs/probe/negotiate")),
        ("client", gateway.request(Method::OPTIONS, "/client/negotiate?hub=probe")),
        ("client", gateway.request(Method::GET, "/")),
        ("client", gateway.request(Method::GET, "/nothing-is-here")),
        ("server", upgrade(gateway.request(Method::GET, "/server/?hub=probe").bearer(&server))),
        ("server", gateway.request(Method::GET, "/server/?hub=probe")),
        ("rest", gateway.rest(Method::POST, "/api/hubs/probe/:send").json(&json!({"target": "said", "arguments": []}))),
        ("rest", gateway.rest(Method::HEAD, "/api/v1/hubs/probe/users/ann")),
        ("rest", gateway.request(Method::GET, "/api/health")),
        ("rest", gateway.request(Method::GET, "/api/nothing/is/here")),
        ("admin", admin("/admin/hubs")),
        ("admin", admin("/metrics")),
        ("admin", gateway.admin_request("/admin/plugins")),
    ]
}

fn is_denied(answer: &Answer) -> bool {
    answer.status == 403 && answer.body.contains("network-rules[")
}

async fn denied(gateway: &Gateway, kind: &str) -> f64 {
    gateway.metric("hubgate_network_refusals_total", [("kind", kind)]).await
}

#[tokio::test]
async fn each_kind_of_request_is_denied_where_a_rule_says_so_and_no_other() {
    let gateway = Gateway::probe().with("server.shards = 4").with(&a_rule_for_each_kind()).start().await;
    let mut all = 0.0;
    for (index, (kind, address)) in KINDS.into_iter().enumerate() {
        let mut count = 0.0;
        for (own, request) in requests(&gateway) {
            // The last rule denies clients from all of these addresses.
            let rule = match own {
                _ if own == kind => Some(1 + index),
                "client" => Some(5),
                _ => None,
            };
            let what = format!("{own} from {address:?}: {request:?}");
            let is_head = what.contains("method: HEAD");
            let answer = request.dialing(Dialing::from(address)).send().await;
            match rule {
                Some(rule) => {
                    assert_eq!(answer.status, 403, "{what}: {answer:?}");
                    let text = format!("`network-rules[{rule}]` does not allow {own} requests from your address.");
                    assert!(is_head || answer.body.contains(&text), "{what}: {answer:?}");
                }
                None => assert_ne!(answer.status, 403, "{what}: {answer:?}"),
            }
            count += f64::from(u8::from(own == kind));
            all += f64::from(u8::from(rule.is_some()));
        }
        assert_eq!(denied(&gateway, kind).await, count, "{kind}");
    }
    let reason = [("reason", "network-rules")];
    assert_eq!(gateway.metric("hubgate_requests_refused_total", reason).await, all);
    let mut by_kind = 0.0;
    for (kind, _) in KINDS {
        by_kind += denied(&gateway, kind).await;
    }
    assert_eq!(by_kind, all);
    for (kind, request) in requests(&gateway) {
        let answer = request.send().await;
        assert_ne!(answer.status, 403, "{kind} from an address that the first rule allows: {answer:?}");
    }
}

#[tokio::test]
async fn no_rule_is_about_probes_of_load_balancers() {
    let everybody =
        "network-rules = [{ action = 'deny', networks = ['0.0.0.0/0', '::/0'], kinds = ['client', 'server', 'rest'] }]";
    let gateway = Gateway::probe().with(everybody).start().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(gateway.get(path).await.status, 200, "{path}");
    }
    assert!(is_denied(&gateway.get("/").await));
}

#[tokio::test]
async fn a_refusal_is_told_once_a_minute_with_the_address_and_counted_meanwhile() {
    let rules = "network-rules = [{ action = 'deny', networks = ['127.0.0.2'] }]";
    let gateway = Gateway::probe().with(rules).start().await;
    for _ in 0..20 {
        let request = gateway.request(Method::POST, "/hubs/probe/negotiate").dialing(Dialing::from([127, 0, 0, 2]));
        assert!(is_denied(&request.send().await));
    }
    gateway.logs(&["a request is refused", "network-rules", "127.0.0.2", "client"]).await;
    assert_eq!(denied(&gateway, "client").await, 20.0);
    let lines = gateway.log().lines().filter(|line| line.contains("a request is refused")).count();
    assert_eq!(lines, 1, "{}", gateway.log());
}

#[tokio::test]
async fn a_page_may_read_that_its_client_is_denied() {
    let config = "network-rules = [{ action = 'deny', networks = ['127.0.0.1'], kinds = ['client'] }]\n\
                  hubs.probe.cors-origins = ['https://app.example.com']";
    let gateway = Gateway::probe().with(config).start().await;
    let request = gateway.request(Method::POST, "/hubs/probe/negotiate").header("origin", "https://app.example.com");
    let answer = request.send().await;
    assert!(is_denied(&answer), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example.com");
}

#[tokio::test]
async fn of_a_trusted_proxy_the_address_that_it_names_counts_and_of_others_their_own() {
    const PROXY: [u8; 4] = [127, 0, 0, 9];
    let config = "server.trusted-proxies = ['127.0.0.9']\n\
                  network-rules = [\n\
                  { action = 'deny', networks = ['203.0.113.0/24', '2001:db8::/32', '::ffff:198.51.100.7'] },\n\
                  { action = 'deny', networks = ['127.0.0.9'] }]";
    let gateway = Gateway::probe().with(config).start().await;
    for (source, named, rule) in [
        (PROXY, "203.0.113.7", Some(0)),
        (PROXY, "192.0.2.1, 203.0.113.7", Some(0)),
        (PROXY, "203.0.113.7, 192.0.2.1", None),
        (PROXY, "::ffff:203.0.113.7", Some(0)),
        (PROXY, "[2001:db8::7]:4711", Some(0)),
        (PROXY, "2001:db9::7", None),
        (PROXY, "198.51.100.7", Some(0)),
        (PROXY, "192.0.2.1", None),
        (PROXY, "nobody", Some(1)),
        ([127, 0, 0, 1], "203.0.113.7", None),
        ([127, 0, 0, 2], "127.0.0.9", None),
    ] {
        for (kind, request) in requests(&gateway) {
            let request = request.dialing(Dialing::from(source)).header("x-forwarded-for", named);
            let (what, answer) = (format!("{kind} {source:?} {named}"), request.send().await);
            match rule {
                Some(rule) => {
                    assert_eq!(answer.status, 403, "{what}: {answer:?}");
                    // The answer to a HEAD has no body.
                    let text = format!("network-rules[{rule}]");
                    assert!(answer.body.is_empty() || answer.body.contains(&text), "{what}: {answer:?}");
                }
                None => assert_ne!(answer.status, 403, "{what}: {answer:?}"),
            }
        }
    }
}

/// A connection on long polling, with what belongs to it.
struct Polling {
    path: String,
    token: String,
}

impl Polling {
    async fn open(gateway: &Gateway, from: &Dialing) -> Polling {
        let token = gateway.token("probe").sign();
        let negotiate = gateway.request(Method::POST, "/client/negotiate?hub=probe&negotiateVersion=1");
        let answer = negotiate.dialing(from.clone()).bearer(&token).send().await.json();
        let path = format!("/client/?hub=probe&id={}", answer["connectionToken"].as_str().expect("a token"));
        let polling = Polling { path, token };
        assert_eq!(polling.ask(gateway, Method::GET, from).await.status, 200);
        polling
    }

    async fn ask(&self, gateway: &Gateway, method: Method, from: &Dialing) -> Answer {
        gateway.request(method, &self.path).dialing(from.clone()).bearer(&self.token).send().await
    }
}

#[tokio::test]
async fn rules_that_change_hold_for_the_next_request_and_sockets_that_are_open_stay() {
    let mut gateway = Gateway::probe().with("server.shards = 4\nhubs.chat.mode = 'default'").start().await;
    let there = Dialing::from([127, 0, 0, 2]);
    let mut client = gateway.client("probe").dialing(there.clone()).connect().await;
    let mut server = HubServer::dial(&there, &gateway, "chat", "a").await;
    server.shake_hands(0).await;
    let polling = Polling::open(&gateway, &there).await;
    assert_eq!(negotiation(&gateway, &there).send().await.status, 200);

    let rules = "network-rules = [{ action = 'deny', networks = ['127.0.0.2'] }]";
    gateway.reconfigure(rules);
    gateway.hang_up();
    until("the rule to hold", async || is_denied(&negotiation(&gateway, &there).send().await).then_some(())).await;
    for _ in 0..16 {
        assert!(is_denied(&negotiation(&gateway, &there).send().await), "on each thread");
        assert_eq!(gateway.post("/hubs/probe/negotiate").await.status, 200, "from elsewhere");
    }
    assert_eq!(client.call("echo", json!(["still"])).await, Ok(json!("still")));
    let (_, id) = server.let_in(gateway.client("chat").open().await).await;
    assert!(!id.is_empty(), "the hub server goes on");
    let denied = gateway.client("probe").dialing(there.clone()).try_open().await.expect_err("a new one is denied");
    assert_eq!(denied.status, 403);
    assert!(is_denied(&polling.ask(&gateway, Method::GET, &there).await), "each poll is a request");

    gateway.reconfigure("network-rules = []");
    gateway.hang_up();
    until("the rule to be gone", async || (negotiation(&gateway, &there).send().await.status == 200).then_some(()))
        .await;
    let posted = gateway.request(Method::POST, &polling.path).dialing(there.clone()).bearer(&polling.token);
    let posted = posted.body("text/plain", "{\"protocol\":\"json\",\"version\":1}\u{1e}").send().await;
    assert_eq!(posted.status, 200, "its connection was not closed: {posted:?}");
    assert_eq!(polling.ask(&gateway, Method::GET, &there).await.body, "{}\u{1e}");
}

fn negotiation(gateway: &Gateway, from: &Dialing) -> Request {
    gateway.request(Method::POST, "/hubs/probe/negotiate").dialing(from.clone())
}

#[tokio::test]
async fn a_token_that_is_denied_here_is_good_elsewhere() {
    let rules = "network-rules = [{ action = 'deny', networks = ['127.0.0.2'], kinds = ['rest'] }]";
    let gateway = Gateway::probe().with(rules).start().await;
    let token = Token::new(&format!("{}/api/hubs/probe/:send", gateway.url()), gateway.key()).sign();
    let send = |from| {
        let request = gateway.request(Method::POST, "/api/hubs/probe/:send").dialing(Dialing::from(from));
        request.bearer(&token).json(&json!({"target": "said", "arguments": []})).send()
    };
    let answer = send([127, 0, 0, 2]).await;
    assert!(is_denied(&answer), "{answer:?}");
    let error: serde_json::Value = serde_json::from_str(&answer.body).expect("the error of a REST caller is JSON");
    assert_eq!(error["code"], "Forbidden");
    assert_eq!(send([127, 0, 0, 1]).await.status, 202);
}
