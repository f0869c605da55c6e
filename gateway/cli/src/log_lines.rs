//! The way of log lines to where they are read. A thread writes them, so that a reader who does not read holds up nobody else;
//! lines that find no room meanwhile are lost, and the log says how many.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What may wait, in bytes.
const MOST: usize = 1 << 20;
/// What a line takes up beside its bytes.
const OVERHEAD: usize = 64;

/// Lines that wait to be written. A clone is the same.
///
/// While the state is locked nothing is allocated or freed, since whoever writes a line would wait for that.
#[derive(Debug, Clone)]
pub(crate) struct Lines(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Has room for as many as may wait.
    waiting: VecDeque<Vec<u8>>,
    /// What they take up.
    bytes: usize,
    /// Whether a line is on its way, or what is lost is being told.
    is_writing: bool,
    /// Lines that found no room since that was told last.
    lost: u64,
}

impl Lines {
    /// Starts to write to `out`. `tell` says how many lines are lost, once those before have been read.
    pub(crate) fn write_to(out: impl Write + Send + 'static, tell: impl Fn(u64) + Send + 'static) -> io::Result<Lines> {
        let waiting = VecDeque::with_capacity(MOST / OVERHEAD);
        let state = Mutex::new(State { waiting, bytes: 0, is_writing: false, lost: 0 });
        let lines = Lines(Arc::new(Queue { state, changed: Condvar::new() }));
        let written = lines.clone();
        thread::Builder::new().name("hubgate-log".to_owned()).spawn(move || written.write_all_to(out, tell))?;
        Ok(lines)
    }

    fn write_all_to(&self, mut out: impl Write, tell: impl Fn(u64)) {
        let mut state = self.lock();
        loop {
            let Some(line) = state.waiting.pop_front() else {
                let lost = std::mem::take(&mut state.lost);
                state.is_writing = lost > 0;
                if state.is_writing {
                    drop(state);
                    tell(lost);
                    state = self.lock();
                    continue;
                }
                self.0.changed.notify_all();
                state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.bytes -= line.len() + OVERHEAD;
            state.is_writing = true;
            drop(state);
            // There is nobody else to whom an error could be told.
            let _ = out.write_all(&line);
            drop(line);
            state = self.lock();
        }
    }

    /// Adds a line with its end, if there is room for it.
    pub(crate) fn push(&self, line: &[u8]) {
        let line = line.to_owned();
        let mut state = self.lock();
        if state.bytes + line.len() + OVERHEAD > MOST && !state.waiting.is_empty() {
            state.lost += 1;
            return;
        }
        state.bytes += line.len() + OVERHEAD;
        state.waiting.push_back(line);
        self.0.changed.notify_all();
    }

    /// Waits until all lines are written, but no longer than this.
    pub(crate) fn flush(&self, patience: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.waiting.is_empty() || state.lost > 0;
        drop(self.0.changed.wait_timeout_while(self.lock(), patience, is_busy));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each write is a line.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_reader_who_does_not_read_holds_nobody_up_and_is_told_what_is_lost() {
        const LINES: u64 = 20_000;
        let (read, write) = io::pipe().expect("there is a pipe");
        let (tell, is_told) = mpsc::channel();
        let lines = Lines::write_to(write, move |count| tell.send(count).expect("the test waits")).expect("a thread");
        let text = "x".repeat(1_000);
        for number in 0..LINES {
            lines.push(format!("{number} {text}\n").as_bytes());
        }
        lines.flush(Duration::ZERO);
        // Far more waits than the pipe takes: the thread that writes does not tell of a loss before something is read.
        let lost = lines.lock().lost;
        assert!(lines.lock().bytes <= MOST, "what waits is bounded");
        assert!(lost > 0, "the pipe holds less");
        let mut read = BufReader::new(read).lines();
        let mut number_of = || {
            let line = read.next().expect("the pipe is open").expect("it can be read");
            line.split_once(' ').expect("it is whole").0.parse::<u64>().expect("a number")
        };
        let kept: Vec<u64> = (lost..LINES).map(|_| number_of()).collect();
        assert_eq!(kept[0], 0, "what waits already is not lost");
        assert!(kept.is_sorted_by(|one, next| one < next), "in their order: {kept:?}");
        assert_eq!(is_told.recv_timeout(Duration::from_secs(30)), Ok(lost));
        lines.push(b"7 after\n");
        assert_eq!(number_of(), 7, "it goes on");
    }

    #[test]
    fn the_queue_has_room_for_all_that_may_wait() {
        let (_read, write) = io::pipe().expect("there is a pipe");
        let lines = Lines::write_to(write, |_| ()).expect("a thread");
        let capacity = lines.lock().waiting.capacity();
        while lines.lock().lost == 0 {
            lines.push(b"\n");
        }
        assert_eq!(lines.lock().waiting.capacity(), capacity, "nothing is allocated while it is locked");
    }

    #[test]
    fn all_lines_are_written_when_they_are_waited_for() {
        let (mut read, write) = io::pipe().expect("there is a pipe");
        let lines = Lines::write_to(write, |_| ()).expect("a thread");
        lines.push(b"one\n");
        lines.push(b"two\n");
        lines.flush(Duration::from_secs(30));
        let mut text = [0; 8];
        io::Read::read_exact(&mut read, &mut text).expect("it is there");
        assert_eq!(&text, b"one\ntwo\n");
    }
}
