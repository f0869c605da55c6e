//! Limits: each has a key, a metric and an answer that says so.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use hubgate_tests::Gateway;
use hubgate_tests::http::raw;
use hubgate_tests::http_2::{Connection, Window};
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::tls;
use hubgate_tests::wait::{let_pass, soon, until};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn gateway(config: &str) -> Gateway {
    Gateway::serve().with("hubs.bare.mode = 'serverless'").with(config).start().await
}

async fn refused(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric("hubgate_requests_refused_total", [("reason", reason)]).await
}

/// One client comes in, the next one that shares something with it does not until the first has gone.
async fn second_is_refused(config: &str, key: &str, status: u16) {
    let gateway = gateway(config).await;
    let connecting = gateway.client("bare").user("ann");
    let first = connecting.connect().await;
    let answer = connecting.try_open().await.expect_err("the place is taken");
    assert_eq!(answer.status, status, "{key}: {}", answer.body);
    assert!(answer.body.contains(&format!("server.limits.{key}")), "{}", answer.body);
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{:?}", answer.headers);
    assert_eq!(refused(&gateway, key).await, 1.0);
    first.leave().await;
    until("the place to be free", async || connecting.try_open().await.ok()).await;
}

#[tokio::test]
async fn connections_in_all_are_limited() {
    second_is_refused("server.limits.connections = 1", "connections", 503).await;
}

#[tokio::test]
async fn connections_of_one_address_are_limited() {
    second_is_refused("server.limits.connections-per-ip = 1", "connections-per-ip", 429).await;
}

#[tokio::test]
async fn connections_of_one_user_are_limited() {
    second_is_refused("server.limits.connections-per-user = 1", "connections-per-user", 429).await;
    let gateway = gateway("server.limits.connections-per-user = 1\nhubs.other.mode = 'serverless'").await;
    let _ann = gateway.client("bare").user("ann").connect().await;
    let _bob = gateway.client("bare").user("bob").connect().await;
    let _ann_elsewhere = gateway.client("other").user("ann").connect().await;
    let _nobody = gateway.client("bare").connect().await;
    let _nobody_again = gateway.client("bare").connect().await;
}

#[tokio::test]
async fn connections_with_one_token_are_limited() {
    second_is_refused("server.limits.connections-per-token = 1", "connections-per-token", 429).await;
    let gateway = gateway("server.limits.connections-per-token = 1").await;
    let _first = gateway.client("bare").with_claim("n", 1).connect().await;
    let _second = gateway.client("bare").with_claim("n", 2).connect().await;
}

#[tokio::test]
async fn connections_with_one_value_of_a_claim_are_limited() {
    let gateway =
        gateway("server.limits.connections-per-claim = { tenant = 1, plan = 0 }\nhubs.other.mode = 'serverless'");
    let gateway = gateway.await;
    let of = |tenants: serde_json::Value| gateway.client("bare").with_claim("tenant", tenants).with_claim("plan", "x");
    let first = of(json!(["a", "b"])).connect().await;
    for tenants in [json!("a"), json!("b"), json!(["c", "b"])] {
        let answer = of(tenants).try_open().await.expect_err("the place is taken");
        assert_eq!(answer.status, 429, "{}", answer.body);
        assert!(answer.body.contains("`server.limits.connections-per-claim.tenant`"), "{}", answer.body);
        assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{:?}", answer.headers);
    }
    assert_eq!(refused(&gateway, "connections-per-claim").await, 3.0);
    let _c = of(json!("c")).connect().await;
    let _elsewhere = gateway.client("other").with_claim("tenant", "a").connect().await;
    let _nobody = gateway.client("bare").connect().await;
    let _nobody_again = gateway.client("bare").connect().await;
    first.leave().await;
    until("the places to be free", async || of(json!(["a", "b"])).try_open().await.ok()).await;
}

#[tokio::test]
async fn connections_that_poll_are_limited_by_claims_too() {
    let gateway = gateway("server.limits.connections-per-claim = { tenant = 1 }").await;
    let connecting = gateway.client("bare").with_claim("tenant", "a");
    let _first = connecting.connect().await;
    let token = gateway.token("bare").claim("tenant", "a").sign();
    let negotiated = connecting.negotiate("&negotiateVersion=1").await.json();
    let path = format!("/client/?hub=bare&id={}", negotiated["connectionToken"].as_str().expect("a token"));
    let answer = gateway.request(Method::GET, &path).bearer(&token).send().await;
    assert_eq!(answer.status, 429, "{}", answer.body);
}

#[tokio::test]
async fn a_limit_by_claim_that_changes_counts_who_comes_after() {
    let mut gateway = gateway("server.limits.connections-per-claim = { tenant = 1 }").await;
    let connecting = gateway.client("bare").with_claim("tenant", "a");
    let _first = connecting.connect().await;
    assert_eq!(connecting.try_open().await.expect_err("the place is taken").status, 429);
    gateway.reconfigure("server.limits.connections-per-claim = { tenant = 2 }");
    gateway.hang_up();
    let _second = until("the new limit", async || connecting.try_open().await.ok()).await;
    assert_eq!(connecting.try_open().await.expect_err("both places are taken").status, 429);
}

#[tokio::test]
async fn a_token_cannot_make_the_gateway_count_without_end() {
    let gateway = gateway("server.limits.connections-per-claim = { tenant = 1 }").await;
    let of = |count: usize| gateway.client("bare").with_claim("tenant", json!((0..count).collect::<Vec<_>>()));
    let answer = of(65).try_open().await.expect_err("it has too many values");
    assert_eq!(answer.status, 431, "{}", answer.body);
    assert!(answer.body.contains("`server.limits.connections-per-claim`"), "{}", answer.body);
    let _most = of(64).connect().await;
    let long = gateway.client("bare").with_claim("tenant", "x".repeat(2_000));
    let _long = long.connect().await;
    assert_eq!(long.try_open().await.expect_err("the place is taken").status, 429);
}

#[tokio::test]
async fn negotiations_in_a_second_are_limited() {
    let gateway = gateway("server.limits.negotiates-per-second = 2").await;
    let connecting = gateway.client("bare");
    let (mut statuses, mut told) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let answer = connecting.negotiate("&negotiateVersion=1").await;
        if answer.status == 429 {
            told.push(answer.header("retry-after").parse::<u64>().expect("a number of seconds"));
            assert!(answer.body.contains("server.limits.negotiates-per-second"), "{}", answer.body);
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses[..2], [200, 200]);
    let over = statuses.iter().filter(|status| **status == 429).count();
    assert!(over > 0 && statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    assert_eq!(refused(&gateway, "negotiates-per-second").await, over as f64);
    assert!(told[0] <= 2 && told[told.len() - 1] >= 5, "each is told a time of its own: {told:?}");
    until("the next second", async || (connecting.negotiate("").await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn connections_that_are_no_clients_are_limited() {
    let gateway = gateway("server.limits.http-connections = 3\nserver.timeouts.http-header = '20s'").await;
    let client = gateway.client("bare").connect().await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        idle.push(TcpStream::connect(gateway.address()).await.expect("the system accepts"));
    }
    until("the fourth to be closed at once", async || {
        let mut fourth = TcpStream::connect(gateway.address()).await.ok()?;
        let read = tokio::time::timeout(Duration::from_secs(1), fourth.read(&mut [0])).await;
        matches!(read, Ok(Ok(0) | Err(_))).then_some(())
    })
    .await;
    assert!(refused(&gateway, "http-connections").await >= 1.0);
    drop(idle);
    until("the places to be free", async || {
        let answer = raw(gateway.address(), b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        answer.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
    client.leave().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let gateway = gateway("server.limits.headers = '8KiB'").await;
    let large = "a".repeat(9_000);
    let header =
        raw(gateway.address(), format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Large: {large}\r\n\r\n").as_bytes())
            .await;
    assert!(header.starts_with("HTTP/1.1 431"), "{header}");
    assert_eq!(refused(&gateway, "headers").await, 1.0);
    let many: String = (0..200).map(|number| format!("X-{number}: 1\r\n")).collect();
    let many = raw(gateway.address(), format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes()).await;
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    assert_eq!(refused(&gateway, "headers").await, 2.0);
}

#[tokio::test]
async fn a_head_is_limited_to_the_byte_however_it_arrives() {
    let gateway = gateway("").await;
    for length in (32..=48).map(|kib| kib << 10) {
        let value = "a".repeat(length);
        let head = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Large: {value}\r\n\r\n");
        let answer = raw(gateway.address(), head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{length}: {answer}");
    }
    assert_eq!(refused(&gateway, "headers").await, 17.0);
}

#[tokio::test]
async fn the_number_of_headers_is_limited_on_http_2_too() {
    let gateway = tls::secure(Gateway::serve()).start().await;
    let mut connection = Connection::open(&gateway, Window::Usual).await.expect("the gateway speaks HTTP/2");
    for (number, status) in [(100, 200), (101, 431), (150, 431)] {
        let name = |index: usize| format!("x-{index}").parse::<HeaderName>().expect("a name");
        let headers = (0..number).map(|index| (name(index), HeaderValue::from_static("1"))).collect();
        let answer = connection.request_with(Method::GET, "/healthz", headers, "").await.expect("it is answered");
        assert_eq!(answer.status(), status, "{number} headers");
    }
    assert_eq!(refused(&gateway, "headers").await, 2.0);
}

#[tokio::test]
async fn what_is_kept_of_a_client_while_it_is_connected_is_limited() {
    let gateway = gateway("").await;
    let text = "a".repeat(9_000);
    let of_header = gateway.client("bare").header("x-large", &text);
    let of_claims = gateway.client("bare").with_claim("large", "b".repeat(2_500)).header("x-large", &text[..6_000]);
    for connecting in [of_header, of_claims] {
        let answer = connecting.try_open().await.expect_err("it is too much");
        assert_eq!(answer.status, 431, "{}", answer.body);
        assert!(answer.body.contains("8192"), "{}", answer.body);
    }
    assert_eq!(refused(&gateway, "headers").await, 2.0);
    let _client = gateway.client("bare").header("x-large", &text[..6_000]).connect().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let gateway = gateway("server.limits.post = '1KiB'").await;
    let message = json!({"target": "said", "arguments": ["a".repeat(2_000)]});
    let answer = gateway.rest(Method::POST, "/api/hubs/bare/:send").json(&message).send().await;
    assert_eq!(answer.status, 413, "{}", answer.body);
    assert!(answer.body.contains("server.limits.post"), "{}", answer.body);
    assert_eq!(refused(&gateway, "post").await, 1.0);
}

#[tokio::test]
async fn a_head_and_a_body_that_come_byte_by_byte_are_cut_off() {
    let gateway = gateway("server.timeouts = { http-header = '300ms', http-body = '300ms' }").await;
    let path = "/api/hubs/bare/:send";
    let token = hubgate_tests::Token::new(&format!("{}{path}", gateway.url()), gateway.key()).sign();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 1000\r\n\r\n");
    for (first, reason) in [("GET /healthz HTTP/1.1\r\nX: ", "http-header"), (&head, "http-body")] {
        let mut stream = TcpStream::connect(gateway.address()).await.expect("the gateway accepts");
        stream.write_all(first.as_bytes()).await.expect("the gateway reads");
        let (mut read, mut write) = stream.split();
        let trickle = async {
            while write.write_all(b"a").await.is_ok() {
                hubgate_tests::wait::pause().await;
            }
            std::future::pending::<()>().await;
        };
        let mut answer = Vec::new();
        let cut_off = soon("the connection to be cut off", async {
            tokio::select! {
                _ = read.read_to_end(&mut answer) => {}
                () = trickle => {}
            }
        });
        cut_off.await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
        until(reason, async || (refused(&gateway, reason).await == 1.0).then_some(())).await;
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let gateway = gateway("server.timeouts.http-header = '300ms'").await;
    assert_eq!(raw(gateway.address(), b"").await, "");
    let kept = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    assert!(raw(gateway.address(), kept).await.starts_with("HTTP/1.1 200"), "also behind a request");
}

#[tokio::test]
async fn a_connection_may_rest_for_as_long_as_its_peer_is_told() {
    let gateway = gateway("server.timeouts.http-header = '5s'").await;
    let mut stream = TcpStream::connect(gateway.address()).await.expect("the gateway accepts");
    for is_last in [false, true] {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").await.expect("the connection goes on");
        let end: &[u8] = if is_last { b"Connection: close\r\n\r\n" } else { b"\r\n" };
        stream.write_all(end).await.expect("the connection goes on");
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok\n") {
            answer.push(soon("the answer", stream.read_u8()).await.expect("it comes whole"));
        }
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        assert_eq!(answer.contains("\nkeep-alive: timeout=4\r\n"), !is_last, "{answer}");
        if !is_last {
            let_pass(Duration::from_secs(4)).await;
        }
    }
}

#[tokio::test]
async fn a_handshake_that_comes_byte_by_byte_is_cut_off() {
    let gateway = gateway("server.timeouts.handshake = '300ms'").await;
    let mut client = gateway.client("bare").open().await;
    for _ in 0..5 {
        client.send_text(" ").await;
        hubgate_tests::wait::pause().await;
    }
    assert_eq!(client.handshake_error().await, "Handshake was canceled.");
    let closed = [("hub", "bare"), ("reason", "HandshakeError")];
    assert_eq!(gateway.metric("hubgate_client_connections_closed_total", closed).await, 1.0);
}

const SLOWED: &str = "hubgate_slowed_clients_total";

/// Whether it has come about that a client of the hub had to wait because of the limit.
async fn slowed(gateway: &Gateway, hub: &str, limit: &str) -> bool {
    gateway.metric(SLOWED, [("hub", hub), ("limit", limit)]).await > 0.0
}

#[tokio::test]
async fn a_client_that_says_more_than_it_may_in_a_second_is_read_later_and_loses_nothing() {
    for (config, limit) in [
        ("server.limits.messages-per-second = 20", "server.limits.messages-per-second"),
        ("hubs.'*'.messages-per-second = 20", "hubs.messages-per-second"),
    ] {
        let gateway = Gateway::probe().with(config).start().await;
        let mut client = gateway.client("probe").connect().await;
        let mut calls = Vec::new();
        for number in 0..60 {
            calls.push((client.start_call("echo", json!([number])).await, number));
        }
        for (id, number) in calls {
            assert_eq!(client.completion(&id).await["result"], number, "{limit}");
        }
        assert!(slowed(&gateway, "probe", limit).await, "{limit}");
        client.leave().await;
        let closed = [("hub", "probe"), ("reason", "Normal")];
        until("its end", async || {
            (gateway.metric("hubgate_client_connections_closed_total", closed).await == 1.0).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_hub_server_hears_of_a_client_comes_at_the_clients_rate() {
    let gateway = Gateway::serve().with("server.limits.messages-per-second = 10").start().await;
    let mut server = HubServer::connect(&gateway, "chat", "server").await;
    let (mut client, _) = server.let_in(gateway.client("chat").open().await).await;
    let said: Vec<String> = (0..30).map(|number| format!("{{\"type\":6,\"number\":{number}}}\u{1e}")).collect();
    client.send_text(&said.concat()).await;
    let mut heard = String::new();
    while heard.len() < said.concat().len() {
        heard.push_str(&server.client_says().await);
    }
    assert_eq!(heard, said.concat());
    assert!(slowed(&gateway, "chat", "server.limits.messages-per-second").await);
}

#[tokio::test]
async fn clients_that_wait_for_their_rate_are_heard_at_once_when_it_is_lifted() {
    const CALLS: usize = 2_000;
    let mut gateway = Gateway::probe().with("server.limits.messages-per-second = 1").start().await;
    let mut client = gateway.client("probe").connect().await;
    let mut last = String::new();
    for number in 0..CALLS {
        last = client.start_call("echo", json!([number])).await;
    }
    until("the client to wait", async || {
        slowed(&gateway, "probe", "server.limits.messages-per-second").await.then_some(())
    })
    .await;
    // At one a second they would take half an hour.
    gateway.reconfigure("server.limits.messages-per-second = 0");
    gateway.hang_up();
    assert_eq!(client.completion(&last).await["result"], CALLS - 1);
}
