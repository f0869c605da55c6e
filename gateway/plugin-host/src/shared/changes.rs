//! Changes of shared values. Each replaces one record that is known, or is decided anew; so changes of one value follow each other
//! whatever gateways make them, and each takes place once, or not at all.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout_at};

use super::copy::{Copy, Present};
use super::door::{RecordWrite, SharedRecords, Stored, WriteError};
use super::record::{About, LONGEST_HEAD, Record, Write};
use crate::clock::Clock;
use crate::limits::STATE_VALUE_BYTES;
use crate::state::{Change, Changed, Outcome, StateError, check_key};

/// Changes that this process makes at a time for one plugin, in number: those of one key wait for each other.
const LINES: usize = 64;
/// How long the store keeps what is of no use any more: a value whose time is over, for gateways whose clocks are late, and the place of
/// one that was removed, for those that do not know yet whether their write took place.
const KEPT_AFTERWARDS: Duration = Duration::from_secs(3_600);
const PAUSE: Duration = Duration::from_millis(50);

/// What makes changes for one plugin.
#[derive(Debug)]
pub(super) struct Changes {
    copy: Arc<Copy>,
    records: Arc<dyn SharedRecords>,
    clock: Clock,
    /// This process, as records name it.
    writer: u64,
    writes: AtomicU64,
    lines: [Mutex<()>; LINES],
    /// How long is waited before the store is asked again that has not answered.
    pause: Duration,
    hasher: foldhash::fast::RandomState,
}

/// A record that is to be written, and what the change has come to then.
struct Decided {
    write: RecordWrite,
    changed: Changed,
}

impl Changes {
    pub(super) fn new(copy: Arc<Copy>, records: Arc<dyn SharedRecords>, clock: Clock, writer: u64) -> Changes {
        Changes {
            copy,
            records,
            clock,
            writer,
            writes: AtomicU64::new(1),
            lines: std::array::from_fn(|_| Mutex::default()),
            pause: PAUSE,
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    /// Makes a change, or tells by then why not.
    pub(super) async fn make(&self, change: Change, until: Instant) -> Result<Changed, StateError> {
        check_key(&change.key)?;
        let is_in_doubt = AtomicBool::new(false);
        let making = async {
            let line = self.hasher.hash_one(&change.key) % LINES as u64;
            let _turn = self.lines[line as usize].lock().await;
            self.make_in_turn(&change, &is_in_doubt).await
        };
        match timeout_at(until.into(), making).await {
            Ok(made) => made,
            Err(_) if is_in_doubt.load(Ordering::Relaxed) => Err(unavailable(
                "what the cluster keeps did not answer in time: whether the change was made, or will be, is not known",
            )),
            Err(_) => Err(unavailable("what the cluster keeps did not answer in time: nothing was changed")),
        }
    }

    async fn make_in_turn(&self, change: &Change, is_in_doubt: &AtomicBool) -> Result<Changed, StateError> {
        let write = Write { writer: self.writer, number: self.writes.fetch_add(1, Ordering::Relaxed) };
        let incarnation = self.copy.incarnation();
        let mut present = self.copy.present(&change.key)?;
        // What this process knows may be late: that nothing is to be changed is believed only of what was read.
        let mut is_read = false;
        let mut attempt: Option<Decided> = None;
        loop {
            let is_repeated = attempt.as_ref().is_some_and(|made| made.write.expected == present.revision);
            let decided = match attempt.take() {
                Some(made) if present.record.about.writers.have(write) => return Ok(made.changed),
                // It may still be on its way: no other one is sent beside it.
                Some(made) if is_repeated => {
                    sleep(self.pause).await;
                    made
                }
                // The record that it would have replaced is gone, and so is its chance.
                Some(_) | None => {
                    is_in_doubt.store(false, Ordering::Relaxed);
                    match self.decide(change, write, &present) {
                        Ok((Some(decided), _)) => decided,
                        _ if !is_read => {
                            present = self.read(incarnation, &change.key).await.map_err(StateError::Unavailable)??;
                            is_read = true;
                            continue;
                        }
                        Ok((None, changed)) => return Ok(changed),
                        Err(error) => return Err(error),
                    }
                }
            };
            is_in_doubt.store(true, Ordering::Relaxed);
            match self.records.write(&change.key, decided.write.clone()).await {
                Ok(revision) => {
                    self.copy.knows(incarnation, &change.key, &Stored { revision, record: decided.write.record });
                    return Ok(decided.changed);
                }
                Err(WriteError::Refused(reason)) if !is_repeated => return Err(StateError::Unavailable(reason)),
                // What was sent before may be what is in the way.
                Err(WriteError::Conflict | WriteError::Refused(_) | WriteError::InDoubt(_)) => attempt = Some(decided),
            }
            present = self.read_at_last(incarnation, &change.key).await?;
            is_read = true;
        }
    }

    /// What a change makes of a record; `None`: it stays as it is.
    fn decide(
        &self,
        change: &Change,
        write: Write,
        present: &Present,
    ) -> Result<(Option<Decided>, Changed), StateError> {
        let now = milliseconds(self.clock.since_1970());
        let About { expires, writers } = &present.record.about;
        let is_live = expires.is_none_or(|expires| now < expires);
        let value = present.record.value.as_deref().filter(|_| is_live);
        let fresh = change.time_to_live.and_then(|time| now.checked_add(milliseconds(time)));
        let (outcome, changed) = change.operation.clone().decide(value.map(|value| (value, *expires)), fresh)?;
        let (value, expires) = match outcome {
            Outcome::Keep => return Ok((None, changed)),
            Outcome::Remove if value.is_none() => return Ok((None, changed)),
            Outcome::Remove => (None, None),
            Outcome::Put(value, expires) => {
                self.check_room(change, value.len())?;
                (Some(Bytes::from(value)), expires)
            }
        };
        let left = match (&value, expires) {
            (None, _) => Some(Duration::ZERO),
            (Some(_), expires) => expires.map(|expires| Duration::from_millis(expires.saturating_sub(now))),
        };
        let record = Record { value, about: About { expires, writers: writers.and(write) } };
        let time_to_live = left.and_then(|left| left.checked_add(KEPT_AFTERWARDS));
        let write = RecordWrite { record: record.encode(), expected: present.revision, time_to_live };
        Ok((Some(Decided { write, changed }), changed))
    }

    fn check_room(&self, change: &Change, value: usize) -> Result<(), StateError> {
        // As if every head were as long as they get, so that one value always fits or never does.
        let longest = STATE_VALUE_BYTES.min(self.records.longest().saturating_sub(LONGEST_HEAD));
        match value <= longest {
            true => self.copy.check_room(&change.key, value, change.allowed),
            false => Err(StateError::TooLarge),
        }
    }

    /// An error says why the store does not tell; one within that the record cannot be read.
    async fn read(&self, incarnation: Option<u64>, key: &str) -> Result<Result<Present, StateError>, String> {
        let stored = self.records.read(key).await?;
        if let Some(stored) = &stored {
            self.copy.knows(incarnation, key, stored);
        }
        Ok(Present::of(stored))
    }

    /// Reads until the store tells.
    async fn read_at_last(&self, incarnation: Option<u64>, key: &str) -> Result<Present, StateError> {
        loop {
            match self.read(incarnation, key).await {
                Ok(present) => return present,
                Err(_) => sleep(self.pause).await,
            }
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn unavailable(reason: &str) -> StateError {
    StateError::Unavailable(reason.to_owned())
}

#[cfg(test)]
mod tests;
