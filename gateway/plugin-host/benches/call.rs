//! What a call costs, in microseconds: `cargo bench -p hubgate-plugin-host`. With `HUBGATE_GUESTS` set, the probe (Rust)
//! is measured beside a guest written in WAT.

#[path = "../tests/host/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use hubgate_plugin_host::PluginSource;
use support::{Shard, client, guest, invocation, on_a_shard, settings, start};

const WARM_CALLS: u32 = 200_000;
/// Calls that are made ready, unmeasured, before they are called.
const BATCH: u32 = 100;
const FRESH_CALLS: u32 = 2_000;
const ROUNDS: usize = 7;

fn main() {
    println!("median of {ROUNDS} rounds, 100 bytes of arguments, µs per call");
    measure("WAT", guest("1.0.000"));
    if std::env::var_os("HUBGATE_GUESTS").is_some() {
        let probe = std::fs::read(support::built_guest("probe.wasm")).expect("the probe can be read");
        measure("Rust", probe);
    }
}

fn measure(name: &str, component: Vec<u8>) {
    let host = start(vec![settings(PluginSource::Embedded(component.leak()))]).expect("the guest serves");
    on_a_shard(async {
        let shard = Shard::of(&host);
        let (client, arguments) = (client("ann"), arguments());
        println!("{name}: warm {:.2}", micros(median(async || warm(&shard).await).await));
        let beside = std::thread::scope(|scope| {
            let other = scope.spawn(|| on_a_shard(async { warm(&Shard::of(&host)).await }));
            let own = scope.spawn(|| on_a_shard(async { warm(&Shard::of(&host)).await }));
            [own, other].map(|shard| shard.join().expect("no panic")).into_iter().max()
        });
        println!("{name}: warm, on the slower of two shards at once {:.2}", micros(beside.unwrap_or_default()));
        let fresh = median(async || {
            let started = Instant::now();
            for _ in 0..FRESH_CALLS {
                // A new shard has no instance yet.
                let answer = Shard::of(&host).invoke_as(client.clone(), "echo", &arguments).await;
                assert!(answer.result.is_ok(), "{:?}", answer.result);
            }
            started.elapsed() / FRESH_CALLS
        });
        println!("{name}: fresh instance {:.1}", micros(fresh.await));
        let woken = median(async || {
            let mut took = Duration::ZERO;
            for _ in 0..20 {
                // Long enough for the epochs to stop.
                tokio::time::sleep(Duration::from_millis(20)).await;
                let started = Instant::now();
                shard.invoke_as(client.clone(), "echo", &arguments).await.result.expect("an echo");
                took += started.elapsed();
            }
            took / 20
        });
        println!("{name}: warm after a pause {:.1}", micros(woken.await));
    });
}

async fn warm(shard: &Shard) -> Duration {
    let (client, arguments) = (client("ann"), arguments());
    let mut took = Duration::ZERO;
    for _ in 0..WARM_CALLS / BATCH {
        let calls: Vec<_> = (0..BATCH).map(|_| invocation(client.clone(), "echo", &arguments)).collect();
        let started = Instant::now();
        for call in calls {
            let answer = shard.plugins.call(call).await;
            assert!(answer.result.is_ok(), "{:?}", answer.result);
        }
        took += started.elapsed();
    }
    took / WARM_CALLS
}

fn arguments() -> String {
    format!("[\"{}\"]", "x".repeat(96))
}

async fn median(mut round: impl AsyncFnMut() -> Duration) -> Duration {
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        rounds.push(round().await);
    }
    rounds.sort();
    rounds[ROUNDS / 2]
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
