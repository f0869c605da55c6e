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
        let text = row.split(" | ").next().expect("a row has cells").trim_start_matches("| ").trim();
        let text = text.strip_prefix('`').and_then(|text| text.strip_suffix('`')).expect(row);
        for part in text.split('…').filter(|part| part.len() > 3) {
            assert!(sources.contains(part), "no source has {part:?}, of {row}");
        }
    }
}

/// The sources as one text, with the lines joined that a string goes on over.
fn collect(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&path).expect("sources are text");
            let joined: Vec<&str> = text
                .split("\\\n")
                .enumerate()
                .map(|(index, part)| if index == 0 { part } else { part.trim_start() })
                .collect();
            sources.push_str(&joined.concat().replace("\\\"", "\""));
        }
    }
}
