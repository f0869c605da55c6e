//! Upgrades behind a socket that outlives the gateway.

use std::process::Command;

use hubgate_tests::command::{Finished, binary, repository};
use serde_json::Value;

#[test]
fn no_connect_is_refused_or_lost_while_one_gateway_follows_another() {
    let mut script = Command::new("python3");
    script.arg(repository().join("scripts/upgrade.py")).arg("--bin").arg(binary());
    script.args(["--connects", "600", "--clients", "20", "--closes", "20"]);
    let report: Value = Finished::of(&mut script).success().parse().expect("one JSON object");
    assert_eq!((&report["refused"], &report["lost"]), (&0.into(), &0.into()), "{report}");
    assert_eq!(report["answered"], 600, "{report}");
    assert_eq!(report["clientsToldToComeBack"], 20, "{report}");
    assert_eq!(report["exitCode"], 0, "{report}");
}
