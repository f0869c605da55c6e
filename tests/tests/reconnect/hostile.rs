//! Who may not come back, and who does it wrongly.

use hubgate_tests::wait::until;
use hubgate_tests::{Gateway, StatefulClient};
use serde_json::json;

use super::{client, resumes, send, until_all_have_left, until_one_waits};

async fn refused(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric("hubgate_requests_refused_total", [("reason", reason)]).await
}

#[tokio::test]
async fn the_token_is_checked_again_and_a_refusal_harms_nobody() {
    let gateway = Gateway::probe().start().await;
    let mut client = StatefulClient::connect(gateway.client("probe").user("ann")).await;
    let expired = gateway.token("probe").user("ann").expires_in(-60).sign();
    let other_key = gateway.token("probe").user("ann").key("another key, as long as those of the gateway").sign();
    let other_user = gateway.token("probe").user("bob").sign();
    let nobody = gateway.token("probe").sign();
    for is_away in [false, true] {
        if is_away {
            client.cut();
            until_one_waits(&gateway).await;
        }
        for (token, status) in [(&expired, 401), (&other_key, 401), (&other_user, 403), (&nobody, 403)] {
            let answer = client.connecting().clone().token(token).try_open().await.expect_err("it is refused");
            assert_eq!(answer.status, status, "{}", answer.body);
        }
    }
    client.resume().await;
    assert_eq!(client.call("echo", json!(["none the worse"])).await, Ok(json!("none the worse")));
    assert_eq!(resumes(&gateway, "other_user").await, 4.0);
}

#[tokio::test]
async fn a_token_of_another_hub_finds_nothing() {
    let gateway = Gateway::probe().with("hubs.other.mode = 'serverless'").start().await;
    let mut client = client(&gateway).await;
    let path = |id: &str| format!("/client/?hub=other&id={id}");
    let token = client.connection_token().to_owned();
    let bearer = gateway.token("other").sign();
    let opened = hubgate_tests::Client::open(gateway.address(), &path(&token), Some(&bearer)).await;
    assert_eq!(opened.expect_err("it is refused").status, 404);
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
}

#[tokio::test]
async fn who_comes_back_again_and_again_is_refused_by_name_and_loses_nothing() {
    let gateway = Gateway::probe().start().await;
    let mut client = client(&gateway).await;
    client.cut();
    let mut link = None;
    let answer = until("a refusal", async || match client.open().await {
        Ok(opened) => {
            link = Some(opened);
            None
        }
        Err(answer) => Some(answer),
    });
    let answer = answer.await;
    assert_eq!(answer.status, 429, "{}", answer.body);
    assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{:?}", answer.headers);
    assert!(refused(&gateway, "resumes").await >= 1.0 && resumes(&gateway, "too_often").await >= 1.0);
    client.resume_on(link.expect("the first ones were let in")).await;
    assert_eq!(client.call("echo", json!(["still here"])).await, Ok(json!("still here")));
    assert_eq!(gateway.clients_of("probe").await, 1);
}

#[tokio::test]
async fn a_client_that_is_away_keeps_its_place_and_takes_no_second_one() {
    let limits = "server.limits = { connections = 1, connections-per-user = 1, connections-per-ip = 1, connections-per-token = 1 }";
    let gateway = Gateway::probe().with(limits).start().await;
    let connecting = gateway.client("probe").user("ann");
    let mut client = StatefulClient::connect(connecting.clone()).await;
    for _ in 0..3 {
        client.cut();
        until_one_waits(&gateway).await;
        connecting.try_open().await.expect_err("its place is taken");
        client.resume().await;
        connecting.try_open().await.expect_err("its place is taken");
    }
    client.link().send(json!({ "type": 7 })).await;
    client.end().await;
    until("the place to be free", async || connecting.try_open().await.ok()).await;
}

#[tokio::test]
async fn who_has_a_place_only_elsewhere_may_not_come_back_where_there_is_none() {
    let gateway = Gateway::probe().with("server.limits.connections-per-token = 1").start().await;
    let connecting = |n: u32| gateway.client("probe").user("ann").with_claim("n", n);
    let mut client = StatefulClient::connect(connecting(1)).await;
    let other = connecting(2).connect().await;
    client.cut();
    until_one_waits(&gateway).await;
    let fresh = gateway.token("probe").user("ann").claim("n", 2).sign();
    let with_fresh = client.connecting().clone().token(&fresh);
    let answer = with_fresh.try_open().await.expect_err("the other token's place is taken");
    assert_eq!(answer.status, 429, "{}", answer.body);
    other.leave().await;
    let link = until("that place to be free", async || with_fresh.try_open().await.ok()).await;
    client.resume_on(link).await;
    // It is counted with the token that it has come back with.
    assert!(connecting(2).try_open().await.is_err());
    connecting(1).connect().await;
}

#[tokio::test]
async fn acknowledgements_of_what_was_never_sent_are_bounded_and_harm_nobody_else() {
    let gateway = Gateway::probe().start().await;
    let mut other = client(&gateway).await;
    let mut hostile = client(&gateway).await;
    for number in [1, u64::from(u32::MAX), 1 << 40, (1 << 53) - 1, u64::MAX] {
        hostile.link().send(json!({ "type": 8, "sequenceId": number })).await;
    }
    send(&gateway, "", "to all").await;
    assert_eq!(other.event("said").await, json!(["to all"]));
    other.cut();
    other.resume().await;
    assert_eq!(other.call("echo", json!([1])).await, Ok(json!(1)));
}

#[tokio::test]
async fn a_sequence_beyond_what_was_received_ends_the_connection() {
    let gateway = Gateway::probe().start().await;
    let mut client = client(&gateway).await;
    client.call("echo", json!([1])).await.expect("it answers");
    client.cut();
    let mut link = client.open().await.expect("it comes back");
    link.send(json!({ "type": 9, "sequenceId": 3 })).await;
    link.end().await;
    until_all_have_left(&gateway).await;
    assert_eq!(client.open().await.expect_err("it is over").status, 404);
}

#[tokio::test]
async fn a_client_that_says_no_sequence_is_heard_in_nothing() {
    let gateway = Gateway::probe().start().await;
    let mut client = client(&gateway).await;
    client.cut();
    let mut link = client.open().await.expect("it comes back");
    assert_eq!(link.message().await["type"], 9);
    for _ in 0..100 {
        link.send(json!({ "type": 1, "target": "count", "arguments": ["calls"] })).await;
    }
    link.send(json!({ "type": 9, "sequenceId": 1 })).await;
    link.send(json!({ "type": 1, "invocationId": "1", "target": "count", "arguments": ["calls"] })).await;
    let answer = loop {
        let message = link.message().await;
        if message["type"] == 3 {
            break message;
        }
    };
    assert_eq!(answer["result"], 1);
}
