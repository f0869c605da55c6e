//! The table of durable timers.

use hubgate_core::id::PluginName;
use rusqlite::{Connection, Transaction, params};

use crate::timer::{Schedule, Timer, TimerKey};

/// A timer that is kept.
#[derive(Debug)]
pub(crate) struct TimerRow {
    pub(crate) hub: String,
    pub(crate) name: String,
    pub(crate) when: Schedule,
    pub(crate) due: u64,
    pub(crate) payload: Vec<u8>,
    pub(crate) number: u64,
}

/// What becomes of the row of a timer.
#[derive(Debug)]
pub(crate) struct TimerChange {
    pub(crate) key: TimerKey,
    pub(crate) write: TimerWrite,
}

#[derive(Debug)]
pub(crate) enum TimerWrite {
    Put(Timer),
    Remove,
    /// If it is still the one of this number.
    RemoveNumber(u64),
    /// The same.
    Move {
        number: u64,
        due: u64,
    },
}

impl TimerChange {
    /// Of what it writes, in bytes.
    pub(super) fn weight(&self) -> usize {
        let payload = match &self.write {
            TimerWrite::Put(timer) => timer.payload.len(),
            TimerWrite::Remove | TimerWrite::RemoveNumber(_) | TimerWrite::Move { .. } => 0,
        };
        self.key.name.len() + payload
    }
}

pub(super) const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS plugin_timers (
        plugin TEXT NOT NULL,
        hub TEXT NOT NULL,
        name TEXT NOT NULL,
        -- As it was set: after, at or every, and milliseconds.
        kind TEXT NOT NULL,
        amount INTEGER NOT NULL,
        -- Milliseconds since 1970.
        due INTEGER NOT NULL,
        payload BLOB NOT NULL,
        number INTEGER NOT NULL,
        PRIMARY KEY (plugin, hub, name)
    );";

/// The timers of a plugin.
pub(super) fn read(database: &Connection, plugin: &PluginName) -> rusqlite::Result<Vec<TimerRow>> {
    let mut rows = database
        .prepare_cached("SELECT hub, name, kind, amount, due, payload, number FROM plugin_timers WHERE plugin = ?1")?;
    let rows = rows.query_map([plugin.as_str()], |row| {
        let (kind, amount): (String, i64) = (row.get(2)?, row.get(3)?);
        let amount = natural(amount);
        let when = match kind.as_str() {
            "at" => Schedule::At(amount),
            "every" => Schedule::Every(amount),
            _ => Schedule::After(amount),
        };
        let (due, number) = (natural(row.get(4)?), natural(row.get(6)?));
        Ok(TimerRow { hub: row.get(0)?, name: row.get(1)?, when, due, payload: row.get(5)?, number })
    })?;
    rows.collect()
}

pub(super) fn write(transaction: &Transaction<'_>, TimerChange { key, write }: &TimerChange) -> rusqlite::Result<()> {
    let (plugin, hub, name) = (key.plugin.as_str(), key.hub.as_str(), &*key.name);
    let row = "WHERE plugin = ?1 AND hub = ?2 AND name = ?3";
    let statement = |sql: &str, parameters: &[&dyn rusqlite::ToSql]| -> rusqlite::Result<()> {
        transaction.prepare_cached(sql)?.execute(parameters).map(drop)
    };
    match write {
        TimerWrite::Put(timer) => {
            let (kind, amount) = match timer.when {
                Schedule::After(amount) => ("after", amount),
                Schedule::At(amount) => ("at", amount),
                Schedule::Every(amount) => ("every", amount),
            };
            let (amount, due, number) = (integer(amount), integer(timer.due), integer(timer.number));
            statement(
                "INSERT OR REPLACE INTO plugin_timers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![plugin, hub, name, kind, amount, due, &timer.payload[..], number],
            )
        }
        TimerWrite::Remove => statement(&format!("DELETE FROM plugin_timers {row}"), params![plugin, hub, name]),
        TimerWrite::RemoveNumber(number) => statement(
            &format!("DELETE FROM plugin_timers {row} AND number = ?4"),
            params![plugin, hub, name, integer(*number)],
        ),
        TimerWrite::Move { number, due } => statement(
            &format!("UPDATE plugin_timers SET due = ?5 {row} AND number = ?4"),
            params![plugin, hub, name, integer(*number), integer(*due)],
        ),
    }
}

/// A number beyond what SQLite can hold is one that is never reached.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn natural(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
