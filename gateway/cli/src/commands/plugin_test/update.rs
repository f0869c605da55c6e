//! Writes what came into a script, as what is expected. Comments, order and all that is right already stay.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use super::differences::differences;
use super::performance::{Came, from_kept, is_kept};
use super::script::ExpectForm;
use super::timers::TimerForm;
use super::values::{Content, in_line};

/// The longest list that stays on one line, in characters.
const LINE: usize = 100;

/// The script's text with what came; the same text if all is as expected.
pub(super) fn updated(text: &str, came: &[(Option<&ExpectForm>, Came)]) -> Result<String> {
    let mut document: DocumentMut = text.parse().context("the script is not TOML")?;
    let Some(steps) = document.get_mut("step").and_then(Item::as_array_of_tables_mut) else {
        bail!("--update changes steps that are written as [[step]], and not as a list of other tables");
    };
    for (step, (expect, came)) in steps.iter_mut().zip(came) {
        if expect.is_none() || !differences(*expect, came).is_empty() {
            update_step(step, *expect, came)?;
        }
    }
    Ok(document.to_string())
}

fn update_step(step: &mut Table, expect: Option<&ExpectForm>, came: &Came) -> Result<()> {
    let nothing = ExpectForm::default();
    let is_new = expect.is_none();
    let expect = expect.unwrap_or(&nothing);
    let mut new = Table::new();
    let table: &mut dyn TableLike = match step.get_mut("expect") {
        Some(item) => item.as_table_like_mut().ok_or_else(|| anyhow!("`expect` is not a table"))?,
        None => &mut new,
    };
    let is_result = match (expect.result(), &came.result) {
        (Ok(Some(expected)), Some(came)) => expected.is(came),
        _ => false,
    };
    if !is_result {
        let (value, json) = came.result.clone().map_or((None, None), Content::keys);
        set(table, "result", value.map(|value| in_line(&value)))?;
        set(table, "result-json", json.map(|json| in_line(&json)))?;
    }
    if !matches!((&expect.error, &came.error), (Some(expected), Some(error)) if expected.has_come_as(error)) {
        set(table, "error", came.error.as_ref().map(|error| in_line(&error.in_any_build())))?;
    }
    if !matches!((&expect.verdict, &came.verdict), (Some(expected), Some(verdict)) if expected.is(verdict)) {
        set(table, "verdict", came.verdict.as_ref().map(in_line))?;
    }
    update_sign_in(table, expect, came)?;
    // A new expectation says of a plugin that has done nothing that it does nothing.
    if is_new || expect.actions.is_some() || !came.actions.is_empty() {
        update_actions(table, expect, came)?;
    }
    update_timers(table, expect, (came, is_new))?;
    update_state(table, expect, came)?;
    if is_new {
        step.insert("expect", Item::Table(new));
    }
    Ok(())
}

fn update_actions(table: &mut dyn TableLike, expect: &ExpectForm, came: &Came) -> Result<()> {
    let is_same = |expected: &Vec<_>| {
        expected.len() == came.actions.len()
            && expected.iter().zip(&came.actions).all(|(one, other)| super::forms::ActionForm::is(one, other))
    };
    if expect.actions.as_ref().is_some_and(is_same) {
        return Ok(());
    }
    set(table, "actions", Some(list(&came.actions)))
}

fn update_sign_in(table: &mut dyn TableLike, expect: &ExpectForm, came: &Came) -> Result<()> {
    if !matches!((&expect.grant, &came.grant), (Some(expected), Some(grant)) if expected.is(grant)) {
        set(table, "grant", came.grant.as_ref().map(in_line))?;
    }
    set(table, "refused", came.refused.as_ref().map(in_line))
}

/// A new expectation says which timers are set where others were set before.
fn update_timers(table: &mut dyn TableLike, expect: &ExpectForm, (came, is_new): (&Came, bool)) -> Result<()> {
    let is_same = |expected: &Vec<TimerForm>| {
        expected.len() == came.timers.len() && expected.iter().zip(&came.timers).all(|(one, other)| one.is(other))
    };
    match &expect.timers {
        Some(expected) if !is_same(expected) => set(table, "timers", Some(list(&came.timers))),
        None if is_new && came.changes_timers => set(table, "timers", Some(list(&came.timers))),
        Some(_) | None => Ok(()),
    }
}

/// On one line, or with one for each.
fn list(values: &[impl Serialize]) -> String {
    let values: Vec<String> = values.iter().map(in_line).collect();
    let one_line = format!("[{}]", values.join(", "));
    match one_line.chars().count() > LINE && values.len() > 1 {
        true => format!("[\n{}]", values.iter().map(|value| format!("    {value},\n")).collect::<String>()),
        false => one_line,
    }
}

fn update_state(table: &mut dyn TableLike, expect: &ExpectForm, came: &Came) -> Result<()> {
    let Some(expected) = &expect.state else { return Ok(()) };
    let state = table.get_mut("state").and_then(Item::as_table_like_mut);
    let state = state.ok_or_else(|| anyhow!("`state` is not a table"))?;
    for key in expected.keys().filter(|key| !came.state.contains_key(*key)) {
        state.remove(key);
    }
    for (key, kept) in &came.state {
        if !expected.get(key).is_some_and(|expected| is_kept(expected, kept)) {
            set(state, key, Some(in_line(&from_kept(kept))))?;
        }
    }
    Ok(())
}

/// Gives the key this value, in TOML, or removes it. What stands around the value stays.
fn set(table: &mut dyn TableLike, key: &str, value: Option<String>) -> Result<()> {
    let Some(value) = value else {
        table.remove(key);
        return Ok(());
    };
    let mut value: Value = value.parse().with_context(|| format!("`{key}`: what came cannot be written"))?;
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(present) => {
            *value.decor_mut() = present.decor().clone();
            *present = value;
        }
        None => {
            table.insert(key, Item::Value(value));
        }
    }
    Ok(())
}

/// Puts the text in the place of the file's, all at once. Where the path is a link, the file that it leads to changes.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let path = path.canonicalize()?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut file = tempfile::Builder::new().prefix(".hubgate-").tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        std::fs::set_permissions(file.path(), std::fs::metadata(&path)?.permissions())?;
        file.persist(&path)?;
        Ok(())
    };
    write().with_context(|| format!("{}: cannot be written", path.display()))
}
