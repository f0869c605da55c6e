//! What waits for all peers together, which do not read: those for whom most waits make room.

use hubgate_tests::wait::until;
use hubgate_tests::{Client, Gateway};
use serde_json::json;

const LENGTH: usize = 60_000;
/// More than the kernel takes.
const SOME: usize = 100;

async fn given_up(gateway: &Gateway) -> f64 {
    gateway.metric("hubgate_slow_peers_total", [("limit", "server.limits.outboxes")]).await
}

async fn waiting(gateway: &Gateway) -> f64 {
    gateway.metric("hubgate_outbox_bytes", []).await
}

/// A text that tells its number.
fn text(number: usize) -> String {
    format!("{number:0>LENGTH$}")
}

/// Sends numbered texts to a user.
async fn tell(speaker: &mut Client, user: &str, texts: usize) {
    for number in 0..texts {
        speaker.call("tell", json!([user, text(number)])).await.expect("the probe answers");
    }
}

/// Reads the texts that were sent, in their order.
async fn gets_all(client: &mut Client, texts: usize) {
    for number in 0..texts {
        assert_eq!(client.event("said").await[0], text(number));
    }
}

const PATIENT: &str = "server.timeouts = { write = '60s', outbox = '120s' }\nserver.limits.outbox = '64MiB'";

#[tokio::test]
async fn those_for_whom_most_waits_make_room_and_one_for_whom_little_waits_loses_nothing() {
    let gateway = Gateway::probe().with(PATIENT).with("server.limits.outboxes = '24MiB'").start().await;
    let mut speaker = gateway.client("probe").connect().await;
    let mut quiet = gateway.client("probe").user("quiet").with_small_buffer().connect().await;
    tell(&mut speaker, "quiet", SOME).await;
    until("something to wait", async || (waiting(&gateway).await > 0.0).then_some(())).await;
    let mut greedy = Vec::new();
    for number in 0..4 {
        let user = format!("greedy{number}");
        greedy.push(gateway.client("probe").user(&user).with_small_buffer().connect().await);
        tell(&mut speaker, &user, 300).await;
    }
    until("one to be given up", async || (given_up(&gateway).await >= 1.0).then_some(())).await;
    let closed = gateway.metric("hubgate_slow_clients_closed_total", [("hub", "probe")]).await;
    assert!((1.0..=4.0).contains(&closed), "{closed}");
    let held = waiting(&gateway).await;
    assert!(held <= f64::from(24 << 20), "{held} bytes wait");
    gateway.logs(&["a client's connection ended", "SlowClient", "server.limits.outboxes"]).await;
    gets_all(&mut quiet, SOME).await;
    assert_eq!(quiet.call("echo", json!([1])).await, Ok(json!(1)));
    drop(greedy);
    until("nothing to wait", async || (waiting(&gateway).await == 0.0).then_some(())).await;
}

#[tokio::test]
async fn what_many_wait_for_is_held_and_counted_once() {
    const CLIENTS: usize = 12;
    let gateway = Gateway::probe().with(PATIENT).with("server.limits.outboxes = '16MiB'").start().await;
    let mut speaker = gateway.client("probe").connect().await;
    let mut slow = Vec::new();
    for _ in 0..CLIENTS {
        slow.push(gateway.client("probe").with_small_buffer().connect().await);
    }
    for number in 0..SOME {
        speaker.call("say", json!([text(number)])).await.expect("the probe answers");
    }
    let held = waiting(&gateway).await;
    assert!(held > 0.0 && held < f64::from(8 << 20), "{held} bytes wait for {CLIENTS} clients");
    for client in &mut slow {
        gets_all(client, SOME).await;
    }
    assert_eq!(given_up(&gateway).await, 0.0);
}

#[tokio::test]
async fn a_client_that_does_not_poll_makes_room_as_well() {
    let config = "server.limits.outboxes = '1MiB'\nserver.limits.outbox = '64MiB'\nserver.timeouts.client = '60s'";
    let gateway = Gateway::probe().with(config).start().await;
    let connection = crate::http_transports::Connection::polling(&gateway, "probe").await;
    let mut speaker = gateway.client("probe").connect().await;
    for number in 0..20 {
        speaker.call("say", json!([text(number)])).await.expect("the probe answers");
    }
    until("it to be given up", async || (given_up(&gateway).await == 1.0).then_some(())).await;
    until("its end", async || (connection.poll().await == 404).then_some(())).await;
    assert_eq!(speaker.call("echo", json!([1])).await, Ok(json!(1)));
}
