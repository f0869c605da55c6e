//! Where the values of a configuration come from: a line of the file, an option, a variable of the environment.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Problems};

/// Where the keys of one configuration are set. A path of a key is such as `hubs.chat.filters` or `upstream[0].url`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins {
    file: PathBuf,
    /// The lines, from 1, on which the keys of the file stand.
    lines: BTreeMap<String, usize>,
    /// The names of what is given outside of the file, by the key that it sets.
    outside: BTreeMap<String, &'static str>,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Line(usize),
    /// The option or the variable of this name.
    Outside(&'static str),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Line(line) => write!(f, "line {line}"),
            Origin::Outside(name) => f.write_str(name),
            Origin::Default => f.write_str("default"),
        }
    }
}

impl Origins {
    pub(super) fn of_file(file: &Path, text: &str) -> Origins {
        let mut lines = BTreeMap::new();
        if let Ok(document) = DeTable::parse(text) {
            let ends = text.match_indices('\n').map(|(at, _)| at).collect();
            Lines { ends, lines: &mut lines }.table(document.get_ref(), "");
        }
        Origins { file: file.to_owned(), lines, outside: BTreeMap::new() }
    }

    /// The file; empty where there is none.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Notes that a key, and what is below it, is given by an option or a variable.
    pub(super) fn is_given_by(&mut self, key: impl Into<String>, name: &'static str) {
        self.outside.insert(key.into(), name);
    }

    pub(super) fn of(&self, key: &str) -> Origin {
        if let Some(name) = outer(key).find_map(|key| self.outside.get(key)) {
            return Origin::Outside(name);
        }
        self.lines.get(key).map_or(Origin::Default, |line| Origin::Line(*line))
    }

    /// A key as who has set it, or could set it, finds it: `hubgate.toml, line 7: hubs.chat.mode`, or `--listen`.
    pub(crate) fn place(&self, key: &str) -> String {
        if let Origin::Outside(name) = self.of(key) {
            return name.to_owned();
        }
        // Of what is not there, the innermost table around it.
        match self.line(key) {
            Some(line) => format!("{}, line {line}: {key}", self.file.display()),
            None if self.file.as_os_str().is_empty() || !key.contains('.') => key.to_owned(),
            None => format!("{}: {key}", self.file.display()),
        }
    }

    /// Whether a key is set, in the file or outside of it.
    pub(crate) fn is_set(&self, key: &str) -> bool {
        self.of(key) != Origin::Default
    }

    /// The line of a key, or of the innermost table around it that is there. Another hub or plugin is not where one belongs.
    fn line(&self, key: &str) -> Option<usize> {
        let tables = outer(key).take_while(|table| *table == key || !NAMED_TABLES.contains(table));
        tables.into_iter().find_map(|table| self.lines.get(table)).copied()
    }

    /// The problems with their places, in the order of the file.
    pub(super) fn placed(&self, problems: Problems) -> Vec<String> {
        let mut problems: Vec<Problem> = problems.into_iter().collect();
        problems.sort_by_key(|problem| self.line(&problem.key).unwrap_or(usize::MAX));
        problems.iter().map(|problem| format!("{}: {}", self.place(&problem.key), problem.text)).collect()
    }

    /// A text with the names of options and variables in place of the keys that they set.
    pub(crate) fn in_own_words(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (key, name) in &self.outside {
            text = text.replace(key.as_str(), name);
        }
        text
    }
}

/// Tables of what has a name: as a rule they stand in no line of their own.
const NAMED_TABLES: [&str; 2] = ["hubs", "plugins"];

/// A path, and those of what holds it, the longest first.
fn outer(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(key), |key| key.rfind(['.', '[']).map(|end| &key[..end]))
}

/// The line, from 1, of a place in the text.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}

/// Notes on which lines the keys of a text stand.
struct Lines<'a> {
    /// Where the lines end.
    ends: Vec<usize>,
    lines: &'a mut BTreeMap<String, usize>,
}

impl Lines<'_> {
    fn note(&mut self, path: &str, at: usize) {
        self.lines.insert(path.to_owned(), self.ends.partition_point(|end| *end < at) + 1);
    }

    fn table(&mut self, table: &DeTable<'_>, path: &str) {
        for (name, value) in table {
            let path = if path.is_empty() { name.get_ref().to_string() } else { format!("{path}.{}", name.get_ref()) };
            self.note(&path, name.span().start);
            self.value(value, &path);
        }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, path: &str) {
        match value.get_ref() {
            DeValue::Table(table) => self.table(table, path),
            DeValue::Array(list) => {
                for (index, item) in list.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.note(&path, item.span().start);
                    self.value(item, &path);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_wherever_they_stand() {
        let text = "[server]\nlisten = 'x'\nendpoints = [\n  'a',\n  'b',\n]\n\n[hubs.'a.b']\nmode = 'default'\n\n\
                    [[upstream]]\nplugin = 'p'\n[[upstream]]\nurl = 'u'\n[plugins.p.config]\nx = 'y'\n";
        let origins = Origins::of_file(Path::new("f"), text);
        for (key, place) in [
            ("server.listen", "f, line 2: server.listen"),
            ("server.endpoints[1]", "f, line 5: server.endpoints[1]"),
            ("server.limits.message", "f, line 1: server.limits.message"),
            ("hubs.a.b.mode", "f, line 9: hubs.a.b.mode"),
            ("upstream[0].plugin", "f, line 12: upstream[0].plugin"),
            ("upstream[1].url", "f, line 14: upstream[1].url"),
            ("upstream[1].retries", "f, line 13: upstream[1].retries"),
            ("plugins.p.config.x", "f, line 16: plugins.p.config.x"),
            ("admin.listen", "f: admin.listen"),
            ("hubs.*.cors-origins", "f: hubs.*.cors-origins"),
            ("plugins.p.memory", "f, line 15: plugins.p.memory"),
        ] {
            assert_eq!(origins.place(key), place);
        }
    }

    #[test]
    fn what_is_given_outside_of_the_file_is_named_as_it_is_given() {
        let mut origins = Origins::of_file(Path::new("f"), "[plugins.p]\npath = 'x'");
        origins.is_given_by("plugins.p.path", "--plugin");
        assert_eq!(origins.place("plugins.p.path"), "--plugin");
        assert_eq!(origins.of("plugins.p.path"), Origin::Outside("--plugin"));
        assert_eq!(origins.of("plugins.p.memory"), Origin::Default);
        assert_eq!(origins.in_own_words("set `plugins.p.path`"), "set `--plugin`");
    }
}
