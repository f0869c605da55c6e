//! What a guest is told of the outside, written down while it runs, and told again when it is replayed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::format_err;

use super::call::{HostCall, HostReply};
use crate::limits::JOURNAL_BYTES;

/// A call of an import, and what came of it: a reply, or why the guest was broken off.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exchange {
    pub(crate) call: HostCall,
    pub(crate) reply: Result<HostReply, String>,
}

/// Where the replies to an instance's calls are written to, or come from.
#[derive(Debug, Clone, Default)]
pub(crate) enum Tape {
    /// Nothing is written down.
    #[default]
    Off,
    Recording(Recording),
    Playing(Playback),
}

/// What is written down, in its order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recording(Arc<Mutex<Written>>);

#[derive(Debug, Default)]
struct Written {
    /// Empty when there were too many.
    exchanges: Vec<Exchange>,
    /// Of all that there were.
    bytes: usize,
}

/// What is told again, in its order.
#[derive(Debug, Clone)]
pub(crate) struct Playback(Arc<Mutex<Played>>);

#[derive(Debug)]
struct Played {
    left: VecDeque<Exchange>,
    divergence: Option<String>,
}

impl Tape {
    /// Answers a call in place.
    pub(super) fn answer(&self, call: HostCall, live: impl FnOnce() -> HostReply) -> wasmtime::Result<HostReply> {
        match self {
            Tape::Off => Ok(live()),
            Tape::Recording(recording) => {
                let reply = Ok(live());
                recording.add(call, &reply);
                reply
            }
            Tape::Playing(playback) => playback.next(&call),
        }
    }
}

impl Recording {
    /// All that was written down; `None` if it was more than [`JOURNAL_BYTES`].
    pub(crate) fn exchanges(&self) -> Option<Vec<Exchange>> {
        let mut written = self.written();
        let exchanges = std::mem::take(&mut written.exchanges);
        (!written.is_too_long()).then_some(exchanges)
    }

    /// Writes down what came of a call.
    pub(super) fn add(&self, call: HostCall, reply: &wasmtime::Result<HostReply>) {
        let mut written = self.written();
        if written.is_too_long() {
            return;
        }
        let said = reply.as_ref().map_or(0, HostReply::weight);
        written.bytes += size_of::<Exchange>() + call.weight() + said;
        if written.is_too_long() {
            written.exchanges = Vec::new();
            return;
        }
        let reply = match reply {
            Ok(reply) => Ok(reply.clone()),
            Err(error) => Err(error.root_cause().to_string()),
        };
        written.exchanges.push(Exchange { call, reply });
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn is_too_long(&self) -> bool {
        self.bytes > JOURNAL_BYTES
    }
}

impl Playback {
    pub(crate) fn of(exchanges: Vec<Exchange>) -> Playback {
        Playback(Arc::new(Mutex::new(Played { left: exchanges.into(), divergence: None })))
    }

    /// What came of this call when it was recorded. The guest is broken off when it makes another one.
    pub(super) fn next(&self, call: &HostCall) -> wasmtime::Result<HostReply> {
        let mut played = self.played();
        let recorded = match played.left.pop_front() {
            Some(recorded) if recorded.call == *call => {
                return recorded.reply.map_err(|reason| format_err!("{reason}"));
            }
            Some(recorded) => recorded.call.name(),
            None => "nothing more",
        };
        let divergence = format!("it calls {}, and {recorded} was recorded", call.name());
        Err(format_err!("{}", played.divergence.get_or_insert(divergence)))
    }

    /// How the guest went another way than it was recorded, if it did.
    pub(crate) fn divergence(&self) -> Option<String> {
        let played = self.played();
        let unasked = || Some(format!("it does not call {}, which was recorded", played.left.front()?.call.name()));
        played.divergence.clone().or_else(unasked)
    }

    fn played(&self) -> MutexGuard<'_, Played> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::call::{Glance, Reply};
    use super::*;

    const NOW: HostCall = HostCall::Glance(Glance::Now);
    const TIME_LEFT: HostCall = HostCall::Glance(Glance::TimeLeft);

    /// A playback of one call of `now`.
    fn playback() -> Playback {
        let tape = Tape::Recording(Recording::default());
        tape.answer(NOW, || 7_u64.into_reply()).expect("it is answered");
        let Tape::Recording(recording) = tape else { panic!("it records") };
        Playback::of(recording.exchanges().expect("it is short"))
    }

    #[test]
    fn what_was_recorded_is_told_again() {
        let playback = playback();
        assert_eq!(playback.next(&NOW).ok(), Some(HostReply::Milliseconds(7)));
        assert_eq!(playback.divergence(), None);
    }

    #[test]
    fn of_a_recording_that_is_too_long_nothing_is_kept() {
        let recording = Recording::default();
        let tape = Tape::Recording(recording.clone());
        let half = || vec![0_u8; JOURNAL_BYTES / 2].into_reply();
        let mut held = Vec::new();
        for _ in 0..3 {
            tape.answer(NOW, half).expect("it is answered all the same");
            held.push(recording.written().exchanges.len());
        }
        assert_eq!((held, recording.exchanges()), (vec![1, 0, 0], None));
    }

    #[test]
    fn a_guest_that_asks_something_else_or_more_or_less_has_gone_another_way() {
        let is = |playback: &Playback, expected: &str| {
            let divergence = playback.divergence().expect("it has diverged");
            assert!(divergence.contains(expected), "{divergence}");
        };
        let other = playback();
        assert!(other.next(&TIME_LEFT).is_err());
        assert!(other.next(&NOW).is_err(), "it is too late");
        is(&other, "calls context.time-left, and context.now was recorded");
        let more = playback();
        assert!(more.next(&NOW).is_ok() && more.next(&NOW).is_err());
        is(&more, "calls context.now, and nothing more was recorded");
        is(&playback(), "does not call context.now");
    }
}
