//! The sockets to which something was queued in this turn.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use hubgate_core::id::HubName;

use super::WebSocket;

/// Sockets of one hub that are flushed before those of others.
const SOCKETS_PER_HUB: usize = 16;
/// How long sockets are flushed before whoever else is ready has a turn.
const FLUSH_TURN: Duration = Duration::from_micros(100);
/// How long what is queued for many sockets waits for what else their hub has to say: a write to each costs more than that.
const PATIENCE: Duration = Duration::from_millis(1);

/// Hubs that are looked through one after another; more of them are found by an index.
const FEW_HUBS: usize = 8;

/// By hub, so that those of a quiet hub do not wait for all of a noisy one.
#[derive(Debug, Default)]
pub(crate) struct DirtySockets(RefCell<Hubs<Rc<WebSocket>>>);

impl DirtySockets {
    /// Gives whether it is the first one.
    pub(crate) fn add(&self, socket: &Rc<WebSocket>) -> bool {
        let mut hubs = self.0.borrow_mut();
        hubs.of(&socket.hub).waiting.push_back(socket.clone());
        hubs.queue.len() == 1 && hubs.queue[0].1.waiting.len() == 1
    }

    /// Flushes sockets, some of each hub in turn. Those of a hub that `has_more` to say wait for it a moment, if they are
    /// many. Pending: some are left.
    pub(crate) fn flush(&self, has_more: impl Fn(&HubName) -> bool) -> Poll<()> {
        let began = Instant::now();
        while let Some((hub, mut sockets)) = self.next_due(began, &has_more) {
            for socket in sockets.waiting.drain(..SOCKETS_PER_HUB.min(sockets.waiting.len())) {
                socket.is_dirty.set(false);
                socket.flush();
            }
            if !sockets.waiting.is_empty() {
                // A flush may have made sockets of it dirty.
                self.0.borrow_mut().put_back(&hub, sockets);
            }
            if began.elapsed() >= FLUSH_TURN {
                break;
            }
        }
        match self.0.borrow().queue.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    fn next_due(&self, now: Instant, has_more: impl Fn(&HubName) -> bool) -> Option<(HubName, Dirty<Rc<WebSocket>>)> {
        self.0.borrow_mut().next_due(now, has_more)
    }
}

/// What waits of one hub.
#[derive(Debug, PartialEq)]
struct Dirty<T> {
    waiting: VecDeque<T>,
    since: Instant,
}

/// What hubs have, in the order of their turns.
#[derive(Debug)]
struct Hubs<T> {
    queue: VecDeque<(HubName, Dirty<T>)>,
    /// The numbers of the hubs in the queue, counted from the first that ever was in it; empty while they are few.
    numbers: HashMap<HubName, usize, foldhash::fast::RandomState>,
    /// The number of the first one in the queue.
    first: usize,
}

impl<T> Default for Hubs<T> {
    fn default() -> Hubs<T> {
        Hubs { queue: VecDeque::new(), numbers: HashMap::default(), first: 0 }
    }
}

impl<T> Hubs<T> {
    /// What this hub has; it comes last if it has had nothing.
    fn of(&mut self, hub: &HubName) -> &mut Dirty<T> {
        let place = self.place(hub).unwrap_or_else(|| self.line_up(hub));
        &mut self.queue[place].1
    }

    fn place(&self, hub: &HubName) -> Option<usize> {
        // As a rule it is the hub of the one before.
        if self.queue.back().is_some_and(|(last, _)| last == hub) {
            return Some(self.queue.len() - 1);
        }
        match self.numbers.is_empty() {
            true => self.queue.iter().position(|(each, _)| each == hub),
            false => self.numbers.get(hub).map(|number| number - self.first),
        }
    }

    fn line_up(&mut self, hub: &HubName) -> usize {
        let place = self.queue.len();
        self.queue.push_back((hub.clone(), Dirty { waiting: VecDeque::new(), since: Instant::now() }));
        if !self.numbers.is_empty() {
            self.numbers.insert(hub.clone(), self.first + place);
        } else if place >= FEW_HUBS {
            self.numbers = self.queue.iter().map(|(hub, _)| hub.clone()).zip(self.first..).collect();
        }
        place
    }

    /// The next one that waits no longer for what else its hub has to say.
    fn next_due(&mut self, now: Instant, has_more: impl Fn(&HubName) -> bool) -> Option<(HubName, Dirty<T>)> {
        for _ in 0..self.queue.len() {
            let (hub, dirty) = self.next()?;
            let waits = dirty.waiting.len() > SOCKETS_PER_HUB && now.saturating_duration_since(dirty.since) < PATIENCE;
            if !waits || !has_more(&hub) {
                return Some((hub, dirty));
            }
            self.put_back(&hub, dirty);
        }
        None
    }

    /// After the other hubs, and before what the hub has got meanwhile.
    fn put_back(&mut self, hub: &HubName, mut dirty: Dirty<T>) {
        let added = self.of(hub);
        dirty.waiting.append(&mut added.waiting);
        *added = dirty;
    }

    fn next(&mut self) -> Option<(HubName, Dirty<T>)> {
        let next = self.queue.pop_front()?;
        self.numbers.remove(&next.0);
        self.first += 1;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(number: usize) -> HubName {
        HubName::parse(&format!("hub{number}")).expect("a name")
    }

    fn next<T>(hubs: &mut Hubs<T>) -> Option<(HubName, VecDeque<T>)> {
        hubs.next().map(|(hub, dirty)| (hub, dirty.waiting))
    }

    #[test]
    fn hubs_have_their_turns_in_the_order_in_which_they_came_however_many_they_are() {
        for count in [1, 2, FEW_HUBS, FEW_HUBS + 1, 1_000] {
            let mut hubs = Hubs::default();
            for round in 0..3 {
                for number in 0..count {
                    hubs.of(&hub(number)).waiting.push_back(round);
                }
            }
            assert_eq!(hubs.numbers.len(), if count > FEW_HUBS { count } else { 0 }, "{count}: found by the index");
            for number in 0..count / 2 {
                assert_eq!(next(&mut hubs), Some((hub(number), VecDeque::from([0, 1, 2]))), "{count}");
            }
            // Those that have had their turns come again, after the others.
            for number in 0..count {
                hubs.of(&hub(number)).waiting.push_back(3);
            }
            for number in count / 2..count {
                assert_eq!(next(&mut hubs), Some((hub(number), VecDeque::from([0, 1, 2, 3]))), "{count}");
            }
            for number in 0..count / 2 {
                assert_eq!(next(&mut hubs), Some((hub(number), VecDeque::from([3]))), "{count}");
            }
            assert!(hubs.next().is_none() && hubs.numbers.is_empty(), "{count}");
        }
    }

    #[test]
    fn what_many_get_of_a_hub_that_has_more_to_say_waits_a_moment_and_nothing_else_does() {
        let mut hubs = Hubs::default();
        (0..3).for_each(|number| hubs.of(&hub(number)).waiting.extend(0..=SOCKETS_PER_HUB));
        let (now, has_more) = (Instant::now(), |name: &HubName| *name != hub(1));
        assert_eq!(hubs.next_due(now, has_more).map(|(name, _)| name), Some(hub(1)), "it has said all");
        assert!(hubs.next_due(now, has_more).is_none());
        hubs.of(&hub(3)).waiting.push_back(0);
        assert_eq!(hubs.next_due(now, has_more).map(|(name, _)| name), Some(hub(3)), "it is for few");
        hubs.of(&hub(2)).waiting.push_back(100);
        let (name, dirty) = hubs.next_due(now + PATIENCE, has_more).expect("they have waited long enough");
        assert_eq!((name, dirty.waiting.len(), dirty.waiting.back()), (hub(2), SOCKETS_PER_HUB + 2, Some(&100)));
        assert_eq!(hubs.next_due(now, |_| false).map(|(name, _)| name), Some(hub(0)), "it has said all");
    }
}
