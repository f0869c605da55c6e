//! Who may not come back, and who does it wrongly.

use futures_util::future::join_all;
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
    for limit in [
        "connections = 1",
        "connections-per-user = 1",
        "connections-per-ip = 1",
        "connections-per-token = 1",
        "connections-per-claim = { tenant = 1 }",
    ] {
        let gateway = Gateway::probe().with(&format!("server.limits = {{ {limit} }}")).start().await;
        let connecting = gateway.client("probe").user("ann").with_claim("tenant", "a");
        let is_full = async || connecting.try_open().await.is_err_and(|answer| matches!(answer.status, 429 | 503));
        let mut client = StatefulClient::connect(connecting.clone()).await;
        for _ in 0..3 {
            client.cut();
            until_one_waits(&gateway).await;
            assert!(is_full().await, "its place is taken: {limit}");
            client.resume().await;
            assert!(is_full().await, "its place is taken: {limit}");
        }
        client.link().send(json!({ "type": 7 })).await;
        client.end().await;
        until("the place to be free", async || connecting.try_open().await.ok()).await;
    }
}

#[tokio::test]
async fn many_that_come_at_once_are_bounded_and_one_of_them_goes_on() {
    let gateway = Gateway::probe().with("server.shards = 4").start().await;
    let mut client = client(&gateway).await;
    send(&gateway, "", "kept").await;
    assert_eq!(client.event("said").await, json!(["kept"]));
    client.cut();
    until_one_waits(&gateway).await;
    let came = join_all((0..200).map(|_| client.open())).await;
    let (links, refused): (Vec<_>, Vec<_>) = came.into_iter().partition(Result::is_ok);
    assert!(refused.iter().all(|refused| refused.as_ref().is_err_and(|answer| answer.status == 429)));
    // Some were let in, and found when their turn came that others had come before them.
    let resumed = resumes(&gateway, "resumed").await;
    assert!((1.0..=100.0).contains(&resumed), "{resumed} of {}", links.len());
    drop(links);
    let link = until("another one to be let in", async || client.open().await.ok()).await;
    client.resume_on(link).await;
    assert_eq!(client.call("echo", json!(["still here"])).await, Ok(json!("still here")));
    assert_eq!(gateway.clients_of("probe").await, 1);
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
async fn numbers_that_cannot_be_end_the_connection_and_are_named() {
    let gateway = Gateway::probe().with("server.detailed-errors = true").start().await;
    for (message, why) in [
        (json!({ "type": 8, "sequenceId": 1 }), "It acknowledges message 1, and 0 have been sent."),
        (json!({ "type": 8, "sequenceId": -1 }), "It acknowledges message -1, and 0 have been sent."),
        (
            json!({ "type": 9, "sequenceId": 1 }),
            "A Sequence message is the first message after a reconnect, and comes once.",
        ),
    ] {
        let mut client = client(&gateway).await;
        client.link().send(message).await;
        let end = client.end().await;
        assert!(end.error().ends_with(why) && end.allows_reconnect(), "{end:?}");
        assert_eq!(client.open().await.expect_err("it is over").status, 404);
    }
    for (number, why) in [
        (3, "It goes on with message 3, and 1 have been received: messages are lost."),
        (0, "It goes on with message 0, and messages are counted from 1."),
    ] {
        let mut client = client(&gateway).await;
        client.call("echo", json!([1])).await.expect("it answers");
        client.cut();
        let mut link = client.open().await.expect("it comes back");
        link.send(json!({ "type": 9, "sequenceId": number })).await;
        let end = link.end().await;
        assert!(end.error().ends_with(why) && end.allows_reconnect(), "{end:?}");
    }
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
