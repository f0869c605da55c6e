//! The samples of `examples/hubs`: unmodified JavaScript clients see their rules hold, and a real browser uses their pages.

use std::fs;

use hubgate_tests::command::{leavings, repository};
use hubgate_tests::script::{Script, require_packages};
use hubgate_tests::{Gateway, guests};

const SAMPLES: [&str; 2] = ["shape", "ask"];

#[tokio::test]
async fn the_shape_moves_for_all_others() {
    let rules = [
        "ten seconds of moves reach all others, in order",
        "the mover hears nothing, and what is no place moves nothing",
    ];
    hold(rules, "shape").await;
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

/// The client says of each rule that it holds.
async fn hold<const N: usize>(rules: [&str; N], sample: &str) {
    let component = guests::sample(sample).display().to_string();
    let gateway = Gateway::dev(["--plugin", &component, "--hub", sample]).start().await;
    let mut script = Script::start("samples.mjs", &[sample, &gateway.url()]);
    for rule in rules {
        assert_eq!(script.line().await, rule);
    }
    script.succeeds().await;
}

#[tokio::test]
async fn the_pages_of_all_samples_work_in_two_windows() {
    require_packages("examples/hubs/www");
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let config = folder.path().join("hubgate.toml");
    fs::copy(repository().join("examples/hubs/hubgate.toml"), &config).expect("there is room for a file");
    for sample in SAMPLES {
        let component = folder.path().join(sample).with_extension("wasm");
        fs::copy(guests::sample(sample), component).expect("there is room for a file");
    }
    let www = repository().join("examples/hubs/www").display().to_string();
    let gateway = Gateway::dev(["--config", &config.display().to_string(), "--www", &www]).start().await;
    let screenshots = leavings("screenshots/samples").display().to_string();
    let mut script = Script::start("sample_pages.mjs", &[&gateway.url(), &screenshots]);
    for page in ["Shape", "Ask"] {
        assert_eq!(script.line().await, page);
    }
    script.succeeds().await;
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
