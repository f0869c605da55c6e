//! Places: file descriptors and connections. Whoever has no token keeps neither operators nor clients out.

use std::fs;

use hubgate_tests::Gateway;
use hubgate_tests::wait::{settled, until};
use serde_json::json;
use tokio::net::TcpStream;

/// Little more than a gateway needs at rest. One in eight is kept back for operators.
const DESCRIPTORS: u32 = 96;
const KEPT_BACK: usize = 12;

async fn refused(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric("hubgate_requests_refused_total", [("reason", reason)]).await
}

fn open_descriptors(gateway: &Gateway) -> usize {
    let folder = format!("/proc/{}/fd", gateway.process_id());
    fs::read_dir(folder).expect("the gateway runs").count()
}

/// More connections than there can be descriptors for.
async fn crowd(gateway: &Gateway) -> Vec<TcpStream> {
    let mut crowd = Vec::new();
    for _ in 0..DESCRIPTORS {
        crowd.push(TcpStream::connect(gateway.address()).await.expect("the system accepts"));
    }
    crowd
}

#[tokio::test]
async fn a_crowd_of_clients_leaves_descriptors_for_operators() {
    let gateway = Gateway::probe().descriptors(DESCRIPTORS).start().await;
    let mut client = gateway.client("probe").connect().await;
    let crowd = crowd(&gateway).await;
    until("the crowd to be turned away", async || (refused(&gateway, "descriptors").await > 0.0).then_some(())).await;
    let open = settled("the number of descriptors", async || open_descriptors(&gateway)).await;
    assert!(open <= DESCRIPTORS as usize - KEPT_BACK / 2, "{open} are open: clients have some that are kept back");
    gateway.logs(&["clients are turned away", "limit=96", "kept_back=12"]).await;
    assert_eq!(gateway.clients_of("probe").await, 1);
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
    drop(crowd);
    let again = async || gateway.client("probe").try_open().await.ok();
    until("a newcomer to be let in", again).await;
}

#[tokio::test]
async fn the_admin_listener_answers_again_after_descriptors_have_run_out() {
    let gateway = Gateway::probe().descriptors(DESCRIPTORS).start().await;
    let crowd = crowd(&gateway).await;
    until("the crowd to be turned away", async || (refused(&gateway, "descriptors").await > 0.0).then_some(())).await;
    let mut callers = Vec::new();
    for _ in 0..=KEPT_BACK {
        callers.push(TcpStream::connect(gateway.ready().admin).await.expect("the system accepts"));
    }
    gateway.logs(&["cannot accept connections; trying again", "listener=\"admin.listen\""]).await;
    drop(callers);
    assert_eq!(gateway.admin("/admin/hubs/probe").await["clients"], json!(0));
    drop(crowd);
}

#[tokio::test]
async fn connections_without_the_admin_token_do_not_keep_operators_out() {
    let gateway = Gateway::serve().with("server.timeouts.http-header = '60s'").start().await;
    let mut strangers = Vec::new();
    for _ in 0..200 {
        strangers.push(TcpStream::connect(gateway.ready().admin).await.expect("the system accepts"));
    }
    assert!(gateway.admin("/admin/hubs").await.is_object());
    // At most 64 are open, so all others have been closed.
    let closed = async || {
        let is_closed = |stream: &TcpStream| matches!(stream.try_read(&mut [0]), Ok(0));
        (strangers.iter().filter(|stream| is_closed(stream)).count() >= strangers.len() - 64).then_some(())
    };
    until("the oldest to give way", closed).await;
}
