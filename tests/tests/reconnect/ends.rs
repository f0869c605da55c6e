//! What ends a client that may come back, and when.

use std::time::{Duration, Instant};

use hubgate_tests::token::now;
use hubgate_tests::wait::until;
use hubgate_tests::webhook::Webhook;
use hubgate_tests::{Gateway, StatefulClient};
use serde_json::json;

use super::{client, resumes, send, until_all_have_left, until_one_waits, waiting_clients};

#[tokio::test]
async fn upstream_hears_of_the_end_when_the_grace_ends_and_not_at_the_cut() {
    let gateway = Gateway::probe().with("server.timeouts.reconnect = '2s'").start().await;
    let mut observer = gateway.client("probe").connect().await;
    // Each look at the counter adds one itself.
    let mut gone = async || observer.call("count", json!(["gone"])).await.expect("it answers");
    let mut client = client(&gateway).await;
    let cut = Instant::now();
    client.cut();
    until_one_waits(&gateway).await;
    assert_eq!(gone().await, 1);
    let left = async || (gateway.clients_of("probe").await == 1).then_some(());
    until("the grace to end", left).await;
    assert!(cut.elapsed() >= Duration::from_millis(1_700), "{:?} is too early", cut.elapsed());
    assert_eq!(gone().await, 3);
    assert_eq!(resumes(&gateway, "grace_ended").await, 1.0);
    let answer = client.open().await.expect_err("it is over");
    assert_eq!(answer.status, 404, "{}", answer.body);
}

#[tokio::test]
async fn a_client_that_leaves_in_order_has_no_grace() {
    let gateway = Gateway::probe().with("server.timeouts.reconnect = '10m'").start().await;
    for ends_with_a_message in [true, false] {
        let mut client = client(&gateway).await;
        if ends_with_a_message {
            client.link().send(json!({ "type": 7 })).await;
            client.end().await;
        } else {
            // A close frame, 1001.
            client.link().send_bytes(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]).await;
            client.end().await;
        }
        until_all_have_left(&gateway).await;
        assert_eq!(client.open().await.expect_err("it is over").status, 404);
    }
}

#[tokio::test]
async fn a_client_that_is_closed_while_it_is_away_does_not_come_back() {
    let gateway = Gateway::probe().start().await;
    let mut client = client(&gateway).await;
    client.cut();
    until_one_waits(&gateway).await;
    let path = format!("/api/v1/hubs/probe/connections/{}", client.id());
    assert_eq!(gateway.rest(http::Method::DELETE, &path).send().await.status, 202);
    until_all_have_left(&gateway).await;
    assert_eq!(client.open().await.expect_err("it is over").status, 404);
    assert_eq!(waiting_clients(&gateway).await, 0);
}

#[tokio::test]
async fn a_client_for_which_too_much_is_kept_is_closed_as_slow_connected_or_not() {
    let gateway = Gateway::probe().with("server.limits.replay = '64KiB'").start().await;
    let mut away = client(&gateway).await;
    away.cut();
    until_one_waits(&gateway).await;
    let text = "x".repeat(10_000);
    for _ in 0..10 {
        send(&gateway, "", &text).await;
    }
    until_all_have_left(&gateway).await;
    let mut never_acknowledges = client(&gateway).await;
    let has_left = async || {
        send(&gateway, "", &text).await;
        (gateway.clients_of("probe").await == 0).then_some(())
    };
    until("the one that is connected to have left", has_left).await;
    assert!(never_acknowledges.end().await.allows_reconnect());
    assert_eq!(gateway.metric("hubgate_slow_clients_closed_total", [("hub", "probe")]).await, 2.0);
}

#[tokio::test]
async fn when_too_much_is_kept_for_all_the_one_for_whom_most_is_goes_and_nobody_else() {
    let gateway = Gateway::probe().with("server.limits = { outboxes = '1MiB', replay = '1MiB' }").start().await;
    let mut clients = [client(&gateway).await, client(&gateway).await];
    clients.iter_mut().for_each(StatefulClient::cut);
    until("both to be waited for", async || (waiting_clients(&gateway).await == 2).then_some(())).await;
    let [much, little] = &mut clients;
    let text = "x".repeat(10_000);
    let fill = async |client: &StatefulClient, count: u32| {
        for _ in 0..count {
            send(&gateway, &format!("/connections/{}", client.id()), &text).await;
        }
    };
    fill(little, 30).await;
    fill(much, 60).await;
    let all_is_counted = async || (gateway.metric("hubgate_outbox_bytes", []).await > 890_000.0).then_some(());
    until("all of it to be counted", all_is_counted).await;
    fill(much, 30).await;
    until("one to have left", async || (gateway.clients_of("probe").await == 1).then_some(())).await;
    assert_eq!(much.open().await.expect_err("it is over").status, 404);
    assert_eq!(gateway.metric("hubgate_slow_peers_total", [("limit", "server.limits.outboxes")]).await, 1.0);
    little.resume().await;
    for _ in 0..30 {
        assert_eq!(little.event("said").await, json!([text]));
    }
}

#[tokio::test]
async fn the_end_of_its_token_ends_a_client_that_is_away() {
    let gateway = Gateway::probe().with("server.timeouts.reconnect = '10m'").start().await;
    let end = now() + 3;
    let connecting = gateway.client("probe").with_claim("asrs.s.coae", true).with_claim("asrs.s.aeo", end);
    let mut client = StatefulClient::connect(connecting).await;
    client.cut();
    until_one_waits(&gateway).await;
    until_all_have_left(&gateway).await;
    assert!(now() >= end);
    let reason = [("hub", "probe"), ("reason", "Unauthorized")];
    assert_eq!(gateway.metric("hubgate_client_connections_closed_total", reason).await, 1.0);
}

#[tokio::test]
async fn the_end_of_its_token_ends_a_client_that_is_connected() {
    let gateway = Gateway::probe().start().await;
    let connecting = gateway.client("probe").with_claim("asrs.s.coae", true).with_claim("asrs.s.aeo", now() + 3);
    let mut client = StatefulClient::connect(connecting).await;
    assert!(client.end().await.allows_reconnect());
    assert_eq!(client.open().await.expect_err("it is over").status, 404);
}

#[tokio::test]
async fn a_client_lives_as_long_as_the_latest_token_that_it_came_with() {
    let gateway = Gateway::probe().start().await;
    let first = now() + 3;
    let ending = |end: i64| gateway.client("probe").with_claim("asrs.s.coae", true).with_claim("asrs.s.aeo", end);
    let mut client = StatefulClient::connect(ending(first)).await;
    client.cut();
    let with_later = ending(first + 3_600).id(client.connection_token());
    client.resume_on(with_later.open().await).await;
    // An earlier one takes nothing from it.
    client.cut();
    client.resume().await;
    until("the first token to have ended", async || (now() > first + 1).then_some(())).await;
    assert_eq!(client.call("echo", json!(["alive"])).await, Ok(json!("alive")));
}

#[tokio::test]
async fn a_mode_that_does_not_allow_it_ends_clients_that_are_away_and_those_that_are_not() {
    let mut gateway = Gateway::probe().with("server.timeouts.reconnect = '10m'").start().await;
    let (mut away, mut here) = (client(&gateway).await, client(&gateway).await);
    away.cut();
    until_one_waits(&gateway).await;
    gateway.reconfigure("hubs.probe = { mode = 'default', negotiate = { anonymous = false } }\nupstream = []");
    gateway.hang_up();
    assert!(here.end().await.allows_reconnect());
    until_all_have_left(&gateway).await;
    for client in [away, here] {
        assert_eq!(client.open().await.expect_err("it is over").status, 404);
    }
}

#[tokio::test]
async fn a_webhook_hears_of_the_end_when_the_grace_ends_and_not_at_the_cut() {
    let webhook = Webhook::silent().await;
    webhook.answer();
    let config =
        format!("server.timeouts.reconnect = '2s'\nupstream = [{{ hubs = ['probe'], url = '{}' }}]", webhook.url());
    let gateway = Gateway::probe().with(&config).start().await;
    let mut client = client(&gateway).await;
    client.cut();
    until_one_waits(&gateway).await;
    client.resume().await;
    let cut = Instant::now();
    client.cut();
    until("it to be told", async || (webhook.count("/connections/disconnected") == 1).then_some(())).await;
    assert!(cut.elapsed() >= Duration::from_millis(1_700), "{:?} is too early", cut.elapsed());
    until_all_have_left(&gateway).await;
    assert_eq!(webhook.count("/connections/connected"), 1, "it has connected once");
}

#[tokio::test]
async fn clients_that_are_away_do_not_hold_up_the_end() {
    let config = "server.timeouts.reconnect = '10m'\nserver.drain-timeout = '1h'";
    let mut gateway = Gateway::probe().with(config).start().await;
    let (mut away, mut here) = (client(&gateway).await, client(&gateway).await);
    away.cut();
    until_one_waits(&gateway).await;
    gateway.terminate();
    assert!(here.end().await.allows_reconnect());
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_grace_may_change_while_the_gateway_runs() {
    let mut gateway = Gateway::probe().with("server.timeouts.reconnect = '10m'").start().await;
    gateway.reconfigure("server.timeouts.reconnect = '100ms'");
    gateway.hang_up();
    gateway.logs(&["the configuration was reloaded"]).await;
    let mut client = client(&gateway).await;
    client.cut();
    until_all_have_left(&gateway).await;
}

#[tokio::test]
async fn an_unanswered_ping_is_a_cut() {
    let config = "server.timeouts = { client = '2s', keep-alive = '1s', reconnect = '10m' }";
    let gateway = Gateway::probe().with(config).start().await;
    let mut client = client(&gateway).await;
    // Nothing reads it any more, so nothing answers.
    let _half_open = client.leave_half_open();
    until_one_waits(&gateway).await;
    client.resume().await;
    assert_eq!(client.call("echo", json!(["back"])).await, Ok(json!("back")));
}
