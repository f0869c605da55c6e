//! The thread that changes values, in memory and on the disk.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::database::Row;
use super::timers::TimerChange;
use super::{PluginValues, Shared, Wanted, lock};
use crate::state::{Replaced, StateError};

/// How long a change may take to get from the operating system to the disk, and how often a disk is tried that could not be
/// written.
const SYNC_PERIOD: Duration = Duration::from_secs(1);
/// Changes that are taken from the queue at a time.
const BATCH: usize = 256;
/// What the changes of one transaction may weigh together, in bytes; one that weighs more has a transaction of its own.
const TRANSACTION_BYTES: usize = 4 << 20;
/// What the log of the database may grow by before its content goes into the tables, in bytes: it is not read again, and takes room
/// beside what plugins may keep.
const MAX_LOG_BYTES: usize = 16 << 20;
/// Values of a plugin that are removed at a time when their time is over, in number.
const SWEEP: usize = 500;

/// What the thread works with.
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// What was written that is not on the disk yet, in bytes of the log.
    unsynced_bytes: usize,
    /// Whether the log knows that nothing can be written now, or brought to the disk.
    cannot_write: bool,
    cannot_sync: bool,
    /// When a disk that cannot be written is tried again.
    retry_at: Instant,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Writer {
        let retry_at = Instant::now() + SYNC_PERIOD;
        Writer { shared, unsynced_bytes: 0, cannot_write: false, cannot_sync: false, retry_at }
    }

    /// Makes the changes that come until nobody can want any more. Once in a period, as long as there is reason to, what is
    /// with the operating system goes to the disk, and values whose time is over are removed.
    pub(super) async fn serve(mut self, mut wanted: mpsc::Receiver<Wanted>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut due: Option<tokio::time::Instant> = None;
        loop {
            let received = wanted.recv_many(&mut batch, BATCH);
            let count = match due {
                Some(due) => timeout_at(due, received).await.ok(),
                None => Some(received.await),
            };
            match count {
                Some(0) => break,
                Some(_) => {
                    self.make(&mut batch);
                    due = due.or_else(|| Some(tokio::time::Instant::now() + SYNC_PERIOD));
                }
                None => {}
            }
            if due.is_some_and(|due| due <= tokio::time::Instant::now()) {
                let (is_all_swept, is_synced) = (self.sweep(), self.sync());
                let is_over = is_all_swept && is_synced;
                due = (!is_over).then(|| tokio::time::Instant::now() + SYNC_PERIOD);
            }
        }
        self.sync();
    }

    /// Makes changes in as few transactions as their size allows, and answers them.
    fn make(&mut self, batch: &mut Vec<Wanted>) {
        self.recover();
        let mut transaction = Vec::new();
        let mut bytes = 0;
        for wanted in batch.drain(..) {
            let weight = wanted.weight();
            if !transaction.is_empty() && bytes + weight > TRANSACTION_BYTES {
                self.commit(std::mem::take(&mut transaction));
                bytes = 0;
            }
            bytes += weight;
            transaction.push(wanted);
        }
        self.commit(transaction);
    }

    /// Makes changes in one transaction, and answers them.
    fn commit(&mut self, batch: Vec<Wanted>) {
        let now = self.shared.clock.now();
        let mut answers = Vec::with_capacity(batch.len());
        let (mut replaced, mut timers, mut of_timers) = (Vec::new(), Vec::new(), Vec::new());
        for wanted in batch {
            match wanted {
                Wanted::Value { values, answer, .. } if !values.is_loaded() => {
                    answers.push((answer, Err(unavailable())));
                }
                Wanted::Value { values, change, answer } => {
                    let mut state = values.state();
                    answers.push((answer, state.change(change, now)));
                    let own = state.take_replaced();
                    drop(state);
                    replaced.push((values, own));
                }
                Wanted::Timer { change, made, answer } => {
                    timers.push(change);
                    of_timers.push((made, answer));
                }
            }
        }
        let is_stored = self.store(replaced, &timers);
        for (answer, changed) in answers {
            // Nothing of the transaction has happened, so nothing that was decided in it is true.
            drop(answer.send(if is_stored { changed } else { Err(unavailable()) }));
        }
        for (made, answer) in of_timers {
            made(is_stored);
            drop(answer.send(if is_stored { Ok(()) } else { Err(unavailable()) }));
        }
        if self.unsynced_bytes > MAX_LOG_BYTES {
            self.sync();
        }
    }

    /// Tries a disk again that could not be written or read.
    fn recover(&mut self) {
        let states: Vec<_> = lock(&self.shared.states).values().filter_map(Weak::upgrade).collect();
        let is_well = lock(&self.shared.disk).is_writable() && states.iter().all(|values| values.is_loaded());
        if is_well || Instant::now() < self.retry_at {
            return;
        }
        self.retry_at = Instant::now() + SYNC_PERIOD;
        let mut disk = lock(&self.shared.disk);
        if !disk.reopen() {
            return;
        }
        tracing::info!("the state of plugins can be written again");
        states
            .iter()
            .filter(|values| !values.is_loaded())
            .for_each(|values| values.load(&disk, self.shared.clock.now()));
    }

    /// Removes what is over, a little at a time, because shards look at the values meanwhile; says whether nothing will be.
    fn sweep(&mut self) -> bool {
        let states: Vec<_> = lock(&self.shared.states).values().filter_map(Weak::upgrade).collect();
        let now = self.shared.clock.now();
        for values in &states {
            loop {
                let mut state = values.state();
                state.sweep(SWEEP, now);
                let replaced = state.take_replaced();
                drop(state);
                if replaced.is_empty() || !self.store(vec![(values.clone(), replaced)], &[]) {
                    break;
                }
            }
        }
        states.iter().all(|values| !values.state().has_expiries())
    }

    /// Brings what was changed in memory into the database, or undoes it. The log has the first of several failures.
    fn store(&mut self, replaced: Vec<(Arc<PluginValues>, Vec<Replaced>)>, timers: &[TimerChange]) -> bool {
        let rows = rows(&replaced, self.shared.clock.now());
        if rows.is_empty() && timers.is_empty() {
            return true;
        }
        let written = lock(&self.shared.disk).write(&rows, timers);
        match written {
            Ok(bytes) => {
                self.unsynced_bytes += bytes;
                if std::mem::take(&mut self.cannot_write) {
                    tracing::info!("the state of plugins can be written again");
                }
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.cannot_write, true) {
                    tracing::error!(error, "the state of plugins cannot be written");
                }
                drop(rows);
                for (values, replaced) in replaced.into_iter().rev() {
                    values.state().put_back(replaced);
                }
                false
            }
        }
    }

    /// Brings what was written to the disk, and from the log of the database into its tables; says whether all is there.
    fn sync(&mut self) -> bool {
        if self.unsynced_bytes == 0 {
            return true;
        }
        let synced = lock(&self.shared.disk).checkpoint();
        match synced {
            Ok(()) => (self.unsynced_bytes, self.cannot_sync) = (0, false),
            Err(error) if !std::mem::replace(&mut self.cannot_sync, true) => {
                tracing::error!(error, "the state of plugins does not reach the disk");
            }
            Err(_) => {}
        }
        self.unsynced_bytes == 0
    }
}

impl Wanted {
    /// What it may add to what is written, in bytes.
    fn weight(&self) -> usize {
        match self {
            Wanted::Value { change, .. } => change.weight(),
            Wanted::Timer { change, .. } => change.weight(),
        }
    }
}

fn unavailable() -> StateError {
    StateError::Unavailable("the store cannot be written".to_owned())
}

/// What memory says of the keys that were replaced, each once.
fn rows(replaced: &[(Arc<PluginValues>, Vec<Replaced>)], now: Instant) -> Vec<Row<'_>> {
    let now = (now, SystemTime::now());
    let (mut rows, mut seen) = (Vec::new(), HashSet::new());
    for (values, replaced) in replaced {
        let (plugin, state) = (values.plugin.as_str(), values.state());
        for Replaced { key, .. } in replaced {
            if seen.insert((plugin, &**key)) {
                let value = state.entry(key).map(|entry| {
                    let end = |end: Instant| now.1 + end.saturating_duration_since(now.0);
                    (entry.value.clone(), entry.expires.map(end))
                });
                rows.push(Row { plugin, key, value });
            }
        }
    }
    rows
}
