//! What a command finds that does not work, or that may not be meant.

use std::fmt;

use crate::config::Origins;

/// How bad it is; the worst comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// Something does not work.
    Error,
    /// It works, and is most likely not what was meant.
    Warning,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    severity: Severity,
    /// What it is about: a key of the configuration, or an option.
    subject: String,
    text: String,
}

impl Finding {
    pub(super) fn error(subject: impl Into<String>, text: impl fmt::Display) -> Finding {
        Finding { severity: Severity::Error, subject: subject.into(), text: text.to_string() }
    }

    pub(super) fn warning(subject: impl Into<String>, text: impl fmt::Display) -> Finding {
        Finding { severity: Severity::Warning, subject: subject.into(), text: text.to_string() }
    }

    /// On one line, with the place where its key stands.
    pub(super) fn line(&self, origins: &Origins) -> String {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        format!("{severity}: {}: {}", origins.place(&self.subject), self.text.replace(['\r', '\n'], " "))
    }
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.0.extend(findings);
    }

    /// Whether this was said of something already.
    pub(super) fn has_text(&self, text: &str) -> bool {
        self.0.iter().any(|finding| finding.text == text)
    }

    pub(super) fn has_errors(&self) -> bool {
        self.0.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// In the order in which they were found where they are equally bad.
    pub(super) fn worst_first(&self) -> Vec<&Finding> {
        let mut findings: Vec<&Finding> = self.0.iter().collect();
        findings.sort_by_key(|finding| finding.severity);
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_each_is_one_line() {
        let mut findings = Findings::default();
        findings.push(Finding::warning("a", "odd"));
        assert!(!findings.has_errors());
        findings.push(Finding::error("b", "broken\nhere"));
        findings.push(Finding::error("c", "broken too"));
        assert!(findings.has_errors());
        let lines: Vec<String> =
            findings.worst_first().iter().map(|finding| finding.line(&Origins::default())).collect();
        assert_eq!(lines, ["error: b: broken here", "error: c: broken too", "warning: a: odd"]);
    }
}
