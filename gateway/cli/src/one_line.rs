//! The fields of a log line as text, and what else must stay on its line.

use std::fmt;

use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};

/// Writes fields as the library does, but what would end the line, steer a terminal or turn the direction of writing as
/// an escape: no text from outside can forge a line, whoever logs it.
#[derive(Debug, Default)]
pub(crate) struct OneLine(DefaultFields);

impl<'writer> FormatFields<'writer> for OneLine {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut text = String::new();
        self.0.format_fields(Writer::new(&mut text), fields)?;
        for character in text.chars() {
            match is_active(character) {
                true => write!(writer, "{}", character.escape_default())?,
                false => writer.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// Whether a reader of the log may do something else than to show the character in its place.
pub(crate) fn is_active(character: char) -> bool {
    const LINES: [char; 2] = ['\u{2028}', '\u{2029}'];
    let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || turns || LINES.contains(&character)
}

/// JSON in which such characters are escapes, which mean the same there.
pub(crate) fn json(value: &serde_json::Value) -> String {
    let mut text = String::new();
    // Those that are active stand in texts alone, and are of two bytes in UTF-16.
    for character in value.to_string().chars() {
        match is_active(character) {
            true => text.push_str(&format!("\\u{:04x}", u32::from(character))),
            false => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panics").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn json_says_the_same_without_active_characters() {
        let value = serde_json::json!({ "a\u{7f}": ["\u{9b}1m\u{202e}\u{2028}\r\n\u{1b}\\\"", "é 😀", 1.5, null] });
        let text = json(&value);
        assert!(!text.contains(is_active) && text.contains(r"\u202e") && text.contains("é 😀"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("it is JSON"), value);
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(OneLine::default())
            .with_ansi(true)
            .without_time()
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(subscriber.finish(), || {
            let hostile = "a\r\nINFO forged\0\u{1b}[2J\u{9b}1m\u{2028}\u{202e}é";
            tracing::info!(shown = %hostile, quoted = hostile, "{hostile}");
        });
        let written = String::from_utf8(lines.0.lock().expect("nobody panics").clone()).expect("text");
        let (line, rest) = written.split_once('\n').expect("a line");
        assert_eq!(rest, "");
        let active: Vec<char> = line.chars().filter(|character| is_active(*character)).collect();
        let colours = line.matches('\u{1b}').count();
        assert_eq!(active, vec!['\u{1b}'; colours], "{line:?}");
        assert!(!line.contains("\u{1b}[2J") && line.contains(r"a\r\nINFO forged") && line.contains('é'), "{line:?}");
    }
}
