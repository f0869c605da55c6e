//! The way of log lines to where they are read. A thread writes them, so that a reader who does not read holds up nobody else;
//! lines that find no room meanwhile are lost, and the log says how many.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What may wait, in bytes.
const MOST: usize = 1 << 20;
/// What a line takes up beside its bytes.
const OVERHEAD: usize = 64;
/// How often it is told how many lines are lost, while they come faster than they are read.
const TELL_PERIOD: Duration = Duration::from_secs(1);

thread_local! {
    /// Whether this thread tells how many lines are lost: that line always finds room.
    static IS_TELLING: Cell<bool> = const { Cell::new(false) };
}

/// Lines that wait to be written. A clone is the same.
///
/// While the state is locked nothing is allocated or freed, since whoever writes a line would wait for that. Each wake-up is a
/// system call, so nobody is woken who does not wait.
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
    /// Whether the last line could not be written: nobody could be told, either.
    is_broken: bool,
    /// Lines that were lost since that was told last.
    lost: u64,
    /// Lines that have left, or could not.
    done: u64,
    /// Whether the thread that writes waits for lines.
    is_idle: bool,
    /// How many threads wait for lines to leave.
    flushing: u32,
}

impl State {
    fn owes_lines(&self) -> bool {
        self.is_writing || !self.waiting.is_empty() || (self.lost > 0 && !self.is_broken)
    }
}

impl Lines {
    /// Starts to write to `out`. `tell` says how many lines are lost, as a line of this log.
    pub(crate) fn write_to(
        out: impl Write + AsFd + Send + 'static,
        tell: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Lines> {
        // One more for the line that always finds room.
        let waiting = VecDeque::with_capacity(MOST / OVERHEAD + 1);
        let state = State {
            waiting,
            bytes: 0,
            is_writing: false,
            is_broken: false,
            lost: 0,
            done: 0,
            is_idle: false,
            flushing: 0,
        };
        let lines = Lines(Arc::new(Queue { state: Mutex::new(state), changed: Condvar::new() }));
        let written = lines.clone();
        thread::Builder::new().name("hubgate-log".to_owned()).spawn(move || written.write_all_to(out, tell))?;
        Ok(lines)
    }

    fn write_all_to(&self, mut out: impl Write + AsFd, tell: impl Fn(u64)) {
        let mut told = None;
        let mut state = self.lock();
        loop {
            let is_due = told.is_none_or(|at: Instant| at.elapsed() >= TELL_PERIOD);
            if state.lost > 0 && !state.is_broken && (is_due || state.waiting.is_empty()) {
                let lost = std::mem::take(&mut state.lost);
                state.is_writing = true;
                drop(state);
                IS_TELLING.set(true);
                tell(lost);
                IS_TELLING.set(false);
                told = Some(Instant::now());
                state = self.lock();
                state.is_writing = false;
                continue;
            }
            let Some(line) = state.waiting.pop_front() else {
                self.tell_flushing(&state);
                state.is_idle = true;
                state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.is_idle = false;
                continue;
            };
            state.bytes -= line.len() + OVERHEAD;
            state.is_writing = true;
            drop(state);
            let written = write_whole(&mut out, &line);
            drop(line);
            state = self.lock();
            state.is_writing = false;
            state.is_broken = written.is_err();
            // There is nobody to whom the error could be told, but once a line can be written again.
            state.lost += u64::from(state.is_broken);
            state.done += 1;
            self.tell_flushing(&state);
        }
    }

    fn tell_flushing(&self, state: &State) {
        if state.flushing > 0 {
            self.0.changed.notify_all();
        }
    }

    /// Adds a line with its end, if there is room for it.
    pub(crate) fn push(&self, line: &[u8]) {
        let line = line.to_owned();
        let mut state = self.lock();
        if state.bytes + line.len() + OVERHEAD > MOST && !state.waiting.is_empty() && !IS_TELLING.get() {
            state.lost += 1;
            return;
        }
        state.bytes += line.len() + OVERHEAD;
        state.waiting.push_back(line);
        if state.is_idle {
            self.0.changed.notify_all();
        }
    }

    /// Waits until all lines are written, but no longer than `patience` for each, and `most` for all.
    pub(crate) fn flush(&self, patience: Duration, most: Duration) {
        let deadline = Instant::now() + most;
        let mut state = self.lock();
        while state.owes_lines() {
            let (done, left) = (state.done, deadline.saturating_duration_since(Instant::now()));
            let is_still = |state: &mut State| state.owes_lines() && state.done == done;
            state.flushing += 1;
            let waited = self.0.changed.wait_timeout_while(state, patience.min(left), is_still);
            let (mut now, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            now.flushing -= 1;
            if timeout.timed_out() {
                return;
            }
            state = now;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all of a line, also where writing does not wait by itself: whoever has the other end of a pipe may have set it so.
fn write_whole(out: &mut (impl Write + AsFd), mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match out.write(line) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => line = &line[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_for_room(out)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Until something can be written, or never again.
fn wait_for_room(out: &impl AsFd) -> io::Result<()> {
    let mut asked = libc::pollfd { fd: out.as_fd().as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: there is one entry, and its descriptor is open while `out` is borrowed.
    match unsafe { libc::poll(&raw mut asked, 1, -1) } {
        -1 => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            error => Err(error),
        },
        _ => Ok(()),
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

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_reader_who_does_not_read_holds_nobody_up_and_is_told_what_is_lost() {
        const LINES: u64 = 20_000;
        let (read, mut write) = io::pipe().expect("there is a pipe");
        // So that the first line waits already.
        set_non_blocking(&write);
        while write.write(b"\n").is_ok() {}
        let (tell, is_told) = mpsc::channel();
        let lines = Lines::write_to(write, move |count| tell.send(count).expect("the test waits")).expect("a thread");
        let text = "x".repeat(1_000);
        lines.push(format!("0 {text}\n").as_bytes());
        let deadline = Instant::now() + LONG;
        while !lines.lock().is_writing {
            assert!(Instant::now() < deadline, "the first line is not on its way");
            thread::yield_now();
        }
        for number in 1..LINES {
            lines.push(format!("{number} {text}\n").as_bytes());
        }
        lines.flush(Duration::ZERO, Duration::ZERO);
        // The thread that writes is at the first line, and does not tell of a loss before something is read.
        let lost = lines.lock().lost;
        assert!(lines.lock().bytes <= MOST, "what waits is bounded");
        assert!(lost > 0, "the pipe holds less");
        let mut read = BufReader::new(read).lines().map(|line| line.expect("it can be read"));
        let mut number_of = || {
            let line = read.find(|line| !line.is_empty()).expect("the pipe is open");
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
        lines.flush(LONG, LONG);
        let mut text = [0; 8];
        io::Read::read_exact(&mut read, &mut text).expect("it is there");
        assert_eq!(&text, b"one\ntwo\n");
    }

    /// Lets writes to this end fail where they would wait.
    fn set_non_blocking(end: &impl AsFd) {
        let descriptor = end.as_fd().as_raw_fd();
        // SAFETY: the descriptor is open, and its flags are numbers.
        let set = unsafe {
            let flags = libc::fcntl(descriptor, libc::F_GETFL);
            libc::fcntl(descriptor, libc::F_SETFL, flags | libc::O_NONBLOCK)
        };
        assert_eq!(set, 0);
    }

    #[test]
    fn a_pipe_whose_writes_do_not_wait_gets_every_line_whole() {
        const LINES: usize = 500;
        let (read, write) = io::pipe().expect("there is a pipe");
        set_non_blocking(&write);
        let lines = Lines::write_to(write, |lost| panic!("{lost} lines are lost")).expect("a thread");
        let text = "x".repeat(1_000);
        for number in 0..LINES {
            lines.push(format!("{number} {text}\n").as_bytes());
        }
        let mut read = BufReader::new(read).lines();
        for number in 0..LINES {
            let line = read.next().expect("it comes").expect("it can be read");
            assert_eq!(line, format!("{number} {text}"));
        }
    }

    /// A place that takes nothing for a while, as a full disk.
    struct Full<W>(W, mpsc::Receiver<()>);

    impl<W: Write> Write for Full<W> {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            match self.1.try_recv() {
                Ok(()) => Err(io::ErrorKind::StorageFull.into()),
                Err(_) => self.0.write(line),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<W: AsFd> AsFd for Full<W> {
        fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_told_once_others_can() {
        let (_read, write) = io::pipe().expect("there is a pipe");
        let ((fail, fails), (tell, is_told)) = (mpsc::channel(), mpsc::channel());
        for _ in 0..2 {
            fail.send(()).expect("it is received");
        }
        let tell = move |count| tell.send(count).expect("the test waits");
        let lines = Lines::write_to(Full(write, fails), tell).expect("a thread");
        lines.push(b"one\n");
        lines.push(b"two\n");
        lines.flush(LONG, LONG);
        assert!(is_told.try_recv().is_err(), "that could not be written, either");
        lines.push(b"three\n");
        assert_eq!(is_told.recv_timeout(LONG), Ok(2));
    }

    #[test]
    fn what_is_lost_is_told_while_lines_still_come_faster_than_they_are_read() {
        let (mut read, write) = io::pipe().expect("there is a pipe");
        let told: Arc<std::sync::OnceLock<Lines>> = Arc::default();
        let here = told.clone();
        let tell = move |_| here.get().expect("lines are pushed").push(b"LOST\n");
        let lines = Lines::write_to(write, tell).expect("a thread");
        told.set(lines.clone()).expect("once");
        let line = [b"x".repeat(1_000), b"\n".to_vec()].concat();
        let mut some = vec![0; 64 << 10];
        let mut read_so_far = Vec::new();
        // The queue is full again whenever something is read.
        while !read_so_far.ends_with(b"LOST\n") {
            while lines.lock().bytes + 2 * line.len() < MOST || lines.lock().lost == 0 {
                lines.push(&line);
            }
            let count = io::Read::read(&mut read, &mut some).expect("it can be read");
            match some[..count].windows(5).any(|window| window == b"LOST\n") {
                true => read_so_far.extend_from_slice(b"LOST\n"),
                false => read_so_far.clear(),
            }
        }
        assert!(!lines.lock().waiting.is_empty(), "more waits");
    }
}
