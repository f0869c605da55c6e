//! Attacks by a plugin on its host, and by a component on the compiler.

use std::time::{Duration, Instant};

use hubgate_tests::Gateway;
use hubgate_tests::gateway::Setup;
use hubgate_tests::guests;
use serde_json::{Value, json};

use crate::catalogue::Played;

/// The hub that the hostile plugin serves.
pub(crate) const HUB: &str = "hostile";
/// The plugin whose file the exploding component replaces.
const VICTIM: &str = "victim";
/// How long a plugin is called again and again.
const TIME: Duration = Duration::from_secs(6);

/// The hostile plugin beside the good clients' one. With one shard, so that whoever holds it up holds up everybody.
pub(crate) fn hostile() -> Setup {
    Gateway::probe().plugin(HUB, &guests::hostile()).with(&format!(
        r#"
        server.shards = 1
        hubs.{HUB}.mode = "serverless"
        [[upstream]]
        hubs = ["probe"]
        plugin = "probe"
        [[upstream]]
        hubs = ["{HUB}"]
        categories = ["messages"]
        plugin = "{HUB}"
        "#
    ))
}

/// One call adds 45 users with ids of 8 MiB to a group.
pub(crate) async fn long_user_ids(gateway: &Gateway) -> Played {
    once(gateway, "join", json!([0, 45, 8 << 20, null])).await
}

/// The plugin adds 1.2 million invented users to a group.
pub(crate) async fn memberships(gateway: &Gateway) -> Played {
    const CALLS: usize = 240;
    const USERS_PER_CALL: usize = 5_000;
    let mut client = gateway.client(HUB).connect().await;
    for call in 0..CALLS {
        let arguments = json!([call * USERS_PER_CALL, USERS_PER_CALL, 16, null]);
        if let Err(error) = client.call("join", arguments).await {
            return Ok(format!("{} memberships, then: {error}", call * USERS_PER_CALL));
        }
    }
    Ok(format!("{} memberships", CALLS * USERS_PER_CALL))
}

/// The plugin writes 20 MB of short lines in one host call, again and again.
pub(crate) async fn output(gateway: &Gateway) -> Played {
    again_and_again(gateway, "print", json!([20_000_000])).await
}

/// The plugin sends 14 MB of JSON in one host call, again and again.
pub(crate) async fn large_actions(gateway: &Gateway) -> Played {
    again_and_again(gateway, "submit", json!([14_000_000])).await
}

/// The plugin rewrites 48 MiB of state again and again.
pub(crate) async fn rewritten_state(gateway: &Gateway) -> Played {
    again_and_again(gateway, "rewrite", json!([48, 1 << 20])).await
}

async fn once(gateway: &Gateway, method: &str, arguments: Value) -> Played {
    let mut client = gateway.client(HUB).connect().await;
    Ok(match client.call(method, arguments).await {
        Ok(_) => "the call succeeds".to_owned(),
        Err(error) => format!("the call fails: {error}"),
    })
}

async fn again_and_again(gateway: &Gateway, method: &str, arguments: Value) -> Played {
    let mut client = gateway.client(HUB).connect().await;
    let (mut calls, mut failed, mut why) = (0, 0, String::new());
    let began = Instant::now();
    while began.elapsed() < TIME {
        calls += 1;
        if let Err(error) = client.call(method, arguments.clone()).await {
            failed += 1;
            why = format!(": {error}");
        }
    }
    Ok(format!("{calls} calls, {failed} of them failed{why}"))
}

/// A plugin of which nothing but its file matters.
pub(crate) fn with_a_victim() -> Setup {
    Gateway::probe().plugin(VICTIM, &guests::probe_2())
}

/// A plugin's file is replaced by a component of some kilobytes that the compiler makes gigabytes of.
pub(crate) async fn compiler(gateway: &Gateway) -> Played {
    const TIME: Duration = Duration::from_secs(25);
    const PERIOD: Duration = Duration::from_millis(100);
    let component = wat::parse_str(exploding_component())?;
    gateway.replace_plugin(VICTIM, &component);
    let began = Instant::now();
    while began.elapsed() < TIME {
        let error = &gateway.plugin_status(VICTIM).await["lastError"]["reason"];
        if let Some(reason) = error.as_str() {
            return Ok(format!("a component of {} kB is refused: {reason}", component.len() / 1000));
        }
        tokio::time::sleep(PERIOD).await;
    }
    Ok(format!("a component of {} kB is still being compiled after {TIME:?}", component.len() / 1000))
}

/// 1,000 nested blocks with 1,000 results each, and 20 tables of jumps to all of them: each of the 20,000 jumps carries 1,000
/// values, each of which the register allocator looks at.
fn exploding_component() -> String {
    const BLOCKS: usize = 1_000;
    const RESULTS: usize = 1_000;
    const TABLES: usize = 20;
    let results = "i32 ".repeat(RESULTS);
    let values = "(local.get 0) ".repeat(RESULTS);
    let labels: String = (1..=BLOCKS).map(|depth| format!("{depth} ")).collect();
    let tables = format!("(local.get 0) if {values} (local.get 0) br_table {labels} end\n").repeat(TABLES);
    let (begins, ends) = (format!("block (result {results})\n").repeat(BLOCKS), "end ".repeat(BLOCKS));
    format!("(component (core module (func (param i32) (result {results})\n{begins}\n{tables}\nunreachable\n{ends})))")
}
