//! Certificates that the gateway gets for itself, from a real ACME server that validates on the gateway's own listener.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hubgate_tests::Gateway;
use hubgate_tests::gateway::Setup;
use hubgate_tests::pebble::{BLOCKED, CA_FILE, Pebble};
use hubgate_tests::socket::{Dialing, trusting};
use hubgate_tests::wait::until;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const NAME: &str = "chat.example.com";
const DAY: u64 = 86_400;

/// The probe's gateway, with a certificate of this server for this name.
fn certified(pebble: &Pebble, name: &str) -> Setup {
    Gateway::probe().file(CA_FILE, pebble.authority()).with(&pebble.tls(name))
}

/// The certificate that a client is shown who trusts this authority, or why there is no connection.
async fn shown(gateway: &Gateway, root: &str, name: &str) -> Result<CertificateDer<'static>, String> {
    shown_at(gateway, root, name, Arc::new(DefaultTimeProvider)).await
}

async fn shown_at(
    gateway: &Gateway,
    root: &str,
    name: &str,
    clock: Arc<dyn TimeProvider>,
) -> Result<CertificateDer<'static>, String> {
    let connector = TlsConnector::from(trusting(root.as_bytes(), clock));
    let stream = TcpStream::connect(gateway.address()).await.expect("the gateway listens");
    let name = ServerName::try_from(name.to_owned()).expect("it is a name");
    let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
    let chain = stream.get_ref().1.peer_certificates().expect("a server shows its certificate");
    Ok(chain[0].clone().into_owned())
}

async fn first_shown(gateway: &Gateway, root: &str, name: &str) -> CertificateDer<'static> {
    until("a certificate", async || shown(gateway, root, name).await.ok()).await
}

async fn failed(gateway: &Gateway) -> f64 {
    gateway.metric("hubgate_certificate_orders_failed_total", []).await
}

async fn expires(gateway: &Gateway) -> f64 {
    gateway.metric("hubgate_certificate_expires_timestamp_seconds", []).await
}

fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().expect("the clock is right").as_secs_f64()
}

/// A clock that stands.
#[derive(Debug)]
struct Standing(UnixTime);

impl TimeProvider for Standing {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0)
    }
}

#[tokio::test]
async fn a_certificate_is_got_and_renewed_while_clients_stay_and_serves_on_when_the_directory_is_away() {
    let mut pebble = Pebble::started(15).await;
    let gateway = certified(&pebble, NAME).start().await;
    pebble.way.leads_to(gateway.address());
    let root = pebble.root().await;
    let first = first_shown(&gateway, &root, NAME).await;
    assert!(pebble.way.taken() >= 1, "it was validated on the listener");

    let tls = trusting(root.as_bytes(), Arc::new(DefaultTimeProvider));
    let dialing = Dialing { tls: Some(tls), name: Some(NAME), ..Dialing::default() };
    let mut client = gateway.client("probe").dialing(dialing).connect().await;
    assert_eq!(client.call("echo", json!(["before"])).await, Ok(json!("before")));
    let validations = pebble.way.taken();
    let renewed = async || shown(&gateway, &root, NAME).await.ok().filter(|certificate| *certificate != first);
    let second = until("another certificate", renewed).await;
    let clock = Arc::new(Standing(UnixTime::now()));
    assert!(pebble.way.taken() > validations, "it was validated once more");
    assert_eq!(client.call("echo", json!(["after"])).await, Ok(json!("after")));
    let ends = expires(&gateway).await - now();
    assert!((-1.0..15.0).contains(&ends), "{ends}");

    pebble.kill();
    gateway.logs(&["WARN", "no certificate could be got", "asking 127.0.0.1", "server.tls.acme.directory"]).await;
    assert!(gateway.log().contains("The old one serves until"), "{}", gateway.log());
    assert_eq!(shown_at(&gateway, &root, NAME, clock).await, Ok(second));
    assert_eq!(client.call("echo", json!(["on"])).await, Ok(json!("on")));
    assert!(failed(&gateway).await >= 1.0);

    let folder = gateway.folder().join("data/acme");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = fs::read_dir(&folder).expect("it is there").flatten().map(|file| file.path()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
        let text = fs::read_to_string(&file).expect("it is text");
        // Keys of the account and of the certificate are in PKCS #8, whose begin is the same for all.
        let secrets = text.split(['"', '\n']).filter(|line| line.starts_with("MIG"));
        assert!(secrets.clone().count() >= 1, "{}", file.display());
        assert!(secrets.clone().all(|secret| !gateway.log().contains(secret)), "a key is in the log");
    }
}

#[tokio::test]
async fn a_certificate_is_kept_over_restarts_which_ask_for_nothing() {
    let mut pebble = Pebble::started(90 * DAY).await;
    let mut gateway = certified(&pebble, NAME).start().await;
    pebble.way.leads_to(gateway.address());
    let root = pebble.root().await;
    let first = first_shown(&gateway, &root, NAME).await;
    pebble.kill();
    gateway.restart().await;
    gateway.logs(&["the certificate that is kept serves", NAME]).await;
    assert_eq!(shown(&gateway, &root, NAME).await, Ok(first));
    let ends = expires(&gateway).await - now();
    assert!((ends - 90.0 * DAY as f64).abs() < 600.0, "{ends}");
    assert_eq!(failed(&gateway).await, 0.0);
}

#[tokio::test]
async fn a_directory_that_is_away_is_asked_again_and_handshakes_are_refused_by_an_alert_meanwhile() {
    let mut pebble = Pebble::new(90 * DAY).await;
    let gateway = certified(&pebble, NAME).start().await;
    pebble.way.leads_to(gateway.address());
    gateway.logs(&["INFO", "there is no certificate for these names yet", NAME]).await;
    let refused = shown(&gateway, pebble.authority(), NAME).await.expect_err("there is no certificate");
    assert!(refused.contains("AccessDenied"), "{refused}");
    gateway
        .logs(&["WARN", "no certificate could be got", "asking 127.0.0.1", "Handshakes are refused until it is there"])
        .await;
    assert!(failed(&gateway).await >= 1.0);
    assert_eq!(expires(&gateway).await, 0.0);
    pebble.start().await;
    first_shown(&gateway, &pebble.root().await, NAME).await;
    assert_eq!(gateway.log().matches("no certificate could be got").count(), 1, "it is told once");
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_named_with_what_to_do_and_tried_again() {
    let pebble = Pebble::started(90 * DAY).await;
    let gateway = certified(&pebble, NAME).start().await;
    gateway.logs(&["WARN", "could not validate chat.example.com", "port 443", "It is tried again in"]).await;
    pebble.way.leads_to(gateway.address());
    first_shown(&gateway, &pebble.root().await, NAME).await;
    assert!(failed(&gateway).await >= 1.0);
}

#[tokio::test]
async fn an_order_that_is_refused_says_why_and_other_names_are_taken_while_the_gateway_runs() {
    let mut pebble = Pebble::started(90 * DAY).await;
    let mut gateway = certified(&pebble, BLOCKED).start().await;
    pebble.way.leads_to(gateway.address());
    gateway.logs(&["WARN", "the directory refuses", "rejectedIdentifier", "server.tls.acme.domains"]).await;
    gateway.reconfigure(&pebble.tls(NAME));
    let root = pebble.root().await;
    let first = first_shown(&gateway, &root, NAME).await;
    // Its account is gone with all else that the server knew: the next one is made by itself.
    pebble.kill();
    pebble.start().await;
    gateway.reconfigure(&pebble.tls("other.example.com"));
    let other = first_shown(&gateway, &pebble.root().await, "other.example.com").await;
    assert_ne!(first, other);
}

#[tokio::test]
async fn who_validates_is_answered_as_long_as_an_order_is_open_and_gets_nothing_else() {
    let pebble = Pebble::started(90 * DAY).await;
    let gateway = certified(&pebble, NAME).start().await;
    pebble.way.leads_to(gateway.address());
    let root = pebble.root().await;
    first_shown(&gateway, &root, NAME).await;
    let mut config = (*trusting(root.as_bytes(), Arc::new(DefaultTimeProvider))).clone();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let stream = TcpStream::connect(gateway.address()).await.expect("the gateway listens");
    let name = ServerName::try_from(NAME).expect("it is a name");
    let refused = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let refused = tokio::time::timeout(Duration::from_secs(60), refused).await.expect("it does not hang");
    assert!(refused.expect_err("no order is open").to_string().contains("AccessDenied"));
}
