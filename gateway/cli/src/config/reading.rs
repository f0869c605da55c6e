//! Reads tables of the configuration from what stands in a file.

use std::collections::BTreeMap;

use super::plain_words::{alike, in_words};
use super::problem::Problems;
use super::table::{Beyond, Rule, Table, Visitor};
use super::value::{Secrecy, Value};

/// Takes over into `table` what was found. What cannot stay keeps the value that it had.
pub(super) fn read(table: &mut impl Table, found: toml::Table) -> Problems {
    let mut reading = Reading { left: found, known: Vec::new(), problems: Problems::default() };
    table.visit(&mut reading);
    reading.end()
}

struct Reading {
    /// What no key has taken yet.
    left: toml::Table,
    /// The names of all keys.
    known: Vec<String>,
    problems: Problems,
}

impl Reading {
    fn find(&mut self, name: &str) -> Option<toml::Value> {
        self.known.push(name.to_owned());
        self.left.remove(name)
    }

    fn find_table(&mut self, name: &str) -> Option<toml::Table> {
        match self.find(name)? {
            toml::Value::Table(table) => Some(table),
            other => {
                self.problems.push(name, format!("{} is not a table, such as {{ … }}", in_words(&other)));
                None
            }
        }
    }

    /// Names what no key has taken, with the key that was most likely meant.
    fn end(mut self) -> Problems {
        for name in self.left.keys() {
            let known = self.known.iter().map(String::as_str);
            let text = match alike(&name.replace('_', "-"), known) {
                Some(meant) => format!("unknown key: did you mean `{meant}`?"),
                None => format!("unknown key: there are {}", self.known.join(", ")),
            };
            self.problems.push(name, text);
        }
        self.problems
    }
}

impl Visitor for Reading {
    fn key<V: Value>(&mut self, name: &str, value: &mut V, rule: &Rule<V>) {
        let Some(found) = self.find(name) else { return };
        match V::read(&found) {
            Err(problems) => self.problems.extend_below(name, problems),
            Ok(read) => match rule.broken_by(&read) {
                None => *value = read,
                Some(bound) => self.problems.push(name, beyond(&found, &bound)),
            },
        }
    }

    fn table<T: Table>(&mut self, name: &str, table: &mut T) {
        if let Some(found) = self.find_table(name) {
            self.problems.extend_below(name, read(table, found));
        }
    }

    fn optional<T: Table>(&mut self, name: &str, table: &mut Option<T>) {
        if let Some(found) = self.find_table(name) {
            self.problems.extend_below(name, read(table.get_or_insert_default(), found));
        }
    }

    fn tables<T: Table>(&mut self, name: &str, tables: &mut BTreeMap<String, T>, pattern: Option<&str>) {
        let Some(mut found) = self.find_table(name) else { return };
        let first = pattern.and_then(|pattern| found.remove_entry(pattern));
        for (entry, found) in first.into_iter().chain(found) {
            let mut table = pattern.and_then(|pattern| tables.get(pattern)).cloned().unwrap_or_default();
            let problems = match found {
                toml::Value::Table(found) => read(&mut table, found),
                other => not_a_table(&other),
            };
            self.problems.extend_below(&format!("{name}.{entry}"), problems);
            tables.insert(entry, table);
        }
    }

    fn list<T: Table>(&mut self, name: &str, list: &mut Vec<T>) {
        let Some(found) = self.find(name) else { return };
        let toml::Value::Array(items) = found else {
            let text = format!("{} is not a list: write each item as [[{name}]], with two brackets", in_words(&found));
            return self.problems.push(name, text);
        };
        for (index, found) in items.into_iter().enumerate() {
            let mut item = T::default();
            let problems = match found {
                toml::Value::Table(found) => read(&mut item, found),
                other => not_a_table(&other),
            };
            self.problems.extend_below(&format!("{name}[{index}]"), problems);
            list.push(item);
        }
    }

    fn refuse(&mut self, name: &str, why: &str) {
        if self.left.remove(name).is_some() {
            self.problems.push(name, why);
        }
    }
}

fn not_a_table(found: &toml::Value) -> Problems {
    let mut problems = Problems::default();
    problems.push("", format!("{} is not a table, such as {{ … }}", in_words(found)));
    problems
}

fn beyond<V: Value>(found: &toml::Value, bound: &Beyond<V>) -> String {
    let written = |bound: &V| bound.write(Secrecy::Hidden).map_or(String::new(), |bound| bound.to_string());
    match bound {
        Beyond::Least(least) => format!("{found} is less than {}, the least value", written(least)),
        Beyond::Most(most) => format!("{found} is more than {}, the greatest value", written(most)),
    }
}
