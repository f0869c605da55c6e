//! A hub's plugin says who may come: `hubs.NAME.negotiate = { plugin = "…" }`.

use http::Method;
use hubgate_tests::client::HANDSHAKE;
use hubgate_tests::gateway::Setup;
use hubgate_tests::http::{Answer, Request};
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::script::Script;
use hubgate_tests::wait::until;
use hubgate_tests::{Client, Gateway, guests};
use hubgate_wire::service::{self, GroupBroadcastData, ServiceMessage};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// The probe, which the door decides about.
fn guarded() -> Setup {
    let open = "hubs.probe.negotiate = { anonymous = false, plugin = 'door' }";
    Gateway::probe().plugin("door", &guests::door()).with(open)
}

fn negotiate(gateway: &Gateway, headers: &[(&str, &str)]) -> Request {
    let request = gateway.request(Method::POST, "/hubs/probe/negotiate?negotiateVersion=1");
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}

async fn refused(gateway: &Gateway, headers: &[(&str, &str)]) -> (u16, String) {
    let answer = negotiate(gateway, headers).send().await;
    assert_eq!(answer.header("cache-control"), "no-cache, no-store");
    (answer.status, answer.body)
}

fn token(answer: &Answer) -> String {
    answer.json()["accessToken"].as_str().expect("a grant has a token").to_owned()
}

/// A client that came by such a request.
async fn connect(gateway: &Gateway, headers: &[(&str, &str)]) -> Client {
    let token = token(&negotiate(gateway, headers).send().await);
    gateway.client("probe").token(&token).connect().await
}

/// The headers of a request, and what it is refused with.
type Refused = (&'static [(&'static str, &'static str)], u16, &'static str);

fn refused_texts() -> [Refused; 6] {
    [
        (&[], 401, "Who are you?"),
        (&[("x-user", "nobody")], 403, "Nobody may not come."),
        (&[("x-do", "fail")], 500, "The authorizer of the hub failed."),
        (&[("x-do", "trap")], 503, "The authorizer of the hub broke off; try again later."),
        (&[("x-user", "ann"), ("x-claim", "asrs.s.htt=1")], 500, "The authorizer of the hub failed."),
        (&[("x-user", "ann"), ("x-groups", " ")], 500, "The authorizer of the hub failed."),
    ]
}

#[tokio::test]
async fn whom_it_lets_in_is_who_it_says_with_the_claims_that_it_grants() {
    let gateway = guarded().start().await;
    let headers = [("x-user", "ann"), ("x-claim", "role=admin"), ("x-claim", "role=chief"), ("x-claim", "team=a b")];
    let mut client = connect(&gateway, &headers).await;
    let me = client.call("whoami", json!([])).await.expect("it answers");
    assert_eq!(me["userId"], "ann");
    let mut claims = me["claims"].as_object().expect("a map").clone();
    claims.retain(|name, _| !["aud", "exp", "iat", "asrs.s.uid"].contains(&name.as_str()));
    assert_eq!(Value::from(claims), json!({ "door": "1", "role": ["admin", "chief"], "team": "a b" }));
    assert_eq!(gateway.metric("hubgate_sign_ins_total", [("by", "authorizer"), ("outcome", "granted")]).await, 1.0);
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list
}

#[tokio::test]
async fn it_is_told_all_of_the_request_but_the_token_that_the_client_was_given_here() {
    let gateway = guarded().start().await;
    let own = token(&negotiate(&gateway, &[("x-user", "ann")]).send().await);
    let path = format!("/hubs/Probe/negotiate?negotiateVersion=1&room=a%20b&room=c&access_token={own}");
    let request = gateway.request(Method::POST, &path).header("cookie", "session=1").header("x-do", "show");
    let answer = request.bearer(&own).header("x-real-ip", "203.0.113.9").send().await;
    assert_eq!(answer.status, 403, "{}", answer.body);
    let told: Value = serde_json::from_str(&answer.body).expect("it shows JSON");
    assert_eq!((&told["hub"], &told["address"]), (&json!("probe"), &json!("127.0.0.1")));
    assert_eq!(told["query"], json!([["negotiateVersion", "1"], ["room", "a b"], ["room", "c"]]));
    let headers = told["headers"].to_string();
    assert!(headers.contains(r#"["cookie","session=1"]"#), "{headers}");
    assert!(!headers.contains("authorization") && !headers.contains("x-real-ip"), "{headers}");

    let foreign = negotiate(&gateway, &[("x-do", "show"), ("authorization", "Bearer of.somebody.else")]).send().await;
    assert!(foreign.body.contains(r#"["authorization","Bearer of.somebody.else"]"#), "{}", foreign.body);
}

#[tokio::test]
async fn refusals_have_their_status_and_texts_and_details_only_where_they_may_be_seen() {
    let gateway = guarded().start().await;
    for (headers, status, text) in refused_texts() {
        assert_eq!(refused(&gateway, headers).await, (status, text.to_owned()), "{headers:?}");
    }
    let unknown = negotiate(&gateway, &[]).send().await;
    assert_eq!(unknown.header("www-authenticate"), "Bearer");
    let trapped = negotiate(&gateway, &[("x-do", "trap")]).send().await;
    assert_ne!(trapped.header("retry-after"), "");
    gateway.logs(&["a fault of the door", "door", "probe"]).await;
    gateway.logs(&["told to"]).await;
    gateway.logs(&["the grant of an authorizer cannot be given", "asrs.s.htt", "door", "probe"]).await;
    for (outcome, count) in [("refused", 3.0), ("failed", 5.0)] {
        let labels = [("by", "authorizer"), ("outcome", outcome)];
        assert_eq!(gateway.metric("hubgate_sign_ins_total", labels).await, count, "{outcome}");
    }

    let gateway = guarded().with("server.detailed-errors = true").start().await;
    let detailed = refused(&gateway, &[("x-do", "fail")]).await;
    assert_eq!(detailed, (500, "The authorizer of the hub failed: a fault of the door".to_owned()));
    let (_, text) = refused(&gateway, &[("x-user", "ann"), ("x-claim", "sub=bob")]).await;
    assert!(text.contains("no claim can be called `sub`"), "{text}");
}

#[tokio::test]
async fn one_that_never_answers_holds_nobody_up() {
    let gateway = guarded().with("plugins.door.call-time = '200ms'").start().await;
    let mut present = connect(&gateway, &[("x-user", "ann")]).await;
    let spinning = negotiate(&gateway, &[("x-do", "spin")]).send();
    let (answer, echo) = tokio::join!(spinning, present.call("echo", json!([1])));
    assert_eq!(echo, Ok(json!(1)));
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, "The authorizer of the hub took too long and was stopped; try again later.")
    );
    connect(&gateway, &[("x-user", "bob")]).await;
}

#[tokio::test]
async fn a_client_is_in_its_groups_from_its_start() {
    let gateway = guarded().start().await;
    let mut teller = connect(&gateway, &[("x-user", "bob")]).await;
    let mut client = connect(&gateway, &[("x-user", "ann"), ("x-groups", "room,hall")]).await;
    for group in ["room", "hall", "cellar", "room"] {
        teller.call("sayTo", json!([group, group])).await.expect("it answers");
    }
    for group in ["room", "hall", "room"] {
        assert_eq!(client.event("said").await, json!([group]));
    }
}

/// A token that a client changes opens nothing, so what it is in is what was granted.
#[tokio::test]
async fn the_groups_of_a_token_are_signed_and_no_claim_of_the_client() {
    let gateway = guarded().start().await;
    let granted = token(&negotiate(&gateway, &[("x-user", "ann"), ("x-groups", "room")]).send().await);
    let mut client = gateway.client("probe").token(&granted).connect().await;
    let me = client.call("whoami", json!([])).await.expect("it answers");
    assert!(!me["claims"].to_string().contains("hubgate.groups"), "{me}");
    let (head, signature) = granted.rsplit_once('.').expect("three parts");
    let forged = format!("{}.{signature}", head.replacen('.', ".e", 1));
    assert_eq!(gateway.client("probe").token(&forged).try_open().await.expect_err("it is forged").status, 401);
}

#[tokio::test]
async fn what_it_asks_for_is_done_when_it_grants() {
    let gateway = guarded().start().await;
    let mut present = connect(&gateway, &[("x-user", "ann")]).await;
    assert_eq!(refused(&gateway, &[("x-do", "say"), ("x-user", "bob"), ("x-groups", " ")]).await.0, 500);
    connect(&gateway, &[("x-do", "say"), ("x-user", "eve")]).await;
    assert_eq!(present.event("arrived").await, json!(["eve"]), "and nothing of one that is not let in");
}

#[tokio::test]
async fn a_token_lasts_as_long_as_is_granted_and_an_hour_at_most() {
    let gateway = guarded().start().await;
    for (granted, seconds) in [("60", 60), ("86400", 3600)] {
        let answer = negotiate(&gateway, &[("x-user", "ann"), ("x-lifetime", granted)]).send().await;
        let claims = hubgate_wire::token::Claims::check_without_key(&token(&answer), 0).expect("a token");
        let of = |name: &str| {
            claims.flatten().find_map(|(each, value)| (each == name).then(|| value.parse::<u64>().ok())?)
        };
        assert_eq!(of("exp").zip(of("iat")).map(|(exp, iat)| exp - iat), Some(seconds), "{granted}");
    }
}

#[tokio::test]
async fn hubs_in_default_mode_have_one_too_and_their_servers_see_what_was_granted() {
    let gateway = guarded().with("hubs.probe.mode = 'default'").start().await;
    let mut server = HubServer::connect(&gateway, "probe", "a").await;
    let headers = [("x-user", "ann"), ("x-claim", "team=a"), ("x-groups", "room")];
    let granted = token(&negotiate(&gateway, &headers).send().await);
    let mut client = gateway.client("probe").token(&granted).open().await;
    client.send_text(HANDSHAKE).await;
    let body = server.next().await;
    let ServiceMessage::OpenConnection(open) = service::parse(&body).expect("a message") else { panic!("{body:?}") };
    let mut claims: Vec<(&str, &str)> = open.claims.iter().map(|(name, value)| (*name, *value)).collect();
    claims.retain(|(name, _)| !["aud", "exp", "iat"].contains(name));
    assert_eq!(sorted(claims), [("asrs.s.uid", "ann"), ("door", "1"), ("team", "a")]);
    let id = open.connection_id.to_owned();
    assert_eq!(server.client_says().await, HANDSHAKE);
    server.tell_client(&id, "{}\u{1e}").await;
    assert_eq!(client.message().await, json!({}));
    let told = "{\"type\":1,\"target\":\"told\",\"arguments\":[]}\u{1e}";
    let payloads = vec![("json", told.as_bytes())];
    server
        .send(&ServiceMessage::GroupBroadcastData(GroupBroadcastData {
            group: "room",
            payloads,
            ..GroupBroadcastData::default()
        }))
        .await;
    assert_eq!(client.event("told").await, json!([]));
}

#[tokio::test]
async fn pages_of_other_origins_read_its_answers_where_the_hub_says_so() {
    let gateway = guarded().with("hubs.probe.cors-origins = ['https://app.example.com']").start().await;
    for headers in
        [&[("origin", "https://app.example.com"), ("x-user", "ann")][..], &[("origin", "https://app.example.com")]]
    {
        let answer = negotiate(&gateway, headers).send().await;
        assert_eq!(answer.header("access-control-allow-origin"), "https://app.example.com");
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
    }
}

#[tokio::test]
async fn negotiation_goes_on_while_it_is_swapped() {
    let gateway = guarded().start().await;
    let address = gateway.address();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut askers = JoinSet::new();
    for _ in 0..20 {
        let stopped = stopped.clone();
        askers.spawn(async move {
            let mut doors = Vec::new();
            while !*stopped.borrow() {
                let request = Request::new(Method::POST, address, "/hubs/probe/negotiate").header("x-user", "ann");
                let claims = hubgate_wire::token::Claims::check_without_key(&token(&request.send().await), 0);
                let claims = claims.expect("a token");
                doors.extend(claims.flatten().filter(|(name, _)| *name == "door").map(|(_, door)| door.to_owned()));
            }
            doors
        });
    }
    for (generation, door) in [(2, guests::door_2()), (3, guests::door()), (4, guests::door_2())] {
        gateway.replace_plugin("door", &guests::bytes(&door));
        until("the swap", async || (gateway.plugin_status("door").await["generation"] == generation).then_some(()))
            .await;
    }
    connect(&gateway, &[("x-user", "ann")]).await;
    stop.send(true).expect("somebody asks");
    let doors: Vec<String> = askers.join_all().await.into_iter().flatten().collect();
    assert!(["1", "2"].iter().all(|door| doors.iter().any(|each| each == door)), "both have answered");
}

#[tokio::test]
async fn who_decides_changes_while_the_gateway_runs() {
    let mut gateway = guarded().with("hubs.probe.negotiate = { anonymous = true, plugin = 'door' }").start().await;
    assert_eq!(refused(&gateway, &[]).await.0, 401, "the plugin comes before `anonymous`");
    gateway.reconfigure("hubs.probe.negotiate = { anonymous = false, plugin = 'nobody' }");
    gateway.hang_up();
    gateway.logs(&["hubs.probe.negotiate.plugin", "there is no [plugins.nobody]"]).await;
    assert_eq!(refused(&gateway, &[]).await.0, 401, "such a file changes nothing");
    gateway.reconfigure("hubs.probe.negotiate.plugin = 'probe'");
    gateway.hang_up();
    gateway.logs(&["no export `hubgate:plugin/authorizer@0.1`"]).await;
}

#[tokio::test]
async fn a_component_that_only_decides_is_no_handler_and_a_handler_does_not_decide() {
    let (folder, file) = Gateway::probe().with("hubs.probe.negotiate = { plugin = 'probe' }").written();
    let checked =
        hubgate_tests::command::hubgate(["config", "check", "--deep", "--config", file.to_str().expect("UTF-8")]);
    let text = format!("{}{}", checked.stdout, checked.stderr);
    assert_eq!(checked.code, Some(2), "{text}");
    assert!(text.contains("hubs.NAME.negotiate.plugin") && text.contains("authorizer@0.1"), "{text}");
    drop(folder);
    let door = guests::door();
    let report = hubgate_tests::command::hubgate(["plugin", "check", door.to_str().expect("UTF-8")]).success();
    assert!(report.contains("negotiator") && report.contains("authorizer.authorize"), "{report}");
}

#[tokio::test]
async fn nothing_that_proves_who_somebody_is_reaches_the_log() {
    const SECRET: &str = "a-secret-that-nobody-reads";
    let gateway = guarded().with("server.log = 'trace'").start().await;
    let (cookie, bearer) = (format!("session={SECRET}"), format!("Bearer {SECRET}"));
    for wish in ["", "fail", "trap"] {
        let path = format!("/hubs/probe/negotiate?access_token={SECRET}");
        let request = gateway.request(Method::POST, &path).header("cookie", &cookie).header("authorization", &bearer);
        request.header("x-do", wish).send().await;
    }
    let granted = token(&negotiate(&gateway, &[("x-user", "ann")]).send().await);
    gateway.client("probe").token(&granted).connect().await;
    let log = gateway.log();
    assert!(log.contains("a fault of the door"), "it is the log of these requests");
    assert!(!log.contains(SECRET) && !log.contains(&granted), "a credential is in the log");
}

#[tokio::test]
async fn a_whole_hub_says_itself_who_may_come() {
    let open = "hubs.probe.negotiate = { anonymous = false, plugin = 'probe' }";
    let gateway = Gateway::probe_hub().with(open).start().await;
    assert_eq!(refused(&gateway, &[("x-user", "nobody")]).await, (403, "Nobody may not come.".to_owned()));
    let mut client = connect(&gateway, &[("x-user", "ann"), ("x-role", "admin")]).await;
    assert_eq!(client.call("version", json!([])).await, Ok(json!("1")));
}

/// The client brings the token of the first time when it connects again.
#[tokio::test]
async fn the_javascript_client_comes_in_and_comes_back() {
    let gateway = guarded().start().await;
    for transport in ["WebSockets", "ServerSentEvents", "LongPolling"] {
        Script::start("sign_in.mjs", &[&format!("{}/hubs/probe", gateway.url()), transport, "authorizer"])
            .succeeds()
            .await;
    }
}
