//! A value of a JSON document, with the place where it stands.

use std::fmt;

use serde_json::Value as Json;

/// What is repeated of an expression, in characters.
const LONGEST_EXPRESSION: usize = 100;

/// A value, and its path from the top, such as `resources[0].properties.cors`.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    pub(super) path: String,
    pub(super) value: &'a Json,
}

/// A value of another kind than has a meaning there.
#[derive(Debug, thiserror::Error)]
#[error("{path}: is {found}, and must be {expected}")]
pub(super) struct Malformed {
    path: String,
    found: &'static str,
    expected: &'static str,
}

impl<'a> Node<'a> {
    pub(super) fn top(value: &'a Json) -> Node<'a> {
        Node { path: String::new(), value }
    }

    /// The name by which it is a member, in lower case, as names have no case in ARM.
    pub(super) fn name(&self) -> String {
        self.path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase()
    }

    /// Those that are there: `null` is nothing.
    pub(super) fn members(&self) -> Result<Vec<Node<'a>>, Malformed> {
        let members = self.value.as_object().ok_or_else(|| self.is_not("an object"))?;
        let path = |name: &str| if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        let there = members.iter().filter(|(_, value)| !value.is_null());
        Ok(there.map(|(name, value)| Node { path: path(name), value }).collect())
    }

    /// The member of this name, in any case.
    pub(super) fn member(&self, name: &str) -> Option<Node<'a>> {
        let members = self.members().unwrap_or_default();
        members.into_iter().find(|member| member.name() == name)
    }

    pub(super) fn items(&self) -> Result<Vec<Node<'a>>, Malformed> {
        let items = self.value.as_array().ok_or_else(|| self.is_not("a list"))?;
        let item = |(index, value)| Node { path: format!("{}[{index}]", self.path), value };
        Ok(items.iter().enumerate().map(item).collect())
    }

    pub(super) fn text(&self) -> Result<&'a str, Malformed> {
        self.value.as_str().ok_or_else(|| self.is_not("a text"))
    }

    /// From 0.
    pub(super) fn whole_number(&self) -> Result<u64, Malformed> {
        self.value.as_u64().ok_or_else(|| self.is_not("a whole number, from 0"))
    }

    /// Whether it is switched on; some switches are texts.
    pub(super) fn is_on(&self) -> Result<bool, Malformed> {
        match self.value {
            Json::Bool(is_on) => Ok(*is_on),
            Json::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Json::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(self.is_not("true or false")),
        }
    }

    /// Whether it has anything in it.
    pub(super) fn is_empty(&self) -> bool {
        match self.value {
            Json::Array(items) => items.is_empty(),
            Json::Object(members) => members.is_empty(),
            Json::Null => true,
            Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
        }
    }

    /// The expression of a template that stands in the place of the value, if one does.
    pub(super) fn expression(&self) -> Option<Expression<'a>> {
        let text = self.value.as_str()?;
        (text.starts_with('[') && !text.starts_with("[[") && text.ends_with(']')).then_some(Expression(text))
    }

    fn is_not(&self, expected: &'static str) -> Malformed {
        let found = match self.value {
            Json::Null => "null",
            Json::Bool(_) => "true or false",
            Json::Number(_) => "a number",
            Json::String(_) => "a text",
            Json::Array(_) => "a list",
            Json::Object(_) => "an object",
        };
        let path = if self.path.is_empty() { "the document".to_owned() } else { self.path.clone() };
        Malformed { path, found, expected }
    }
}

/// Such as `[parameters('mode')]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expression<'a>(&'a str);

impl fmt::Display for Expression<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(LONGEST_EXPRESSION) {
            Some((end, _)) => write!(f, "{}…", &self.0[..end]),
            None => f.write_str(self.0),
        }
    }
}
