//! Whose turn it is: connections of one hub share its turn, so that those of a quiet hub do not wait for all of a noisy one.
//!
//! A connection acts on what it reads until its own turn is spent, and the connections of a hub together until the hub's turn
//! is. Then they wait in a line, in order, and the line moves on when everybody else who was ready has had a turn and the
//! network has been looked at. A hub that nobody else wants to interrupt loses next to nothing by that: what its connections
//! cause leaves when they have acted on what they read, see [`Turns::has_more`].

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hubgate_core::id::HubName;
use tokio::sync::Notify;

/// What one connection may take at once.
const CONNECTION_TURN: Duration = Duration::from_micros(100);
/// What the connections of one hub may take until others have had their turn.
const HUB_TURN: Duration = Duration::from_micros(100);
/// Messages of one connection that are acted on before the time is looked at.
pub(crate) const MESSAGES_PER_LOOK: usize = 16;

/// The lines of all hubs of one shard.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    lines: RefCell<HashMap<HubName, Weak<Line>, foldhash::fast::RandomState>>,
    /// Lines in which somebody waits for the next round.
    stopped: RefCell<Vec<Rc<Line>>>,
    has_stopped: Notify,
}

/// The connections of one hub that want to be read.
#[derive(Debug, Default)]
struct Line {
    /// What they have taken since the line last moved on.
    used: Cell<Duration>,
    waiting: RefCell<VecDeque<(Waker, Rc<Cell<Place>>)>>,
    /// How many connections have, or may have, read more than what they have acted on.
    have_more: Cell<usize>,
    /// Whether one was called that has not had its turn yet.
    is_called: Cell<bool>,
    /// Whether it is among [`Turns::stopped`].
    is_stopped: Cell<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Not in the line.
    None,
    /// Not in the line yet: its turn was spent before it had acted on all that it read.
    Interrupted,
    Waits,
    /// At its head: it is its turn.
    Called,
}

/// One connection's place in the line of its hub.
#[derive(Debug)]
pub(crate) struct Pass {
    turns: Rc<Turns>,
    line: Rc<Line>,
    place: Rc<Cell<Place>>,
}

/// A turn that has begun.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Rc<Turns>,
    line: Rc<Line>,
    place: Rc<Cell<Place>>,
    began: Instant,
    limit: Duration,
    /// Whether it was found to be spent.
    is_over: Cell<bool>,
}

impl Turns {
    /// A place in the line of `hub`.
    pub(crate) fn pass(self: &Rc<Self>, hub: &HubName) -> Pass {
        let mut lines = self.lines.borrow_mut();
        let line = lines.get(hub).and_then(Weak::upgrade).unwrap_or_else(|| {
            if lines.len() == lines.capacity() {
                // Rather than grow, forget the hubs that nobody is connected to.
                lines.retain(|_, line| line.strong_count() > 0);
            }
            let line = Rc::new(Line::default());
            lines.insert(hub.clone(), Rc::downgrade(&line));
            line
        });
        Pass { turns: self.clone(), line, place: Rc::new(Cell::new(Place::None)) }
    }

    /// Whether connections of `hub` still have to act on what they read. What that causes leaves best together with what they
    /// have caused already.
    pub(crate) fn has_more(&self, hub: &HubName) -> bool {
        let line = self.lines.borrow().get(hub).and_then(Weak::upgrade);
        line.is_some_and(|line| line.have_more.get() > 0)
    }

    /// Calls the next one in a line, in the next round if the hub's turn is spent.
    fn move_on(&self, line: &Rc<Line>) {
        if line.may_go_on() || line.is_called.get() {
            return line.call_next();
        }
        if !line.is_stopped.replace(true) {
            self.stopped.borrow_mut().push(line.clone());
            self.has_stopped.notify_one();
        }
    }

    /// Lets lines move on, round by round, for ever.
    pub(crate) async fn deal(&self) {
        loop {
            self.has_stopped.notified().await;
            // All tasks that are ready have their turn, and the network is looked at.
            tokio::task::yield_now().await;
            self.next_round();
        }
    }

    /// Each line that has stopped has its turn.
    fn next_round(&self) {
        for line in self.stopped.take() {
            line.is_stopped.set(false);
            line.used.set(Duration::ZERO);
            line.call_next();
        }
    }
}

impl Line {
    /// Whether its hub's turn is not spent.
    fn may_go_on(&self) -> bool {
        self.used.get() < HUB_TURN
    }

    /// Moves a connection to another place.
    fn put(&self, place: &Cell<Place>, next: Place) -> Place {
        let before = place.replace(next);
        let others = self.have_more.get() - usize::from(before != Place::None);
        self.have_more.set(others + usize::from(next != Place::None));
        before
    }

    /// Calls whoever waits longest, unless somebody has been called. Those that are gone are passed over.
    fn call_next(&self) {
        while !self.is_called.get() {
            // The borrow ends here: what is woken or dropped may look at the line.
            let next = self.waiting.borrow_mut().pop_front();
            let Some((waker, place)) = next else {
                return;
            };
            if Rc::strong_count(&place) > 1 {
                self.put(&place, Place::Called);
                self.is_called.set(true);
                waker.wake();
            }
        }
    }
}

impl Pass {
    /// Ready when the connection may act; it does so until the turn is spent or dropped.
    pub(crate) fn poll_turn(&self, cx: &Context<'_>) -> Poll<Turn> {
        let (turns, line, place) = (self.turns.clone(), self.line.clone(), self.place.clone());
        let is_free = || line.may_go_on() && !line.is_called.get() && line.waiting.borrow().is_empty();
        match place.get() {
            Place::Waits => return Poll::Pending,
            Place::None | Place::Interrupted if !is_free() => {
                line.put(&place, Place::Waits);
                line.waiting.borrow_mut().push_back((cx.waker().clone(), place));
                turns.move_on(&line);
                return Poll::Pending;
            }
            Place::Called | Place::None | Place::Interrupted => {}
        }
        let limit = CONNECTION_TURN.min(HUB_TURN.saturating_sub(line.used.get()));
        Poll::Ready(Turn { turns, line, place, began: Instant::now(), limit, is_over: Cell::new(false) })
    }

    /// A connection that may have been called, or interrupted, does not want a turn now.
    pub(crate) fn give_way(&self) {
        match self.place.get() {
            Place::None | Place::Waits => {}
            Place::Interrupted => drop(self.line.put(&self.place, Place::None)),
            Place::Called => {
                self.line.put(&self.place, Place::None);
                self.line.is_called.set(false);
                self.turns.move_on(&self.line);
            }
        }
    }
}

impl Turn {
    /// Whether somebody else is to have a turn.
    pub(crate) fn is_spent(&self) -> bool {
        if !self.is_over.get() && self.began.elapsed() >= self.limit {
            self.is_over.set(true);
        }
        self.is_over.get()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let line = &self.line;
        line.used.set(line.used.get() + self.began.elapsed());
        let next = match self.is_over.get() {
            true => Place::Interrupted,
            false => Place::None,
        };
        if line.put(&self.place, next) == Place::Called {
            line.is_called.set(false);
        }
        if !line.waiting.borrow().is_empty() {
            self.turns.move_on(line);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.give_way();
        self.line.put(&self.place, Place::None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Calls(AtomicUsize);

    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection that asks for turns, and counts how often it is called.
    struct Connection {
        pass: Pass,
        calls: Arc<Calls>,
    }

    impl Connection {
        fn of(turns: &Rc<Turns>, hub: &str) -> Connection {
            let hub = HubName::parse(hub).expect("a hub's name");
            Connection { pass: turns.pass(&hub), calls: Arc::default() }
        }

        fn ask(&self) -> Option<Turn> {
            let waker = Waker::from(self.calls.clone());
            match self.pass.poll_turn(&Context::from_waker(&waker)) {
                Poll::Ready(turn) => Some(turn),
                Poll::Pending => None,
            }
        }

        fn calls(&self) -> usize {
            self.calls.0.load(Ordering::Relaxed)
        }

        fn spend_all(&self) {
            self.pass.line.used.set(HUB_TURN);
        }
    }

    fn calls(connections: &[Connection]) -> Vec<usize> {
        connections.iter().map(Connection::calls).collect()
    }

    #[test]
    fn the_turn_of_a_hub_that_is_spent_is_not_that_of_another() {
        let turns = Rc::new(Turns::default());
        let (noisy, quiet) = (Connection::of(&turns, "noisy"), Connection::of(&turns, "quiet"));
        noisy.spend_all();
        assert!(noisy.ask().is_none());
        assert!(quiet.ask().is_some());
        assert_eq!(noisy.calls(), 0);
        turns.next_round();
        assert_eq!(noisy.calls(), 1);
        assert!(noisy.ask().is_some());
    }

    #[test]
    fn connections_of_a_hub_have_their_turns_one_after_another_in_their_order() {
        let turns = Rc::new(Turns::default());
        let all: Vec<Connection> = (0..3).map(|_| Connection::of(&turns, "noisy")).collect();
        all[0].spend_all();
        assert!(all.iter().all(|each| each.ask().is_none()));
        turns.next_round();
        assert_eq!(calls(&all), [1, 0, 0]);
        assert!(all[1].ask().is_none(), "it has not been called");
        let turn = all[0].ask().expect("it has been called");
        assert_eq!(calls(&all), [1, 0, 0], "the first has not had its turn");
        drop(turn);
        assert_eq!(calls(&all), [1, 1, 0]);
        all[1].spend_all();
        drop(all[1].ask().expect("it has been called"));
        assert_eq!(calls(&all), [1, 1, 0], "the hub's turn is spent");
        assert!(all[0].ask().is_none(), "the third comes first");
        turns.next_round();
        assert_eq!(calls(&all), [1, 1, 1]);
    }

    #[test]
    fn who_is_called_and_gives_way_or_is_gone_does_not_hold_the_others_up() {
        let turns = Rc::new(Turns::default());
        let mut all: Vec<Connection> = (0..4).map(|_| Connection::of(&turns, "noisy")).collect();
        all[0].spend_all();
        assert!(all.iter().all(|each| each.ask().is_none()));
        drop(all.remove(1));
        turns.next_round();
        assert_eq!(calls(&all), [1, 0, 0]);
        all[0].pass.give_way();
        assert_eq!(calls(&all), [1, 1, 0]);
        drop(all.remove(1));
        assert_eq!(calls(&all), [1, 1]);
        assert!(all[1].ask().is_some());
    }

    #[test]
    fn a_hub_has_more_while_one_of_its_connections_was_interrupted_or_waits() {
        let turns = Rc::new(Turns::default());
        let name = HubName::parse("noisy").expect("a hub's name");
        let all: Vec<Connection> = (0..3).map(|_| Connection::of(&turns, "noisy")).collect();
        assert!(!turns.has_more(&name));
        let turn = all[0].ask().expect("nobody else wants a turn");
        turn.is_over.set(true);
        drop(turn);
        assert!(turns.has_more(&name), "the first was interrupted");
        all[0].pass.give_way();
        assert!(!turns.has_more(&name), "it is not read now");
        all[0].spend_all();
        assert!(all.iter().all(|each| each.ask().is_none()));
        assert!(turns.has_more(&name), "all wait");
        turns.next_round();
        drop(all[0].ask().expect("it has been called"));
        assert!(turns.has_more(&name), "the second has been called");
        drop(all[1].ask().expect("it has been called"));
        assert!(turns.has_more(&name), "the third has been called");
        drop(all);
        assert!(!turns.has_more(&name));
        let line = Connection::of(&turns, "noisy").pass.line.clone();
        assert_eq!(line.have_more.get(), 0, "a connection that has gone is not counted");
    }

    #[test]
    fn no_turn_of_a_connection_is_longer_than_what_is_left_of_its_hubs() {
        let turns = Rc::new(Turns::default());
        let connection = Connection::of(&turns, "noisy");
        assert_eq!(connection.ask().map(|turn| turn.limit), Some(CONNECTION_TURN));
        let left = Duration::from_micros(1);
        connection.pass.line.used.set(HUB_TURN - left);
        assert_eq!(connection.ask().map(|turn| turn.limit), Some(left));
    }

    #[test]
    fn hubs_that_nobody_is_connected_to_are_forgotten() {
        let turns = Rc::new(Turns::default());
        (0..1_000).for_each(|number| drop(Connection::of(&turns, &format!("hub{number}"))));
        assert!(turns.lines.borrow().len() < 100);
    }
}
