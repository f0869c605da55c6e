//! How a gateway signs in at NATS, and what its log says when it may not.

use hubgate_tests::cluster::Making;
use hubgate_tests::nats::NatsServer;
use hubgate_tests::{Cluster, Gateway, tls};

use crate::{Peer, tell};

const HUB: &str = "chat";
const SECRET: &str = "S3cret-of-the-cluster";
const WRONG: &str = "another-S3cret";

/// Nodes with `files` beside their configuration.
fn with_files(files: &[(&'static str, &str)]) -> Making {
    let files: Vec<_> = files.iter().map(|(name, content)| (*name, (*content).to_owned())).collect();
    Cluster::of(move || {
        let setup = Gateway::serve().with("hubs.'*'.mode = 'serverless'");
        files.iter().fold(setup, |setup, (name, content)| setup.file(name, content))
    })
}

async fn they_talk(cluster: &Cluster) {
    let mut peer = Peer::connect(&cluster[1], HUB, "ann").await;
    tell(&cluster[0], HUB, "/users/ann", "hello").await;
    assert_eq!(peer.told().await, "hello");
}

fn keeps_secrets(cluster: &Cluster) {
    for node in cluster.nodes() {
        for secret in [SECRET, WRONG] {
            assert!(!node.log().contains(secret), "{}", node.log());
        }
    }
}

#[tokio::test]
async fn with_a_token() {
    let nats = NatsServer::with(&format!("authorization {{ token: '{SECRET}' }}"), &[]).await;
    let nodes = with_files(&[("token", &format!("{SECRET}\n"))]).with("token-file = 'token'");
    let cluster = nodes.start_on(nats, 2).await;
    they_talk(&cluster).await;
    keeps_secrets(&cluster);
}

#[tokio::test]
async fn with_a_user_and_a_password() {
    let nats = NatsServer::with(&format!("authorization {{ user: hubgate, password: '{SECRET}' }}"), &[]).await;
    let settings = "user = 'hubgate'\npassword-file = 'password'";
    let cluster = with_files(&[("password", SECRET)]).with(settings).start_on(nats, 2).await;
    they_talk(&cluster).await;
    keeps_secrets(&cluster);
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_the_log_says_so_without_it() {
    let nats = NatsServer::with(&format!("authorization {{ user: hubgate, password: '{SECRET}' }}"), &[]).await;
    let settings = "user = 'hubgate'\npassword-file = 'password'";
    let cluster = with_files(&[("password", WRONG)]).with(settings).start_unready_on(nats, 1).await;
    cluster[0].logs(&["NATS", "authorization"]).await;
    assert_eq!(cluster[0].get("/readyz").await.status, 503);
    keeps_secrets(&cluster);
}

#[tokio::test]
async fn over_tls_with_a_certificate_of_an_authority_of_its_own() {
    let authority = tls::Authority::new();
    let (certificate, key) = authority.certificate();
    let options = "tls { cert_file: 'certificate.pem', key_file: 'key.pem' }";
    let files = [("certificate.pem", &*certificate), ("key.pem", &*key)];
    let nats = NatsServer::with(options, &files).await;
    let cluster =
        with_files(&[("ca.pem", authority.pem())]).with("tls = { ca-file = 'ca.pem' }").start_on(nats, 2).await;
    they_talk(&cluster).await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_and_the_log_says_so() {
    let (certificate, key) = tls::Authority::new().certificate();
    let options = "tls { cert_file: 'certificate.pem', key_file: 'key.pem' }";
    let files = [("certificate.pem", &*certificate), ("key.pem", &*key)];
    let nats = NatsServer::with(options, &files).await;
    let other = tls::Authority::new();
    let nodes = with_files(&[("ca.pem", other.pem())]).with("tls = { ca-file = 'ca.pem' }");
    let cluster = nodes.start_unready_on(nats, 1).await;
    cluster[0].logs(&["NATS", "certificate"]).await;
    assert_eq!(cluster[0].get("/readyz").await.status, 503);
}
