//! The probe: a guest built as users build theirs, so that toolchain, SDK and host are tried together.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use hubgate_core::Outgoing;
use hubgate_core::delivery::{Action, Member, Target};
use hubgate_core::event::{ConnectionFacts, UpstreamAnswer, UpstreamEvent, UpstreamFailure};
use hubgate_core::id::{GroupName, PluginName, UserId};
use hubgate_plugin_host::{Compilation, PluginSettings, PluginSource, inspect};
use hubgate_wire::payload::Payload;

use crate::support::{Shard, built_guest, client, connection_id, json, on_a_shard, settings, start, until};

type IsExpected = fn(&UpstreamFailure) -> bool;

fn probe(change: impl FnOnce(&mut PluginSettings)) -> Shard {
    let mut settings = settings(PluginSource::File(built_guest("probe.wasm")));
    change(&mut settings);
    Shard::start(settings)
}

fn send(to: Target, text: &str) -> Action {
    Action::Send { to, message: Outgoing::call("said".to_owned(), json(text)), except: Default::default() }
}

async fn actions(shard: &Shard, method: &str, arguments: &str) -> Vec<Action> {
    let answer = shard.invoke(method, arguments).await;
    assert_eq!(answer.result, Ok(None), "{method}");
    answer.actions
}

#[test]
fn an_echo_comes_back_as_it_was_written() {
    on_a_shard(async {
        let shard = probe(|_| ());
        for value in ["1.50", "\"ä\\u0041\"", "{\"b\":1,\"a\":[null,9007199254740993]}"] {
            let answer = shard.invoke("echo", &format!("[{value}]")).await;
            assert_eq!(answer.result, Ok(Some(json(value))));
        }
    });
}

#[test]
fn what_a_method_asks_of_the_hub_comes_with_its_answer() {
    on_a_shard(async {
        let shard = probe(|_| ());
        let group = GroupName::new("g");
        let member = Member::Connection(connection_id(1));
        let close = Action::Close {
            target: Target::Connection(connection_id(1)),
            except: Vec::new(),
            reason: Some("enough".to_owned()),
            allow_reconnect: false,
        };
        assert_eq!(actions(&shard, "say", "[\"hi\"]").await, [send(Target::All, "[\"hi\"]")]);
        assert_eq!(actions(&shard, "sayTo", "[\"g\",\"hi\"]").await, [send(Target::Group(group.clone()), "[\"hi\"]")]);
        assert_eq!(
            actions(&shard, "tell", "[\"bob\",\"hi\"]").await,
            [send(Target::User(UserId::new("bob")), "[\"hi\"]")]
        );
        let join = Action::Join {
            member: member.clone(),
            group: group.clone(),
            ttl_seconds: None,
            plugin: Some(PluginName::new("p")),
        };
        assert_eq!(actions(&shard, "join", "[\"g\"]").await, [join]);
        assert_eq!(actions(&shard, "leave", "[\"g\"]").await, [Action::Leave { member, group }]);
        assert_eq!(actions(&shard, "quit", "[\"enough\"]").await, [close]);
    });
}

#[test]
fn an_invalid_action_fails_the_call_and_nothing_is_done() {
    on_a_shard(async {
        let answer = probe(|_| ()).invoke("join", "[\"  \"]").await;
        let failure = answer.result.expect_err("the group has no name");
        assert!(format!("{failure:?}").contains("Invalid group name"), "{failure:?}");
        assert_eq!(answer.actions, []);
    });
}

#[test]
fn a_plugin_knows_whom_an_event_is_about() {
    on_a_shard(async {
        let answer = probe(|_| ()).invoke("whoami", "[]").await;
        let Ok(Some(Payload::Json(text))) = answer.result else { panic!("{:?}", answer.result) };
        let known: serde_json::Value = serde_json::from_str(text.as_str()).expect("a result is JSON");
        let id = connection_id(1).to_string();
        let expected = serde_json::json!({ "connectionId": id, "userId": "ann", "claims": { "role": ["a", "b"] } });
        assert_eq!(known, expected);
    });
}

#[test]
fn connected_may_refuse_and_disconnected_is_counted() {
    on_a_shard(async {
        let shard = probe(|_| ());
        let event = |client: Arc<ConnectionFacts>, event| {
            shard.plugins.call(hubgate_core::event::UpstreamCall { plugin: PluginName::new("p"), client, event })
        };
        assert_eq!(event(client("ann"), UpstreamEvent::Connected).await.result, Ok(None));
        let refused: UpstreamAnswer = event(client("refuse-me"), UpstreamEvent::Connected).await;
        assert_eq!(refused.result, Err(UpstreamFailure::Rejected("You are not welcome.".to_owned())));
        event(client("ann"), UpstreamEvent::Disconnected { reason: None }).await.result.expect("it is counted");
        assert_eq!(shard.invoke("count", "[\"gone\"]").await.result, Ok(Some(json("2"))));
    });
}

#[test]
fn each_way_to_fail_hurts_its_caller_only() {
    on_a_shard(async {
        let shard = probe(|settings| settings.budgets.call_time = Duration::from_millis(300));
        let expected: [(&str, IsExpected); 4] = [
            ("fail", |failure| *failure == UpstreamFailure::Rejected("my text".to_owned())),
            ("trap", |failure| matches!(failure, UpstreamFailure::Trapped(why) if why.contains("unreachable"))),
            ("spin", |failure| *failure == UpstreamFailure::TimedOut),
            ("grow", |failure| *failure == UpstreamFailure::OutOfMemory),
        ];
        for (method, is_expected) in expected {
            let failing = tokio::task::spawn_local(shard.invoke(method, "[\"my text\"]"));
            while !failing.is_finished() {
                assert_eq!(shard.invoke("echo", "[1]").await.result, Ok(Some(json("1"))), "beside {method}");
                tokio::task::yield_now().await;
            }
            let answer = failing.await.expect("no panic");
            let failure = answer.result.expect_err("the method fails");
            assert!(is_expected(&failure), "{method}: {failure:?}");
            assert_eq!(answer.actions, []);
        }
    });
}

#[test]
fn state_is_shared_by_shards_and_outlives_traps_and_swaps_and_is_each_plugins_own() {
    on_a_shard(async {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("probe.wasm");
        fs::copy(built_guest("probe.wasm"), &file).expect("a copy");
        let mut other = settings(PluginSource::File(file.clone()));
        other.name = PluginName::new("other");
        let host = start(vec![settings(PluginSource::File(file.clone())), other]).expect("both serve");
        let (one, two) = (Shard::of(&host), Shard::of(&host));
        let count = async |shard: &Shard| shard.invoke("count", "[\"k\"]").await.result;
        assert_eq!(count(&one).await, Ok(Some(json("1"))));
        assert_eq!(count(&two).await, Ok(Some(json("2"))));
        one.invoke("trap", "[]").await.result.expect_err("it traps");
        assert_eq!(count(&one).await, Ok(Some(json("3"))));
        let first = one.version().await;
        fs::copy(built_guest("probe-2.wasm"), &file).expect("a copy");
        until("both are swapped", || host.statuses().iter().all(|status| status.generation == 2)).await;
        assert_ne!(one.version().await, first);
        assert_eq!(count(&two).await, Ok(Some(json("4"))));
        let event = UpstreamEvent::Invocation {
            target: "count".into(),
            arguments: json("[\"k\"]"),
            invocation_id: Some("1".into()),
            headers: Default::default(),
        };
        let call = hubgate_core::event::UpstreamCall { plugin: PluginName::new("other"), client: client("ann"), event };
        assert_eq!(one.plugins.call(call).await.result, Ok(Some(json("1"))));
    });
}

#[test]
fn the_built_guests_need_nothing_but_the_contract() {
    for name in ["probe.wasm", "probe-2.wasm", "chat.wasm"] {
        let component = fs::read(built_guest(name)).expect("the guest can be read");
        let report = inspect(&component, Compilation::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(report.worlds, ["handler"]);
        let foreign = |import: &&String| !import.starts_with("hubgate:plugin/");
        assert_eq!(report.imports.iter().find(foreign), None, "{name}");
    }
}
