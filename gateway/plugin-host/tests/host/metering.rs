//! How long a guest can hold its shard: calls of imports are counted and metered like its own instructions.

use std::time::Duration;

use hubgate_core::delivery::{Action, Target};
use hubgate_core::event::{UpstreamCall, UpstreamEvent, UpstreamFailure};
use hubgate_core::id::PluginName;
use hubgate_core::pairs::Pairs;
use hubgate_plugin_host::{Compilation, LoadError, inspect};
use hubgate_wire::payload::{MessagePackValue, Payload};

use crate::support::{Shard, client, guest, is_pending, json, on_a_shard, wasi_guest};

/// More than a host call looks through in place.
const LONG: usize = 40_000;

fn text(length: usize) -> String {
    format!("[\"{}\"]", "x".repeat(length))
}

#[test]
fn long_json_that_a_guest_submits_or_answers_is_looked_through_while_the_shard_goes_on() {
    on_a_shard(async {
        let shard = Shard::embedded(guest("1.0.000"), |_| ());
        for method in ["json", "echo"] {
            let long = text(LONG);
            let mut call = Box::pin(shard.invoke(method, &long));
            assert!(is_pending(&mut call).await, "{method}");
            // Both are polled, as a shard does: a call that rests at a tick keeps its turn until it is polled.
            let (answer, other) = tokio::join!(call, shard.invoke("version", "[]"));
            assert!(other.result.is_ok(), "others are served meanwhile: {other:?}");
            let sent = match answer.actions.as_slice() {
                [Action::Send { to: Target::All, message, .. }] => message.weight(),
                actions => actions.len(),
            };
            match method {
                "json" => assert!(sent > LONG && answer.result.is_ok(), "{answer:?}"),
                _ => assert_eq!((sent, answer.result), (0, Ok(Some(json(&long))))),
            }
        }
    });
}

#[test]
fn long_arguments_are_converted_while_the_shard_goes_on() {
    on_a_shard(async {
        let shard = Shard::embedded(guest("1.0.000"), |_| ());
        let packed = [&[0x91, 0xda, (LONG >> 8) as u8, LONG as u8], "x".repeat(LONG).as_bytes()].concat();
        let event = UpstreamEvent::Invocation {
            target: "version".into(),
            arguments: Payload::MessagePack(MessagePackValue::parse_array(packed).expect("it is an array of one text")),
            invocation_id: Some("1".into()),
            headers: Pairs::default(),
        };
        let call = UpstreamCall { plugin: PluginName::new("p"), client: client("ann"), event };
        let mut call = Box::pin(shard.plugins.call(call));
        assert!(is_pending(&mut call).await);
        assert_eq!(call.await.result, Ok(Some(json("\"1.0.000\""))));
    });
}

#[test]
fn what_a_guest_prints_lets_the_shard_go_on_after_each_permit() {
    on_a_shard(async {
        let prints = "(local $left i32)
            (local.set $left (i32.const 20))
            (loop $more
              (call $write (call $stderr) (i32.const 8192) (i32.const 4096) (i32.const 64))
              (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))";
        let shard = Shard::embedded(wasi_guest(prints), |_| ());
        // The instance of a first call is made in that call.
        let mut call = Box::pin(shard.invoke("echo", "[1]"));
        let mut turns = 0;
        let answer = std::future::poll_fn(|context| {
            turns += 1;
            call.as_mut().poll(context)
        });
        assert_eq!(answer.await.result, Ok(Some(json("[1]"))));
        assert!(turns > 20, "{turns} turns for 20 permits");
    });
}

#[test]
fn a_write_beyond_the_permit_is_a_trap() {
    let write =
        |bytes: usize| format!("(call $write-at-once (call $stderr) (i32.const 0) (i32.const {bytes}) (i32.const 64))");
    inspect(&wasi_guest(&write(4096)), Compilation::default()).expect("it writes what is permitted");
    // All streams of an instance have one permit together.
    for beyond in [write(4097), write(4096) + &write(1), write(60_000)] {
        let error = inspect(&wasi_guest(&beyond), Compilation::default()).expect_err("it writes more");
        assert!(matches!(&error, LoadError::Init(why) if why.contains("`check-write` permitted")), "{error:?}");
    }
}

#[test]
fn a_call_waits_for_so_many_pollables_at_most() {
    let poll = |count: usize| {
        format!(
            "(local $pollable i32) (local $at i32)
             (local.set $pollable (call $after (i64.const 0)))
             (loop $fill
               (i32.store (i32.add (i32.const 8192) (local.get $at)) (local.get $pollable))
               (local.set $at (i32.add (local.get $at) (i32.const 4)))
               (br_if $fill (i32.lt_u (local.get $at) (i32.const {}))))
             (call $poll (i32.const 8192) (i32.const {count}) (i32.const 64))",
            4 * count
        )
    };
    inspect(&wasi_guest(&poll(1_000)), Compilation::default()).expect("so many are allowed");
    let error = inspect(&wasi_guest(&poll(1_001)), Compilation::default()).expect_err("it waits for more");
    assert!(matches!(&error, LoadError::Init(why) if why.contains("1001 pollables")), "{error:?}");
}

#[test]
fn calls_of_wasi_count_as_calls_of_the_host() {
    let calls = "(local $left i32)
        (local.set $left (i32.const 50))
        (loop $more
          (call $environment (i32.const 64))
          (drop (call $stderr))
          (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))";
    on_a_shard(async {
        let allowed = |host_calls| {
            move |settings: &mut hubgate_plugin_host::PluginSettings| settings.budgets.host_calls = host_calls
        };
        let shard = Shard::embedded(wasi_guest(calls), allowed(100));
        assert_eq!(shard.invoke("echo", "[1]").await.result, Ok(Some(json("[1]"))));
        let start = std::panic::catch_unwind(|| Shard::embedded(wasi_guest(calls), allowed(99)).host.statuses().len());
        let why = start.expect_err("it makes one call too many");
        let why = why.downcast_ref::<String>().expect("the reason is text");
        assert!(why.contains("called the host more than 99 times"), "{why}");
    });
}

#[test]
fn what_a_guest_passes_at_once_is_bounded_by_what_it_was_given() {
    on_a_shard(async {
        let shard = Shard::embedded(guest("1.0.000"), |settings| settings.budgets.call_time = Duration::from_secs(60));
        // The guest claims that all of its memory is its answer: more than what may be passed in any case.
        let answer = shard.invoke("y", "[]").await;
        let is_said = |why: &str| why.contains("passed more than 4259840 bytes");
        assert!(matches!(&answer.result, Err(UpstreamFailure::Trapped(why)) if is_said(why)), "{:?}", answer.result);
    });
}
