//! The samples of `examples/hubs`: unmodified JavaScript clients see their rules hold, and a real browser uses their pages.

use std::fs;
use std::process::Command;

use hubgate_tests::command::{Finished, binary, leavings, repository};
use hubgate_tests::gateway::KEY;
use hubgate_tests::script::{Script, require_packages};
use hubgate_tests::{Gateway, guests};

const SAMPLES: [&str; 5] = ["chat", "ticker", "shape", "upload", "ask"];

#[tokio::test]
async fn the_chat_has_rooms_members_and_a_streamed_history() {
    let rules = [
        "a room that is not there, and words of somebody in none, are refused",
        "members of a room are told who is there, whoever comes, moves or leaves",
        "what is said is heard in its room, and in no other",
        "whoever comes later is streamed what was said last",
    ];
    hold(rules, "chat").await;
}

#[tokio::test]
async fn the_ticker_moves_prices_by_a_timer_and_streams_them() {
    let rules = [
        "of a closed market there is one stream of its prices, which ends",
        "while the market is open a timer moves the prices for everybody",
        "each client has one stream of them: its next one ends the last",
        "a market that closes ends the streams, and can then be reset",
    ];
    hold(rules, "ticker").await;
}

#[tokio::test]
async fn the_shape_moves_for_all_others() {
    let rules = [
        "ten seconds of moves reach all others, in order",
        "the mover hears nothing, and what is no place moves nothing",
    ];
    hold(rules, "shape").await;
}

#[tokio::test]
async fn the_upload_tells_its_progress_and_answers_with_the_total() {
    let rules = [
        "each piece is progress, before the end, and the answer is the number of bytes",
        "files that come at once are counted apart",
        "a file without a byte has none; one that breaks off, and one that is no text, have an error",
    ];
    hold(rules, "upload").await;
}

#[tokio::test]
async fn a_client_is_asked_what_another_waits_for() {
    let rules = [
        "clients know of each other",
        "what the asked client gives is what the asker gets, also of itself",
        "an asked client's error, one that leaves, and one that is not there are told",
    ];
    hold(rules, "ask").await;
}

/// The client says of each rule that it holds, then two windows use the page. Only one gateway, because it compiles the component.
async fn hold<const N: usize>(rules: [&str; N], sample: &str) {
    require_packages("examples/hubs/www");
    let component = guests::sample(sample).display().to_string();
    let www = repository().join("examples/hubs/www").display().to_string();
    let gateway = Gateway::dev(["--plugin", &component, "--hub", sample, "--www", &www]).start().await;
    let mut client = Script::start("samples.mjs", &[sample, &gateway.url()]);
    for rule in rules {
        assert_eq!(client.line().await, rule);
    }
    client.succeeds().await;
    let screenshots = leavings("screenshots/samples").display().to_string();
    Script::start("sample_pages.mjs", &[sample, &gateway.url(), &screenshots]).succeeds().await;
}

#[test]
fn one_configuration_serves_all_samples() {
    let file = repository().join("examples/hubs/hubgate.toml");
    let mut check = Command::new(binary());
    Finished::of(check.args(["config", "check", "--config"]).arg(&file).env("HUBGATE_ACCESS_KEYS", KEY)).success();
    let config: toml::Table = read("hubgate.toml").parse().expect("it is right");
    for sample in SAMPLES {
        assert_eq!(config["hubs"][sample]["mode"].as_str(), Some("serverless"));
        assert_eq!(config["plugins"][sample]["path"].as_str(), Some(format!("{sample}.wasm").as_str()));
    }
}

#[test]
fn each_sample_has_the_lines_that_its_table_says_and_no_more_than_its_hub_in_csharp() {
    let page = read("README.md");
    for sample in SAMPLES {
        let path = format!("{sample}/{sample}.js");
        let row = page.lines().find(|line| line.starts_with(&format!("| [{sample}]({path})"))).expect("it has a row");
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [own, csharp] = [3, 5].map(|cell| cells[cell].parse::<usize>().expect("a number of lines"));
        let lines = read(&path).lines().filter(|line| counts(line)).count();
        assert_eq!(own, lines, "{path}");
        assert!(lines <= csharp, "{path}: {lines} lines, and {csharp} in C#");
    }
}

/// Whether a line is neither blank, nor a comment, nor an import, nor brackets alone.
fn counts(line: &str) -> bool {
    let line = line.trim();
    !line.starts_with('/') && !line.starts_with("import ") && line.contains(char::is_alphanumeric)
}

/// A file of `examples/hubs`.
fn read(path: &str) -> String {
    fs::read_to_string(repository().join("examples/hubs").join(path)).expect("it can be read")
}
