//! What came beside what was expected.

use serde::Serialize;

use super::forms::ActionForm;
use super::performance::{Came, is_kept, kept_in_line};
use super::script::ExpectForm;
use super::sign_in::GrantForm;
use super::timers::TimerForm;
use super::values::in_line;

/// What of a step is not as expected, as lines of TOML.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    pub(super) expected: Vec<String>,
    pub(super) got: Vec<String>,
}

impl Difference {
    fn new(expected: Option<String>, got: Option<String>) -> Difference {
        Difference { expected: expected.into_iter().collect(), got: got.into_iter().collect() }
    }
}

/// What differs. Without an expectation that is an error alone, of any kind.
pub(super) fn differences(expect: Option<&ExpectForm>, came: &Came) -> Vec<Difference> {
    let Some(expect) = expect else {
        let error = came.error.as_ref().map(|error| Difference::new(None, Some(line("error", error))));
        return error.into_iter().collect();
    };
    let mut differences: Vec<Difference> =
        [answer(expect, came), actions(expect, came)].into_iter().flatten().collect();
    differences.extend(state(expect, came));
    differences.extend(timers(expect, came));
    differences
}

fn line(key: &str, value: &impl Serialize) -> String {
    format!("{key} = {}", in_line(value))
}

/// What came instead of an answer or of an error, whatever it is.
pub(super) fn answer_line(came: &Came) -> Option<String> {
    let result = || came.result.as_ref().map(|result| result.line("result"));
    let verdict = || came.verdict.as_ref().map(|verdict| line("verdict", verdict));
    let grant = || came.grant.as_ref().map(|grant| line("grant", grant));
    let refused = || came.refused.as_ref().map(|refused| line("refused", refused));
    let error = came.error.as_ref().map(|error| line("error", error));
    error.or_else(result).or_else(verdict).or_else(grant).or_else(refused)
}

fn answer(expect: &ExpectForm, came: &Came) -> Option<Difference> {
    let result = expect.result().ok().flatten();
    let is_as_expected = match (&expect.error, &came.error) {
        (Some(expected), Some(error)) => expected.has_come_as(error),
        (None, None) => {
            let result =
                result.as_ref().is_none_or(|expected| came.result.as_ref().is_some_and(|came| expected.is(came)));
            let verdict = expect.verdict.as_ref();
            let verdict = verdict.is_none_or(|expected| came.verdict.as_ref().is_some_and(|came| expected.is(came)));
            result && verdict && is_signed_in(expect, came)
        }
        (Some(_), None) | (None, Some(_)) => false,
    };
    if is_as_expected {
        return None;
    }
    let error = expect.error.as_ref().map(|error| line("error", error));
    let result = result.map(|result| result.line("result"));
    let verdict = expect.verdict.as_ref().map(|verdict| line("verdict", verdict));
    let got = answer_line(came).unwrap_or_else(|| "# no answer".to_owned());
    let grant = expect.grant.as_ref().map(|grant| line("grant", grant));
    let refused = expect.refused.as_ref().map(|refused| line("refused", refused));
    let expected = [error, result, verdict, grant, refused].into_iter().flatten().collect();
    Some(Difference { expected, got: vec![got] })
}

fn is_signed_in(expect: &ExpectForm, came: &Came) -> bool {
    let is_granted = |expected: &GrantForm| came.grant.as_ref().is_some_and(|came| expected.is(came));
    expect.grant.as_ref().is_none_or(is_granted) && (expect.refused.is_none() || expect.refused == came.refused)
}

fn actions(expect: &ExpectForm, came: &Came) -> Option<Difference> {
    list("actions", (expect.actions.as_deref()?, &came.actions), ActionForm::is)
}

fn timers(expect: &ExpectForm, came: &Came) -> Option<Difference> {
    list("timers", (expect.timers.as_deref()?, &came.timers), TimerForm::is)
}

/// From the first of a list that differs to the last one.
fn list<T: Serialize>(
    key: &str,
    (mut expected, mut got): (&[T], &[T]),
    is: impl Fn(&T, &T) -> bool,
) -> Option<Difference> {
    while let ([one, expected_rest @ ..], [other, got_rest @ ..]) = (expected, got)
        && is(one, other)
    {
        (expected, got) = (expected_rest, got_rest);
    }
    while let ([expected_rest @ .., one], [got_rest @ .., other]) = (expected, got)
        && is(one, other)
    {
        (expected, got) = (expected_rest, got_rest);
    }
    if expected.is_empty() && got.is_empty() {
        return None;
    }
    // Where one list has nothing more, the other says what is missing.
    let lines = |list: &[T]| list.iter().map(|each| format!("{key}: {}", in_line(each))).collect();
    Some(Difference { expected: lines(expected), got: lines(got) })
}

fn state(expect: &ExpectForm, came: &Came) -> Vec<Difference> {
    let Some(expected) = &expect.state else { return Vec::new() };
    let named = |key: &str, value: String| format!("state.{} = {value}", key_in_line(key));
    let mut differences = Vec::new();
    for (key, value) in expected {
        let kept = came.state.get(key);
        if !kept.is_some_and(|kept| is_kept(value, kept)) {
            let got =
                kept.map_or_else(|| format!("# no state.{}", key_in_line(key)), |kept| named(key, kept_in_line(kept)));
            differences.push(Difference::new(Some(named(key, in_line(value))), Some(got)));
        }
    }
    for (key, kept) in came.state.iter().filter(|(key, _)| !expected.contains_key(*key)) {
        differences.push(Difference::new(None, Some(named(key, kept_in_line(kept)))));
    }
    differences
}

/// A key as TOML writes it.
fn key_in_line(key: &str) -> String {
    let is_bare = !key.is_empty() && key.chars().all(|char| char.is_ascii_alphanumeric() || "-_".contains(char));
    if is_bare { key.to_owned() } else { in_line(&key) }
}
