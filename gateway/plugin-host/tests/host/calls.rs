//! What comes of calls: answers, and each way to fail.

use std::time::{Duration, Instant};

use hubgate_core::event::{UpstreamEvent, UpstreamFailure};
use hubgate_core::id::PluginName;
use hubgate_plugin_host::Rollback;

use crate::support::{Shard, asks_whether, client, guest, is_pending, json, on_a_shard, until};

type IsExpected = fn(&UpstreamFailure) -> bool;

fn shard() -> Shard {
    Shard::embedded(guest("1.0.000"), |_| ())
}

#[test]
fn a_result_is_the_text_that_the_guest_answered() {
    on_a_shard(async {
        let answer = shard().invoke("echo", "[1.50, \"ä\"]").await;
        assert_eq!(answer.result, Ok(Some(json("[1.50, \"ä\"]"))));
    });
}

#[test]
fn connection_events_have_no_result() {
    on_a_shard(async {
        let shard = shard();
        assert_eq!(shard.event(UpstreamEvent::Connected).await.result, Ok(None));
        let reason = Some("bye".to_owned());
        assert_eq!(shard.event(UpstreamEvent::Disconnected { reason }).await.result, Ok(None));
    });
}

#[test]
fn every_failure_is_told_by_its_name_and_hurts_no_later_call() {
    on_a_shard(async {
        let shard =
            Shard::embedded(guest("1.0.000"), |settings| settings.budgets.call_time = Duration::from_millis(200));
        let expected: [(&str, IsExpected); 7] = [
            ("reject", |failure| *failure == UpstreamFailure::Rejected("no thanks".to_owned())),
            ("fail", |failure| *failure == UpstreamFailure::Failed("no thanks".to_owned())),
            ("no JSON", |failure| matches!(failure, UpstreamFailure::Failed(why) if why.contains("not valid JSON"))),
            ("trap", |failure| matches!(failure, UpstreamFailure::Trapped(why) if why.contains("unreachable"))),
            ("overflow", |failure| matches!(failure, UpstreamFailure::Trapped(why) if why.contains("overflow"))),
            ("spin", |failure| *failure == UpstreamFailure::TimedOut),
            ("grow", |failure| *failure == UpstreamFailure::OutOfMemory),
        ];
        for (method, is_expected) in expected {
            let failure = shard.invoke(method, "[]").await.result.unwrap_err();
            assert!(is_expected(&failure), "{method}: {failure:?}");
            assert_eq!(shard.invoke("echo", "[1]").await.result, Ok(Some(json("[1]"))), "after {method}");
        }
        let status = &shard.host.statuses()[0];
        assert_eq!((status.calls, status.traps), (14, 4));
    });
}

#[test]
fn the_shard_has_its_turn_for_each_tick_of_all_looping_guests_together() {
    const GUESTS: usize = 10;
    on_a_shard(async {
        let shard = Shard::embedded(guest("1.0.000"), |settings| settings.budgets.cpu_time = Duration::from_millis(20));
        let calls: Vec<_> = (0..GUESTS).map(|_| tokio::task::spawn_local(shard.invoke("spin", "[]"))).collect();
        let mut turns = 0;
        while calls.iter().any(|call| !call.is_finished()) {
            tokio::task::yield_now().await;
            turns += 1;
        }
        let mut all_ticks = 0;
        for call in calls {
            match call.await.expect("it is not dropped").result {
                Err(UpstreamFailure::OutOfCpuTime { ticks }) => all_ticks += ticks,
                other => panic!("it was not broken off: {other:?}"),
            }
        }
        assert!(all_ticks > 20 * GUESTS as u64, "{all_ticks}");
        // The last tick of each ends it.
        assert!(turns + GUESTS as u64 >= all_ticks, "{all_ticks} ticks of guests, and {turns} turns of the shard");
    });
}

#[test]
fn a_looping_guest_leaves_the_thread_to_others_and_ends_with_its_time() {
    on_a_shard(async {
        let shard =
            Shard::embedded(guest("1.0.000"), |settings| settings.budgets.call_time = Duration::from_millis(500));
        let started = Instant::now();
        let spinning = tokio::task::spawn_local(shard.invoke("spin", "[]"));
        let mut echoes = 0;
        while !spinning.is_finished() {
            assert!(shard.invoke("echo", "[]").await.result.is_ok());
            echoes += 1;
            tokio::task::yield_now().await;
        }
        let took = started.elapsed();
        assert_eq!(spinning.await.unwrap().result, Err(UpstreamFailure::TimedOut));
        assert!(took >= Duration::from_millis(500), "ended after {took:?}");
        // The loop holds the thread for a tick of 1 ms at a time; a busy machine may take a multiple of that.
        assert!(echoes >= 20, "{echoes} echoes in {took:?}");
    });
}

#[test]
fn a_call_that_waits_for_the_shard_ends_with_its_time_too() {
    on_a_shard(async {
        let mut shard =
            Shard::embedded(guest("1.0.000"), |settings| settings.budgets.call_time = Duration::from_millis(50));
        assert_eq!(shard.invoke("x", "[]").await.result, Err(UpstreamFailure::TimedOut));
        let (_, answer) = asks_whether(shard.questions.try_recv().ok());
        assert!(answer.is_closed(), "nobody waits for the answer any more");
    });
}

#[test]
fn a_call_waits_for_a_free_instance_as_long_as_its_time() {
    const INSTANCES: usize = 64;
    on_a_shard(async {
        let mut shard = shard();
        let waiting: Vec<_> = (0..INSTANCES).map(|_| tokio::task::spawn_local(shard.invoke("x", "[]"))).collect();
        until("64 questions", || shard.questions.len() == INSTANCES).await;
        let next = tokio::task::spawn_local(shard.invoke("echo", "[]"));
        tokio::task::yield_now().await;
        assert!(!next.is_finished());
        let (_, answer) = asks_whether(shard.questions.recv().await);
        answer.send(true).expect("a guest waits");
        assert_eq!(next.await.unwrap().result, Ok(Some(json("[]"))));
        shard.questions.close();
        while shard.questions.recv().await.is_some() {}
        for call in waiting {
            assert!(call.await.unwrap().result.is_ok(), "a guest learns that nobody answers");
        }
    });
}

#[test]
fn a_call_that_finds_no_free_instance_in_its_time_is_told_so() {
    on_a_shard(async {
        let shard =
            Shard::embedded(guest("1.0.000"), |settings| settings.budgets.call_time = Duration::from_millis(300));
        // The one too many arrives with the others, so its time is over with theirs at the latest.
        let calls: Vec<_> = (0..65).map(|_| tokio::task::spawn_local(shard.invoke("x", "[]"))).collect();
        let mut failures = Vec::new();
        for call in calls {
            failures.push(call.await.unwrap().result.unwrap_err());
        }
        let busy = failures.iter().filter(|failure| **failure == UpstreamFailure::Busy).count();
        let timed_out = failures.iter().filter(|failure| **failure == UpstreamFailure::TimedOut).count();
        assert_eq!(busy + timed_out, 65, "{failures:?}");
        assert!(timed_out >= 64, "{failures:?}");
    });
}

#[test]
fn a_call_that_is_dropped_leaves_the_pool_whole() {
    on_a_shard(async {
        let shard = shard();
        for _ in 0..100 {
            let mut call = Box::pin(shard.invoke("x", "[]"));
            assert!(is_pending(&mut call).await);
            drop(call);
        }
        assert_eq!(shard.invoke("echo", "[]").await.result, Ok(Some(json("[]"))));
    });
}

#[test]
fn a_leaking_guest_is_replaced_before_it_runs_out_of_memory() {
    on_a_shard(async {
        // 1 MiB is 16 pages; each call takes one more.
        let shard = Shard::embedded(guest("1.0.000"), |settings| settings.budgets.memory_bytes = 1 << 20);
        for call in 0..100 {
            assert_eq!(shard.invoke("leak", "[]").await.result, Ok(Some(json("[]"))), "call {call}");
        }
        assert_eq!(shard.host.statuses()[0].traps, 0);
    });
}

#[test]
fn all_calls_pass_again_when_one_on_trial_ends_whatever_others_have_ended_meanwhile() {
    on_a_shard(async {
        let mut shard = Shard::embedded(guest("1.0.000"), |settings| {
            settings.budgets.cpu_time = Duration::from_millis(20);
            settings.rollback = Rollback { errors: None, window: Duration::from_secs(5), calls: 2 };
        });
        let waiting = tokio::task::spawn_local(shard.invoke("x", "[]"));
        let (_, answer) = asks_whether(shard.questions.recv().await);
        for _ in 0..2 {
            let spun = shard.invoke("spin", "[]").await.result;
            assert!(matches!(spun, Err(UpstreamFailure::OutOfCpuTime { .. })), "{spun:?}");
        }
        assert_eq!(shard.invoke("echo", "[]").await.result, Err(UpstreamFailure::Busy));
        answer.send(true).expect("the guest waits");
        assert!(waiting.await.expect("no panic").result.is_ok(), "it has begun before");

        let deadline = Instant::now() + Duration::from_secs(120);
        while shard.invoke("echo", "[]").await.result == Err(UpstreamFailure::Busy) {
            assert!(Instant::now() < deadline, "no call is let through");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for call in 0..10 {
            assert_eq!(shard.invoke("echo", "[]").await.result, Ok(Some(json("[]"))), "call {call}");
        }
    });
}

#[test]
fn a_plugin_that_does_not_exist_fails_the_call() {
    on_a_shard(async {
        let shard = shard();
        let call = hubgate_core::event::UpstreamCall {
            plugin: PluginName::new("other"),
            client: client("ann"),
            event: UpstreamEvent::Connected,
        };
        assert!(matches!(shard.plugins.call(call).await.result, Err(UpstreamFailure::Failed(_))));
    });
}

#[test]
fn calls_and_swaps_are_counted() {
    on_a_shard(async {
        let shard = shard();
        for method in ["echo", "echo", "reject", "trap"] {
            shard.invoke(method, "[]").await.result.ok();
        }
        let mut registry = prometheus_client::registry::Registry::default();
        shard.host.register_metrics(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "hubgate_plugin_calls_total{plugin=\"p\",outcome=\"ok\"} 2",
            "hubgate_plugin_calls_total{plugin=\"p\",outcome=\"rejected\"} 1",
            "hubgate_plugin_calls_total{plugin=\"p\",outcome=\"trapped\"} 1",
            "hubgate_plugin_calls_total{plugin=\"p\",outcome=\"busy\"} 0",
            "hubgate_plugin_call_seconds_count{plugin=\"p\"} 4",
            "hubgate_plugin_call_seconds_bucket{le=\"+Inf\",plugin=\"p\"} 4",
            "hubgate_plugin_generation{plugin=\"p\"} 1",
            "hubgate_plugin_swaps_total{plugin=\"p\",outcome=\"swapped\"} 0",
        ] {
            assert!(text.lines().any(|each| each == line), "{line} is not in\n{text}");
        }
    });
}
