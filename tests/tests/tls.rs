//! TLS on the clients' listener.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use hubgate_tests::Gateway;
use hubgate_tests::gateway::Setup;
use hubgate_tests::http::raw;
use hubgate_tests::script::Script;
use hubgate_tests::tls::{self, certificate};
use hubgate_tests::wait::{let_pass, until};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The probe's gateway with TLS.
fn secure() -> Setup {
    tls::secure(Gateway::probe())
}

fn url(gateway: &Gateway) -> String {
    gateway.url().replace("http://", "https://")
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
            let arguments = ["@microsoft/signalr", scenario, &url(&gateway), transport, protocol];
            let environment = [("NODE_EXTRA_CA_CERTS", ca.as_str())];
            Script::start_with("scenarios.mjs", &arguments, &environment).succeeds().await;
        }
    }
}

#[tokio::test]
async fn requests_may_come_on_http_2() {
    let gateway = secure().start().await;
    let token = gateway.token("probe").audience(&format!("{}/client/?hub=probe", url(&gateway))).sign();
    let ca = ca(&gateway).display().to_string();
    Script::start("secure.mjs", &["requests on http/2", &url(&gateway), &ca, &token]).succeeds().await;
}

#[tokio::test]
async fn a_connection_of_http_2_on_which_nothing_is_asked_is_let_go() {
    let gateway = secure().with("server.timeouts.http-header = '1s'").start().await;
    let token = gateway.token("probe").audience(&format!("{}/client/?hub=probe", url(&gateway))).sign();
    let ca = ca(&gateway).display().to_string();
    Script::start("secure.mjs", &["silence on http/2", &url(&gateway), &ca, &token]).succeeds().await;
}

#[tokio::test]
async fn a_reader_that_stops_is_given_up_and_others_are_served() {
    let gateway = secure().with("server.limits.outbox = '256KiB'").start().await;
    let ca = ca(&gateway).display().to_string();
    let arguments = ["@microsoft/signalr", "a reader that stops", &url(&gateway), "WebSockets", "json"];
    Script::start_with("scenarios.mjs", &arguments, &[("NODE_EXTRA_CA_CERTS", ca.as_str())]).succeeds().await;
    assert_eq!(gateway.metric("hubgate_slow_clients_closed_total", [("hub", "probe")]).await, 1.0);
}

#[tokio::test]
async fn a_renewed_certificate_serves_from_then_on() {
    let gateway = secure().start().await;
    let shown = async |name: &str| {
        let ca = ca(&gateway).display().to_string();
        let mut script = Script::start("secure.mjs", &["the certificate", &url(&gateway), &ca]);
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
    Script::start("secure.mjs", &["the certificate", &url(&gateway), &ca]).succeeds().await;
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
