//! A value of a JSON document, with the place where it stands.

use std::fmt;
use std::rc::Rc;

use serde_json::Value as Json;

/// What is repeated of a text of the document, in characters.
const LONGEST_TEXT: usize = 100;
/// What is said of a path, in characters.
const LONGEST_PATH: usize = 400;

/// A value, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    /// `None`: it is the document.
    place: Option<Rc<Place<'a>>>,
    pub(super) value: &'a Json,
}

/// A place within another one, which has it but once however many there are in it.
#[derive(Debug)]
struct Place<'a> {
    above: Option<Rc<Place<'a>>>,
    step: Step<'a>,
}

#[derive(Debug)]
enum Step<'a> {
    Member(&'a str),
    Item(usize),
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
        Node { place: None, value }
    }

    fn below(&self, step: Step<'a>, value: &'a Json) -> Node<'a> {
        Node { place: Some(Rc::new(Place { above: self.place.clone(), step })), value }
    }

    /// Such as `resources[0].properties.cors`; empty for the document. A long one, and long names in it, are cut.
    pub(super) fn path(&self) -> String {
        let mut steps: Vec<&Step<'a>> = self.places().map(|place| &place.step).collect();
        steps.reverse();
        let mut path = String::new();
        for step in steps {
            match step {
                Step::Item(index) => path.push_str(&format!("[{index}]")),
                Step::Member(name) if path.is_empty() => path.push_str(&Cut(name).to_string()),
                Step::Member(name) => path.push_str(&format!(".{}", Cut(name))),
            }
        }
        Cut::to(LONGEST_PATH, &path).to_string()
    }

    fn places(&self) -> impl Iterator<Item = &Place<'a>> {
        std::iter::successors(self.place.as_deref(), |place| place.above.as_deref())
    }

    /// The name by which it is a member, in lower case, as names have no case in ARM.
    pub(super) fn name(&self) -> String {
        match self.place.as_deref() {
            Some(Place { step: Step::Member(name), .. }) => name.to_ascii_lowercase(),
            Some(Place { step: Step::Item(_), .. }) | None => String::new(),
        }
    }

    /// Whether texts of it may be secrets: URLs of upstream have some, and so has what may have such URLs in it.
    pub(super) fn may_be_secret(&self) -> bool {
        let is = |name: &str, other| name.eq_ignore_ascii_case(other);
        let is_upstream = |place: &Place<'_>| matches!(place.step, Step::Member(name) if is(name, "upstream"));
        self.places().any(is_upstream) || self.name() == "properties"
    }

    /// Those that are there: `null` is nothing.
    pub(super) fn members(&self) -> Result<Vec<Node<'a>>, Malformed> {
        let members = self.value.as_object().ok_or_else(|| self.is_not("an object"))?;
        let there = members.iter().filter(|(_, value)| !value.is_null());
        Ok(there.map(|(name, value)| self.below(Step::Member(name), value)).collect())
    }

    /// The member of this name, in any case.
    pub(super) fn member(&self, name: &str) -> Option<Node<'a>> {
        let members = self.value.as_object()?;
        let mut there = members.iter().filter(|(_, value)| !value.is_null());
        let (own, value) = there.find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        Some(self.below(Step::Member(own), value))
    }

    pub(super) fn items(&self) -> Result<Vec<Node<'a>>, Malformed> {
        let items = self.value.as_array().ok_or_else(|| self.is_not("a list"))?;
        Ok(items.iter().enumerate().map(|(index, value)| self.below(Step::Item(index), value)).collect())
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

    /// The expression of a template that stands in the place of the value, if one does, such as `[parameters('mode')]`.
    pub(super) fn expression(&self) -> Option<Cut<'a>> {
        let text = self.value.as_str()?;
        (text.starts_with('[') && !text.starts_with("[[") && text.ends_with(']')).then_some(Cut(text))
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
        let path = if self.place.is_none() { "the document".to_owned() } else { self.path() };
        Malformed { path, found, expected }
    }
}

/// A text of the document, of which only the beginning is shown: whatever it says, a remark can be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut<'a>(pub(super) &'a str);

impl<'a> Cut<'a> {
    /// The first `most` characters, without a copy.
    fn to(most: usize, text: &'a str) -> impl fmt::Display {
        let (beginning, mark) = match text.char_indices().nth(most) {
            Some((end, _)) => (&text[..end], "…"),
            None => (text, ""),
        };
        fmt::from_fn(move |f| write!(f, "{beginning}{mark}"))
    }
}

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Cut::to(LONGEST_TEXT, self.0).fmt(f)
    }
}
