//! The timers of one lane, in the order in which they are due. Time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use hubgate_core::id::{HubName, PluginName};

use super::account::Place;
use crate::timer::{Lifetime, Schedule, Timer, TimerKey};

/// How often a timer is fired whose call breaks off, in number, before it counts as fired.
pub(crate) const MOST_TRIES: u32 = 7;
/// How long after a call that broke off the timer is fired again, in milliseconds: four times as long after each further one, so that
/// some two minutes pass in all.
const FIRST_BACKOFF: u64 = 100;
/// How long after a fire that could not be tried the next attempt is made, in milliseconds.
const WAIT: u64 = 1_000;
/// What a page of timers may hold, in bytes; the first one of a page passes in any case.
const PAGE_BYTES: usize = 1 << 20;

/// A timer whose time has come.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) key: TimerKey,
    pub(crate) number: u64,
    pub(crate) payload: Arc<[u8]>,
    pub(crate) lifetime: Lifetime,
    /// How late it is, in milliseconds.
    pub(crate) late: u64,
    /// How often it was fired before and broke off.
    pub(crate) tries: u32,
}

/// What came of a fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fired {
    /// The guest has returned, be it with an error of its own.
    Answered,
    BrokenOff,
    /// Nobody could be called.
    NotTried,
}

/// What becomes of a timer that was fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It was set anew or cancelled meanwhile.
    Other,
    Over,
    /// It is due again then; so many of its times have passed while it was not fired.
    Due {
        due: u64,
        skipped: u64,
    },
    /// It is fired once more, for the same time.
    Again {
        at: u64,
    },
}

/// Timers of many plugins and hubs.
#[derive(Default)]
pub(crate) struct Queue {
    timers: BTreeMap<TimerKey, Entry>,
    /// Those that no call runs for.
    waiting: BTreeSet<(u64, TimerKey)>,
}

struct Entry {
    timer: Timer,
    /// When it is to be looked at; none while a call runs.
    wakes: Option<u64>,
    tries: u32,
    place: Place,
}

impl Queue {
    /// In the place of the one with this key, whose call may go on.
    pub(crate) fn set(&mut self, key: TimerKey, timer: Timer, place: Place) {
        self.remove(&key);
        self.waiting.insert((timer.due, key.clone()));
        self.timers.insert(key, Entry { wakes: Some(timer.due), timer, tries: 0, place });
    }

    pub(crate) fn remove(&mut self, key: &TimerKey) -> Option<Timer> {
        let (key, entry) = self.timers.remove_entry(key)?;
        if let Some(wakes) = entry.wakes {
            self.waiting.remove(&(wakes, key));
        }
        Some(entry.timer)
    }

    /// A timer, and what its place takes, in bytes.
    pub(crate) fn get(&self, key: &TimerKey) -> Option<(&Timer, usize)> {
        self.timers.get(key).map(|entry| (&entry.timer, entry.place.bytes()))
    }

    /// Removes all timers but those of these plugins.
    pub(crate) fn retain(&mut self, is_kept: impl Fn(&PluginName) -> bool) {
        self.timers.retain(|key, _| is_kept(&key.plugin));
        self.waiting.retain(|(_, key)| is_kept(&key.plugin));
    }

    /// Timers of a plugin and a hub by their names, after `after`: at most `limit`, and fewer where they are large.
    pub(crate) fn page(
        &self,
        (plugin, hub): (&PluginName, &HubName),
        after: Option<&str>,
        limit: usize,
    ) -> Vec<(Arc<str>, Timer)> {
        let from = TimerKey { plugin: plugin.clone(), hub: hub.clone(), name: after.unwrap_or("").into() };
        let from = match after {
            Some(_) => Bound::Excluded(from),
            None => Bound::Included(from),
        };
        let (mut page, mut bytes) = (Vec::new(), 0);
        let own = self.timers.range((from, Bound::Unbounded)).take(limit);
        for (key, entry) in own.take_while(|(key, _)| key.plugin == *plugin && key.hub == *hub) {
            bytes += entry.place.bytes();
            if bytes > PAGE_BYTES && !page.is_empty() {
                break;
            }
            page.push((key.name.clone(), entry.timer.clone()));
        }
        page
    }

    /// When the next timer is to be looked at.
    pub(crate) fn wakes(&self) -> Option<u64> {
        self.waiting.first().map(|(wakes, _)| *wakes)
    }

    /// Takes a timer whose time has come. It is not taken again until it is known what came of that.
    pub(crate) fn take(&mut self, now: u64) -> Option<Taken> {
        if self.wakes()? > now {
            return None;
        }
        let (_, key) = self.waiting.pop_first()?;
        let entry = self.timers.get_mut(&key)?;
        entry.wakes = None;
        let Timer { due, payload, lifetime, number, when: _ } = entry.timer.clone();
        Some(Taken { key, number, payload, lifetime, late: now.saturating_sub(due), tries: entry.tries })
    }

    /// What is to become of a timer that was taken.
    pub(crate) fn next(&self, key: &TimerKey, number: u64, fired: Fired, now: u64) -> Next {
        let Some(entry) = self.timers.get(key).filter(|entry| entry.timer.number == number) else { return Next::Other };
        match fired {
            Fired::NotTried => return Next::Again { at: now.saturating_add(WAIT) },
            Fired::BrokenOff if entry.tries + 1 < MOST_TRIES => {
                let backoff = FIRST_BACKOFF << (2 * entry.tries);
                return Next::Again { at: now.saturating_add(backoff) };
            }
            Fired::Answered | Fired::BrokenOff => {}
        }
        match entry.timer.when {
            Schedule::After(_) | Schedule::At(_) => Next::Over,
            Schedule::Every(period) => {
                // Always from when it was due: what a call takes, or a thread that comes late, does not add up.
                let passed = now.saturating_sub(entry.timer.due) / period.max(1);
                let due = entry.timer.due.saturating_add((passed + 1).saturating_mul(period));
                Next::Due { due, skipped: passed }
            }
        }
    }

    /// Lets that become of it, unless it was set anew or cancelled meanwhile.
    pub(crate) fn go_on(&mut self, key: TimerKey, number: u64, (fired, next): (Fired, Next)) {
        let Some(entry) = self.timers.get_mut(&key).filter(|entry| entry.timer.number == number) else { return };
        let wakes = match next {
            Next::Other => return,
            Next::Over => {
                self.remove(&key);
                return;
            }
            Next::Due { due, .. } => {
                (entry.timer.due, entry.tries) = (due, 0);
                due
            }
            Next::Again { at } => {
                entry.tries += u32::from(fired == Fired::BrokenOff);
                at
            }
        };
        if let Some(before) = entry.wakes.replace(wakes) {
            self.waiting.remove(&(before, key.clone()));
        }
        self.waiting.insert((wakes, key));
    }
}

#[cfg(test)]
mod tests {
    use super::super::account::Account;
    use super::*;

    fn key(name: &str) -> TimerKey {
        let hub = HubName::parse("hub").expect("it is a hub's name");
        TimerKey { plugin: PluginName::new("p"), hub, name: name.into() }
    }

    fn place() -> Place {
        let account = Arc::new(Account::new(PluginName::new("p")));
        account.admit(1, (usize::MAX, usize::MAX), None).expect("there is room")
    }

    impl Queue {
        fn sets(&mut self, name: &str, number: u64, when: Schedule, now: u64) {
            let timer =
                Timer { when, due: when.first_due(now), payload: Arc::default(), lifetime: Lifetime::Process, number };
            self.set(key(name), timer, place());
        }

        fn ends(&mut self, name: &str, number: u64, fired: Fired, now: u64) -> Next {
            let next = self.next(&key(name), number, fired, now);
            self.go_on(key(name), number, (fired, next));
            next
        }

        fn takes(&mut self, now: u64) -> Option<String> {
            self.take(now).map(|taken| taken.key.name.to_string())
        }
    }

    #[test]
    fn timers_fire_in_the_order_in_which_they_are_due_and_none_before_its_time() {
        let mut queue = Queue::default();
        queue.sets("late", 1, Schedule::After(30), 100);
        queue.sets("past", 2, Schedule::At(7), 100);
        queue.sets("soon", 3, Schedule::After(10), 100);
        assert_eq!(queue.wakes(), Some(7));
        let fired: Vec<_> = [100, 109, 110, 129, 130, 999].map(|now| queue.takes(now)).into();
        assert_eq!(fired, [Some("past".into()), None, Some("soon".into()), None, Some("late".into()), None]);
    }

    #[test]
    fn a_period_does_not_drift_and_what_was_missed_fires_once() {
        let mut queue = Queue::default();
        queue.sets("t", 1, Schedule::Every(10), 0);
        assert_eq!(queue.takes(13), Some("t".into()));
        assert_eq!(queue.ends("t", 1, Fired::Answered, 14), Next::Due { due: 20, skipped: 0 });
        assert_eq!(queue.takes(67), Some("t".into()));
        assert_eq!(queue.ends("t", 1, Fired::Answered, 67), Next::Due { due: 70, skipped: 4 });
        assert_eq!((queue.takes(69), queue.takes(70)), (None, Some("t".into())));
    }

    #[test]
    fn a_timer_whose_call_runs_is_not_fired_beside_it() {
        let mut queue = Queue::default();
        queue.sets("t", 1, Schedule::Every(10), 0);
        assert_eq!(queue.takes(10), Some("t".into()));
        assert_eq!(queue.takes(35), None);
        assert_eq!(queue.ends("t", 1, Fired::Answered, 35), Next::Due { due: 40, skipped: 2 });
    }

    #[test]
    fn a_call_that_breaks_off_is_made_again_later_and_later_and_then_no_more() {
        let mut queue = Queue::default();
        queue.sets("t", 1, Schedule::After(0), 0);
        let (mut now, mut waits) = (0, Vec::new());
        loop {
            assert_eq!(queue.takes(now), Some("t".into()));
            match queue.ends("t", 1, Fired::BrokenOff, now) {
                Next::Again { at } => {
                    waits.push(at - now);
                    now = at;
                }
                next => break assert_eq!(next, Next::Over),
            }
        }
        assert_eq!(waits, [100, 400, 1_600, 6_400, 25_600, 102_400]);
        assert_eq!(waits.len() + 1, MOST_TRIES as usize);
        assert_eq!(queue.wakes(), None);
    }

    #[test]
    fn a_timer_that_nobody_can_be_told_of_waits_for_ever() {
        let mut queue = Queue::default();
        queue.sets("t", 1, Schedule::After(0), 0);
        for now in (0..100).map(|second| second * 1_000) {
            assert_eq!(queue.takes(now), Some("t".into()));
            assert_eq!(queue.ends("t", 1, Fired::NotTried, now), Next::Again { at: now + 1_000 });
        }
    }

    #[test]
    fn what_is_set_anew_or_cancelled_by_its_own_call_stays_so() {
        let mut queue = Queue::default();
        queue.sets("anew", 1, Schedule::After(0), 0);
        queue.sets("cancelled", 2, Schedule::Every(5), 0);
        assert_eq!((queue.takes(5), queue.takes(5)), (Some("anew".into()), Some("cancelled".into())));
        queue.sets("anew", 3, Schedule::After(10), 5);
        assert!(queue.remove(&key("cancelled")).is_some());
        assert_eq!(queue.ends("anew", 1, Fired::Answered, 6), Next::Other);
        assert_eq!(queue.ends("cancelled", 2, Fired::Answered, 6), Next::Other);
        assert_eq!((queue.wakes(), queue.takes(15)), (Some(15), Some("anew".into())));
    }

    #[test]
    fn a_page_has_the_timers_of_one_hub_in_the_order_of_their_names() {
        let mut queue = Queue::default();
        for (number, name) in ["c", "a", "b"].into_iter().enumerate() {
            queue.sets(name, number as u64, Schedule::After(9), 0);
        }
        let others = [("p", "hub2"), ("p", "huba"), ("q", "hub"), ("a", "hub")];
        for (plugin, hub) in others {
            let hub = HubName::parse(hub).expect("it is a hub's name");
            let timer = queue.get(&key("a")).expect("it is set").0.clone();
            queue.set(TimerKey { plugin: PluginName::new(plugin), hub, name: "a2".into() }, timer, place());
        }
        let (plugin, hub) = (PluginName::new("p"), HubName::parse("hub").expect("it is a hub's name"));
        let page = |after: Option<&str>, limit| -> Vec<String> {
            queue.page((&plugin, &hub), after, limit).into_iter().map(|(name, _)| name.to_string()).collect()
        };
        assert_eq!(page(None, 9), ["a", "b", "c"]);
        assert_eq!(page(None, 2), ["a", "b"]);
        assert_eq!(page(Some("b"), 9), ["c"]);
        assert_eq!(page(Some("c"), 9), Vec::<String>::new());
    }

    /// Numbers below a bound, the same for the same seed (SplitMix64).
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let number = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (number ^ (number >> 31)) % bound
        }
    }

    /// A timer of the model, which looks at all of its timers each time.
    struct Plain {
        when: Schedule,
        due: u64,
        number: u64,
        runs: bool,
    }

    #[derive(Default)]
    struct Model {
        queue: Queue,
        timers: BTreeMap<String, Plain>,
        running: BTreeMap<String, u64>,
        now: u64,
        numbers: u64,
    }

    impl Model {
        fn step(&mut self, chance: &mut Chance) {
            let name = chance.below(4).to_string();
            match chance.below(4) {
                0 => {
                    let when = match chance.below(3) {
                        0 => Schedule::After(chance.below(40)),
                        1 => Schedule::At(chance.below(200)),
                        _ => Schedule::Every(1 + chance.below(20)),
                    };
                    self.numbers += 1;
                    self.queue.sets(&name, self.numbers, when, self.now);
                    let due = when.first_due(self.now);
                    self.timers.insert(name, Plain { when, due, number: self.numbers, runs: false });
                }
                1 => assert_eq!(self.queue.remove(&key(&name)).is_some(), self.timers.remove(&name).is_some()),
                2 => self.now += chance.below(30),
                _ => self.end(&name),
            }
            self.fire();
        }

        fn end(&mut self, name: &str) {
            let Some(number) = self.running.remove(name) else { return };
            self.queue.ends(name, number, Fired::Answered, self.now);
            match self.timers.get_mut(name).filter(|timer| timer.number == number) {
                Some(timer) if let Schedule::Every(period) = timer.when => {
                    timer.runs = false;
                    while timer.due <= self.now {
                        timer.due += period;
                    }
                }
                Some(_) => drop(self.timers.remove(name)),
                None => {}
            }
        }

        fn fire(&mut self) {
            let due = self.timers.iter_mut().filter(|(_, timer)| timer.due <= self.now && !timer.runs);
            let mut due: Vec<_> = due.collect();
            due.sort_by_key(|(name, timer)| (timer.due, name.to_string()));
            for (name, timer) in due {
                let taken = self.queue.take(self.now).expect("one is due");
                assert_eq!((&*taken.key.name, taken.number), (name.as_str(), timer.number));
                timer.runs = true;
                self.running.insert(name.clone(), timer.number);
            }
            assert!(self.queue.take(self.now).is_none());
            let wakes = self.timers.values().filter(|timer| !timer.runs).map(|timer| timer.due).min();
            assert_eq!((self.queue.wakes(), self.queue.timers.len()), (wakes, self.timers.len()));
        }
    }

    #[test]
    fn it_does_what_a_list_of_timers_would() {
        for seed in 0..500 {
            let (mut model, mut chance) = (Model::default(), Chance(seed));
            (0..100).for_each(|_| model.step(&mut chance));
        }
    }
}
