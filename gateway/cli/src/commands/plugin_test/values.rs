//! Values as scripts write them, in TOML, and as plugins see them, in JSON.

use std::fmt::Write;

use hubgate_wire::payload::{JsonText, PayloadRef};
use serde::Serialize;
use serde_json::Value as Json;

/// Characters of one line that are shown.
const SHOWN: usize = 2_000;

/// A value as JSON; the error says what in it JSON does not have.
pub(super) fn to_json(value: &toml::Value) -> Result<Json, &'static str> {
    Ok(match value {
        toml::Value::String(text) => Json::String(text.clone()),
        toml::Value::Integer(integer) => Json::from(*integer),
        toml::Value::Float(float) => match serde_json::Number::from_f64(*float) {
            Some(number) => Json::Number(number),
            None => return Err("JSON has no `nan` and no `inf`"),
        },
        toml::Value::Boolean(boolean) => Json::Bool(*boolean),
        toml::Value::Datetime(_) => return Err("JSON has no dates: write this one as a text, in quotes"),
        toml::Value::Array(items) => Json::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        toml::Value::Table(table) => {
            let members = table.iter().map(|(name, value)| to_json(value).map(|value| (name.clone(), value)));
            Json::Object(members.collect::<Result<_, _>>()?)
        }
    })
}

/// Levels of lists and tables within each other that are written as TOML, whose reader takes 80, those around the value too.
const DEEPEST_TOML: usize = 64;

/// A value of JSON as TOML; `None` if it has what TOML does not: `null`, an integer beyond 64 bits with a sign, or too many levels.
pub(super) fn to_toml(value: &Json) -> Option<toml::Value> {
    within(DEEPEST_TOML, value)
}

fn within(levels: usize, value: &Json) -> Option<toml::Value> {
    Some(match value {
        Json::Array(_) | Json::Object(_) if levels == 0 => return None,
        Json::Null => return None,
        Json::Bool(boolean) => toml::Value::Boolean(*boolean),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => toml::Value::Integer(integer),
            None if number.is_f64() => toml::Value::Float(number.as_f64()?),
            None => return None,
        },
        Json::String(text) => toml::Value::String(text.clone()),
        Json::Array(items) => {
            toml::Value::Array(items.iter().map(|item| within(levels - 1, item)).collect::<Option<_>>()?)
        }
        Json::Object(members) => {
            let members = members.iter().map(|(name, value)| Some((name.clone(), within(levels - 1, value)?)));
            toml::Value::Table(members.collect::<Option<_>>()?)
        }
    })
}

/// Whether two values are the same, however their numbers are written.
pub(super) fn alike(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => match (integer(one), integer(other)) {
            (Some(one), Some(other)) => one == other,
            _ => one.as_f64() == other.as_f64(),
        },
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| alike(one, other)))
        }
        (one, other) => one == other,
    }
}

fn integer(number: &serde_json::Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// A value that a script has in one of two forms, or that came.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Toml(toml::Value),
    /// In JSON, because TOML cannot say it.
    Json(String),
}

impl Content {
    pub(super) fn of(payload: PayloadRef<'_>) -> Content {
        let text = payload.to_json();
        match serde_json::from_str(&text).ok().as_ref().and_then(to_toml) {
            Some(value) => Content::Toml(value),
            None => Content::Json(text.into_owned()),
        }
    }

    /// Of the two keys that a script may write; the error says what is wrong with them.
    pub(super) fn read(name: &str, value: Option<&toml::Value>, json: Option<&str>) -> Result<Option<Content>, String> {
        match (value, json) {
            (None, None) => Ok(None),
            (Some(value), None) => match to_json(value) {
                Ok(_) => Ok(Some(Content::Toml(value.clone()))),
                Err(reason) => Err(format!("`{name}`: {reason}")),
            },
            // What the gateway takes: more than can be read as a value here.
            (None, Some(text)) => match JsonText::parse_text(text.to_owned()) {
                Ok(_) => Ok(Some(Content::Json(text.to_owned()))),
                Err(error) => Err(format!("`{name}-json` {error}")),
            },
            (Some(_), Some(_)) => Err(format!("`{name}` and `{name}-json` say the same thing: write one of them")),
        }
    }

    pub(super) fn is_list(&self) -> bool {
        match self {
            Content::Toml(value) => value.is_array(),
            Content::Json(text) => text.trim_start().starts_with('['),
        }
    }

    /// Its text in JSON, with the digits that it was written with.
    pub(super) fn to_text(&self) -> String {
        match self {
            Content::Toml(value) => to_json(value).expect("it was checked when it was read").to_string(),
            Content::Json(text) => text.clone(),
        }
    }

    pub(super) fn is(&self, other: &Content) -> bool {
        let both = || Some((self.read_json()?, other.read_json()?));
        // What cannot be read here, such as numbers beyond all bounds, is compared as it is written.
        self.to_text() == other.to_text() || both().is_some_and(|(one, other)| alike(&one, &other))
    }

    fn read_json(&self) -> Option<Json> {
        match self {
            Content::Toml(value) => to_json(value).ok(),
            Content::Json(text) => serde_json::from_str(text).ok(),
        }
    }

    /// As one line of TOML, for the key `name`.
    pub(super) fn line(&self, name: &str) -> String {
        match self {
            Content::Toml(value) => format!("{name} = {}", in_line(value)),
            Content::Json(text) => format!("{name}-json = {}", in_line(text)),
        }
    }

    /// The values of the keys `NAME` and `NAME-json`.
    pub(super) fn keys(self) -> (Option<toml::Value>, Option<String>) {
        match self {
            Content::Toml(value) => (Some(value), None),
            Content::Json(text) => (None, Some(text)),
        }
    }
}

/// A value as one line of TOML.
pub(super) fn in_line(value: &impl Serialize) -> String {
    let mut text = String::new();
    if let Err(error) = value.serialize(toml::ser::ValueSerializer::new(&mut text)) {
        return format!("({error})");
    }
    // Texts of several lines are written as such.
    if text.contains('\n')
        && let Ok(mut value) = text.parse()
    {
        join_lines(&mut value);
        return value.to_string();
    }
    text
}

/// Writes each text in a value on one line.
fn join_lines(value: &mut toml_edit::Value) {
    match value {
        toml_edit::Value::String(text) => {
            // JSON's escapes are TOML's, but for one character that it need not escape.
            let escaped = Json::from(text.value().as_str()).to_string().replace('\u{7f}', "\\u007f");
            if let Ok(mut one_line) = escaped.parse::<toml_edit::Value>() {
                *one_line.decor_mut() = text.decor().clone();
                *value = one_line;
            }
        }
        toml_edit::Value::Array(items) => items.iter_mut().for_each(join_lines),
        toml_edit::Value::InlineTable(table) => table.iter_mut().for_each(|(_, value)| join_lines(value)),
        _ => {}
    }
}

/// The beginning of a text, of which nothing ends its line or steers a terminal.
pub(in crate::commands) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == SHOWN {
            let left = text.chars().count() - SHOWN;
            write!(shown, "… and {left} characters more").expect("a String takes all");
            break;
        }
        match crate::one_line::is_active(character) {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_alike_however_they_are_written_and_no_digit_is_lost() {
        assert!(alike(&json!([1, { "a": 2.0 }]), &json!([1.0, { "a": 2 }])));
        assert!(!alike(&json!(9_007_199_254_740_993_i64), &json!(9_007_199_254_740_992_i64)));
        assert!(alike(&json!(u64::MAX), &json!(u64::MAX)));
        assert!(!alike(&json!({ "a": 1 }), &json!({ "a": 1, "b": 2 })));
        assert!(!alike(&json!("1"), &json!(1)));
    }

    #[test]
    fn what_toml_cannot_say_stays_json() {
        for value in [json!(null), json!([1, null]), json!({ "a": u64::MAX })] {
            assert_eq!(to_toml(&value), None, "{value}");
        }
        let value = json!({ "a": [1, -2.5, "x", true, {}], "b": i64::MIN });
        assert_eq!(to_toml(&value).map(|value| to_json(&value)), Some(Ok(value)));
    }

    #[test]
    fn values_that_cannot_be_read_are_what_they_are_written_as() {
        let content = |text: &str| Content::Json(text.to_owned());
        assert!(content("[1e400]").is(&content("[1e400]")) && !content("[1e400]").is(&content("[1e500]")));
        assert!(content("[null, 1.0]").is(&content("[null,1]")) && !content("null").is(&content("1e400")));
        assert!(!content("null").is(&content("\"\\ud800\"")));
    }

    #[test]
    fn json_is_what_the_gateway_takes_for_it() {
        let read = |text: &str| Content::read("arguments", None, Some(text));
        for text in ["[1e400]", "[\"\\ud800\"]"] {
            let content = read(text).expect(text).expect("it is there");
            assert!(content.is_list() && content.is(&Content::Json(text.to_owned())), "{text}");
        }
        let error = read("[1").expect_err("it has no end");
        assert!(error.starts_with("`arguments-json` is not valid JSON: "), "{error}");
    }

    #[test]
    fn what_is_written_as_toml_is_read_again_however_deep_it_is() {
        for levels in [1, DEEPEST_TOML, DEEPEST_TOML + 1, 120] {
            let json = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            let value = to_toml(&serde_json::from_str(&json).expect("it is JSON"));
            assert_eq!(value.is_some(), levels <= DEEPEST_TOML);
            let written = value.map(|value| format!("a = {{ b = [{{ c = {{ d = {} }} }}] }}", in_line(&value)));
            assert!(written.is_none_or(|written| toml::from_str::<toml::Table>(&written).is_ok()), "{levels}");
        }
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        for text in ["x = nan", "x = [inf]", "x = 2026-01-01", "x = { y = 12:00:00 }"] {
            let table: toml::Table = toml::from_str(text).expect("it is TOML");
            assert!(to_json(&toml::Value::Table(table)).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_one_line_of_a_bounded_length() {
        assert_eq!(shown("a\nb\u{1b}[2Jé"), "a\\nb\\u{1b}[2Jé");
        assert!(shown(&"x".repeat(10_000)).len() < SHOWN + 100);
        assert_eq!(in_line(&json!({ "a": ["x\ny", 1] })), "{ a = [\"x\\ny\", 1] }");
    }
}
