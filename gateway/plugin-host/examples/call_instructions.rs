//! Calls to count the instructions of: `call_instructions call TIMES`. What one call costs is the difference between two
//! runs, divided by the difference of their times, so that compiling the guest does not count.

#[path = "../tests/host/support/mod.rs"]
mod support;

use hubgate_plugin_host::PluginSource;
use support::{Shard, client, guest, on_a_shard, settings, start};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let times: usize = match arguments.as_slice() {
        [_, what, times] if what == "call" => times.parse().expect("a number"),
        _ => panic!("call_instructions call TIMES"),
    };
    let component = guest("1.0.000").leak();
    let host = start(vec![settings(PluginSource::Embedded(component))]).expect("the guest serves");
    on_a_shard(async {
        let shard = Shard::of(&host);
        let (client, arguments) = (client("ann"), format!("[\"{}\"]", "x".repeat(96)));
        for _ in 0..times {
            let answer = shard.invoke_as(client.clone(), "echo", &arguments).await;
            assert!(answer.result.is_ok(), "{:?}", answer.result);
        }
    });
    host.stop();
}
