//! What a language can do, as its probes have shown it and its project has it, and as the page about languages says it.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use hubgate_tests::command::{Finished, repository};
use hubgate_tests::toolchains::hubgate_in;
use hubgate_tests::wait::until;
use serde_json::json;

use crate::rig::{Integers, Language, Rig};
use crate::values::sums;

const PAGE: &str = "docs/languages.md";

/// The cells of a language's row in the page's table, after its name.
pub(crate) struct Abilities {
    language: &'static Language,
    cells: Vec<(&'static str, String)>,
}

impl Abilities {
    pub(crate) async fn found_by(rig: &Rig) -> Abilities {
        let (read_me, has_types) = project(rig.language);
        let cells = vec![
            // Whatever comes before this has passed.
            ("handler", "yes".to_owned()),
            ("filter", "yes".to_owned()),
            ("http", "yes".to_owned()),
            ("MessagePack native", yes(gets_messagepack(rig).await)),
            ("exact integers", exact_integers(rig).await),
            ("traceback in the log", traceback(rig).await),
            ("random numbers", yes(has_random_numbers(rig).await)),
            ("clock", yes(has_a_clock(rig).await)),
            ("whole hub", yes(begins_with_a_hub(rig.language))),
            ("types in an editor", yes(has_types)),
            ("tests on your machine", yes(read_me.contains(rig.language.tested_by))),
            ("support", if read_me.contains("experimental") { "experimental" } else { "full" }.to_owned()),
        ];
        Abilities { language: rig.language, cells }
    }

    /// Fails with the row that belongs there.
    pub(crate) fn are_on_the_page(&self) {
        let page = fs::read_to_string(repository().join(PAGE)).expect("it can be read");
        let titles: Vec<&str> = self.cells.iter().map(|(title, _)| *title).collect();
        let head = format!("| | {} |", titles.join(" | "));
        assert!(page.lines().any(|line| line == head), "{PAGE} has no table with the head\n{head}");
        let cells: Vec<&str> = self.cells.iter().map(|(_, cell)| cell.as_str()).collect();
        let row = format!("| {} | {} |", self.language.name, cells.join(" | "));
        assert!(page.lines().any(|line| line == row), "{PAGE} does not say what was found:\n{row}");
    }
}

fn yes(is_able: bool) -> String {
    if is_able { "yes" } else { "–" }.to_owned()
}

/// The README of a new project, and whether it has the types of the contract.
fn project(language: &Language) -> (String, bool) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    Finished::of(hubgate_in(folder.path()).args(["plugin", "new", "hello", "--language", language.id])).success();
    let file = |name: &str| folder.path().join("hello").join(name);
    (fs::read_to_string(file("README.md")).expect("it is there"), file(language.types).is_file())
}

/// Whether there is a project to begin with; other tests build it.
fn begins_with_a_hub(language: &Language) -> bool {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let arguments = ["plugin", "new", "hello", "--language", language.id, "--kind", "hub"];
    Finished::of(hubgate_in(folder.path()).args(arguments)).code == Some(0)
}

/// A call of the probe that gets MessagePack as it was sent, and gives it back.
async fn gets_messagepack(rig: &Rig) -> bool {
    // An array with an application's extension and with bytes, which JSON cannot carry.
    const ARGUMENTS: [u8; 9] = [0x93, 0x01, 0xd5, 0x05, 0xab, 0xcd, 0xc4, 0x01, 0xff];
    let mut client = rig.gateway.client("native").open().await;
    client.send_text("{\"protocol\":\"messagepack\",\"version\":1}\u{1e}").await;
    assert_eq!(client.next_bytes().await, b"{}\x1e");
    // [1, {}, "7", "raw", arguments, []]
    let call = [b"\x96\x01\x80\xa17\xa3raw", &ARGUMENTS[..], b"\x90"].concat();
    client.send_binary(&[&[call.len() as u8], &call[..]].concat()).await;
    // [3, {}, "7", 3, result]
    let completion = [b"\x95\x03\x80\xa17\x03", &ARGUMENTS[..]].concat();
    client.next_bytes().await == [&[completion.len() as u8], &completion[..]].concat()
}

async fn exact_integers(rig: &Rig) -> String {
    let mut client = rig.client().await;
    for (a, b, sum) in sums() {
        if client.call("add", json!([a, b])).await != Ok(json!(sum)) {
            return "to 2^53".to_owned();
        }
    }
    assert!(rig.language.integers == Integers::Of64Bits, "it can do more than it is thought to");
    "64 bits".to_owned()
}

/// What the log says of a call that breaks off.
async fn traceback(rig: &Rig) -> String {
    let mut client = rig.client().await;
    let text = "what the call died of";
    let of_crashes = || rig.gateway.log().matches("event=\"crash\"").count();
    let before = of_crashes();
    client.call("crash", json!([text])).await.expect_err("it breaks off");
    // The lines of a guest come before the host's own.
    until("the host's line about the crash", async || (of_crashes() > before).then_some(())).await;
    let log = rig.gateway.log();
    match (log.contains(text), log.contains(rig.language.source)) {
        (true, true) => "with the place",
        (true, false) => "the text",
        (false, _) => "–",
    }
    .to_owned()
}

/// Whether the language's own are different each time, in each instance too.
async fn has_random_numbers(rig: &Rig) -> bool {
    let mut seen = Vec::new();
    for hub in ["probe", "probe", "hasty", "native"] {
        let mut client = rig.gateway.client(hub).connect().await;
        let Ok(number) = client.call("chance", json!([])).await else { return false };
        seen.push(number);
    }
    seen.iter().enumerate().all(|(place, number)| number.is_number() && !seen[..place].contains(number))
}

async fn has_a_clock(rig: &Rig) -> bool {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_millis() as u64;
    let before = now();
    let told = rig.client().await.call("clock", json!([])).await;
    told.ok().and_then(|told| told.as_f64()).is_some_and(|told| (before..=now()).contains(&(told as u64)))
}
