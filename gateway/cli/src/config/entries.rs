//! All keys of a configuration with their values: as they are shown, and as two configurations are compared.

use std::collections::BTreeMap;

use super::origins::{Origin, Origins};
use super::schema::File;
use super::table::{Change, Rule, Table, Visitor};
use super::value::{Secrecy, Value};

/// A key with its value.
#[derive(Debug)]
pub(super) struct Entry {
    /// As errors name it, such as `hubs.chat.mode` or `upstream[0].url`.
    pub(super) path: String,
    /// The key whose value it has where it is not set itself.
    pattern: Option<String>,
    header: Header,
    name: String,
    /// None: it is not set.
    pub(super) value: Option<toml::Value>,
    /// The least and the greatest value.
    #[cfg(test)]
    pub(super) bounds: [Option<toml::Value>; 2],
    pub(super) change: Change,
}

/// The line above the keys of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Header {
    /// With dots between them.
    names: String,
    /// Of a list.
    item: Option<usize>,
}

/// All keys of a file, in the order in which they are declared.
pub(super) fn entries(file: &File, secrecy: Secrecy) -> Vec<Entry> {
    let mut listing = Listing { secrecy, at: Place::default(), entries: Vec::new() };
    file.clone().visit(&mut listing);
    listing.entries
}

/// The file as TOML, with where each value comes from. Secrets are not told.
pub(super) fn show(file: &File, origins: &Origins) -> String {
    let (mut text, mut header) = (String::new(), Header::default());
    for entry in entries(file, Secrecy::Hidden) {
        let Some(value) = &entry.value else { continue };
        if entry.header != header {
            header.clone_from(&entry.header);
            text.push_str(&match header.item {
                Some(_) => format!("\n[[{}]]\n", header.names),
                None => format!("\n[{}]\n", header.names),
            });
        }
        text.push_str(&format!("{} = {value}  # {}\n", quoted(&entry.name), origin(&entry, origins)));
    }
    text.trim_start().to_owned()
}

fn origin(entry: &Entry, origins: &Origins) -> String {
    let pattern = entry.pattern.as_deref().map_or(Origin::Default, |key| origins.of(key));
    match (origins.of(&entry.path), &entry.pattern) {
        (Origin::Default, Some(key)) if pattern != Origin::Default => format!("{key}, {pattern}"),
        (own, _) => own.to_string(),
    }
}

/// A name as it stands in TOML, in quotes where it needs them.
fn quoted(name: &str) -> String {
    let line = toml::Table::from_iter([(name.to_owned(), true.into())]).to_string();
    line.trim_end().trim_end_matches(" = true").to_owned()
}

/// The paths of the keys whose values differ, or of the outermost table that only one of both has.
pub(super) fn changes(before: &File, after: &File) -> BTreeMap<String, Change> {
    let by_path = |file| -> BTreeMap<String, Entry> {
        entries(file, Secrecy::Exposed).into_iter().map(|entry| (entry.path.clone(), entry)).collect()
    };
    let (before, after) = (by_path(before), by_path(after));
    let mut changes = BTreeMap::new();
    for (own, other) in [(&before, &after), (&after, &before)] {
        for (path, entry) in own {
            match other.get(path) {
                Some(same) if same.value == entry.value => {}
                Some(_) => drop(changes.insert(path.clone(), entry.change)),
                None => drop(changes.insert(outermost_missing(path, other).to_owned(), entry.change)),
            }
        }
    }
    changes
}

/// The shortest beginning of a path that no key has.
fn outermost_missing<'a>(path: &'a str, keys: &BTreeMap<String, Entry>) -> &'a str {
    let is_there = |table: &str| {
        let mut below = keys.range(table.to_owned()..).map_while(|(key, _)| key.strip_prefix(table));
        below.any(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let ends = path.match_indices(['.', '[']).map(|(at, _)| &path[..at]);
    ends.filter(|table| !table.is_empty()).find(|table| !is_there(table)).unwrap_or(path)
}

/// Where a listing is.
#[derive(Debug, Clone, Default)]
struct Place {
    path: String,
    pattern: Option<String>,
    header: Header,
}

impl Place {
    fn key(&self, name: &str) -> String {
        below(&self.path, name)
    }

    fn table(&self, name: &str) -> Place {
        let names = below(&self.header.names, &quoted(name));
        let pattern = self.pattern.as_deref().map(|path| below(path, name));
        Place { path: self.key(name), pattern, header: Header { names, item: None } }
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

struct Listing {
    secrecy: Secrecy,
    at: Place,
    entries: Vec<Entry>,
}

impl Listing {
    fn go_into(&mut self, place: Place, table: &mut impl Table) {
        let outer = std::mem::replace(&mut self.at, place);
        table.visit(self);
        self.at = outer;
    }
}

impl Visitor for Listing {
    fn key<V: Value>(&mut self, name: &str, value: &mut V, rule: &Rule<V>) {
        let write = |value: &V| value.write(self.secrecy);
        self.entries.push(Entry {
            path: self.at.key(name),
            pattern: self.at.pattern.as_deref().map(|path| below(path, name)),
            header: self.at.header.clone(),
            name: name.to_owned(),
            value: write(value),
            #[cfg(test)]
            bounds: [&rule.least, &rule.most].map(|bound| bound.as_ref().and_then(write)),
            change: rule.change,
        });
    }

    fn table<T: Table>(&mut self, name: &str, table: &mut T) {
        self.go_into(self.at.table(name), table);
    }

    fn optional<T: Table>(&mut self, name: &str, table: &mut Option<T>) {
        if let Some(table) = table {
            self.go_into(self.at.table(name), table);
        }
    }

    fn tables<T: Table>(&mut self, name: &str, tables: &mut BTreeMap<String, T>, pattern: Option<&str>) {
        let all = self.at.table(name);
        for (name, table) in tables {
            let pattern = pattern.filter(|pattern| pattern != name).map(|pattern| all.key(pattern));
            self.go_into(Place { pattern, ..all.table(name) }, table);
        }
    }

    fn list<T: Table>(&mut self, name: &str, list: &mut Vec<T>) {
        let all = self.at.table(name);
        for (index, item) in list.iter_mut().enumerate() {
            let header = Header { item: Some(index), ..all.header.clone() };
            self.go_into(Place { path: format!("{}[{index}]", all.path), header, ..all.clone() }, item);
        }
    }
}
