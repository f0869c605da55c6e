//! The configuration file as JSON Schema, for editors: what a key may be, its default and its bounds as they are declared, and what it means as
//! `docs/configuration.md` has it.
//!
//! The schema has the form of draft 7, which editors of TOML know. It is wider than what the gateway takes where one key depends on another.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::page::{Row, row_of, rows};
use super::schema::File;
use super::table::{Rule, Table, Visitor};
use super::value::{Secrecy, Value};

/// The columns that say what a key does.
const MEANINGS: [&str; 2] = ["meaning", "what happens beyond it"];

/// The schema of the whole file.
pub(crate) fn of_file() -> Json {
    let rows = rows();
    let mut schema = Describing::new("", &rows).table::<File>();
    let about = [
        ("$schema", json!("http://json-schema.org/draft-07/schema#")),
        ("title", json!(format!("The configuration file of Hubgate {}", env!("CARGO_PKG_VERSION")))),
    ];
    if let Some(schema) = schema.as_object_mut() {
        schema.extend(about.map(|(name, value)| (name.to_owned(), value)));
    }
    schema
}

/// The schema of a table that is the value of a key, and has no rows of its own.
pub(super) fn of_table<T: Table>() -> Json {
    Describing::new("", &BTreeMap::new()).table::<T>()
}

/// Collects the keys of one table.
struct Describing<'a> {
    /// The path of the table, as errors have it.
    path: &'a str,
    rows: &'a BTreeMap<String, Row>,
    properties: Map<String, Json>,
}

impl<'a> Describing<'a> {
    fn new(path: &'a str, rows: &'a BTreeMap<String, Row>) -> Describing<'a> {
        Describing { path, rows, properties: Map::new() }
    }

    /// The schema of a table whose keys it has been led through.
    fn table<T: Table>(mut self) -> Json {
        T::default().visit(&mut self);
        json!({ "type": "object", "properties": self.properties, "additionalProperties": false })
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn below<T: Table>(&self, name: &str, end: &str) -> Json {
        Describing::new(&format!("{}{end}", self.path_of(name)), self.rows).table::<T>()
    }

    fn add(&mut self, name: &str, schema: Json) {
        self.properties.insert(name.to_owned(), schema);
    }

    /// What the page says of a key, with its bounds.
    fn description(&self, name: &str) -> Option<String> {
        let (is_own, row) = row_of(self.rows, &self.path_of(name))?;
        let meaning = MEANINGS.iter().find_map(|column| row.get(*column)).filter(|_| is_own)?;
        match row.get("bounds").filter(|bounds| *bounds != "–") {
            Some(bounds) => Some(format!("{meaning} ({bounds})")),
            None => Some(meaning.clone()),
        }
    }
}

impl Visitor for Describing<'_> {
    fn key<V: Value>(&mut self, name: &str, value: &mut V, rule: &Rule<V>) {
        let mut schema = V::schema();
        let json = |value: &V| value.write(Secrecy::Hidden).and_then(|value| serde_json::to_value(value).ok());
        let bounds = [("minimum", &rule.least), ("maximum", &rule.most)];
        let bounds = bounds.map(|(name, bound)| (name, bound.as_ref().and_then(json).filter(Json::is_number)));
        let others = [("default", json(value)), ("description", self.description(name).map(Json::from))];
        if let Some(schema) = schema.as_object_mut() {
            let set = bounds.into_iter().chain(others).filter_map(|(name, value)| Some((name.to_owned(), value?)));
            schema.extend(set);
        }
        self.add(name, schema);
    }

    fn table<T: Table>(&mut self, name: &str, _: &mut T) {
        let schema = self.below::<T>(name, "");
        self.add(name, schema);
    }

    fn optional<T: Table>(&mut self, name: &str, _: &mut Option<T>) {
        let schema = self.below::<T>(name, "");
        self.add(name, schema);
    }

    fn tables<T: Table>(&mut self, name: &str, _: &mut BTreeMap<String, T>, pattern: Option<&str>) {
        let table = self.below::<T>(name, &format!(".{}", pattern.unwrap_or("NAME")));
        self.add(name, json!({ "type": "object", "additionalProperties": table }));
    }

    fn list<T: Table>(&mut self, name: &str, _: &mut Vec<T>) {
        let table = self.below::<T>(name, "[0]");
        self.add(name, json!({ "type": "array", "items": table }));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use jsonschema::Validator;

    use super::super::{Addresses, Draft};
    use super::*;

    fn validator() -> Validator {
        jsonschema::draft7::new(&of_file()).expect("it is a schema")
    }

    fn is_valid(validator: &Validator, text: &str) -> bool {
        let found: toml::Table = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        validator.is_valid(&serde_json::to_value(found).expect("it is JSON as well"))
    }

    fn is_taken(text: &str) -> bool {
        let text = format!("server.access-keys = [\"a-key-of-the-tests-that-is-long-enough\"]\n{text}");
        let draft = Draft::parse(Path::new("/etc/hubgate/hubgate.toml"), &text);
        let draft = draft.map(|mut draft| {
            draft.take(Addresses::default());
            draft
        });
        draft.is_ok_and(|draft| draft.settled().is_ok())
    }

    /// A file that sets each key of the page in turn to values of all kinds, and what the page has as its default.
    fn settings() -> Vec<String> {
        let mut settings = Vec::new();
        for (path, row) in rows() {
            let default = row["default"].split('`').nth(1).unwrap_or("5").to_owned();
            let values = [
                "5",
                "-5",
                "1.5",
                "true",
                "\"text\"",
                "\"10s\"",
                "\"1MiB\"",
                "[]",
                "[\"*\"]",
                "{ x = \"1\" }",
                &default,
            ];
            for value in values {
                let path = path.replace("hubs.*", "hubs.'*'");
                // What an entry has to have beside it.
                let needed = match path.split(['.', '[']).next() {
                    Some("plugins") => "plugins.NAME.path = \"a\"\n",
                    Some("upstream") => "url = \"http://localhost\"\n",
                    Some("network-rules") => "action = \"allow\"\n",
                    Some("cluster") => "cluster.servers = [\"nats://localhost\"]\n",
                    _ => "",
                };
                settings.push(match path.split_once("[0].") {
                    Some((list, key)) => format!("[[{list}]]\n{needed}{key} = {value}"),
                    None => format!("{needed}{path} = {value}"),
                });
            }
        }
        settings.retain(|text| text.parse::<toml::Table>().is_ok());
        settings
    }

    #[test]
    fn an_editor_marks_nothing_that_the_gateway_takes() {
        let validator = validator();
        let (taken, others): (Vec<String>, Vec<String>) = settings().into_iter().partition(|text| is_taken(text));
        assert!(taken.len() > 150 && others.len() > 500, "{} of {} are taken", taken.len(), others.len());
        for text in taken {
            assert!(is_valid(&validator, &text), "{text}");
        }
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let folders = std::fs::read_dir(examples).expect("the examples are there").flatten();
        let files: Vec<_> =
            folders.map(|folder| folder.path().join("hubgate.toml")).filter(|file| file.exists()).collect();
        assert!(files.len() > 3, "{files:?}");
        for file in files {
            let text = std::fs::read_to_string(&file).expect("it can be read");
            assert!(is_valid(&validator, &text), "{}", file.display());
        }
    }

    #[test]
    fn an_editor_marks_unknown_keys_values_of_other_kinds_and_what_is_out_of_bounds() {
        let validator = validator();
        for text in [
            "[hubs.chat]\nmoed = \"default\"",
            "[hubs.chat]\nmode = \"serverles\"",
            "[server]\nshards = 70_000",
            "[server]\nshards = \"2\"",
            "[server]\naccess-keys = [\"a\", \"b\", \"c\"]",
            "[server.limits]\nmessage = 16",
            "[server.limits]\nmessage = \"16M\"",
            "[server.limits]\nmode-switch-closes = 0",
            "[server.limits]\nconnections-per-claim = { tenant = \"7\" }",
            "[server.timeouts]\nclient = \"30\"",
            "[server.timeouts]\nclient = \"5min\"",
            "[upstream]\nhubs = [\"a\"]",
            "[[upstream]]\nretries = 11",
            "[plugins.a]\nconcurrency = 1_001",
            "[plugins.a]\nrollback = true",
            "[plugins.a.rollback]\nerrors = 2.0",
            "[[network-rules]]\nkinds = [\"everybody\"]",
        ] {
            assert!(!is_valid(&validator, text), "{text}");
            assert!(!is_taken(text), "{text}");
        }
    }

    #[test]
    fn each_key_says_what_it_means_and_what_it_is_if_it_is_not_set() {
        let schema = of_file();
        let outbox = &schema["properties"]["server"]["properties"]["limits"]["properties"]["outbox"];
        assert_eq!(outbox["default"], "8MiB");
        assert!(outbox["description"].as_str().is_some_and(|text| text.contains("queued for one client")), "{outbox}");
        let mode = &schema["properties"]["hubs"]["additionalProperties"]["properties"]["mode"];
        assert_eq!(mode["enum"], json!(["default", "serverless", "classic"]));
        let mut without = Vec::new();
        undescribed("", &schema, &mut without);
        // Described where they stand as a whole.
        without.retain(|path| {
            !["tls", "rollback", "negotiate", "jwt", "resource-logs"].iter().any(|table| path.contains(table))
        });
        assert!(without.is_empty(), "{without:?}");
    }

    /// The paths of keys that say nothing.
    fn undescribed(path: &str, schema: &Json, found: &mut Vec<String>) {
        let below = [&schema["additionalProperties"], &schema["items"]];
        for table in std::iter::once(schema).chain(below) {
            for (name, key) in table["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{name}");
                let is_table = [key, &key["additionalProperties"], &key["items"]]
                    .iter()
                    .any(|key| key.get("properties").is_some());
                match is_table {
                    true => undescribed(&path, key, found),
                    false if key.get("description").is_none() => found.push(path),
                    false => {}
                }
            }
        }
    }
}
