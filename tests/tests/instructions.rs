//! What the message path costs in instructions, which do not depend on what else the machine does.

use std::path::PathBuf;
use std::process::Command;

/// How far a count may be from the one that stands here: compilers differ a little.
const TOLERANCE: f64 = 0.15;

/// What one piece of work costs: the difference of two runs, so that the set-up does not count.
fn instructions(work: &str) -> f64 {
    const FEW: u64 = 100;
    const MANY: u64 = 300;
    (count(work, MANY) - count(work, FEW)) as f64 / (MANY - FEW) as f64
}

fn count(work: &str, times: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program())
        .args([work, &times.to_string()])
        .output()
        .expect("valgrind is needed: apt-get install valgrind");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let collected = text.lines().find_map(|line| line.split_once("Collected :")).expect("callgrind says its count").1;
    collected.trim().parse().expect("a number")
}

/// The core's example, which is built with the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.ancestors().nth(2).expect("tests are in deps/");
    let program = folder.join("examples/instructions");
    assert!(program.is_file(), "{} is not there: run cargo build --release --examples", program.display());
    program
}

#[track_caller]
fn check(work: &str, expected: f64) {
    let measured = instructions(work);
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
    check("decode", 769.0);
}

#[test]
fn a_call_goes_up_and_its_answer_comes_back() {
    check("route", 6_127.0);
}

#[test]
fn a_message_fans_out_to_1000_clients() {
    check("fan-out", 62_309.0);
}
