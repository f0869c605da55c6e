//! What of a resource is not in the configuration, and why: a line for each.

use std::fmt;

use super::node::{Malformed, Node};
use crate::one_line::is_active;

/// In the order in which it was found.
#[derive(Debug, Default)]
pub(super) struct Remarks(Vec<Remark>);

/// Where, and why.
#[derive(Debug)]
pub(super) struct Remark {
    path: String,
    text: String,
}

impl Remarks {
    pub(super) fn push(&mut self, node: &Node<'_>, text: impl fmt::Display) {
        self.0.push(Remark { path: node.path.clone(), text: text.to_string() });
    }

    /// What is read of a value, or nothing where an expression stands in its place, which is named.
    pub(super) fn read<'a, T>(
        &mut self,
        node: &Node<'a>,
        read: impl FnOnce(&Node<'a>) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match node.expression() {
            None => read(node).map(Some),
            Some(expression) => {
                self.push(
                    node,
                    format_args!(
                        "is the expression {expression}, which is not evaluated: write its value, or import what \
                         `az signalr show` prints"
                    ),
                );
                Ok(None)
            }
        }
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
        self.0.iter().map(ToString::to_string)
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
