//! Hub servers that misbehave, and what opens the door to them. Only their own connection suffers.

use std::collections::HashSet;

use hubgate_tests::client::{Client, HANDSHAKE};
use hubgate_tests::command::hubgate;
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::{Gateway, Token};
use hubgate_wire::service::{
    self, BroadcastData, CheckConnectionExistenceWithAck, ClientCompletion, ClientInvocation, CloseConnection,
    GroupBroadcastData, JoinGroupWithAck, ServiceMessage,
};
use serde_json::json;

const KEY: &str = hubgate_tests::gateway::KEY;

async fn gateway() -> Gateway {
    Gateway::serve().start().await
}

/// Lets one client of the server in; gives it and its id.
async fn let_in(gateway: &Gateway, server: &mut HubServer) -> (Client, String) {
    server.let_in(gateway.client("chat").open().await).await
}

fn data(body: &[u8]) -> String {
    match service::parse(body).expect("a message") {
        ServiceMessage::ConnectionData(data) => String::from_utf8_lossy(data.payload).into_owned(),
        other => panic!("no data: {other:?}"),
    }
}

async fn broadcast(server: &mut HubServer, text: &str) {
    let payloads = vec![("json", text.as_bytes())];
    server.send(&ServiceMessage::BroadcastData(BroadcastData { payloads, ..BroadcastData::default() })).await;
}

/// The client and its server hear each other.
async fn they_talk(client: &mut Client, server: &mut HubServer, id: &str) {
    client.send(json!({ "type": 1, "target": "ask", "arguments": [] })).await;
    assert!(data(&server.next().await).contains("ask"));
    server.tell_client(id, "{\"type\":1,\"target\":\"told\",\"arguments\":[]}\u{1e}").await;
    assert_eq!(client.event("told").await, json!([]));
}

#[tokio::test]
async fn only_a_token_for_hub_servers_opens_the_door() {
    let gateway = gateway().await;
    let server = format!("{}/server/?hub=chat", gateway.url());
    for (token, status) in [
        (Token::new(&server, KEY), 101),
        (Token::new(&format!("{}/server", gateway.url()), KEY), 101),
        (Token::new("http://127.0.0.1/server/?hub=CHAT", KEY), 101),
        (Token::new(&server, "another-key-that-is-not-the-gateways"), 401),
        (Token::new(&server, KEY).expires_in(-1), 401),
        (gateway.token("chat"), 401),
        (Token::new(&format!("{}/server/?hub=other", gateway.url()), KEY), 401),
    ] {
        let opened = HubServer::try_open(gateway.address(), "chat", &token.sign(), &[]).await;
        assert_eq!(opened.err().unwrap_or(101), status, "{token:?}");
    }
    let plain = gateway.request(http::Method::GET, "/server/?hub=chat").bearer(&Token::new(&server, KEY).sign());
    assert_eq!(plain.send().await.status, 400);
}

#[tokio::test]
async fn a_token_of_the_command_line_opens_it() {
    let gateway = gateway().await;
    let connection = gateway.ready().connection_string.clone();
    let printed = hubgate(["token", "server", "--hub", "chat", "--server-id", "s", "--connection-string", &connection]);
    let token = printed.success();
    let mut server = HubServer::try_open(gateway.address(), "chat", token.trim(), &[]).await.expect("a WebSocket");
    server.shake_hands(0).await;
    gateway.logs(&["a hub server's connection is open", "server=s"]).await;
    assert_eq!(HubServer::try_open(gateway.address(), "other", token.trim(), &[]).await.err(), Some(401));
}

#[tokio::test]
async fn a_serverless_hub_refuses_the_server_sdk_at_the_door_and_others_in_the_handshake() {
    let gateway = Gateway::serve().with("hubs.chat.mode = 'serverless'").start().await;
    let token = Token::new(&format!("{}/server/?hub=chat", gateway.url()), KEY).sign();
    let sdk = ("asrs-user-agent", "Microsoft.Azure.SignalR/1.34.0 (.NET)");
    assert_eq!(HubServer::try_open(gateway.address(), "chat", &token, &[sdk]).await.err(), Some(403));
    let management = ("asrs-user-agent", "Microsoft.Azure.SignalR.Management/1.34.0 (.NET)");
    let mut weak = HubServer::try_open(gateway.address(), "chat", &token, &[management]).await.expect("a WebSocket");
    weak.shake_hands(2).await;
    let mut ordinary = HubServer::open(&gateway, "chat", "a").await;
    let request = service::HandshakeRequest { version: 1, ..Default::default() };
    ordinary.send(&ServiceMessage::HandshakeRequest(request)).await;
    let answer = ordinary.next().await;
    let Ok(ServiceMessage::HandshakeResponse(response)) = service::parse(&answer) else { panic!("no answer") };
    assert_eq!(response.error, "Hub 'chat' is in serverless mode: it does not accept hub servers.");
    ordinary.end().await;
    assert_eq!(gateway.admin("/admin/hubs/chat").await["serverConnections"], 1);
}

#[tokio::test]
async fn the_number_of_server_connections_is_told() {
    let gateway = gateway().await;
    let mut server = HubServer::connect(&gateway, "chat", "a").await;
    assert_eq!(gateway.admin("/admin/hubs/chat").await["serverConnections"], 1);
    assert_eq!(gateway.metric("hubgate_server_connections", [("hub", "chat")]).await, 1.0);
    server.send_bytes(&[0xff; 5]).await;
    server.end().await;
    hubgate_tests::wait::until("the connection to be gone", async || {
        (gateway.metric("hubgate_server_connections", [("hub", "chat")]).await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn garbage_is_skipped_or_ends_the_connection_and_no_other_server_suffers() {
    let gateway = gateway().await;
    let mut good = HubServer::connect(&gateway, "chat", "good").await;
    let (mut client, id) = let_in(&gateway, &mut good).await;
    // Whole messages that mean nothing are skipped.
    let mut puzzling = HubServer::connect(&gateway, "other", "puzzling").await;
    puzzling.send_bytes(b"\x01\xc0\x03\x92\x06\x07\x02\x91\x7f\x05\xff\xff\xff\xff\xff").await;
    puzzling.send(&ServiceMessage::Ping(vec!["servers", ""])).await;
    gateway.logs(&["other", "a hub server's message is skipped"]).await;
    assert_eq!(gateway.metric("hubgate_server_messages_skipped_total", [("hub", "other")]).await, 4.0);
    // What is no message at all ends it, before the handshake and behind it.
    for garbage in [&b"\xff\xff\xff\xff\xff\xff"[..], b"GET / HTTP/1.1\r\n\r\n", b"\xff\xff\xff\xff\x07"] {
        let mut server = HubServer::open(&gateway, "chat", "bad").await;
        server.send_bytes(garbage).await;
        server.send_bytes(&[0x40; 200]).await;
        server.end().await;
    }
    puzzling.send_bytes(b"\xff\xff\xff\xff\x0f").await;
    puzzling.end().await;
    they_talk(&mut client, &mut good, &id).await;
}

#[tokio::test]
async fn a_server_that_says_nothing_is_let_go_and_so_is_a_client_that_it_does_not_answer() {
    let gateway = Gateway::serve().with("server.timeouts.handshake = '1s'").start().await;
    let mut silent = HubServer::open(&gateway, "chat", "silent").await;
    silent.end().await;
    let mut mute = HubServer::connect(&gateway, "chat", "mute").await;
    let mut client = gateway.client("chat").open().await;
    client.send_text(HANDSHAKE).await;
    assert_eq!(client.handshake_error().await, "Handshake was canceled.");
    assert!(matches!(service::parse(&mute.next().await), Ok(ServiceMessage::OpenConnection(_))));
}

#[tokio::test]
async fn a_flood_of_sends_costs_the_client_that_does_not_read_and_nobody_else() {
    /// A round is less than may wait for a client; all of them are more than its socket holds, too.
    const ROUND: usize = 50;
    const ROUNDS: usize = 60;
    let gateway = Gateway::serve().with("server.limits.outbox = '1MiB'").start().await;
    let mut flooding = HubServer::connect(&gateway, "chat", "flooding").await;
    let (mut reading, _) = let_in(&gateway, &mut flooding).await;
    let (stalled, _) = let_in(&gateway, &mut flooding).await;
    let mut other = HubServer::connect(&gateway, "other", "other").await;
    let text = format!("{{\"type\":1,\"target\":\"flood\",\"arguments\":[\"{}\"]}}\u{1e}", "x".repeat(10_000));
    for _ in 0..ROUNDS {
        for _ in 0..ROUND {
            broadcast(&mut flooding, &text).await;
        }
        for _ in 0..ROUND {
            reading.event("flood").await;
        }
    }
    let slow =
        async || (gateway.metric("hubgate_slow_clients_closed_total", [("hub", "chat")]).await == 1.0).then_some(());
    hubgate_tests::wait::until("the stalled client to be given up", slow).await;
    drop(stalled);
    other.send(&ServiceMessage::Ping(vec!["status", "1"])).await;
    assert_eq!(gateway.admin("/admin/hubs/other").await["serverConnections"], 1);
}

#[tokio::test]
async fn clients_of_a_server_that_stops_reading_wait_and_nothing_of_theirs_is_lost() {
    const MESSAGES: usize = 600;
    let gateway = gateway().await;
    let mut stopped = HubServer::connect(&gateway, "chat", "stopped").await;
    let (mut client, _) = let_in(&gateway, &mut stopped).await;
    let mut other = HubServer::connect(&gateway, "other", "other").await;
    let text = "x".repeat(100_000);
    // More than the gateway and the sockets hold: it has to wait.
    let sending = tokio::spawn(async move {
        for number in 0..MESSAGES {
            client.send(json!({ "type": 1, "target": "big", "arguments": [number, text] })).await;
        }
        client
    });
    gateway.logs(&["chat", "is congested"]).await;
    let mut weak = HubServer::open(&gateway, "other", "weak").await;
    weak.shake_hands(2).await;
    broadcast(&mut other, "{\"type\":6}\u{1e}").await;
    // A real server pings meanwhile; this one reads on before it is taken for dead.
    let mut all = String::new();
    while all.matches('\u{1e}').count() < MESSAGES {
        all.push_str(&data(&stopped.next().await));
    }
    let numbers = all.split_terminator('\u{1e}').map(|message| {
        let message: serde_json::Value = serde_json::from_str(message).expect("a whole message");
        message["arguments"][0].as_u64().expect("a number")
    });
    assert_eq!(numbers.collect::<Vec<_>>(), (0..MESSAGES as u64).collect::<Vec<_>>());
    sending.await.expect("it has sent everything");
}

#[tokio::test]
async fn a_message_longer_than_allowed_has_no_effect_and_its_sender_is_told_and_goes_on() {
    let gateway = Gateway::serve().with("server.limits.server-message = '64KiB'").start().await;
    let mut server = HubServer::connect(&gateway, "chat", "a").await;
    let mut weak = HubServer::open(&gateway, "chat", "weak").await;
    weak.shake_hands(2).await;
    let (mut client, _) = let_in(&gateway, &mut server).await;
    for sender in [&mut server, &mut weak] {
        broadcast(sender, &"x".repeat(70_000)).await;
        broadcast(sender, "{\"type\":1,\"target\":\"short\",\"arguments\":[]}\u{1e}").await;
        let told = sender.next().await;
        let Ok(ServiceMessage::ServiceEvent(event)) = service::parse(&told) else { panic!("{told:?}") };
        assert!(event.message.contains("`server.limits.server-message`"), "{event:?}");
        assert_eq!(client.event("short").await, json!([]));
    }
    gateway.logs(&["server.limits.server-message"]).await;
    assert_eq!(gateway.metric("hubgate_server_messages_skipped_total", [("hub", "chat")]).await, 2.0);
}

#[tokio::test]
async fn when_the_gateway_stops_hub_servers_are_told() {
    let mut gateway = gateway().await;
    let mut server = HubServer::connect(&gateway, "chat", "a").await;
    let (mut client, _) = let_in(&gateway, &mut server).await;
    gateway.terminate();
    assert!(client.end().await.allows_reconnect());
    while !matches!(service::parse(&server.next().await), Ok(ServiceMessage::ServiceEvent(_))) {}
    server.end().await;
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn sends_of_a_server_and_of_rest_meet_in_one_hub() {
    let gateway = gateway().await;
    let mut server = HubServer::connect(&gateway, "chat", "a").await;
    let (mut client, id) = let_in(&gateway, &mut server).await;
    let body = json!({ "target": "rest", "arguments": [1] });
    let sent = gateway.rest(http::Method::POST, "/api/v1/hubs/chat").json(&body).send().await;
    assert_eq!(sent.status, 202);
    assert_eq!(client.event("rest").await, json!([1]));
    let exists = gateway.rest(http::Method::HEAD, &format!("/api/v1/hubs/chat/connections/{id}"));
    assert_eq!(exists.send().await.status, 200);
    they_talk(&mut client, &mut server, &id).await;
    client.vanish();
    assert!(matches!(service::parse(&server.next().await), Ok(ServiceMessage::CloseConnection(_))));
}

#[tokio::test]
async fn what_clients_say_before_they_are_let_in_comes_behind_their_handshake() {
    let gateway = gateway().await;
    let mut server = HubServer::connect(&gateway, "chat", "a").await;
    let mut client = gateway.client("chat").open().await;
    client.send_text(&format!("{HANDSHAKE}{{\"early\":1}}\u{1e}")).await;
    client.send_fragmented(&["{\"late\"", ":1}", "\u{1e}"]).await;
    server.next().await;
    let mut all = String::new();
    while all.matches('\u{1e}').count() < 3 {
        all.push_str(&data(&server.next().await));
    }
    assert_eq!(all, format!("{HANDSHAKE}{{\"early\":1}}\u{1e}{{\"late\":1}}\u{1e}"));
}

#[tokio::test]
async fn a_connection_that_only_sends_works_in_every_mode() {
    for mode in ["default", "serverless", "classic"] {
        let gateway = Gateway::serve().with(&format!("hubs.chat.mode = '{mode}'\nserver.shards = 4")).start().await;
        // In classic mode no hub server is there when the client comes, only this connection.
        let mut weak = HubServer::open(&gateway, "chat", "weak").await;
        weak.shake_hands(2).await;
        let mut server = None;
        let (mut client, id) = match mode {
            "default" => let_in(&gateway, server.insert(HubServer::connect(&gateway, "chat", "a").await)).await,
            _ => {
                let connecting = gateway.client("chat");
                let negotiated = connecting.negotiate("&negotiateVersion=1").await.json();
                let (id, token) = (&negotiated["connectionId"], &negotiated["connectionToken"]);
                let client = connecting.id(token.as_str().expect("a token")).connect().await;
                (client, id.as_str().expect("an id").to_owned())
            }
        };
        let exists = || CheckConnectionExistenceWithAck { connection_id: &id, ack_id: 8, ..Default::default() };
        let join = JoinGroupWithAck { connection_id: &id, group: "g", ack_id: 7, ..Default::default() };
        weak.send(&ServiceMessage::JoinGroupWithAck(join)).await;
        assert_eq!(ack(&mut weak).await, (7, 1), "{mode}");
        for number in 0..20 {
            let text = format!("{{\"type\":1,\"target\":\"n\",\"arguments\":[{number}]}}\u{1e}");
            let payloads = vec![("json", text.as_bytes())];
            let send = GroupBroadcastData { group: "g", payloads, ..Default::default() };
            weak.send(&ServiceMessage::GroupBroadcastData(send)).await;
        }
        for number in 0..20 {
            assert_eq!(client.event("n").await, json!([number]), "{mode}");
        }
        weak.send(&ServiceMessage::CheckConnectionExistenceWithAck(exists())).await;
        assert_eq!(ack(&mut weak).await, (8, 1), "{mode}");
        let close = CloseConnection { connection_id: &id, error: Some("enough"), ..Default::default() };
        weak.send(&ServiceMessage::CloseConnection(close)).await;
        let end = client.end().await;
        assert_eq!((end.error(), end.allows_reconnect()), ("enough", false), "{mode}");
        weak.send(&ServiceMessage::CheckConnectionExistenceWithAck(exists())).await;
        assert_eq!(ack(&mut weak).await, (8, 2), "{mode}: it is gone for everybody when it has seen its end");
    }
}

#[tokio::test]
async fn a_connection_that_only_sends_gets_the_answers_of_clients_on_whatever_shard() {
    const CLIENTS: usize = 4;
    let gateway = Gateway::serve().with("server.shards = 2").start().await;
    let mut server = HubServer::connect(&gateway, "chat", "a").await;
    let mut weak = HubServer::open(&gateway, "chat", "weak").await;
    weak.shake_hands(2).await;
    let (mut shards, mut clients) = (HashSet::new(), Vec::new());
    for _ in 0..CLIENTS {
        // Clients are dealt out to both shards while all of them stay.
        let (mut client, id) = let_in(&gateway, &mut server).await;
        // An id ends with the number of its shard.
        shards.insert(id.chars().last());
        for (connection_id, error) in [(&*id, None), ("absent", Some("The connection does not exist."))] {
            let payloads =
                vec![("json", &b"{\"type\":1,\"invocationId\":\"i\",\"target\":\"ask\",\"arguments\":[]}\x1e"[..])];
            let call = ClientInvocation {
                invocation_id: "i",
                connection_id,
                caller_server_id: "weak",
                payloads,
                ..Default::default()
            };
            weak.send(&ServiceMessage::ClientInvocation(call)).await;
            if let Some(error) = error {
                let told = weak.next().await;
                let Ok(ServiceMessage::ErrorCompletion(failed)) = service::parse(&told) else { panic!("{told:?}") };
                assert_eq!((failed.invocation_id, failed.error), ("i", error));
                continue;
            }
            let mapping = weak.next().await;
            assert!(matches!(service::parse(&mapping), Ok(ServiceMessage::ServiceMapping(_))), "{mapping:?}");
            assert_eq!(client.message().await["target"], "ask");
            assert!(matches!(service::parse(&server.next().await), Ok(ServiceMessage::ClientInvocation(_))));
            let done = ClientCompletion {
                invocation_id: "i",
                connection_id,
                caller_server_id: "a",
                protocol: "json",
                payload: b"result",
                ..Default::default()
            };
            server.send(&ServiceMessage::ClientCompletion(done)).await;
            let told = weak.next().await;
            let Ok(ServiceMessage::ClientCompletion(done)) = service::parse(&told) else { panic!("{told:?}") };
            assert_eq!((done.invocation_id, done.payload), ("i", &b"result"[..]));
        }
        clients.push(client);
    }
    assert_eq!(shards.len(), 2, "one of them is not the asker's");
}

async fn ack(server: &mut HubServer) -> (i64, i64) {
    match service::parse(&server.next().await).expect("a message") {
        ServiceMessage::Ack(ack) => (ack.ack_id, ack.status),
        other => panic!("no ack: {other:?}"),
    }
}

#[tokio::test]
async fn what_strangers_say_in_the_name_of_proxies_does_not_reach_hub_servers() {
    for (config, is_seen) in [("", false), ("server.trusted-proxies = ['127.0.0.1']", true)] {
        let gateway = Gateway::serve().with(config).start().await;
        let mut server = HubServer::connect(&gateway, "chat", "a").await;
        let connecting = gateway.client("chat").header("x-forwarded-for", "203.0.113.7");
        let connecting = connecting.header("x-forwarded-host", "a.example").header("forwarded", "for=203.0.113.7");
        let connecting = connecting.header("x-ms-client-principal-name", "admin").header("x-own", "1");
        let mut client = connecting.open().await;
        client.send_text(HANDSHAKE).await;
        let opened = server.next().await;
        let Ok(ServiceMessage::OpenConnection(opened)) = service::parse(&opened) else { panic!("{opened:?}") };
        let value = |name: &str| {
            let found = opened.headers.iter().find(|(each, _)| each.eq_ignore_ascii_case(name));
            found.map(|(_, values)| values.join(","))
        };
        for name in ["x-forwarded-host", "forwarded", "x-ms-client-principal-name"] {
            assert_eq!(value(name).is_some(), is_seen, "{name}");
        }
        assert_eq!(value("x-own").as_deref(), Some("1"));
        let address = if is_seen { "203.0.113.7" } else { "127.0.0.1" };
        assert_eq!(value("x-forwarded-for").as_deref(), Some(address));
    }
}
