//! A guest asks clients, which its shard answers for.

use std::fs;
use std::time::Duration;

use hubgate_core::event::UpstreamFailure;
use hubgate_core::question::{AskError, ClientAnswer, ClientQuestion};
use hubgate_plugin_host::{Compilation, ShardQuestion};
use tokio::sync::oneshot;

use crate::support::{Shard, built_guest, client, connection_id, invocation, json, on_a_shard};

/// The probe of a whole hub.
fn probe() -> Vec<u8> {
    fs::read(built_guest("probe-hub.wasm")).expect("the guests are built")
}

/// What the guest asks, for how long, and where the answer goes.
fn asked(question: Option<ShardQuestion>) -> (ClientQuestion, Duration, oneshot::Sender<ClientAnswer>) {
    match question {
        Some(ShardQuestion::AskClient { question, within, answer, .. }) => (question, within, answer),
        other => panic!("the guest asks a client: {other:?}"),
    }
}

const ASK: &str = r#"["add", 1.50]"#;

#[test]
fn a_question_says_whom_to_ask_for_whom_and_for_how_long() {
    on_a_shard(async {
        let mut shard = Shard::embedded(probe(), |settings| settings.budgets.ask_time = Duration::from_secs(20));
        let id = connection_id(7);
        for (milliseconds, expected) in [(0, 20_000), (5, 5), (60_000, 20_000)] {
            let arguments = format!(r#"["{id}", "add", 1.50, {milliseconds}]"#);
            let call = tokio::task::spawn_local(shard.invoke("askOther", &arguments));
            let (question, within, answer) = asked(shard.questions.recv().await);
            assert_eq!((question.connection, question.caller), (id, Some(client("ann").id)));
            assert_eq!((&*question.method, question.arguments), ("add", json("[1.50]")));
            assert_eq!(within, Duration::from_millis(expected));
            answer.send(Ok(Some(json("2.50")))).expect("the guest waits");
            assert_eq!(call.await.expect("no panic").result, Ok(Some(json("2.50"))));
        }
    });
}

#[test]
fn whatever_comes_of_a_question_the_guest_is_told() {
    on_a_shard(async {
        let mut shard = Shard::embedded(probe(), |_| ());
        for (answer, text) in [
            (Some(AskError::NoSuchConnection), "The connection does not exist."),
            (Some(AskError::Failed("I cannot.".to_owned())), "I cannot."),
            (Some(AskError::TimedOut), "The client did not answer in time."),
            (Some(AskError::Left), "The client left before it answered."),
            (Some(AskError::Busy), "Too many wait for answers of clients; try again later."),
            // A shard that stops answers nothing.
            (None, "the gateway does not answer: it is stopping, or a part of it stands still"),
        ] {
            let call = tokio::task::spawn_local(shard.invoke("askMe", ASK));
            let (_, _, asker) = asked(shard.questions.recv().await);
            match answer {
                Some(error) => asker.send(Err(error)).expect("the guest waits"),
                None => drop(asker),
            }
            let rejected = UpstreamFailure::Rejected(text.to_owned());
            assert_eq!(call.await.expect("no panic").result, Err(rejected));
        }
    });
}

#[test]
fn a_call_that_has_asked_a_client_is_replayed_without_one() {
    on_a_shard(async {
        let component = probe();
        let mut shard = Shard::embedded(component.clone(), |_| ());
        let recording = tokio::task::spawn_local(shard.plugins.record(invocation(client("ann"), "askMe", ASK)));
        let (_, _, answer) = asked(shard.questions.recv().await);
        answer.send(Ok(Some(json("2.50")))).expect("the guest waits");
        let journal = recording.await.expect("no panic").expect("a version serves");
        let replayed = journal.replay(&component, Compilation::default()).expect("it goes the same way");
        assert_eq!((&replayed.result, &journal.answer().result), (&Ok(Some(json("2.50"))), &Ok(Some(json("2.50")))));
        assert!(shard.questions.try_recv().is_err(), "a replay asks nobody");
    });
}
