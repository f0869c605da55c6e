//! `plugins.NAME.rollback`: a table, or `false`.

use std::time::Duration;

use hubgate_plugin_host::{Rollback, Share};
use toml::{Table, Value};

use super::{ConfigError, problem, schema};

/// The shortest and the longest window.
const WINDOWS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3_600)];

pub(super) fn settings(key: &str, entry: Option<&schema::Rollback>) -> Result<Rollback, ConfigError> {
    let default = Rollback::default();
    let settings = match entry {
        None => return Ok(default),
        Some(schema::Rollback::Never) => return Ok(Rollback { errors: None, ..default }),
        Some(schema::Rollback::Settings(settings)) => settings,
    };
    let errors = match settings.errors {
        None => default.errors,
        Some(share) => match Share::new(share) {
            None => return Err(problem(format!("{key}.errors"), "must be a share of all calls, above 0 and up to 1")),
            share => share,
        },
    };
    let window = settings.window.map_or(default.window, |span| span.0);
    if window < WINDOWS[0] || window > WINDOWS[1] {
        return Err(problem(format!("{key}.window"), "must be from \"1s\" to \"1h\""));
    }
    let calls = settings.calls.unwrap_or(default.calls);
    if calls == 0 {
        return Err(problem(format!("{key}.calls"), "must be at least 1"));
    }
    Ok(Rollback { errors, window, calls })
}

/// As it is written.
pub(super) fn show(settings: &Rollback) -> Value {
    let Some(errors) = settings.errors else { return Value::Boolean(false) };
    let window = humantime::format_duration(settings.window).to_string();
    let calls = i64::try_from(settings.calls).unwrap_or(i64::MAX);
    Value::Table(Table::from_iter([
        ("errors".to_owned(), Value::Float(errors.to_number())),
        ("window".to_owned(), Value::String(window)),
        ("calls".to_owned(), Value::Integer(calls)),
    ]))
}
