//! `plugins.NAME.rollback`: a table, or `false`.

use hubgate_plugin_host::{Rollback, Share};

use serde_json::json;

use super::json_schema::of_table;
use super::problem::Problems;
use super::reading::read;
use super::table::table;
use super::value::{Secrecy, Span, Value, seconds, wrong};

table! {
    Settings {
        errors: Errors = Errors(Rollback::default().errors);
        window: Span = Span(Rollback::default().window), least(seconds(1)), most(seconds(3_600));
        calls: u64 = Rollback::default().calls, least(1);
    }
}

/// The share of calls that fail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Errors(Option<Share>);

impl Value for Errors {
    fn schema() -> serde_json::Value {
        json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1 })
    }

    fn read(found: &toml::Value) -> Result<Errors, Problems> {
        let share = found.as_float().and_then(Share::new);
        share.map(|share| Errors(Some(share))).ok_or_else(|| {
            wrong(format!("must be a share of all calls, above 0.0 and up to 1.0, such as 0.5, and not {found}"))
        })
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        self.0.map(|share| share.to_number().into())
    }
}

impl Value for Rollback {
    fn schema() -> serde_json::Value {
        json!({ "anyOf": [{ "const": false }, of_table::<Settings>()] })
    }

    fn read(found: &toml::Value) -> Result<Rollback, Problems> {
        match found {
            toml::Value::Boolean(false) => Ok(Rollback { errors: None, ..Rollback::default() }),
            toml::Value::Table(found) => {
                let mut settings = Settings::default();
                let problems = read(&mut settings, found.clone());
                let Settings { errors, window, calls } = settings;
                match problems.is_empty() {
                    true => Ok(Rollback { errors: errors.0, window: window.0, calls }),
                    false => Err(problems),
                }
            }
            other => Err(wrong(format!(
                "must be `false` (never roll back automatically) or a table such as {{ errors = 0.5, window = \"10s\", calls = 20 }} \
                 (the default), and not {other}"
            ))),
        }
    }

    fn write(&self, secrecy: Secrecy) -> Option<toml::Value> {
        let Some(errors) = self.errors else { return Some(false.into()) };
        let values = [
            ("errors", Errors(Some(errors)).write(secrecy)),
            ("window", Span(self.window).write(secrecy)),
            ("calls", self.calls.write(secrecy)),
        ];
        let set = values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Some(toml::Value::Table(set.collect()))
    }
}
