//! The memory of all instances together.

use hubgate_core::event::UpstreamFailure;
use hubgate_plugin_host::{BadPlugins, Compilation, Folders, HostSettings, PluginHost, PluginSource};

use crate::support::{Shard, asks_whether, guest, host_settings, json, on_a_shard, settings, until};

#[test]
fn instances_between_two_calls_are_given_up_when_a_guest_needs_the_memory() {
    const CALLS: usize = 20;
    on_a_shard(async {
        let plugins = vec![settings(PluginSource::Embedded(guest("1.0.000").leak()))];
        let host_settings = HostSettings { memory_bytes: 16 << 20, ..host_settings(plugins) };
        let host = PluginHost::start(host_settings, Compilation::default(), Folders::default(), BadPlugins::Fail);
        let mut shard = Shard::of(&host.expect("the plugin serves"));
        let memory = |shard: &Shard| shard.host.statuses()[0].memory_bytes;
        assert_eq!(memory(&shard), 0, "what was tried out is gone");

        let mut waiting = Vec::new();
        for _ in 0..CALLS {
            waiting.push(tokio::task::spawn_local(shard.invoke("x", "[]")));
        }
        let mut answers = Vec::new();
        while answers.len() < CALLS {
            answers.push(asks_whether(shard.questions.recv().await).1);
        }
        let of_all = memory(&shard);
        assert!(of_all > CALLS * (512 << 10), "{of_all}");
        for answer in answers {
            answer.send(true).expect("the guest waits");
        }
        for call in waiting {
            let result = call.await.expect("it is not dropped").result;
            assert!(result.is_ok(), "{result:?}");
        }
        assert_eq!(memory(&shard), of_all, "they wait for further calls");

        assert_eq!(shard.invoke("grow", "[]").await.result, Err(UpstreamFailure::OutOfMemory));
        assert_eq!(memory(&shard), 0, "all others were given up for the one that grew");
        assert_eq!(shard.invoke("echo", "[1]").await.result, Ok(Some(json("[1]"))));
    });
}

#[test]
fn a_call_without_memory_for_an_instance_is_refused_and_later_ones_are_not() {
    on_a_shard(async {
        let mut plugin = settings(PluginSource::Embedded(guest("1.0.000").leak()));
        plugin.budgets.concurrency = 1_000;
        let host_settings = HostSettings { memory_bytes: 16 << 20, ..host_settings(vec![plugin]) };
        let host = PluginHost::start(host_settings, Compilation::default(), Folders::default(), BadPlugins::Fail);
        let shard = Shard::of(&host.expect("the plugin serves"));
        let calls: Vec<_> = (0..100).map(|_| tokio::task::spawn_local(shard.invoke("x", "[]"))).collect();
        until("a call is refused", || calls.iter().any(|call| call.is_finished())).await;
        assert!(shard.host.statuses()[0].traps > 0, "it is counted");
        calls.iter().for_each(|call| call.abort());
        until("memory is given back", || shard.host.statuses()[0].memory_bytes == 0).await;
        assert_eq!(shard.invoke("echo", "[1]").await.result, Ok(Some(json("[1]"))));
    });
}
