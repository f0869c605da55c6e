//! Server-Sent Events and long polling, request by request.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use hubgate_tests::Gateway;
use hubgate_tests::http::Answer;
use hubgate_tests::wait::{let_pass, soon, until};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const HANDSHAKE: &str = "{\"protocol\":\"json\",\"version\":1}\u{1e}";

/// A connection of the probe's hub that was negotiated, and the requests for it.
struct Connection<'g> {
    gateway: &'g Gateway,
    token: String,
    id: String,
}

impl<'g> Connection<'g> {
    async fn negotiated(gateway: &'g Gateway) -> Connection<'g> {
        // Between two polls it may be silent for a minute: much else may run on the machine.
        Connection::with_token(gateway, gateway.token("probe").claim("asrs.s.ttl", 60).sign()).await
    }

    async fn with_token(gateway: &'g Gateway, token: String) -> Connection<'g> {
        let negotiate = gateway.request(Method::POST, "/client/negotiate?hub=probe&negotiateVersion=1");
        let answer = negotiate.bearer(&token).send().await.json();
        let id = answer["connectionToken"].as_str().expect("version 1 has a token").to_owned();
        Connection { gateway, token, id }
    }

    async fn ask(&self, method: Method) -> Answer {
        self.gateway.request(method, &self.path()).bearer(&self.token).send().await
    }

    async fn poll(&self) -> Answer {
        self.ask(Method::GET).await
    }

    async fn post(&self, text: &str) -> Answer {
        let request = self.gateway.request(Method::POST, &self.path()).bearer(&self.token);
        request.body("text/plain;charset=UTF-8", text.to_owned()).send().await
    }

    fn path(&self) -> String {
        format!("/client/?hub=probe&id={}", self.id)
    }

    /// Polls until the handshake is answered.
    async fn polling(gateway: &'g Gateway) -> Connection<'g> {
        let connection = Connection::negotiated(gateway).await;
        assert_eq!(seen(&connection.poll().await), (200, ""));
        assert_eq!(seen(&connection.post(HANDSHAKE).await), (200, ""));
        assert_eq!(seen(&connection.poll().await), (200, "{}\u{1e}"));
        connection
    }

    /// An event stream, behind its head.
    async fn events(&self) -> (String, Events) {
        let mut stream = TcpStream::connect(self.gateway.address()).await.expect("the gateway accepts connections");
        let (path, token) = (self.path(), &self.token);
        let head = format!("GET {path}&access_token={token} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("the gateway reads");
        let mut events = Events(BufReader::new(stream));
        let mut head = String::new();
        loop {
            match events.line().await.as_str() {
                "" => return (head, events),
                line => head.push_str(&format!("{}\n", line.to_lowercase())),
            }
        }
    }
}

/// A stream of events in chunks, as they come.
struct Events(BufReader<TcpStream>);

impl Events {
    async fn line(&mut self) -> String {
        let mut line = String::new();
        soon("a line of the stream", self.0.read_line(&mut line)).await.expect("the gateway writes text");
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    /// The next line of data; what else is on the way is skipped.
    async fn data(&mut self) -> String {
        loop {
            let line = self.line().await;
            if let Some(data) = line.strip_prefix("data: ") {
                return data.to_owned();
            }
            assert_ne!(line, "0", "the stream is over");
        }
    }

    async fn ends(&mut self) {
        while self.line().await != "0" {}
    }
}

fn seen(answer: &Answer) -> (u16, &str) {
    (answer.status, &answer.body)
}

#[tokio::test]
async fn the_first_poll_opens_the_connection_and_later_ones_bring_messages() {
    let gateway = Gateway::probe().start().await;
    let connection = Connection::negotiated(&gateway).await;
    let first = connection.poll().await;
    assert_eq!(seen(&first), (200, ""));
    assert_eq!(first.header("content-type"), "application/octet-stream");
    assert_eq!((first.header("content-length"), first.header("pragma")), ("0", "no-cache"));
    assert_eq!(seen(&connection.post(HANDSHAKE).await), (200, ""));
    let second = connection.poll().await;
    assert_eq!(seen(&second), (200, "{}\u{1e}"));
    assert_eq!(second.header("content-type"), "application/octet-stream");
    let calls =
        [1, 2, 3].map(|n| json!({"type": 1, "invocationId": n.to_string(), "target": "echo", "arguments": [n]}));
    let batch: String = calls.iter().map(|call| format!("{call}\u{1e}")).collect();
    assert_eq!(seen(&connection.post(&batch).await), (200, ""));
    let mut answers = String::new();
    while answers.matches('\u{1e}').count() < 3 {
        answers.push_str(&connection.poll().await.body);
    }
    let results = answers.split_terminator('\u{1e}').map(|text| serde_json::from_str::<Value>(text).expect("JSON"));
    assert_eq!(results.map(|answer| answer["result"].clone()).collect::<Vec<_>>(), [json!(1), json!(2), json!(3)]);
}

#[tokio::test]
async fn a_handshake_may_be_posted_before_the_transport_is_open() {
    let gateway = Gateway::probe().start().await;
    let connection = Connection::negotiated(&gateway).await;
    assert_eq!(seen(&connection.post(&HANDSHAKE[..10]).await), (200, ""));
    assert_eq!(seen(&connection.post(&HANDSHAKE[10..]).await), (200, ""));
    assert_eq!(seen(&connection.poll().await), (200, ""));
    assert_eq!(seen(&connection.poll().await), (200, "{}\u{1e}"));

    let flooding = Connection::negotiated(&gateway).await;
    assert_eq!(seen(&flooding.post(&"x".repeat(60_000)).await), (200, ""));
    assert_eq!(seen(&flooding.post(&"x".repeat(60_000)).await), (404, "No Connection with that ID"));
}

#[tokio::test]
async fn what_is_posted_comes_at_the_clients_rate_also_what_came_before_its_transport_was_open() {
    let gateway = Gateway::probe().with("server.limits.messages-per-second = 10").start().await;
    let call = |number: usize| {
        let call = json!({"type": 1, "invocationId": number.to_string(), "target": "echo", "arguments": [number]});
        format!("{call}\u{1e}")
    };
    let calls = |from, to| (from..to).map(call).collect::<String>();
    let connection = Connection::negotiated(&gateway).await;
    assert_eq!(seen(&connection.post(&format!("{HANDSHAKE}{}", calls(0, 25))).await), (200, ""));
    assert_eq!(seen(&connection.poll().await), (200, ""));
    let posts = async {
        assert_eq!(seen(&connection.post(&calls(25, 35)).await), (200, ""));
        assert_eq!(seen(&connection.post(&calls(35, 40)).await), (200, ""));
    };
    let polls = async {
        let mut answers = String::new();
        while answers.matches('\u{1e}').count() < 41 {
            answers.push_str(&connection.poll().await.body);
        }
        answers
    };
    let (answers, ()) = tokio::join!(polls, posts);
    let results = answers.split_terminator('\u{1e}').filter_map(|text| {
        let answer: Value = serde_json::from_str(text).expect("JSON");
        answer["result"].as_u64()
    });
    assert!(results.eq(0..40), "{answers}");
    let limit = [("hub", "probe"), ("limit", "server.limits.messages-per-second")];
    assert!(gateway.metric("hubgate_slowed_clients_total", limit).await > 0.0);
}

#[tokio::test]
async fn many_posts_side_by_side_wait_for_their_turn_as_those_of_old_clients_do() {
    const CALLS: usize = 40;
    let gateway = Gateway::probe().with("server.limits.messages-per-second = 10").start().await;
    let connection = Connection::polling(&gateway).await;
    let connection = &connection;
    let posts = (0..CALLS).map(|number| async move {
        let call = json!({"type": 1, "invocationId": number.to_string(), "target": "echo", "arguments": [number]});
        connection.post(&format!("{call}\u{1e}")).await.status
    });
    let polls = async {
        let mut results = BTreeSet::new();
        while results.len() < CALLS {
            let answers = connection.poll().await.body;
            let answers =
                answers.split_terminator('\u{1e}').map(|text| serde_json::from_str::<Value>(text).expect("JSON"));
            results.extend(answers.filter_map(|answer| answer["result"].as_u64()));
        }
        results
    };
    let posts = async {
        let statuses = join_all(posts).await;
        assert_eq!(statuses, [200; CALLS], "more of them wait than the client may say at once");
    };
    let (results, ()) = tokio::join!(polls, posts);
    assert!(results.into_iter().eq(0..CALLS as u64));
}

#[tokio::test]
async fn a_newer_poll_takes_the_place_of_the_one_that_waits() {
    let gateway = Gateway::probe().start().await;
    let one_after_the_other = async || {
        let connection = Connection::polling(&gateway).await;
        let (older, newer) = tokio::join!(connection.poll(), async {
            let_pass(Duration::from_millis(200)).await;
            let (newer, _) = tokio::join!(connection.poll(), async {
                let_pass(Duration::from_millis(200)).await;
                let call = json!({"type": 1, "invocationId": "1", "target": "echo", "arguments": ["x"]});
                connection.post(&format!("{call}\u{1e}")).await
            });
            newer
        });
        // Otherwise they have come in another order.
        (seen(&older) == (204, "")).then_some(newer)
    };
    let newer = until("the older poll to end", one_after_the_other).await;
    assert_eq!(newer.status, 200);
    assert!(newer.body.contains("\"result\":\"x\""), "{newer:?}");
}

#[tokio::test]
async fn a_deleted_connection_is_over() {
    let gateway = Gateway::probe().start().await;
    let deleted_during_a_poll = async || {
        let connection = Connection::polling(&gateway).await;
        let (poll, deleted) = tokio::join!(connection.poll(), async {
            let_pass(Duration::from_millis(200)).await;
            connection.ask(Method::DELETE).await
        });
        assert_eq!(seen(&deleted), (202, ""));
        // Otherwise the poll has come too late.
        (poll.status != 404).then_some((connection, poll))
    };
    let (connection, poll) = until("a poll to come in time", deleted_during_a_poll).await;
    assert_eq!(seen(&poll), (204, ""));
    assert_eq!(gateway.clients_of("probe").await, 0);
    for method in [Method::GET, Method::POST, Method::DELETE] {
        assert_eq!(seen(&connection.ask(method).await), (404, "No Connection with that ID"));
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_brings_its_last_messages_first() {
    let gateway = Gateway::probe().start().await;
    let connection = Connection::polling(&gateway).await;
    let quit = json!({"type": 1, "target": "quit", "arguments": ["Enough."]});
    connection.post(&format!("{quit}\u{1e}")).await;
    let last = connection.poll().await;
    assert_eq!(last.status, 200);
    assert!(last.body.contains("\"type\":7") && last.body.contains("Enough."), "{last:?}");
    assert_eq!(seen(&connection.poll().await), (204, ""));
    let over = async || (connection.poll().await.status == 404).then_some(());
    until("the id to be forgotten", over).await;
}

#[tokio::test]
async fn a_client_that_stops_polling_is_let_go_after_the_time_that_its_token_says() {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").claim("asrs.s.ttl", 1).sign();
    let connection = Connection::with_token(&gateway, token).await;
    assert_eq!(seen(&connection.poll().await), (200, ""));
    connection.post(HANDSHAKE).await;
    connection.poll().await;
    let gone = async || (gateway.clients_of("probe").await == 0).then_some(());
    until("the silent client to be let go", gone).await;
    assert_eq!(connection.poll().await.status, 404);
}

#[tokio::test]
async fn a_poll_that_its_client_gives_up_loses_nothing() {
    let gateway = Gateway::probe().start().await;
    let connection = Connection::polling(&gateway).await;
    assert!(tokio::time::timeout(Duration::from_millis(200), connection.poll()).await.is_err(), "nothing to answer");
    let call = json!({"type": 1, "invocationId": "1", "target": "echo", "arguments": ["kept"]});
    connection.post(&format!("{call}\u{1e}")).await;
    assert!(connection.poll().await.body.contains("kept"));
}

#[tokio::test]
async fn an_event_stream_begins_with_a_comment_and_has_an_event_for_each_message() {
    let gateway = Gateway::probe().start().await;
    let connection = Connection::negotiated(&gateway).await;
    let (head, mut events) = connection.events().await;
    for header in
        ["http/1.1 200", "content-type: text/event-stream", "cache-control: no-cache", "content-encoding: identity"]
    {
        assert!(head.contains(header), "{head}");
    }
    while events.line().await != ":" {}
    assert_eq!(seen(&connection.post(HANDSHAKE).await), (200, ""));
    assert_eq!(events.data().await, "{}\u{1e}");
    let call = json!({"type": 1, "invocationId": "1", "target": "echo", "arguments": ["x"]});
    connection.post(&format!("{call}\u{1e}")).await;
    assert_eq!(events.data().await, "{\"type\":3,\"invocationId\":\"1\",\"result\":\"x\"}\u{1e}");
    connection.post("{\"type\":7}\u{1e}").await;
    events.ends().await;
    assert_eq!(gateway.clients_of("probe").await, 0);
}

#[tokio::test]
async fn a_handshake_that_is_posted_before_the_stream_opens_is_answered_by_an_event() {
    let gateway = Gateway::probe().start().await;
    let connection = Connection::negotiated(&gateway).await;
    assert_eq!(seen(&connection.post(HANDSHAKE).await), (200, ""));
    let (_, mut events) = connection.events().await;
    assert_eq!(events.data().await, "{}\u{1e}");
}

#[tokio::test]
async fn a_client_whose_stream_breaks_off_is_gone() {
    let gateway = Gateway::probe().start().await;
    let connection = Connection::negotiated(&gateway).await;
    let (_, mut events) = connection.events().await;
    connection.post(HANDSHAKE).await;
    assert_eq!(events.data().await, "{}\u{1e}");
    drop(events);
    let gone = async || (gateway.clients_of("probe").await == 0).then_some(());
    until("the client to be gone", gone).await;
    assert_eq!(seen(&connection.post("{\"type\":6}\u{1e}").await), (404, "No Connection with that ID"));
}

#[tokio::test]
async fn an_event_stream_carries_no_bytes() {
    let gateway = Gateway::probe().start().await;
    let connection = Connection::negotiated(&gateway).await;
    let (_, mut events) = connection.events().await;
    connection.post("{\"protocol\":\"messagepack\",\"version\":1}\u{1e}").await;
    let refusal: Value = serde_json::from_str(events.data().await.trim_end_matches('\u{1e}')).expect("JSON");
    let expected = "Cannot use the 'messagepack' protocol on the current transport. The transport does not support \
                    'Binary' transfer format.";
    assert_eq!(refusal, json!({ "error": expected }));
    events.ends().await;
}

#[tokio::test]
async fn a_client_is_on_one_transport() {
    let gateway = Gateway::probe().start().await;
    let polling = Connection::polling(&gateway).await;
    let stream = gateway.request(Method::GET, &polling.path()).bearer(&polling.token);
    let other = stream.header("accept", "text/event-stream").send().await;
    assert_eq!(seen(&other), (400, "Cannot change transports mid-connection"));
    let upgrade = gateway.client("probe").id(&polling.id).try_open().await.expect_err("it polls");
    assert_eq!(seen(&upgrade), (400, "Cannot change transports mid-connection"));

    let streaming = Connection::negotiated(&gateway).await;
    let (_, _events) = streaming.events().await;
    assert_eq!(seen(&streaming.poll().await), (400, "Cannot change transports mid-connection"));
    let second = gateway.request(Method::GET, &streaming.path()).bearer(&streaming.token);
    assert_eq!(
        seen(&second.header("accept", "text/event-stream").send().await),
        (409, "Another request has this connection already.")
    );
    let deleted = streaming.ask(Method::DELETE).await;
    assert_eq!(seen(&deleted), (400, "Cannot terminate this connection using the DELETE endpoint."));

    let web_socket = Connection::negotiated(&gateway).await;
    let _client = gateway.client("probe").id(&web_socket.id).open().await;
    assert_eq!(seen(&web_socket.poll().await), (400, "Cannot change transports mid-connection"));
    let posted = web_socket.post("{\"type\":6}\u{1e}").await;
    assert_eq!(seen(&posted), (405, "POST requests are not allowed for WebSocket connections."));
    let deleted = web_socket.ask(Method::DELETE).await;
    assert_eq!(seen(&deleted), (400, "Cannot terminate this connection using the DELETE endpoint."));
}

#[tokio::test]
async fn requests_without_a_connection_are_refused() {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").sign();
    let ask = async |method: Method, query: &str| {
        gateway.request(method, &format!("/client/?hub=probe{query}")).bearer(&token).send().await
    };
    for method in [Method::GET, Method::POST, Method::DELETE] {
        assert_eq!(seen(&ask(method.clone(), "").await), (400, "Connection ID required"), "{method}");
        for id in ["nobody", "AAAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAP__"] {
            let answer = ask(method.clone(), &format!("&id={id}")).await;
            assert_eq!(seen(&answer), (404, "No Connection with that ID"), "{method} {id}");
        }
    }
    assert_eq!(ask(Method::PUT, "&id=x").await.status, 404);
    let connection = Connection::negotiated(&gateway).await;
    assert_eq!(connection.ask(Method::PUT).await.status, 405);
}

#[tokio::test]
async fn an_id_that_differs_anywhere_from_that_of_a_connection_is_nobodys() {
    let gateway = Gateway::probe().start().await;
    let connection = Connection::polling(&gateway).await;
    let token = gateway.token("probe").sign();
    for other in hubgate_tests::ids_that_differ_in_one_character(&connection.id) {
        let path = format!("/client/?hub=probe&id={other}");
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let answer = gateway.request(method.clone(), &path).bearer(&token).send().await;
            assert_eq!(seen(&answer), (404, "No Connection with that ID"), "{method} {other}");
        }
    }
}

#[tokio::test]
async fn a_connection_is_of_one_hub() {
    let gateway = Gateway::probe().start().await;
    let connection = Connection::polling(&gateway).await;
    let other = gateway.token("other").sign();
    let path = format!("/client/?hub=other&id={}", connection.id);
    for method in [Method::GET, Method::POST, Method::DELETE] {
        let answer = gateway.request(method.clone(), &path).bearer(&other).send().await;
        assert_eq!(seen(&answer), (404, "No Connection with that ID"), "{method}");
    }
}

#[tokio::test]
async fn a_token_may_allow_only_some_transports() {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").claim("asrs.s.htt", "2").sign();
    let negotiate = gateway.request(Method::POST, "/client/negotiate?hub=probe&negotiateVersion=1");
    let answer = negotiate.bearer(&token).send().await.json();
    assert_eq!(answer["availableTransports"], json!([{"transport": "ServerSentEvents", "transferFormats": ["Text"]}]));
    let connection = Connection::with_token(&gateway, token).await;
    let polled = connection.poll().await;
    assert_eq!(seen(&polled), (404, "LongPolling transport not supported by this end point type"));
    let upgrade = gateway.client("probe").token(&connection.token).id(&connection.id).try_open().await;
    let upgrade = upgrade.expect_err("WebSockets are not allowed");
    assert_eq!(seen(&upgrade), (404, "WebSockets transport not supported by this end point type"));
    let (head, _events) = connection.events().await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

#[tokio::test]
async fn bits_that_stand_for_no_transport_are_ignored_and_a_token_without_any_other_opens_nothing() {
    let gateway = Gateway::probe().start().await;
    let path = "/client/negotiate?hub=probe&negotiateVersion=1";
    let negotiate = async |transports: Value| {
        let token = gateway.token("probe").claim("asrs.s.htt", transports).sign();
        gateway.request(Method::POST, path).bearer(&token).send().await
    };
    let allowed = negotiate(json!(256 + 2)).await.json()["availableTransports"].clone();
    assert_eq!(allowed, json!([{"transport": "ServerSentEvents", "transferFormats": ["Text"]}]));
    let connection = Connection::negotiated(&gateway).await;
    for none in [json!(0), json!(8), json!(256), json!("512"), json!(1u64 << 61)] {
        let answer = negotiate(none.clone()).await;
        assert_eq!(answer.status, 400, "{none}: {}", answer.body);
        assert!(answer.body.contains("`asrs.s.htt`"), "{}", answer.body);
        let token = gateway.token("probe").claim("asrs.s.htt", none.clone()).sign();
        let opened = gateway.client("probe").token(&token).without_negotiate().try_open().await;
        assert_eq!(opened.expect_err("no transport").status, 400, "{none}");
        let polled = gateway.request(Method::GET, &format!("/client/?hub=probe&id={}", connection.id));
        assert_eq!(polled.bearer(&token).send().await.status, 400, "{none}");
    }
}

#[tokio::test]
async fn each_request_needs_a_token_that_is_good_now() {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").expires_in(LIFE).sign();
    let connection = Connection::with_token(&gateway, token).await;
    connection.poll().await;
    connection.post(HANDSHAKE).await;
    let refused = async || (connection.post("{\"type\":6}\u{1e}").await.status == 401).then_some(());
    until("the token to expire", refused).await;
    assert_eq!(connection.poll().await.status, 401);
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_given_up() {
    let gateway = Gateway::probe().with("server.limits.outbox = '64KiB'").start().await;
    let slow = Connection::polling(&gateway).await;
    let mut speaker = gateway.client("probe").connect().await;
    let text = "x".repeat(10_000);
    for _ in 0..20 {
        speaker.notify("say", json!([text])).await;
    }
    let given_up = async || {
        let closed = gateway.metric("hubgate_slow_clients_closed_total", [("hub", "probe")]).await;
        (closed == 1.0).then_some(())
    };
    until("the client that does not poll to be given up", given_up).await;
    assert_ne!(slow.poll().await.status, 200);
}

#[tokio::test]
async fn a_posted_body_has_a_limit() {
    let gateway = Gateway::probe().with("server.limits.post = '10KiB'").start().await;
    let connection = Connection::polling(&gateway).await;
    assert_eq!(connection.post(&"x".repeat(20_000)).await.status, 413);
    let call = json!({"type": 1, "invocationId": "1", "target": "echo", "arguments": ["fine"]});
    connection.post(&format!("{call}\u{1e}")).await;
    assert!(connection.poll().await.body.contains("fine"));
}

#[tokio::test]
async fn the_gateway_says_goodbye_to_all_transports_when_it_stops() {
    let mut gateway = Gateway::probe().start().await;
    let polling = Connection::polling(&gateway).await;
    let (id, token) = (polling.id.clone(), polling.token.clone());
    let streaming = Connection::negotiated(&gateway).await;
    let (_, mut events) = streaming.events().await;
    streaming.post(HANDSHAKE).await;
    assert_eq!(events.data().await, "{}\u{1e}");
    let path = format!("/client/?hub=probe&id={id}");
    let poll = gateway.request(Method::GET, &path).bearer(&token);
    let (last, ()) = tokio::join!(poll.send(), async {
        let_pass(Duration::from_millis(200)).await;
        gateway.terminate();
    });
    assert_eq!(events.data().await, "{\"type\":7,\"allowReconnect\":true}\u{1e}");
    assert_eq!(seen(&last), (200, "{\"type\":7,\"allowReconnect\":true}\u{1e}"));
    drop(events);
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn a_handshake_may_take_as_long_as_the_token_says() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").with_claim("asrs.s.cht", 1).open().await;
    assert_eq!(client.handshake_error().await, "Handshake was canceled.");
}

#[tokio::test]
async fn a_connection_may_end_with_its_token() {
    let gateway = Gateway::probe().start().await;
    let soon = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() + 2;
    let ending = |setup: hubgate_tests::client::Connecting| {
        setup.with_claim("asrs.s.coae", "true").with_claim("asrs.s.aeo", soon.to_string())
    };
    let mut client = ending(gateway.client("probe")).connect().await;
    let mut other = gateway.client("probe").connect().await;
    let end = client.end().await;
    assert!(end.allows_reconnect(), "{end:?}");
    assert_eq!(end.error(), "Connection closed with an error.");
    assert_eq!(other.call("echo", json!([1])).await, Ok(json!(1)));
}

#[tokio::test]
async fn an_end_beyond_all_clocks_never_comes() {
    let gateway = Gateway::probe().start().await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let ending = |end: u64| gateway.client("probe").with_claim("asrs.s.coae", "true").with_claim("asrs.s.aeo", end);
    // In milliseconds, these are a little more than 64 bits hold.
    let mut far = ending(now + u64::MAX / 1000 + 1).connect().await;
    let mut farthest = ending(u64::MAX).connect().await;
    ending(now + 2).connect().await.end().await;
    for client in [&mut far, &mut farthest] {
        assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
    }
}

/// Of tokens whose end is waited for, in seconds: handshakes are over before, also on a machine that has much to do.
const LIFE: i64 = 10;

#[tokio::test]
async fn a_client_that_polls_is_told_of_the_end_of_its_token_and_ends_unless_it_has_a_later_one() {
    let gateway = Gateway::probe().start().await;
    let connection = Connection::with_token(&gateway, gateway.token("probe").expires_in(LIFE).sign()).await;
    connection.poll().await;
    connection.post(HANDSHAKE).await;
    connection.poll().await;
    assert_eq!(seen(&connection.poll().await), (200, ""), "the poll that is held ends with the token");
    let refused = connection.poll().await;
    assert_eq!(refused.status, 401);
    assert!(refused.body.contains("the token has expired"), "{}", refused.body);
    until("the client to be let go", async || (gateway.clients_of("probe").await == 0).then_some(())).await;
}

#[tokio::test]
async fn of_the_tokens_of_a_connection_the_latest_counts_and_websockets_outlive_theirs() {
    let gateway = Gateway::probe().start().await;
    let first = gateway.token("probe").expires_in(LIFE);
    let mut web_socket = gateway.client("probe").token(&first.sign()).connect().await;
    let silent = Connection::with_token(&gateway, first.sign()).await;
    let renewed = Connection::with_token(&gateway, first.sign()).await;
    let (_, mut events) = silent.events().await;
    let (_, mut others) = renewed.events().await;
    for (connection, events) in [(&silent, &mut events), (&renewed, &mut others)] {
        assert_eq!(seen(&connection.post(HANDSHAKE).await), (200, ""));
        assert_eq!(events.data().await, "{}\u{1e}");
    }
    let (old, later) = (renewed.token.clone(), gateway.token("probe").sign());
    let post = async |token: &str, text: &str| {
        let request = gateway.request(Method::POST, &renewed.path()).bearer(token);
        request.body("text/plain", text.to_owned()).send().await.status
    };
    assert_eq!(post(&later, "{\"type\":6}\u{1e}").await, 200);
    let end = loop {
        let data = events.data().await;
        if !data.contains("\"type\":6") {
            break data;
        }
    };
    let end: Value = serde_json::from_str(end.trim_end_matches('\u{1e}')).expect("JSON");
    assert_eq!((&end["type"], &end["allowReconnect"]), (&json!(7), &json!(true)), "{end}");
    events.ends().await;

    assert_eq!(post(&old, "{\"type\":6}\u{1e}").await, 401);
    let call = json!({"type": 1, "invocationId": "1", "target": "echo", "arguments": ["x"]});
    assert_eq!(post(&later, &format!("{call}\u{1e}")).await, 200);
    while !others.data().await.contains("\"result\":\"x\"") {}
    assert_eq!(web_socket.call("echo", json!([1])).await, Ok(json!(1)));
}

#[tokio::test]
async fn a_token_of_another_user_does_not_renew_a_connection() {
    let gateway = Gateway::probe().start().await;
    let connection = Connection::with_token(&gateway, gateway.token("probe").user("ann").expires_in(LIFE).sign()).await;
    let (_, mut events) = connection.events().await;
    assert_eq!(seen(&connection.post(HANDSHAKE).await), (200, ""));
    assert_eq!(events.data().await, "{}\u{1e}");
    let others = gateway.token("probe").user("ben").sign();
    let post = gateway.request(Method::POST, &connection.path()).bearer(&others);
    assert_eq!(post.body("text/plain", "{\"type\":6}\u{1e}").send().await.status, 200);
    let end = loop {
        let data = events.data().await;
        if !data.contains("\"type\":6") {
            break data;
        }
    };
    assert!(end.contains("\"type\":7"), "its own token has ended: {end}");
    events.ends().await;
}

#[tokio::test]
async fn clients_are_counted_by_their_transport() {
    let gateway = Gateway::probe().start().await;
    let counts = async |web_sockets: f64, events: f64, polling: f64| {
        let expected = [("WebSockets", web_sockets), ("ServerSentEvents", events), ("LongPolling", polling)];
        until(&format!("{expected:?}"), async || {
            for (transport, count) in expected {
                let labels = [("hub", "probe"), ("transport", transport)];
                if gateway.metric("hubgate_client_connections", labels).await != count {
                    return None;
                }
            }
            Some(())
        })
        .await;
    };
    let web_socket = gateway.client("probe").connect().await;
    counts(1.0, 0.0, 0.0).await;
    let streaming = Connection::negotiated(&gateway).await;
    let (_, mut events) = streaming.events().await;
    streaming.post(HANDSHAKE).await;
    assert_eq!(events.data().await, "{}\u{1e}");
    counts(1.0, 1.0, 0.0).await;
    // It may be silent for longer than the test takes.
    let token = gateway.token("probe").claim("asrs.s.ttl", "300").sign();
    let polling = Connection::with_token(&gateway, token).await;
    polling.poll().await;
    polling.post(HANDSHAKE).await;
    assert_eq!(seen(&polling.poll().await), (200, "{}\u{1e}"));
    counts(1.0, 1.0, 1.0).await;
    assert_eq!(gateway.clients_of("probe").await, 3);
    web_socket.leave().await;
    counts(0.0, 1.0, 1.0).await;
    drop(events);
    polling.ask(Method::DELETE).await;
    counts(0.0, 0.0, 0.0).await;
}

#[tokio::test]
async fn what_was_taken_is_answered_before_the_gateway_ends() {
    const CALLS: usize = 2_000;
    let gateway = Gateway::probe().start().await;
    let connection = Connection::negotiated(&gateway).await;
    let (_, mut events) = connection.events().await;
    assert_eq!(seen(&connection.post(HANDSHAKE).await), (200, ""));
    assert_eq!(events.data().await, "{}\u{1e}");
    let call = |n| json!({"type": 1, "invocationId": format!("{n}"), "target": "echo", "arguments": [n]});
    let batch: String = (0..CALLS).map(|n| format!("{}\u{1e}", call(n))).collect();
    assert_eq!(seen(&connection.post(&batch).await), (200, ""));
    gateway.terminate();
    let mut answers = String::new();
    while answers.matches("\"type\":3").count() < CALLS {
        answers.push_str(&events.data().await);
    }
    assert!(events.data().await.contains("\"allowReconnect\":true"));
    events.ends().await;
}
