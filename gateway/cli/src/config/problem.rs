//! What is wrong in a configuration, all of it at once.

use std::fmt;

/// A key that cannot stay as it is, and why. As long as a part of the configuration is looked at alone, the key's path begins there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) key: String,
    pub(super) text: String,
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, text: impl fmt::Display) -> Problem {
        Problem { key: key.into(), text: text.to_string() }
    }

    /// The same with the path that leads to where its key begins.
    pub(super) fn below(self, path: &str) -> Problem {
        let key = match self.key.as_str() {
            "" => path.to_owned(),
            key if key.starts_with('[') => format!("{path}{key}"),
            key => format!("{path}.{key}"),
        };
        Problem { key, ..self }
    }

    /// Whether one of both keys is, or holds, the other.
    fn is_about(&self, other: &Problem) -> bool {
        let holds = |outer: &str, inner: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        holds(&self.key, &other.key) || holds(&other.key, &self.key)
    }
}

/// Everything that was found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn push(&mut self, key: impl Into<String>, text: impl fmt::Display) {
        self.0.push(Problem::new(key, text));
    }

    pub(super) fn extend_below(&mut self, path: &str, problems: impl IntoIterator<Item = Problem>) {
        self.0.extend(problems.into_iter().map(|problem| problem.below(path)));
    }

    /// The value, or something in its place while the rest is looked at.
    pub(super) fn take<T>(&mut self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.0.push(problem)).ok()
    }

    /// Adds what was found later. What is about the same key most likely follows from what was found before.
    pub(super) fn then(mut self, later: Problems) -> Problems {
        let own = |problem: &Problem| !self.0.iter().any(|earlier| earlier.is_about(problem));
        let later: Vec<Problem> = later.0.into_iter().filter(own).collect();
        self.0.extend(later);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
