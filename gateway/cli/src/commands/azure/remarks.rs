//! What of a resource is not in the configuration, and why: a line for each.

use std::fmt;

use super::node::{Malformed, Node};
use crate::one_line::is_active;

/// How many remarks are made, of however many things.
const MOST: usize = 1_000;

/// In the order in which it was found.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    made: Vec<Remark>,
    /// How many there would be beyond them.
    more: usize,
}

/// Where, and why.
#[derive(Debug)]
pub(super) struct Remark {
    path: String,
    text: String,
}

impl Remarks {
    pub(super) fn push(&mut self, node: &Node<'_>, text: impl fmt::Display) {
        match self.made.len() < MOST {
            true => self.made.push(Remark { path: node.path(), text: text.to_string() }),
            false => self.more += 1,
        }
    }

    /// What is read of a value, or nothing where an expression stands in its place, which is named.
    pub(super) fn read<'a, T>(
        &mut self,
        node: &Node<'a>,
        read: impl FnOnce(&Node<'a>) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.is_known(node, "write its value, or import what `az signalr show` prints") {
            true => read(node).map(Some),
            false => Ok(None),
        }
    }

    /// Whether a value stands there and no expression, which is named with what comes of it.
    pub(super) fn is_known(&mut self, node: &Node<'_>, otherwise: &str) -> bool {
        match node.expression() {
            None => return true,
            Some(_) if node.may_be_secret() => {
                self.push(node, format_args!("is an expression, which is not evaluated: {otherwise}"));
            }
            Some(expression) => {
                self.push(node, format_args!("is the expression {expression}, which is not evaluated: {otherwise}"));
            }
        }
        false
    }

    /// The members of an object; none where an expression stands in its place.
    pub(super) fn members<'a>(&mut self, node: &Node<'a>) -> Result<Vec<Node<'a>>, Malformed> {
        Ok(self.read(node, Node::members)?.unwrap_or_default())
    }

    /// The same of the items of a list.
    pub(super) fn items<'a>(&mut self, node: &Node<'a>) -> Result<Vec<Node<'a>>, Malformed> {
        Ok(self.read(node, Node::items)?.unwrap_or_default())
    }

    /// The same of the texts in a list, each with its place.
    pub(super) fn texts<'a>(&mut self, node: &Node<'a>) -> Result<Vec<(Node<'a>, &'a str)>, Malformed> {
        let mut texts = Vec::new();
        for item in self.items(node)? {
            if let Some(text) = self.read(&item, Node::text)? {
                texts.push((item, text));
            }
        }
        Ok(texts)
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let more = (self.more > 0).then(|| format!("… and {} more places of which something would be said", self.more));
        self.made.iter().map(ToString::to_string).chain(more)
    }
}

impl fmt::Display for Remark {
    /// On one line, whatever the document has in its texts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in format!("{}: {}", self.path, self.text).chars() {
            match is_active(character) {
                true => write!(f, "{}", character.escape_default())?,
                false => write!(f, "{character}")?,
            }
        }
        Ok(())
    }
}
