//! Lines on their way to the file. Nobody waits for room: lines that find none are lost, and counted.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::file::LogFile;

/// What may wait, in bytes. As much again may be on its way into the file.
const MOST: usize = 4 << 20;
/// How often it is told that lines find no room.
const TELL_PERIOD: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Lines {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// One after the other. It has room for as many as may wait.
    waiting: Vec<u8>,
    /// How many these are.
    count: u64,
    written: u64,
    lost: u64,
    /// Those of the lost that found no room.
    without_room: u64,
    /// Whether the thread that writes waits for lines.
    is_idle: bool,
    /// Whether no more lines come.
    is_ending: bool,
    /// Whether the thread that writes is through.
    is_over: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl Lines {
    pub(super) fn new() -> Lines {
        let state = State { waiting: Vec::with_capacity(MOST), ..State::default() };
        Lines { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Adds a line with its end, if there is room for it.
    pub(super) fn push(&self, line: &str) {
        let mut state = self.lock();
        if state.waiting.len() + line.len() > MOST || state.is_ending {
            state.lost += 1;
            state.without_room += 1;
            return;
        }
        state.waiting.extend_from_slice(line.as_bytes());
        state.count += 1;
        if state.is_idle {
            self.changed.notify_all();
        }
    }

    /// Writes until the end.
    pub(super) fn write_all_to(&self, mut file: LogFile) {
        let mut batch = Vec::with_capacity(MOST);
        let mut teller = Teller::default();
        loop {
            let mut state = self.lock();
            while state.count == 0 && !state.is_ending {
                state.is_idle = true;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.is_idle = false;
            }
            let count = std::mem::take(&mut state.count);
            if count == 0 {
                state.is_over = true;
                self.changed.notify_all();
                return;
            }
            std::mem::swap(&mut batch, &mut state.waiting);
            let without_room = state.without_room;
            drop(state);
            let result = file.write(&batch);
            batch.clear();
            teller.tell(&file, &result, without_room);
            let mut state = self.lock();
            match result {
                Ok(()) => state.written += count,
                Err(_) => state.lost += count,
            }
        }
    }

    /// No more lines come: waits until those that wait are written, but no longer than this.
    pub(super) fn end(&self, patience: Duration) {
        let mut state = self.lock();
        state.is_ending = true;
        self.changed.notify_all();
        let waited = self.changed.wait_timeout_while(state, patience, |state| !state.is_over);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn metrics(&self) -> Registry {
        let (written, lost) = {
            let state = self.lock();
            (state.written, state.lost)
        };
        let lines = Family::<OutcomeLabel, Counter>::default();
        for (outcome, count) in [("written", written), ("lost", lost)] {
            lines.get_or_create(&OutcomeLabel { outcome }).inc_by(count);
        }
        let mut registry = Registry::default();
        let help =
            "Lines of the resource log that were written, and those that could not be or for which there was no room";
        registry.register("hubgate_resource_log_lines", help, lines);
        registry
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the gateway's own log is told of the file.
#[derive(Debug, Default)]
struct Teller {
    is_broken: bool,
    told_without_room: u64,
    told_at: Option<Instant>,
}

impl Teller {
    fn tell(&mut self, file: &LogFile, result: &std::io::Result<()>, without_room: u64) {
        let path = file.path().display();
        match result {
            Err(error) if !self.is_broken => {
                tracing::warn!(file = %path, %error, "the file of `telemetry.resource-logs` cannot be written");
            }
            Ok(()) if self.is_broken => {
                tracing::info!(file = %path, "the file of `telemetry.resource-logs` is written again");
            }
            _ => {}
        }
        self.is_broken = result.is_err();
        let is_due = self.told_at.is_none_or(|at| at.elapsed() >= TELL_PERIOD);
        if without_room > self.told_without_room && is_due {
            let lines = without_room - self.told_without_room;
            tracing::warn!(file = %path, lines, "lines of `telemetry.resource-logs` come faster than they are written");
            (self.told_without_room, self.told_at) = (without_room, Some(Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn lines_that_find_no_room_are_counted_and_the_others_are_written_whole() {
        let folder = std::env::temp_dir().join(format!("hubgate-resource-log-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("there is room for a folder");
        let (path, lines) = (folder.join("log"), Arc::new(Lines::new()));
        let line = format!("{}\n", "x".repeat(999));
        let most = (MOST / line.len()) as u64;
        for _ in 0..most + 7 {
            lines.push(&line);
        }
        let counted = {
            let state = lines.lock();
            (state.count, state.lost)
        };
        assert_eq!(counted, (most, 7), "nobody writes yet");
        let (file, writer) = (LogFile::open(&path).expect("the folder is ours"), lines.clone());
        let writing = thread::spawn(move || writer.write_all_to(file));
        lines.end(Duration::from_secs(30));
        writing.join().expect("it does not panic");
        let text = fs::read_to_string(&path).expect("it is there");
        fs::remove_dir_all(&folder).expect("it is ours");
        let written = lines.lock().written;
        assert_eq!((text.lines().count() as u64, written), (most, most));
        assert!(text.lines().all(|each| each.len() == 999), "each line is whole");
    }
}
