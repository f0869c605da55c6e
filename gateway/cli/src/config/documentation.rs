//! The tables of `docs/configuration.md` have a row for each key, with its default and its bounds.

use std::collections::BTreeMap;

use super::entries::{Entry, entries};
use super::page::{PAGE, row_of, rows};
use super::reading;
use super::schema::{ALL_HUBS, Acme, Cluster, File, Hub, NetworkRule, Plugin, Server, Tls, UpstreamItem};
use super::table::Change;
use super::value::Secrecy;

/// What stands for a value that is not set, or that is no constant.
const NONE: &str = "–";

/// Each table of the file with one entry, all keys as they are if nothing is said.
fn defaults() -> File {
    let tls = Tls { acme: Some(Acme::default()), ..Tls::default() };
    File {
        server: Server { tls, ..Server::default() },
        hubs: BTreeMap::from([(ALL_HUBS.to_owned(), Hub::default())]),
        network_rules: vec![NetworkRule::default()],
        upstream: vec![UpstreamItem::default()],
        plugins: BTreeMap::from([("NAME".to_owned(), Plugin::default())]),
        cluster: Some(Cluster::default()),
        ..File::default()
    }
}

/// The file with a key set as the page has it.
fn with(path: &str, value: &str) -> File {
    let path = path.replace("hubs.*", "hubs.'*'");
    let text = match path.split_once("[0].") {
        Some((list, key)) => format!("[[{list}]]\n{key} = {value}"),
        None => format!("{path} = {value}"),
    };
    let mut file = defaults();
    file.upstream.clear();
    file.network_rules.clear();
    let problems: Vec<_> = reading::read(&mut file, text.parse().expect(&text)).into_iter().collect();
    assert!(problems.is_empty(), "{text}: {problems:?}");
    file
}

/// The value between the first two backticks.
fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.split_once('`').map(|(code, _)| code)
}

#[test]
fn the_page_has_each_key_with_its_default_and_its_bounds() {
    let rows = rows();
    let keys = entries(&defaults(), Secrecy::Hidden);
    assert!(keys.len() > 70, "{}", keys.len());
    for key in &keys {
        let (is_own, row) = row_of(&rows, &key.path).unwrap_or_else(|| panic!("the page has no row for {}", key.path));
        if is_own {
            check_default(key, &row["default"]);
        }
        let written = |value: &Option<toml::Value>| value.as_ref().map(|value| format!("`{value}`"));
        let bounds = match key.bounds.each_ref().map(written) {
            [None, None] => NONE.to_owned(),
            [Some(least), None] => format!("from {least}"),
            [None, Some(most)] => format!("to {most}"),
            [Some(least), Some(most)] => format!("{least} to {most}"),
        };
        assert_eq!(row.get("bounds").map_or(NONE, String::as_str), bounds, "bounds of {}", key.path);
    }
    for path in rows.keys() {
        let is_key =
            |key: &Entry| key.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        assert!(keys.iter().any(is_key), "the page has a row for {path}, which is not a key");
    }
}

/// Where the default is a value, the page has it.
fn check_default(key: &Entry, cell: &str) {
    match (&key.value, code(cell)) {
        (Some(value), Some(written)) => {
            let set = entries(&with(&key.path, written), Secrecy::Hidden);
            let set = set.into_iter().find(|entry| entry.path == key.path).and_then(|entry| entry.value);
            assert_eq!(set.as_ref(), Some(value), "the default of {}: {cell}", key.path);
        }
        (Some(value), None) => {
            let is_empty = value.as_array().is_some_and(Vec::is_empty);
            assert!(is_empty, "the default of {} is {value}, and not {cell}", key.path);
        }
        (None, _) => assert!(!cell.is_empty(), "the default of {}", key.path),
    }
}

#[test]
fn the_page_names_the_keys_that_cannot_change_while_the_gateway_runs() {
    let line =
        PAGE.lines().find(|line| line.contains("cannot change: such a file is refused")).expect("there is a line");
    let named: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
    let keys = entries(&defaults(), Secrecy::Hidden);
    // A table is named for all of its keys.
    let tables: Vec<&str> = named.iter().filter_map(|name| name.strip_prefix('[')?.strip_suffix(']')).collect();
    let table_of = |path: &str| tables.iter().find(|table| path.starts_with(&format!("{table}.")));
    for key in &keys {
        let is_named = named.contains(&key.path.as_str()) || table_of(&key.path).is_some();
        assert_eq!(is_named, key.change == Change::Restart, "{}", key.path);
    }
    for name in named {
        let is_key = keys
            .iter()
            .any(|key| key.path == name || table_of(&key.path).is_some_and(|table| name == format!("[{table}]")));
        assert!(is_key, "{name} is not a key");
    }
}
