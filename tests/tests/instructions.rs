//! What the message path costs in instructions, which do not depend on what else the machine does.

use std::path::PathBuf;
use std::process::Command;

/// How far a count may be from the one that stands here: compilers differ a little.
const TOLERANCE: f64 = 0.15;

/// Where work is done, and the two numbers of times that are compared: the set-up counts in both.
struct Program {
    example: &'static str,
    few: u64,
    many: u64,
}

const CORE: Program = Program { example: "instructions", few: 100, many: 300 };
const CLUSTER: Program = Program { example: "node_instructions", few: 100, many: 300 };
/// Compiling a guest takes a few thousand instructions more or less each time, so a few hundred calls would not do.
const PLUGIN_HOST: Program = Program { example: "call_instructions", few: 1_000, many: 6_000 };

impl Program {
    /// What one piece of work costs.
    fn instructions(&self, work: &str) -> f64 {
        (self.count(work, self.many) - self.count(work, self.few)) as f64 / (self.many - self.few) as f64
    }

    fn count(&self, work: &str, times: u64) -> u64 {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(self.file())
            .args([work, &times.to_string()])
            .output()
            .expect("valgrind is needed: apt-get install valgrind");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        let collected =
            text.lines().find_map(|line| line.split_once("Collected :")).expect("callgrind says its count").1;
        collected.trim().parse().expect("a number")
    }

    /// Examples are built with the tests.
    fn file(&self) -> PathBuf {
        let test = std::env::current_exe().expect("a test has a path");
        let folder = test.ancestors().nth(2).expect("tests are in deps/");
        let file = folder.join("examples").join(self.example);
        assert!(file.is_file(), "{} is not there: run cargo build --release --workspace --examples", file.display());
        file
    }
}

#[track_caller]
fn check(program: &Program, work: &str, expected: f64) {
    let measured = program.instructions(work);
    let change = measured / expected - 1.0;
    assert!(
        change.abs() <= TOLERANCE,
        "{work} costs {measured:.0} instructions, {:+.0} % of the {expected:.0} that stand in this test: mend it, or \
         write the new number down if it is worth it",
        change * 100.0
    );
}

#[test]
fn a_clients_frame_is_decoded() {
    check(&CORE, "decode", 767.0);
}

#[test]
fn a_call_goes_up_and_its_answer_comes_back() {
    check(&CORE, "route", 6_628.0);
}

#[test]
fn a_call_goes_through_a_hub_server() {
    check(&CORE, "proxy", 3_530.0);
}

#[test]
fn a_message_fans_out_to_1000_clients() {
    check(&CORE, "fan-out", 40_113.0);
}

#[test]
fn a_message_that_is_kept_for_each_fans_out_to_1000_clients_and_is_acknowledged() {
    check(&CORE, "fan-out-kept", 230_132.0);
}

#[test]
fn a_send_to_a_group_is_encoded_for_another_node() {
    check(&CLUSTER, "encode", 2_049.0);
}

#[test]
fn a_send_to_a_group_is_decoded_from_another_node() {
    check(&CLUSTER, "decode", 5_216.0);
}

#[test]
fn a_handler_is_called() {
    check(&PLUGIN_HOST, "call", 13_250.0);
}
