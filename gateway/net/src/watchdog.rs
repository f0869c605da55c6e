//! The watchdog: a thread of its own that looks for signs of life, and ends a process that no longer shows them.
//!
//! Time is counted in looks and not by a clock, so that a process that was stopped as a whole and goes on, with a
//! suspended machine for example, finds itself alive. Lines of the log leave through another thread: whatever holds up a thread
//! may hold up the log, too.

use std::collections::HashMap;
use std::io;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use hubgate_plugin_host::VitalSign;

use crate::tasks::start_thread;
use crate::vitals::Vitals;

/// The time from one look to the next.
const PERIOD: Duration = Duration::from_millis(500);
/// Looks without a sign of life after which a thread is taken for stuck: 3 s.
const SILENT: u32 = 6;
/// Looks without one after which the process ends: 13 s, so that it has ended within 15 s of the last sign.
const DEAD: u32 = 26;
/// Lines that wait for the log.
const LINES: usize = 16;
/// How long the last line may take to leave, and how long what is done before the end.
const LAST_LINE: Duration = Duration::from_secs(1);

/// Watches for as long as anybody has the vitals. `on_well` is called at each look that finds everything alive, `on_abort` right before the
/// end, by the thread of the log's lines: what it does may wait for a thread that stands still.
pub(crate) fn start(
    vitals: &Arc<Vitals>,
    on_well: impl Fn() + Send + 'static,
    on_abort: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let (log, vitals) = (Log::start()?, Arc::downgrade(vitals));
    let watch = move || watch(&vitals, &log, on_well, on_abort, || std::process::abort());
    start_thread("watchdog", watch).map(drop)
}

fn watch(
    vitals: &Weak<Vitals>,
    log: &Log,
    on_well: impl Fn(),
    on_abort: impl FnOnce() + Send + 'static,
    abort: impl FnOnce(),
) {
    let mut looks = Looks::default();
    loop {
        thread::sleep(PERIOD);
        let Some(vitals) = vitals.upgrade() else {
            return;
        };
        match looks.look(&vitals, vitals.plugin_signs().as_deref(), log) {
            Verdict::Well => on_well(),
            Verdict::Unwell => {}
            Verdict::Dead => {
                log.last(on_abort);
                // While the vitals are held: their last owner may wait for what it closes.
                abort();
                return;
            }
        }
    }
}

/// What a look comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Well,
    Unwell,
    /// Nothing but the end of the process helps.
    Dead,
}

/// What the looks so far have found.
#[derive(Debug, Default)]
struct Looks {
    silences: HashMap<String, Silence>,
    /// Looks since the end began.
    ending: u32,
}

/// How long a thread has given no sign.
#[derive(Debug, Default, Clone, Copy)]
struct Silence {
    beats: u64,
    looks: u32,
}

impl Looks {
    /// `plugins`: what their threads show, unless threads end as they are told to.
    fn look(&mut self, vitals: &Vitals, plugins: Option<&[(&'static str, VitalSign)]>, log: &Log) -> Verdict {
        if let Some(limit) = vitals.end_limit() {
            self.ending += 1;
            if PERIOD * self.ending > limit {
                log.last(move || {
                    tracing::error!(?limit, "the gateway does not come to its end: the process is ended now");
                });
                return Verdict::Dead;
            }
        }
        let Some(plugins) = plugins else {
            return Verdict::Well;
        };
        let mut longest: Option<(String, u32)> = None;
        let mut note = |name: &str, looks: u32| {
            if longest.as_ref().is_none_or(|(_, most)| looks > *most) {
                longest = Some((name.to_owned(), looks));
            }
        };
        for pulse in vitals.pulses() {
            let looks = self.count(&pulse.name, pulse.beats());
            pulse.set_silent(looks >= SILENT);
            note(&pulse.name, looks);
            tell(&pulse.name, looks, log);
        }
        for (name, sign) in plugins {
            match sign {
                VitalSign::Idle => drop(self.silences.remove(*name)),
                VitalSign::Working(beats) => {
                    let looks = self.count(name, *beats);
                    note(name, looks);
                    tell(name, looks, log);
                }
                VitalSign::Ended if vitals.failure().is_none() => {
                    log.line(vitals.fail_unsaid(format!("thread {name} has ended")));
                }
                VitalSign::Ended => {}
            }
        }
        let (name, looks) = longest.unwrap_or_default();
        match looks {
            DEAD.. => {
                log.last(move || {
                    let silence = PERIOD * DEAD;
                    tracing::error!(thread = name, ?silence, "a thread is stuck: the process is ended now");
                });
                Verdict::Dead
            }
            SILENT.. => Verdict::Unwell,
            _ if vitals.failure().is_some() => Verdict::Unwell,
            _ => Verdict::Well,
        }
    }

    /// Gives for how many looks a thread has been silent.
    fn count(&mut self, name: &str, beats: u64) -> u32 {
        let Some(silence) = self.silences.get_mut(name) else {
            self.silences.insert(name.to_owned(), Silence { beats, looks: 0 });
            return 0;
        };
        let looks = if silence.beats == beats { silence.looks + 1 } else { 0 };
        *silence = Silence { beats, looks };
        looks
    }
}

fn tell(name: &str, looks: u32, log: &Log) {
    if looks == SILENT {
        let name = name.to_owned();
        log.line(move || {
            tracing::error!(thread = name, "a thread does not answer: the gateway is not ready meanwhile");
        });
    }
}

type Line = Box<dyn FnOnce() + Send>;

/// The thread that hands lines to the log.
#[derive(Debug)]
struct Log(SyncSender<(Line, SyncSender<()>)>);

impl Log {
    fn start() -> io::Result<Log> {
        let (lines, received) = mpsc::sync_channel::<(Line, SyncSender<()>)>(LINES);
        start_thread("watchdog-log", move || {
            for (line, said) in received {
                line();
                // Few lines are waited for.
                let _ = said.try_send(());
            }
        })?;
        Ok(Log(lines))
    }

    /// Says something, if the log takes it.
    fn line(&self, line: impl FnOnce() + Send + 'static) {
        let _ = self.0.try_send((Box::new(line), mpsc::sync_channel(1).0));
    }

    /// Says the last thing, but waits no longer for it than is good.
    fn last(&self, line: impl FnOnce() + Send + 'static) {
        let (said, is_said) = mpsc::sync_channel(1);
        if self.0.try_send((Box::new(line), said)).is_ok() {
            let _ = is_said.recv_timeout(LAST_LINE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vitals::{Pulse, Readiness};

    /// Looks, with a beat of all threads but one before each; gives how many looks it takes to miss that one.
    fn looks_until_missed(silent: &str) -> u32 {
        let (vitals, log, mut looks) = (Vitals::new(2, None), Log::start().expect("a thread"), Looks::default());
        for count in 1..=DEAD {
            vitals.pulses().filter(|pulse| pulse.name != silent).for_each(Pulse::beat);
            if looks.look(&vitals, Some(&[]), &log) == Verdict::Unwell {
                assert!(vitals.pulses().all(|pulse| pulse.is_silent() == (pulse.name == silent)));
                return count;
            }
        }
        panic!("{silent} is not missed");
    }

    #[test]
    fn a_thread_is_stuck_after_three_seconds_and_dead_after_thirteen() {
        for thread in ["main", "shard-0", "shard-1"] {
            // The first look only learns where the count stands.
            assert_eq!(looks_until_missed(thread), SILENT + 1);
        }
        let (vitals, log, mut looks) = (Vitals::new(1, None), Log::start().expect("a thread"), Looks::default());
        let verdicts: Vec<Verdict> = (0..=DEAD).map(|_| looks.look(&vitals, Some(&[]), &log)).collect();
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Dead).count(), 1, "{verdicts:?}");
        assert_eq!(verdicts.last(), Some(&Verdict::Dead));
    }

    #[test]
    fn a_thread_that_goes_on_makes_the_gateway_ready_again() {
        let (vitals, log, mut looks) = (Vitals::new(1, None), Log::start().expect("a thread"), Looks::default());
        vitals.set_ready(true);
        let mut look = |beats: bool| {
            vitals.main.beat();
            if beats {
                vitals.shard(0).beat();
            }
            looks.look(&vitals, Some(&[]), &log)
        };
        while look(false) == Verdict::Well {}
        assert_eq!(vitals.readiness(), Readiness::Unwell);
        assert_eq!(look(true), Verdict::Well);
        assert_eq!(vitals.readiness(), Readiness::Ready);
    }

    #[test]
    fn a_thread_of_plugins_counts_while_something_is_due_and_its_end_is_a_failure() {
        let (vitals, log, mut looks) = (Vitals::new(0, None), Log::start().expect("a thread"), Looks::default());
        let mut look = |sign| {
            vitals.main.beat();
            looks.look(&vitals, Some(&[("ticker", sign)]), &log)
        };
        for _ in 0..2 * DEAD {
            assert_eq!(look(VitalSign::Idle), Verdict::Well);
        }
        let silent: Vec<Verdict> = (0..=DEAD).map(|_| look(VitalSign::Working(7))).collect();
        assert_eq!((silent[0], silent[SILENT as usize]), (Verdict::Well, Verdict::Unwell));
        assert_eq!(silent.last(), Some(&Verdict::Dead));
        assert_eq!(look(VitalSign::Working(8)), Verdict::Well);
        assert_eq!(vitals.failure(), None);
        look(VitalSign::Ended);
        assert_eq!(vitals.failure(), Some("thread ticker has ended"));
    }

    #[test]
    fn the_end_of_a_thread_is_a_failure_even_if_nobody_reads_the_log() {
        let (lines, unsaid) = mpsc::sync_channel(LINES);
        let (vitals, log, mut looks) = (Vitals::new(0, None), Log(lines), Looks::default());
        for _ in 0..2 {
            looks.look(&vitals, Some(&[("ticker", VitalSign::Ended)]), &log);
        }
        assert_eq!(vitals.failure(), Some("thread ticker has ended"));
        assert_eq!(unsaid.try_iter().count(), 1, "it is left to the log's thread to say so");
    }

    #[test]
    fn an_end_that_does_not_come_is_brought_about() {
        let (vitals, log, mut looks) = (Vitals::new(1, None), Log::start().expect("a thread"), Looks::default());
        vitals.end_within(PERIOD * 3);
        let verdicts: Vec<Verdict> = (0..4).map(|_| looks.look(&vitals, None, &log)).collect();
        assert_eq!(verdicts, [Verdict::Well, Verdict::Well, Verdict::Well, Verdict::Dead]);
    }

    #[test]
    fn what_is_done_before_the_end_does_not_hold_it_up() {
        let (vitals, log) = (Arc::new(Vitals::new(1, None)), Log::start().expect("a thread"));
        vitals.end_within(Duration::ZERO);
        let ((begin, begun), (end, ended)) = (mpsc::channel(), mpsc::channel());
        let (_keep, never) = mpsc::channel::<()>();
        let watched = Arc::downgrade(&vitals);
        start_thread("watchdog", move || {
            let waits = move || {
                let _ = begin.send(());
                let _ = never.recv();
            };
            watch(&watched, &log, || (), waits, move || end.send(()).unwrap_or_default());
        })
        .expect("a thread");
        assert_eq!(ended.recv_timeout(Duration::from_secs(120)), Ok(()), "the process ends");
        assert_eq!(begun.recv_timeout(Duration::from_secs(120)), Ok(()), "it is begun");
    }
}
