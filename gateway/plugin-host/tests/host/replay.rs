//! What is written down of a call makes the same answer again, without a host.

use std::fs;

use hubgate_core::event::{UpstreamAnswer, UpstreamFailure};
use hubgate_plugin_host::{Compilation, Journal, PluginSource, ReplayError, ShardQuestion};

use crate::support::{Shard, asks_whether, built_guest, client, guest, invocation, on_a_shard, settings, wasi_guest};

/// Records a call, which the shard answers as a live one.
async fn record(shard: &mut Shard, method: &str) -> Journal {
    let call = invocation(client("ann"), method, "[]");
    let mut recording = tokio::task::spawn_local(shard.plugins.record(call));
    loop {
        tokio::select! {
            journal = &mut recording => return journal.expect("no panic").expect("a version serves"),
            question = shard.questions.recv() => match question {
                Some(ShardQuestion::Run { done, .. }) => done.send(()).expect("the guest waits"),
                question => {
                    asks_whether(question).1.send(true).expect("the guest waits");
                }
            },
        }
    }
}

#[track_caller]
fn assert_same(replayed: &UpstreamAnswer, recorded: &UpstreamAnswer) {
    assert_eq!(replayed.result, recorded.result);
    assert_eq!(replayed.actions, recorded.actions);
}

#[test]
fn an_event_has_the_same_answer_when_its_plugin_is_told_again_what_it_was_told() {
    on_a_shard(async {
        let component = guest("1.0.000");
        let mut shard = Shard::embedded(component.clone(), |_| ());
        let (journal, other) = (record(&mut shard, "draw").await, record(&mut shard, "draw").await);
        assert!(journal.answer().result.is_ok(), "{:?}", journal.answer());
        assert_ne!(journal.answer().result, other.answer().result, "each has an id and random bytes of its own");
        assert_eq!(journal.answer().actions.len(), 1, "what was flushed is no part of the answer");
        for recorded in [&journal, &other, &journal] {
            assert_same(
                &recorded.replay(&component, Compilation::default()).expect("it goes the same way"),
                recorded.answer(),
            );
        }
        assert!(shard.questions.try_recv().is_err(), "a replay asks nobody");
    });
}

#[test]
fn a_call_that_is_recorded_waits_for_its_turn_and_counts_as_every_call() {
    on_a_shard(async {
        let mut shard = Shard::embedded(guest("1.0.000"), |settings| settings.budgets.concurrency = 1);
        let first = tokio::task::spawn_local(shard.invoke("x: asks the hub", "[]"));
        let asked = shard.questions.recv().await;
        let recorded =
            tokio::task::spawn_local(shard.plugins.record(invocation(client("ann"), "x: asks the hub", "[]")));
        tokio::task::yield_now().await;
        assert!(shard.questions.try_recv().is_err(), "it has not begun");
        asks_whether(asked).1.send(true).expect("the guest waits");
        assert!(first.await.expect("no panic").result.is_ok());
        asks_whether(shard.questions.recv().await).1.send(true).expect("the guest waits");
        let journal = recorded.await.expect("no panic");
        assert!(journal.is_ok_and(|journal| journal.answer().result.is_ok()));
        assert_eq!(shard.host.statuses()[0].calls, 2);
    });
}

#[test]
fn a_call_that_broke_off_breaks_off_again() {
    on_a_shard(async {
        let component = guest("1.0.000");
        let mut shard = Shard::embedded(component.clone(), |_| ());
        for method in ["c: submits and traps", "b: submits and rejects"] {
            let journal = record(&mut shard, method).await;
            let answer = journal.replay(&component, Compilation::default()).expect("it goes the same way");
            assert!(matches!(&answer.result, Err(UpstreamFailure::Trapped(_) | UpstreamFailure::Rejected(_))));
            assert_same(&answer, journal.answer());
        }
    });
}

#[test]
fn a_journal_of_a_call_that_was_told_too_much_says_so_and_cannot_be_replayed() {
    on_a_shard(async {
        let draws = |count: usize| {
            wasi_guest(&format!(
                "(local $left i32)
                (drop (memory.grow (i32.const 2)))
                (local.set $left (i32.const {count}))
                (loop $more
                  (global.set $heap (i32.const 4096))
                  (call $random (i32.const 65536) (i32.const 64))
                  (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))"
            ))
        };
        for (count, is_cut) in [(250, false), (260, true)] {
            let component = draws(count);
            let mut shard = Shard::embedded(component.clone(), |_| ());
            let journal = record(&mut shard, "echo").await;
            assert!(journal.answer().result.is_ok(), "{:?}", journal.answer());
            assert_eq!(journal.is_cut(), is_cut, "{count} times 64 KiB");
            match journal.replay(&component, Compilation::default()) {
                Ok(answer) => assert_same(&answer, journal.answer()),
                Err(error) => assert!(is_cut && matches!(error, ReplayError::Cut), "{error}"),
            }
        }
    });
}

#[test]
fn only_the_component_that_was_called_is_told_what_it_was_told() {
    on_a_shard(async {
        let mut shard = Shard::embedded(guest("1.0.000"), |_| ());
        let journal = record(&mut shard, "draw").await;
        let replayed = journal.replay(&guest("2.0.000"), Compilation::default());
        assert!(matches!(replayed, Err(ReplayError::OtherComponent { .. })), "{replayed:?}");
    });
}

#[test]
fn clocks_waits_and_randomness_of_wasi_are_those_that_were_recorded() {
    on_a_shard(async {
        let file = built_guest("wasi.wasm");
        let component = fs::read(&file).expect("the guest can be read");
        let mut shard = Shard::start(settings(PluginSource::File(file)));
        for method in ["clocks", "random"] {
            let journal = record(&mut shard, method).await;
            assert!(journal.answer().result.is_ok(), "{:?}", journal.answer());
            assert_ne!(record(&mut shard, method).await.answer().result, journal.answer().result);
            assert_same(
                &journal.replay(&component, Compilation::default()).expect("it goes the same way"),
                journal.answer(),
            );
        }
    });
}
