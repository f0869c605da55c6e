//! A filter that hides what matches a pattern: in the arguments of calls, in stream items and in results, both ways.
//!
//! Configuration: `patterns`, regular expressions, one a line. What matches inside of a string becomes `***`; names of an
//! object's members, numbers and everything else stay as they are.

mod json;

use std::cell::OnceCell;

use hubgate_plugin::filter::{Delivery, Filter, Message, Verdict};
use hubgate_plugin::{Connection, Payload, config};
use regex::Regex;

thread_local! {
    static PATTERNS: OnceCell<Vec<Regex>> = const { OnceCell::new() };
}

struct Redact;

impl Filter for Redact {
    fn init() -> Result<(), String> {
        let text = config::get("patterns").unwrap_or_default();
        let patterns = patterns(&text)?;
        PATTERNS.with(|cell| cell.set(patterns)).map_err(|_| "the instance was made before".to_owned())
    }

    fn inbound(_: Connection, message: Message) -> Verdict {
        redact(message)
    }

    fn outbound(_: Delivery, message: Message) -> Verdict {
        redact(message)
    }
}

/// One pattern a line; empty lines do not count.
fn patterns(text: &str) -> Result<Vec<Regex>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let patterns = lines.map(|line| Regex::new(line).map_err(|error| format!("`patterns`: {error}")));
    match patterns.collect::<Result<Vec<Regex>, String>>() {
        Ok(none) if none.is_empty() => Err("`patterns` is missing: say one regular expression a line".to_owned()),
        patterns => patterns,
    }
}

fn redact(mut message: Message) -> Verdict {
    PATTERNS.with(|patterns| {
        let patterns = patterns.get().map(Vec::as_slice).unwrap_or_default();
        let mut is_changed = false;
        if let Some(error) = &mut message.error
            && let Some(hidden) = hide(error, patterns)
        {
            *error = hidden;
            is_changed = true;
        }
        match &mut message.content {
            Some(Payload::Json(text)) => {
                if let Some(hidden) = json::map_strings(text, |string| hide(string, patterns)) {
                    *text = hidden;
                    is_changed = true;
                }
            }
            // The gateway gives MessagePack only to plugins with `payload = "native"`, which cannot be looked into here.
            Some(Payload::Msgpack(_)) => {
                return Verdict::Reject("The filter `redact` reads JSON: leave its `payload` at \"json\".".to_owned());
            }
            None => {}
        }
        match is_changed {
            true => Verdict::Replace(message),
            false => Verdict::Pass,
        }
    })
}

/// `text` without what matches; `None` if nothing does.
fn hide(text: &str, patterns: &[Regex]) -> Option<String> {
    let mut hidden: Option<String> = None;
    for pattern in patterns {
        let present = hidden.as_deref().unwrap_or(text);
        if pattern.is_match(present) {
            hidden = Some(pattern.replace_all(present, "***").into_owned());
        }
    }
    hidden
}

hubgate_plugin::export_filter!(Redact);

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(patterns: &str, json: &str) -> Option<String> {
        let patterns = super::patterns(patterns).unwrap();
        json::map_strings(json, |string| hide(string, &patterns))
    }

    #[test]
    fn what_matches_in_strings_is_hidden_and_the_rest_stays_byte_for_byte() {
        let cards = "\\b\\d{4}-\\d{4}\\b\n  secret\\w*  \n\n";
        assert_eq!(
            redacted(cards, r#"[ "my card: 1234-5678.", {"secret":1.0, "b" : "secrets\u0021 \"x\""} , 1234 ]"#)
                .unwrap(),
            r#"[ "my card: ***.", {"secret":1.0, "b" : "***! \"x\""} , 1234 ]"#
        );
        assert_eq!(redacted(cards, r#"["nothing", 12, {"a": [null]}]"#), None);
    }

    #[test]
    fn what_is_escaped_is_found() {
        assert_eq!(redacted("geheim", r#"["\u0067eheim"]"#).unwrap(), r#"["***"]"#);
        assert_eq!(redacted("a\"b", r#"["a\"b\n"]"#).unwrap(), r#"["***\n"]"#);
    }

    #[test]
    fn half_a_surrogate_pair_hides_nothing() {
        assert_eq!(redacted("secret", r#"["\ud800 secret", "\udc00\ud800"]"#).unwrap(), "[\"\u{fffd}\u{fffd}\u{fffd} ***\", \"\\udc00\\ud800\"]");
    }

    #[test]
    fn a_pattern_that_is_none_is_refused() {
        assert!(patterns("(").unwrap_err().starts_with("`patterns`: "));
        assert!(patterns(" \n").unwrap_err().contains("missing"));
        assert!(patterns(r"\p{Greek}+").is_ok());
    }
}
