//! The catalogue of errors names texts that the gateway really has.

use std::fs;
use std::path::Path;

use hubgate_tests::command::repository;

#[test]
fn each_text_of_the_catalogue_stands_in_the_sources() {
    let mut sources = String::new();
    collect(&repository().join("gateway"), &mut sources);
    let page = fs::read_to_string(repository().join("docs/errors.md")).expect("the page is there");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(rows.len() > 60, "{} rows", rows.len());
    for row in rows {
        let text = text_of_row(row);
        for part in text.split('…').filter(|part| part.len() > 3) {
            assert!(sources.contains(part), "no source has {part:?}, of {row}");
        }
    }
}

/// The text that a row begins with. One that has a backtick stands between two of them, so that it is one text where the page is read.
fn text_of_row(row: &str) -> &str {
    let cell = row.split(" | ").next().expect("a row has cells").trim_start_matches("| ").trim();
    let between = |fence| cell.strip_prefix(fence)?.strip_suffix(fence);
    if let Some(text) = between("``") {
        return text.trim();
    }
    let text = between("`").expect(row);
    assert!(!text.contains('`'), "{row}");
    text
}

/// The files with the errors of which clients, applications and operators are told.
const TOLD: [&str; 20] = [
    "gateway/cli/src/commands/reload.rs",
    "gateway/cli/src/config/kept_keys.rs",
    "gateway/cli/src/config/kept_modes.rs",
    "gateway/cli/src/config/mod.rs",
    "gateway/cli/src/logging.rs",
    "gateway/core/src/id.rs",
    "gateway/core/src/refresh.rs",
    "gateway/net/src/gateway.rs",
    "gateway/net/src/refusal.rs",
    "gateway/net/src/origins.rs",
    "gateway/net/src/settings/acme.rs",
    "gateway/net/src/settings/cluster.rs",
    "gateway/net/src/tls.rs",
    "gateway/plugin-host/src/file_swap.rs",
    "gateway/plugin-host/src/load_error.rs",
    "gateway/plugin-host/src/plugin_host.rs",
    "gateway/plugin-host/src/versions.rs",
    "gateway/wire/src/endpoint.rs",
    "gateway/wire/src/token/mod.rs",
    "gateway/wire/src/webhook.rs",
];

#[test]
fn each_error_of_which_somebody_is_told_is_in_the_catalogue() {
    let page = fs::read_to_string(repository().join("docs/errors.md")).expect("the page is there");
    let texts = page.lines().filter(|line| line.starts_with("| `")).map(text_of_row);
    let parts: Vec<&str> = texts.flat_map(|cell| cell.split('…')).filter(|part| part.len() > 3).collect();
    for file in TOLD {
        let mut source = String::new();
        collect_file(&repository().join(file), &mut source);
        let errors: Vec<&str> = source.split("#[error(").skip(1).filter_map(text_of).collect();
        assert!(!errors.is_empty(), "{file} has errors");
        for error in errors.into_iter().filter(|error| !is_anothers(error)) {
            let error = error.replace("{{", "{").replace("}}", "}");
            let is_told = |part: &&str| error.contains(*part) || part.contains(error.as_str());
            assert!(parts.iter().any(is_told), "docs/errors.md has no row for {error:?} of {file}");
        }
    }
}

/// The text of an error at the beginning of the source, if it has one of its own.
fn text_of(source: &str) -> Option<&str> {
    let text = source.trim_start().strip_prefix('"')?;
    // Quotes within have lost their backslashes: the text ends where the attribute does, or its arguments begin.
    let ends = ["\")]", "\",", "\"\n"].into_iter().filter_map(|end| text.find(end));
    ends.min().map(|end| &text[..end])
}

/// Whether it is the text of its cause alone.
fn is_anothers(error: &str) -> bool {
    error.starts_with('{') && error.ends_with('}') && !error.starts_with("{{") && error.matches('{').count() == 1
}

/// The sources as one text, with the lines joined that a string goes on over.
fn collect(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            collect_file(&path, sources);
        }
    }
}

fn collect_file(path: &Path, sources: &mut String) {
    let text = fs::read_to_string(path).expect("sources are text");
    let parts = text.split("\\\n").enumerate();
    let joined: Vec<&str> = parts.map(|(index, part)| if index == 0 { part } else { part.trim_start() }).collect();
    sources.push_str(&joined.concat().replace("\\\"", "\""));
}
