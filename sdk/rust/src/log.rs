//! Lines of the plugin's log, which the gateway writes into its own under the plugin's name.
//!
//! ```no_run
//! use hubgate_plugin::log;
//!
//! log::info("somebody voted", &[("choice", &"tea"), ("votes", &3)]);
//! ```

use std::fmt::Display;

use crate::bindings::hubgate::plugin::types::Pair;

pub use crate::bindings::hubgate::plugin::log::{Level, write};

/// What a line says beside its text: names and values.
pub type Fields<'a> = &'a [(&'a str, &'a dyn Display)];

/// For whoever looks for a fault; shown if `server.log` asks for it.
pub fn debug(text: &str, fields: Fields<'_>) {
    line(Level::Debug, text, fields);
}

/// For whoever wants to know what happens.
pub fn info(text: &str, fields: Fields<'_>) {
    line(Level::Info, text, fields);
}

/// For whoever should look at it one day.
pub fn warn(text: &str, fields: Fields<'_>) {
    line(Level::Warn, text, fields);
}

/// For whoever should look at it now.
pub fn error(text: &str, fields: Fields<'_>) {
    line(Level::Error, text, fields);
}

fn line(level: Level, text: &str, fields: Fields<'_>) {
    write(level, text, &pairs(fields));
}

fn pairs(fields: Fields<'_>) -> Vec<Pair> {
    fields.iter().map(|(name, value)| Pair { name: (*name).to_owned(), value: value.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_whatever_has_a_text() {
        let votes = 3;
        let found = pairs(&[("choice", &"tea"), ("votes", &votes)]);
        let found: Vec<_> = found.iter().map(|pair| (pair.name.as_str(), pair.value.as_str())).collect();
        assert_eq!(found, [("choice", "tea"), ("votes", "3")]);
    }
}
