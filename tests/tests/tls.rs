//! TLS on the clients' listener.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hubgate_tests::Gateway;
use hubgate_tests::gateway::Setup;
use hubgate_tests::http::raw;
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::script::Script;
use hubgate_tests::socket::Dialing;
use hubgate_tests::tls::{self, certificate};
use hubgate_tests::wait::{let_pass, soon, until};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

/// The probe's gateway with TLS.
fn secure() -> Setup {
    tls::secure(Gateway::probe())
}

fn ca(gateway: &Gateway) -> PathBuf {
    gateway.folder().join("certificate.pem")
}

#[tokio::test]
async fn clients_talk_on_all_transports() {
    let gateway = secure().start().await;
    let ca = ca(&gateway).display().to_string();
    for (transport, protocol) in [
        ("WebSockets", "json"),
        ("WebSockets", "messagepack"),
        ("ServerSentEvents", "json"),
        ("LongPolling", "messagepack"),
    ] {
        for scenario in ["a call with a result", "order", "receiving from another client", "close with a reason"] {
            let arguments = ["@microsoft/signalr", scenario, &gateway.url(), transport, protocol];
            let environment = [("NODE_EXTRA_CA_CERTS", ca.as_str())];
            Script::start_with("scenarios.mjs", &arguments, &environment).succeeds().await;
        }
    }
}

/// What a record of TLS holds at most, in bytes (RFC 8446, section 5.1).
const RECORD: usize = 16 << 10;

/// Lengths around the ends of one to four records, and some that need many.
fn lengths() -> impl Iterator<Item = usize> {
    let around = (1..=4).flat_map(|records| (0..32).map(move |step| records * RECORD - 2_000 + 125 * step));
    around.chain([200_000, 1_000_000, 100, 300_000])
}

/// A call of `echo` in so many bytes.
fn call(number: usize, length: usize) -> String {
    let whole = |filler: &str| {
        let call = json!({ "type": 1, "invocationId": number.to_string(), "target": "echo", "arguments": [filler] });
        format!("{call}\u{1e}")
    };
    whole(&"x".repeat(length.saturating_sub(whole("").len())))
}

#[tokio::test]
async fn messages_of_any_length_pass_back_to_back_both_ways() {
    let gateway = secure().start().await;
    let client = gateway.client("probe").dialing(Dialing::secure(&gateway)).connect().await;
    let (mut sink, mut stream) = client.into_stream().split();
    let writing = tokio::spawn(async move {
        for (number, length) in lengths().enumerate() {
            sink.send(Message::text(call(number, length))).await.expect("the connection stays open");
        }
    });
    for (number, length) in lengths().enumerate() {
        let completion = loop {
            let Some(Ok(Message::Text(text))) = soon("an answer", stream.next()).await else {
                panic!("the connection ended before the answer to {length} bytes");
            };
            if text.contains("\"type\":3") {
                break text;
            }
        };
        let sent: Value = serde_json::from_str(call(number, length).trim_end_matches('\u{1e}')).expect("JSON");
        let answer: Value = serde_json::from_str(completion.trim_end_matches('\u{1e}')).expect("JSON");
        assert_eq!(answer["invocationId"], sent["invocationId"]);
        assert_eq!(answer["result"], sent["arguments"][0], "{length} bytes");
    }
    writing.await.expect("it does not panic");
}

#[tokio::test]
async fn messages_of_hub_servers_pass_at_any_length_back_to_back_both_ways() {
    let gateway = secure().with("hubs.chat.mode = 'default'").start().await;
    let dialing = Dialing::secure(&gateway);
    let mut server = HubServer::dial(&dialing, &gateway, "chat", "a").await;
    server.shake_hands(0).await;
    let (client, id) = server.let_in(gateway.client("chat").dialing(dialing).open().await).await;
    let (mut sink, mut stream) = client.into_stream().split();
    let texts = || lengths().enumerate().map(|(number, length)| call(number, length));
    let sending = tokio::spawn(async move {
        for text in texts() {
            sink.send(Message::text(text)).await.expect("the connection stays open");
        }
    });
    // What one client says comes in order; the ends of messages get lost on the way.
    let mut said = String::new();
    let all: String = texts().collect();
    while said.len() < all.len() {
        said.push_str(&server.client_says().await);
    }
    assert!(said == all, "something else arrived than was sent");
    sending.await.expect("it does not panic");

    let telling = async {
        for text in texts() {
            server.tell_client(&id, &text).await;
        }
    };
    let listening = async {
        let mut told = String::new();
        while told.len() < all.len() {
            match soon("a message for the client", stream.next()).await {
                Some(Ok(Message::Text(text))) => told.push_str(&text),
                other => panic!("the connection ended: {other:?}"),
            }
        }
        told
    };
    let ((), told) = tokio::join!(telling, listening);
    assert!(told == all, "something else arrived than was sent");
}

#[tokio::test]
async fn a_record_that_cannot_be_decrypted_ends_its_connection_and_is_logged() {
    let gateway = secure().with("server.log = 'info,hubgate_net=debug'").start().await;
    let client = gateway.client("probe").dialing(Dialing::secure(&gateway)).connect().await;
    let mut tcp = hubgate_tests::socket::tcp(client.into_stream().into_inner());
    // A record of application data that no key made.
    let record = [&[23, 3, 3, 0, 32][..], &[7; 32]].concat();
    tcp.write_all(&record).await.expect("the connection is open");
    gateway.logs(&["DEBUG", "a TLS session cannot go on", "decrypt"]).await;
    until("the client to be gone", async || (gateway.clients_of("probe").await == 0).then_some(())).await;
}

#[tokio::test]
async fn requests_may_come_on_http_2() {
    let gateway = secure().start().await;
    let token = gateway.token("probe").audience(&format!("{}/client/?hub=probe", gateway.url())).sign();
    let ca = ca(&gateway).display().to_string();
    Script::start("secure.mjs", &["requests on http/2", &gateway.url(), &ca, &token]).succeeds().await;
}

#[tokio::test]
async fn a_connection_of_http_2_on_which_nothing_is_asked_is_let_go() {
    let gateway = secure().with("server.timeouts.http-header = '1s'").start().await;
    let token = gateway.token("probe").audience(&format!("{}/client/?hub=probe", gateway.url())).sign();
    let ca = ca(&gateway).display().to_string();
    Script::start("secure.mjs", &["silence on http/2", &gateway.url(), &ca, &token]).succeeds().await;
}

#[tokio::test]
async fn a_reader_that_stops_is_given_up_and_others_are_served() {
    let gateway = secure().with("server.limits.outbox = '256KiB'").start().await;
    let ca = ca(&gateway).display().to_string();
    let arguments = ["@microsoft/signalr", "a reader that stops", &gateway.url(), "WebSockets", "json"];
    Script::start_with("scenarios.mjs", &arguments, &[("NODE_EXTRA_CA_CERTS", ca.as_str())]).succeeds().await;
    assert_eq!(gateway.metric("hubgate_slow_clients_closed_total", [("hub", "probe")]).await, 1.0);
}

#[tokio::test]
async fn a_renewed_certificate_serves_from_then_on() {
    let gateway = secure().start().await;
    let shown = async |name: &str| {
        let ca = ca(&gateway).display().to_string();
        let mut script = Script::start("secure.mjs", &["the certificate", &gateway.url(), &ca]);
        script.says(name).await;
        script.succeeds().await;
    };
    shown("first").await;
    let (certificate, key) = certificate("second");
    fs::write(gateway.folder().join("key.pem"), key).expect("the folder can be written");
    fs::write(gateway.folder().join("certificate.pem"), certificate).expect("the folder can be written");
    gateway.logs(&["changed=", "server.tls"]).await;
    shown("second").await;
}

#[tokio::test]
async fn a_certificate_without_its_key_changes_nothing() {
    let gateway = secure().start().await;
    let (_, key) = certificate("another");
    fs::write(gateway.folder().join("key.pem"), key).expect("the folder can be written");
    gateway.logs(&["the configuration stays as it was", "server.tls.key", "does not go with the certificate"]).await;
    let ca = ca(&gateway).display().to_string();
    Script::start("secure.mjs", &["the certificate", &gateway.url(), &ca]).succeeds().await;
}

#[tokio::test]
async fn who_speaks_no_tls_or_is_too_slow_is_let_go() {
    let gateway = secure().with("server.timeouts.http-header = '500ms'").start().await;
    let answer = raw(gateway.address(), b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(!answer.contains("HTTP/1.1"), "{answer:?}");
    let mut silent = TcpStream::connect(gateway.address()).await.expect("the gateway accepts connections");
    let_pass(Duration::from_millis(700)).await;
    assert_eq!(silent.read(&mut [0; 16]).await.unwrap_or(0), 0, "it is let go");
    let both = async || {
        let refused = gateway.metric("hubgate_requests_refused_total", [("reason", "tls")]).await;
        (refused == 2.0).then_some(())
    };
    until("both to be counted", both).await;
}

#[test]
fn files_that_cannot_serve_are_named() {
    use hubgate_tests::command::hubgate;
    let (certificate, key) = certificate("first");
    for (certificate, key, parts) in [
        ("", key.as_str(), ["server.tls.certificate", "holds no certificate"]),
        (&certificate, "", ["server.tls.key", "holds no private key"]),
        (&certificate, &tls::certificate("other").1, ["server.tls.key", "does not go with"]),
    ] {
        let setup = Gateway::probe().file("certificate.pem", certificate).file("key.pem", key);
        let setup = setup.with("server.tls = { certificate = 'certificate.pem', key = 'key.pem' }");
        let (_folder, file) = setup.written();
        let checked = hubgate(["config", "check", "--config", &file.display().to_string()]);
        assert_eq!(checked.code, Some(2), "{checked:?}");
        assert!(parts.iter().all(|part| checked.stderr.contains(part)), "{checked:?}");
        assert!(!checked.stderr.contains("BEGIN"), "{checked:?}");
    }
    let (_folder, file) = Gateway::probe().with("server.tls = { certificate = 'gone.pem', key = 'k' }").written();
    let checked = hubgate(["config", "check", "--config", &file.display().to_string()]);
    assert!(checked.stderr.contains("server.tls.certificate") && checked.stderr.contains("gone.pem"), "{checked:?}");
}
