//! The sockets to which something was queued in this turn.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use hubgate_core::id::HubName;

use super::WebSocket;

/// Sockets of one hub that are flushed before those of others.
const SOCKETS_PER_HUB: usize = 32;
/// How long sockets are flushed before whoever else is ready has a turn.
const FLUSH_TURN: Duration = Duration::from_micros(400);

/// Hubs that are looked through one after another; more of them are found by an index.
const FEW_HUBS: usize = 8;

/// By hub, so that those of a quiet hub do not wait for all of a noisy one.
#[derive(Debug, Default)]
pub(crate) struct DirtySockets(RefCell<Hubs<Rc<WebSocket>>>);

impl DirtySockets {
    /// Gives whether it is the first one.
    pub(crate) fn add(&self, socket: &Rc<WebSocket>) -> bool {
        let mut hubs = self.0.borrow_mut();
        hubs.of(&socket.hub).push_back(socket.clone());
        hubs.queue.len() == 1 && hubs.queue[0].1.len() == 1
    }

    /// Flushes sockets, some of each hub in turn. Pending: some are left.
    pub(crate) fn flush(&self) -> Poll<()> {
        let began = Instant::now();
        while let Some((hub, mut sockets)) = self.next_hub() {
            for socket in sockets.drain(..SOCKETS_PER_HUB.min(sockets.len())) {
                socket.is_dirty.set(false);
                socket.flush();
            }
            if !sockets.is_empty() {
                self.put_back(&hub, sockets);
            }
            if began.elapsed() >= FLUSH_TURN && !self.0.borrow().queue.is_empty() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    fn next_hub(&self) -> Option<(HubName, VecDeque<Rc<WebSocket>>)> {
        self.0.borrow_mut().next()
    }

    /// After the other hubs. A flush may have made sockets of it dirty.
    fn put_back(&self, hub: &HubName, mut sockets: VecDeque<Rc<WebSocket>>) {
        let mut hubs = self.0.borrow_mut();
        let added = hubs.of(hub);
        sockets.append(added);
        *added = sockets;
    }
}

/// What hubs have, in the order of their turns.
#[derive(Debug)]
struct Hubs<T> {
    queue: VecDeque<(HubName, VecDeque<T>)>,
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
    fn of(&mut self, hub: &HubName) -> &mut VecDeque<T> {
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
        self.queue.push_back((hub.clone(), VecDeque::new()));
        if !self.numbers.is_empty() {
            self.numbers.insert(hub.clone(), self.first + place);
        } else if place >= FEW_HUBS {
            self.numbers = self.queue.iter().map(|(hub, _)| hub.clone()).zip(self.first..).collect();
        }
        place
    }

    fn next(&mut self) -> Option<(HubName, VecDeque<T>)> {
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

    #[test]
    fn hubs_have_their_turns_in_the_order_in_which_they_came_however_many_they_are() {
        for count in [1, 2, FEW_HUBS, FEW_HUBS + 1, 1_000] {
            let mut hubs = Hubs::default();
            for round in 0..3 {
                for number in 0..count {
                    hubs.of(&hub(number)).push_back(round);
                }
            }
            assert_eq!(hubs.numbers.len(), if count > FEW_HUBS { count } else { 0 }, "{count}: found by the index");
            for number in 0..count / 2 {
                assert_eq!(hubs.next(), Some((hub(number), VecDeque::from([0, 1, 2]))), "{count}");
            }
            // Those that have had their turns come again, after the others.
            for number in 0..count {
                hubs.of(&hub(number)).push_back(3);
            }
            for number in count / 2..count {
                assert_eq!(hubs.next(), Some((hub(number), VecDeque::from([0, 1, 2, 3]))), "{count}");
            }
            for number in 0..count / 2 {
                assert_eq!(hubs.next(), Some((hub(number), VecDeque::from([3]))), "{count}");
            }
            assert!(hubs.next().is_none() && hubs.numbers.is_empty(), "{count}");
        }
    }
}
