//! What the keys of the configuration can hold: each kind is read from a file and written as it is read.

mod texts;
mod units;

use std::path::PathBuf;

use serde_json::json;

use super::plain_words::in_words;
use super::problem::Problems;

pub(crate) use texts::Allowed;
pub(super) use texts::{CorsOrigin, Counts, LogFilter, Network, SecretTexts, Secrets, Texts};
#[cfg(test)]
pub(super) use units::LONGEST_SPAN;
pub(crate) use units::{Listen, Ratio, Size, Span};
pub(super) use units::{kib, mib, millis, seconds};

/// Whether a value that may be secret is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrecy {
    Hidden,
    /// For comparing alone.
    Exposed,
}

/// What is written in place of a secret.
const NOT_SHOWN: &str = "(not shown)";

/// The value of a key.
pub(super) trait Value: Clone {
    /// From what stands in a file. The paths of problems begin at the key.
    fn read(found: &toml::Value) -> Result<Self, Problems>;

    /// As it would stand in a file; `None` if it is not set.
    fn write(&self, secrecy: Secrecy) -> Option<toml::Value>;

    /// What a file may have, as JSON Schema says it: whatever [`Value::read`] takes, and no other kinds of values.
    fn schema() -> serde_json::Value {
        json!({ "type": "string" })
    }
}

/// A problem of the value itself.
pub(super) fn wrong(text: impl ToString) -> Problems {
    let mut problems = Problems::default();
    problems.push("", text.to_string());
    problems
}

/// That the value is of another kind.
fn not(found: &toml::Value, kind: &str) -> Problems {
    wrong(format!("{} is not {kind}", in_words(found)))
}

fn text(found: &toml::Value) -> Result<&str, Problems> {
    found.as_str().ok_or_else(|| not(found, "a text in quotes"))
}

impl Value for bool {
    fn schema() -> serde_json::Value {
        json!({ "type": "boolean" })
    }

    fn read(found: &toml::Value) -> Result<bool, Problems> {
        found.as_bool().ok_or_else(|| not(found, "true or false"))
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        Some((*self).into())
    }
}

impl Value for String {
    fn read(found: &toml::Value) -> Result<String, Problems> {
        text(found).map(str::to_owned)
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        Some(self.as_str().into())
    }
}

impl Value for PathBuf {
    fn schema() -> serde_json::Value {
        json!({ "type": "string", "minLength": 1 })
    }

    fn read(found: &toml::Value) -> Result<PathBuf, Problems> {
        match found.as_str() {
            None => Err(not(found, "a path in quotes")),
            Some("") => Err(wrong("must name a file or a folder")),
            Some(path) => Ok(path.into()),
        }
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        Some(self.display().to_string().into())
    }
}

/// Whole numbers, with what they are called.
macro_rules! whole_numbers {
    ($($number:ty = $kind:literal;)*) => {
        $(impl Value for $number {
            fn schema() -> serde_json::Value {
                // TOML has no greater numbers than an `i64`.
                let most = i64::try_from(<$number>::MAX).unwrap_or(i64::MAX);
                json!({ "type": "integer", "minimum": 0, "maximum": most })
            }

            fn read(found: &toml::Value) -> Result<$number, Problems> {
                found.as_integer().and_then(|number| number.try_into().ok()).ok_or_else(|| not(found, $kind))
            }

            fn write(&self, _: Secrecy) -> Option<toml::Value> {
                Some(i64::try_from(*self).unwrap_or(i64::MAX).into())
            }
        })*
    };
}

whole_numbers! {
    u16 = "a whole number from 0 to 65535";
    u32 = "a whole number from 0 to 4294967295";
    u64 = "a whole number from 0 on";
    usize = "a whole number from 0 on";
}

impl<V: Value> Value for Option<V> {
    fn schema() -> serde_json::Value {
        V::schema()
    }

    fn read(found: &toml::Value) -> Result<Option<V>, Problems> {
        V::read(found).map(Some)
    }

    fn write(&self, secrecy: Secrecy) -> Option<toml::Value> {
        self.as_ref()?.write(secrecy)
    }
}

impl<V: Value> Value for Vec<V> {
    fn schema() -> serde_json::Value {
        json!({ "type": "array", "items": V::schema() })
    }

    fn read(found: &toml::Value) -> Result<Vec<V>, Problems> {
        let items = found.as_array().ok_or_else(|| not(found, "a list, such as [\"…\"]"))?;
        let (mut list, mut problems) = (Vec::new(), Problems::default());
        for (index, item) in items.iter().enumerate() {
            match V::read(item) {
                Ok(item) => list.push(item),
                Err(found) => problems.extend_below(&format!("[{index}]"), found),
            }
        }
        if problems.is_empty() { Ok(list) } else { Err(problems) }
    }

    fn write(&self, secrecy: Secrecy) -> Option<toml::Value> {
        Some(self.iter().filter_map(|item| item.write(secrecy)).collect::<Vec<_>>().into())
    }
}

/// Declares words, of which a key has one: `Type { Case = "word", … }`. The first one is the default.
macro_rules! words {
    ($($(#[$meta:meta])* $name:ty { $($case:path = $word:literal,)* })*) => {
        $(impl $crate::config::value::Value for $name {
            fn schema() -> serde_json::Value {
                serde_json::json!({ "enum": [$($word,)*] })
            }

            fn read(found: &toml::Value) -> Result<$name, $crate::config::problem::Problems> {
                $crate::config::value::word(found, &[$(($word, $case),)*])
            }

            fn write(&self, _: $crate::config::value::Secrecy) -> Option<toml::Value> {
                Some(match self { $($case => $word.into(),)* })
            }
        })*
    };
}

pub(super) use words;

pub(super) fn word<V: Clone>(found: &toml::Value, words: &[(&str, V)]) -> Result<V, Problems> {
    let text = text(found)?;
    let value = words.iter().find(|(word, _)| *word == text).map(|(_, value)| value.clone());
    value.ok_or_else(|| {
        let known: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        wrong(format!("\"{text}\" is not one of {}", known.join(", ")))
    })
}
