//! What plugins ask of the hub of their event, and what becomes of it.

use std::sync::Arc;

use hubgate_core::delivery::{Action, Member, Target};
use hubgate_core::event::{ConnectionFacts, UpstreamFailure};
use hubgate_core::filter::Origin;
use hubgate_core::id::{HubName, PluginName, UserId};
use hubgate_plugin_host::ShardQuestion;

use crate::support::{Shard, asks_whether, client, connection_id, guest, json, on_a_shard};

fn shard() -> Shard {
    Shard::embedded(guest("1.0.000"), |_| ())
}

fn leave_all() -> Action {
    Action::LeaveAll(Member::User(UserId::new("no thanks")))
}

/// Somebody else's connection.
fn other(hub: &str) -> Arc<ConnectionFacts> {
    let mut facts = Arc::into_inner(client("bob")).expect("nobody else has it");
    facts.id = connection_id(2);
    facts.hub = HubName::parse(hub).expect("a hub's name");
    Arc::new(facts)
}

#[test]
fn flushed_actions_run_during_the_call_and_the_others_come_with_the_answer() {
    on_a_shard(async {
        let mut shard = shard();
        let call = tokio::task::spawn_local(shard.invoke("act", "[]"));
        let Some(ShardQuestion::Run { hub, origin, actions, done }) = shard.questions.recv().await else {
            panic!("the guest flushes");
        };
        assert_eq!((hub.as_str(), actions), ("chat", vec![leave_all()]));
        assert_eq!(origin, Some(Origin::Plugin(PluginName::new("p"))));
        assert!(!call.is_finished(), "the guest waits until its actions have run");
        done.send(()).expect("the guest waits");
        let answer = call.await.expect("no panic");
        assert_eq!(answer.result, Ok(Some(json("[]"))));
        assert_eq!(answer.actions, [leave_all()]);
    });
}

#[test]
fn a_call_that_fails_does_nothing() {
    on_a_shard(async {
        let mut shard = shard();
        for method in ["b: submits and rejects", "c: submits and traps"] {
            let answer = shard.invoke(method, "[]").await;
            assert!(answer.result.is_err(), "{method}");
            assert_eq!(answer.actions, [], "{method}");
        }
        assert!(shard.questions.try_recv().is_err(), "nothing was run");
        // And nothing is left over for the next call.
        assert_eq!(shard.invoke("echo", "[]").await.actions, []);
    });
}

#[test]
fn the_shard_is_asked_whether_a_target_exists() {
    on_a_shard(async {
        let mut shard = shard();
        let call = tokio::task::spawn_local(shard.invoke("x", "[]"));
        let (target, answer) = asks_whether(shard.questions.recv().await);
        assert_eq!(target, Target::All);
        answer.send(true).expect("the guest waits");
        call.await.expect("no panic").result.expect("it answers");
    });
}

#[test]
fn the_own_connection_is_known_without_asking() {
    on_a_shard(async {
        let mut shard = shard();
        let own = format!("[\"{}\"]", connection_id(1));
        assert_eq!(shard.invoke("query", &own).await.result, Ok(Some(json(&own))));
        let nobody = shard.invoke("query", "[\"nobody\"]").await;
        assert!(matches!(nobody.result, Err(UpstreamFailure::Rejected(_))), "no connection has such an id");
        assert!(shard.questions.try_recv().is_err(), "nobody was asked");
    });
}

#[test]
fn a_call_that_asks_about_another_connection_and_has_no_answer_is_broken_off() {
    on_a_shard(async {
        let mut shard = shard();
        let call = tokio::task::spawn_local(shard.invoke("query", &format!("[\"{}\"]", connection_id(2))));
        drop(shard.questions.recv().await.expect("the guest asks about a connection"));
        let failure =
            call.await.expect("no panic").result.expect_err("it is not told that there is no such connection");
        assert!(matches!(&failure, UpstreamFailure::Trapped(_)), "{failure:?}");
    });
}

#[test]
fn another_connection_is_asked_for_in_the_own_hub() {
    on_a_shard(async {
        let mut shard = shard();
        let arguments = format!("[\"{}\"]", connection_id(2));
        for facts in [Some(other("chat")), None] {
            let call = tokio::task::spawn_local(shard.invoke("query", &arguments));
            let Some(ShardQuestion::Facts { hub, connection, answer }) = shard.questions.recv().await else {
                panic!("the guest asks about a connection");
            };
            assert_eq!((hub.as_str(), connection), ("chat", connection_id(2)));
            answer.send(facts.clone()).expect("the guest waits");
            assert_eq!(call.await.expect("no panic").result.is_ok(), facts.is_some(), "{facts:?}");
        }
    });
}
