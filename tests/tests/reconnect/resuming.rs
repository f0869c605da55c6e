//! What is kept while a client has no WebSocket, and what it gets when it has one again.

use http::Method;
use hubgate_tests::client::Received;
use hubgate_tests::http_2::{Connection, Window};
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::stateful::is_told_of_its_end;
use hubgate_tests::wait::soon;
use hubgate_tests::{Gateway, StatefulClient, tls};
use hubgate_wire::service::{self, ServiceMessage};
use serde_json::{Value, json};

use super::{client, resumes, send, until_one_waits};

fn call(id: &str, method: &str, arguments: Value) -> Value {
    json!({ "type": 1, "invocationId": id, "target": method, "arguments": arguments })
}

#[tokio::test]
async fn the_connection_is_the_same_with_its_id_user_and_groups() {
    let gateway = Gateway::probe().start().await;
    let mut client = StatefulClient::connect(gateway.client("probe").user("ann")).await;
    client.call("join", json!(["g"])).await.expect("it joins");
    client.cut();
    until_one_waits(&gateway).await;
    client.resume().await;
    let who = client.call("whoami", json!([])).await.expect("it answers");
    assert_eq!((&who["connectionId"], &who["userId"]), (&json!(client.id()), &json!("ann")));
    send(&gateway, "/groups/g", "still in it").await;
    assert_eq!(client.event("said").await, json!(["still in it"]));
    assert_eq!(resumes(&gateway, "resumed").await, 1.0);
    gateway
        .client("probe")
        .connect()
        .await
        .call("count", json!(["gone"]))
        .await
        .map(|gone| assert_eq!(gone, 1))
        .expect("it answers");
}

#[tokio::test]
async fn what_is_sent_while_it_is_away_comes_in_order_and_once() {
    let gateway = Gateway::probe().with("server.shards = 4").start().await;
    let mut client = StatefulClient::connect(gateway.client("probe").user("ann")).await;
    client.call("join", json!(["g"])).await.expect("it joins");
    let connection = format!("/connections/{}", client.id());
    for round in 0..3 {
        client.cut();
        until_one_waits(&gateway).await;
        assert_eq!(gateway.rest(Method::HEAD, &format!("/api/v1/hubs/probe{connection}")).send().await.status, 200);
        for to in ["", "/users/ann", "/groups/g", &connection] {
            send(&gateway, to, &format!("{round}{to}")).await;
        }
        client.resume().await;
        for to in ["", "/users/ann", "/groups/g", &connection] {
            assert_eq!(client.event("said").await, json!([format!("{round}{to}")]));
        }
        client.acknowledge().await;
    }
    assert_eq!(client.call("echo", json!(["nothing before"])).await, Ok(json!("nothing before")));
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_after_the_sequence() {
    let gateway = Gateway::probe().start().await;
    let mut client = client(&gateway).await;
    for text in ["a", "b", "c"] {
        send(&gateway, "", text).await;
        assert_eq!(client.event("said").await, json!([text]));
    }
    client.link().send(json!({ "type": 8, "sequenceId": 1 })).await;
    // Its answer is the fourth message: the acknowledgement is read.
    client.call("echo", json!([0])).await.expect("it answers");
    client.cut();
    until_one_waits(&gateway).await;
    let mut link = client.open().await.expect("it comes back");
    assert_eq!(link.message().await, json!({ "type": 9, "sequenceId": 2 }));
    for text in ["b", "c"] {
        assert_eq!(link.message().await["arguments"], json!([text]));
    }
    assert_eq!(link.message().await["type"], 3, "the answer to its call");
}

#[tokio::test]
async fn what_a_client_sends_again_is_done_once_and_what_comes_before_its_sequence_is_dropped() {
    let gateway = Gateway::probe().start().await;
    let mut client = client(&gateway).await;
    for count in 1..=2 {
        assert_eq!(client.call("count", json!(["calls"])).await, Ok(json!(count)));
    }
    client.cut();
    let mut link = client.open().await.expect("it comes back");
    link.send(call("x", "count", json!(["calls"]))).await;
    link.send(json!({ "type": 9, "sequenceId": 1 })).await;
    for id in ["1", "2", "3"] {
        link.send(call(id, "count", json!(["calls"]))).await;
    }
    let mut answers = Vec::new();
    loop {
        let message = link.message().await;
        if message["type"] == 3 {
            answers.push((message["invocationId"].as_str().expect("a call's").to_owned(), message["result"].clone()));
        }
        if answers.last().is_some_and(|(id, _)| id == "3") {
            break;
        }
    }
    let expected = [("1", 1), ("2", 2), ("3", 3)].map(|(id, count)| (id.to_owned(), json!(count)));
    assert_eq!(answers, expected, "those of the first two are sent again");
}

#[tokio::test]
async fn a_call_whose_answer_met_no_client_is_answered_after_it_is_back() {
    let gateway = Gateway::probe().start().await;
    let mut client = client(&gateway).await;
    for round in 0..20 {
        let id = client.start_call("echo", json!([round])).await;
        client.cut();
        client.resume().await;
        let answer = client.message().await;
        assert_eq!((answer["invocationId"].as_str(), &answer["result"]), (Some(&*id), &json!(round)));
    }
}

#[tokio::test]
async fn what_a_client_says_is_acknowledged() {
    let gateway = Gateway::probe().start().await;
    let mut client = client(&gateway).await;
    for text in ["a", "b"] {
        client.start_call("echo", json!([text])).await;
    }
    client.until_acknowledged().await;
}

#[tokio::test]
async fn an_upload_is_acknowledged_before_a_client_has_to_wait() {
    let gateway = Gateway::probe().start().await;
    let mut client = client(&gateway).await;
    let piece = "x".repeat(10_000);
    for _ in 0..200 {
        // Official clients wait when 100,000 bytes are not acknowledged.
        while client.unacknowledged() >= 9 {
            drop(client.message().await);
        }
        client.send(json!({ "type": 1, "invocationId": "1", "target": "echo", "arguments": [piece] })).await;
    }
}

#[tokio::test]
async fn a_half_open_web_socket_is_replaced_at_once_and_told_nothing() {
    let gateway = Gateway::probe().start().await;
    let mut client = client(&gateway).await;
    for round in 0..3 {
        let mut half_open = client.leave_half_open();
        client.resume().await;
        assert!(!is_told_of_its_end(&mut half_open).await);
        assert_eq!(client.call("echo", json!([round])).await, Ok(json!(round)));
    }
    assert_eq!(gateway.clients_of("probe").await, 1);
}

#[tokio::test]
async fn of_two_web_sockets_at_once_the_later_one_goes_on() {
    let gateway = Gateway::probe().start().await;
    let mut client = client(&gateway).await;
    client.cut();
    let (first, second) = tokio::join!(client.open(), client.open());
    let links = [first, second].map(|link| link.expect("it may come back"));
    let mut alive = Vec::new();
    for mut link in links {
        loop {
            match link.next("a Sequence or an end").await {
                Received::Message(message) if message["type"] == 9 => {
                    link.send(json!({ "type": 9, "sequenceId": 1 })).await;
                    link.send(call("1", "echo", json!(["alive"]))).await;
                }
                Received::Message(message) if message["type"] == 3 => break alive.push(link),
                Received::Message(_) | Received::Pong(_) => {}
                Received::End(_) => break,
            }
        }
    }
    assert_eq!(alive.len(), 1);
    assert_eq!(gateway.clients_of("probe").await, 1);
}

#[tokio::test]
async fn clients_come_back_to_the_threads_that_they_are_on() {
    let gateway = Gateway::probe().with("server.shards = 4").start().await;
    let mut clients = Vec::new();
    for _ in 0..12 {
        clients.push(client(&gateway).await);
    }
    clients.iter_mut().for_each(StatefulClient::cut);
    for client in &mut clients {
        client.resume().await;
    }
    send(&gateway, "", "to all").await;
    for client in &mut clients {
        assert_eq!(client.event("said").await, json!(["to all"]));
        let who = client.call("whoami", json!([])).await.expect("it answers");
        assert_eq!(who["connectionId"], client.id());
    }
}

#[tokio::test]
async fn it_may_come_back_on_a_stream_of_http_2() {
    use futures_util::StreamExt;
    use hyper_util::rt::TokioIo;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    let gateway = tls::secure(Gateway::probe()).start().await;
    let token = gateway.token("probe").sign();
    let mut connection = Connection::open(&gateway, Window::Usual).await.expect("the gateway speaks HTTP/2");
    let path = "/client/negotiate?hub=probe&negotiateVersion=1&useStatefulReconnect=true";
    let answer = connection.succeed(Method::POST, path, &token, "").await.expect("it negotiates");
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    let path = format!("/client/?hub=probe&id={}", answer["connectionToken"].as_str().expect("a token"));
    let mut next = async |said: &str| {
        let stream = soon("a WebSocket", connection.websocket(&path, &token)).await.expect("it opens");
        let mut link = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Client, None).await;
        use futures_util::SinkExt;
        link.send(Message::text(said)).await.expect("the stream is open");
        match soon("a message", link.next()).await {
            Some(Ok(Message::Text(text))) => text.trim_end_matches('\u{1e}').to_owned(),
            other => panic!("a message should come: {other:?}"),
        }
    };
    assert_eq!(next(hubgate_tests::stateful::STATEFUL_HANDSHAKE).await, "{}");
    // The stream before was dropped, or is about to be.
    let sequence: Value = serde_json::from_str(&next("{\"type\":9,\"sequenceId\":1}\u{1e}").await).expect("JSON");
    assert_eq!(sequence, json!({ "type": 9, "sequenceId": 1 }));
}

#[tokio::test]
async fn a_hub_server_hears_that_its_client_has_come_back_and_nothing_of_its_end() {
    let gateway = Gateway::serve().with("hubs.chat.mode = 'default'").start().await;
    let mut server = HubServer::connect_allowing_stateful_reconnect(&gateway, "chat", "a").await;
    let mut client = StatefulClient::negotiate(gateway.client("chat")).await;
    let mut link = client.open().await.expect("it opens");
    link.send_text(hubgate_tests::stateful::STATEFUL_HANDSHAKE).await;
    let id = server.told_of_client().await;
    assert_eq!(server.client_says().await, hubgate_tests::stateful::STATEFUL_HANDSHAKE);
    server.tell_client(&id, "{}\u{1e}").await;
    assert_eq!(link.message().await, json!({}));
    link.vanish();
    server.tell_client(&id, &format!("{}\u{1e}", json!({ "type": 1, "target": "t", "arguments": [] }))).await;
    client.resume().await;
    assert_eq!(client.event("t").await, json!([]));
    match service::parse(&server.next().await).expect("a message") {
        ServiceMessage::ConnectionReconnect(reconnect) => assert_eq!(reconnect.connection_id, id),
        other => panic!("it hears first that its client is back: {other:?}"),
    }
    client.start_call("greet", json!([])).await;
    assert!(server.client_says().await.contains("greet"));
}
