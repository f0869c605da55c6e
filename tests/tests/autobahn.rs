//! Autobahn's WebSocket cases, driven by the `kosoku` suite, against the gateway's own frames.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use hubgate_tests::command::{built_example, leavings};
use hubgate_tests::python::python_program;
use serde_json::Value;

/// Ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Groups 1 to 7, 9 and 10. Groups 12 and 13 are about compression, which is not offered.
#[test]
fn no_case_fails() {
    let mut server = Command::new(built_example("websocket_echo")).stdout(Stdio::piped()).spawn().expect("it is built");
    let mut address = String::new();
    BufReader::new(server.stdout.take().expect("it is piped")).read_line(&mut address).expect("it says its address");
    let _server = Server(server);
    let reports = leavings("autobahn");
    fs::remove_dir_all(&reports).expect("it is the test's own");
    let suite = Command::new(python_program("kosoku"))
        .args(["--parallelism", "4", "--exclude", "12.*", "--exclude", "13.*", "--outdir"])
        .arg(&reports)
        .arg(address.trim())
        .output()
        .expect("the suite can be run");
    let index = fs::read_to_string(reports.join("index.json")).unwrap_or_else(|error| panic!("{error}: {suite:?}"));
    let index: Value = serde_json::from_str(&index).expect("the index is JSON");
    let cases: Vec<_> =
        index.as_object().expect("agents").values().flat_map(|agent| agent.as_object()).flatten().collect();
    assert!(cases.len() >= 300, "{} cases", cases.len());
    let accepted = ["OK", "NON-STRICT", "INFORMATIONAL"];
    let is_accepted = |case: &Value, name: &str| accepted.iter().any(|each| case[name] == *each);
    let failed: Vec<_> = cases
        .iter()
        .filter(|(_, case)| !is_accepted(case, "behavior") || !is_accepted(case, "behaviorClose"))
        .map(|(name, _)| name)
        .collect();
    assert!(failed.is_empty(), "failed: {failed:?}; the reports are in {}", reports.display());
}
