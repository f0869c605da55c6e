//! One line: an object in the form in which the service archives its logs.

use std::time::{Duration, SystemTime};

use hubgate_core::id::HubName;
use serde_json::{Map, Value};

/// What is shown of a text from outside, in characters.
const LONGEST_TEXT: usize = 256;

#[derive(Debug)]
pub(super) struct Entry {
    operation: &'static str,
    level: &'static str,
    address: Option<Value>,
    properties: Map<String, Value>,
}

impl Entry {
    /// `kind` is the category's name in the service.
    pub(super) fn new(kind: &'static str, operation: &'static str, level: &'static str) -> Entry {
        let mut entry = Entry { operation, level, address: None, properties: Map::new() };
        entry.text("type", kind);
        entry
    }

    pub(super) fn of_connection(operation: &'static str, level: &'static str) -> Entry {
        let mut entry = Entry::new("ConnectivityLogs", operation, level);
        entry.text("collection", "Connection");
        entry
    }

    pub(super) fn of_message(operation: &'static str, message_type: &'static str, hub: &HubName) -> Entry {
        let mut entry = Entry::new("MessagingLogs", operation, "Informational");
        entry.text("collection", "Message");
        entry.text("messageType", message_type);
        entry.text("hubName", hub.as_str());
        entry
    }

    pub(super) fn address(&mut self, address: &str) {
        self.address = Some(shown(address));
    }

    pub(super) fn text(&mut self, name: &'static str, text: &str) {
        self.properties.insert(name.to_owned(), shown(text));
    }

    pub(super) fn optional(&mut self, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    pub(super) fn number(&mut self, name: &'static str, number: u64) {
        self.properties.insert(name.to_owned(), number.into());
    }

    /// To the microsecond.
    pub(super) fn milliseconds(&mut self, name: &'static str, time: Duration) {
        self.properties.insert(name.to_owned(), (time.as_micros() as f64 / 1_000.0).into());
    }

    /// With its end.
    pub(super) fn line(self) -> String {
        let mut object = Map::new();
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        object.insert("time".to_owned(), time.into());
        object.insert("level".to_owned(), self.level.into());
        object.insert("category".to_owned(), "AllLogs".into());
        object.insert("operationName".to_owned(), self.operation.into());
        if let Some(address) = self.address {
            object.insert("callerIpAddress".to_owned(), address);
        }
        object.insert("properties".to_owned(), self.properties.into());
        format!("{}\n", Value::from(object))
    }
}

/// Its beginning, if it is long.
fn shown(text: &str) -> Value {
    match text.char_indices().nth(LONGEST_TEXT) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_outside_stays_in_its_line_and_is_cut_where_it_is_long() {
        let mut entry = Entry::of_connection("ConnectionStarted", "Informational");
        entry.text("userId", "one\n\"two\"\u{7}");
        entry.text("message", &"ä".repeat(10_000));
        let line = entry.line();
        assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "{line}");
        let value: Value = serde_json::from_str(&line).expect("it is JSON");
        assert_eq!(value["properties"]["userId"], "one\n\"two\"\u{7}");
        let message = value["properties"]["message"].as_str().expect("a text");
        assert_eq!(message.chars().count(), LONGEST_TEXT + 1);
    }
}
