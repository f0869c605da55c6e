//! A client that is served by HTTP requests: what waits for it, and what it posts.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use hubgate_core::id::{HubName, UserId};
use hubgate_core::time::Millis;
use hubgate_core::{CloseCause, TransportKey};
use hubgate_wire::aspnet;
use hubgate_wire::negotiate::Transport;
use tokio::sync::{Notify, mpsc};

use super::posts::Posts;
use super::speaking::Speaking;
use crate::client_log::ClientLog;
use crate::client_request::{AspNetPoll, LAST_WORDS, Poll};
use crate::delivery::{Delivery, DeliveryBody};
use crate::outbox::{Bound, Full, MAX_OWN_WAITING, Mark, Outbox, Popped, Sharing};
use crate::outboxes::{Outboxes, Receiver};
use crate::shared::Shared;
use crate::slow::{SlowReason, StallWatch};
use crate::turns::{Pass, Turn};
use crate::verified_token::TokenDigest;

/// How long the last messages of a client wait.
const LINGER: Duration = Duration::from_millis(20);

/// What its shard knows of a client on Server-Sent Events or long polling. Its own task brings what is queued to it.
#[derive(Debug)]
pub(crate) struct HttpClient {
    pub(crate) hub: HubName,
    pub(crate) kind: Transport,
    pub(crate) user: Option<UserId>,
    /// By the latest of its tokens.
    pub(crate) valid_until: Cell<Millis>,
    /// Of the same token.
    pub(crate) digest: Cell<TokenDigest>,
    /// To its task.
    pub(crate) polls: Polls,
    pub(crate) transport: Cell<Option<TransportKey>>,
    /// Once its connection is open.
    pub(crate) log: RefCell<Option<ClientLog>>,
    /// Whole hub messages that are in no answer yet.
    outbox: RefCell<Outbox>,
    /// The answer that brings it what was in the outbox before.
    delivery: RefCell<Option<Rc<Delivery>>>,
    state: Cell<State>,
    /// Why the gateway ends the connection, if it does.
    ending: Cell<Option<CloseCause>>,
    /// By which limit it was too slow, if it was.
    slow: Cell<Option<SlowReason>>,
    has_lingered: Cell<bool>,
    /// Wakes its task.
    changed: Arc<Changed>,
    is_read: Cell<bool>,
    pub(crate) speaking: Speaking,
    /// Whether it was found not to be read because of what it has caused itself.
    is_stuck: Cell<bool>,
    may_be_read: Notify,
    pub(crate) posts: Posts,
}

/// The way of its polls to the task of a client that polls.
#[derive(Debug)]
pub(crate) enum Polls {
    /// It has an event stream.
    None,
    Core(mpsc::Sender<Poll>),
    AspNet(mpsc::Sender<AspNetPoll>),
}

/// Something is to be looked at by a client's task.
#[derive(Debug, Default)]
struct Changed(Notify);

impl Wake for Changed {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    /// What is queued is the last that it gets.
    Finishing,
    /// Nothing more reaches it.
    Over(CloseCause),
}

impl HttpClient {
    pub(crate) fn new(
        hub: HubName,
        kind: Transport,
        user: Option<UserId>,
        (valid_until, digest): (Millis, TokenDigest),
        polls: Polls,
        outboxes: &Arc<Outboxes>,
    ) -> HttpClient {
        HttpClient {
            hub,
            kind,
            user,
            valid_until: Cell::new(valid_until),
            digest: Cell::new(digest),
            polls,
            transport: Cell::new(None),
            log: RefCell::default(),
            outbox: RefCell::new(Outbox::counted(outboxes.part(Receiver::Client))),
            delivery: RefCell::default(),
            state: Cell::new(State::Open),
            ending: Cell::new(None),
            slow: Cell::new(None),
            has_lingered: Cell::new(false),
            changed: Arc::default(),
            is_read: Cell::new(true),
            speaking: Speaking::default(),
            is_stuck: Cell::default(),
            may_be_read: Notify::new(),
            posts: Posts::new(),
        }
    }

    /// Queues whole hub messages, with what tells that they have left; a client that lets more than `limit` bytes wait is given up.
    pub(crate) fn push(&self, messages: Bytes, mark: Option<Mark>, sharing: Sharing, limit: usize) {
        if self.state.get() != State::Open {
            return;
        }
        let in_answer = self.delivery.borrow().as_ref().map_or(0, |delivery| delivery.waiting());
        let bound = Bound { limit, elsewhere: in_answer };
        let pushed = self.outbox.borrow_mut().push_within(bound, messages, self.speaking.cause(), sharing);
        if let Err(Full(_)) = pushed {
            return self.give_up_slow(SlowReason::Outbox);
        }
        mark.into_iter().for_each(|mark| self.outbox.borrow_mut().mark(mark));
        self.outbox.borrow_mut().settle(Some(&self.waker()));
        self.changed.0.notify_one();
    }

    fn waker(&self) -> Waker {
        self.changed.clone().into()
    }

    /// The client is too slow for one of its limits.
    fn give_up_slow(&self, reason: SlowReason) {
        self.slow.set(Some(reason));
        if let Some(delivery) = self.delivery.take() {
            delivery.cut_off();
        }
        self.end(CloseCause::SlowClient);
    }

    pub(crate) fn slow(&self) -> Option<SlowReason> {
        self.slow.get()
    }

    /// Nothing can be queued any more, and nothing that is posted is of interest. `cause` is the gateway's.
    pub(crate) fn finish(&self, cause: CloseCause) {
        self.set_reading(true);
        self.ending.set(Some(cause));
        if self.state.get() == State::Open {
            self.state.set(State::Finishing);
            self.changed.0.notify_one();
        }
    }

    /// The connection is over, and what is queued reaches nobody. The first cause is the one.
    pub(crate) fn end(&self, cause: CloseCause) {
        if !matches!(self.state.get(), State::Over(_)) {
            self.state.set(State::Over(cause));
        }
        self.outbox.borrow_mut().clear();
        self.changed.0.notify_one();
    }

    pub(crate) fn state(&self) -> State {
        self.state.get()
    }

    /// Why its connection ended: the gateway's reason, if it had one, or else `cause`.
    pub(crate) fn ending(&self, cause: CloseCause) -> CloseCause {
        self.ending.get().unwrap_or(cause)
    }

    pub(crate) fn has_messages(&self) -> bool {
        !self.outbox.borrow().is_empty()
    }

    /// All that has not left, in bytes.
    pub(crate) fn queued_bytes(&self) -> usize {
        let in_answer = self.delivery.borrow().as_ref().map_or(0, |delivery| delivery.bytes());
        self.outbox.borrow().bytes() + in_answer
    }

    /// The next of what is queued.
    pub(crate) fn pop(&self) -> Option<Popped> {
        self.outbox.borrow_mut().pop()
    }

    /// Moves all that is queued into an answer, on the same account.
    pub(crate) fn deliver(&self) -> DeliveryBody {
        let (delivery, body) = Delivery::whole(self.outbox.borrow_mut().take_all(), self.waker());
        self.delivery.replace(Some(Rc::new(delivery)));
        body
    }

    /// Moves what belongs into one answer of ASP.NET SignalR there, on the same account. Gives its cursor as well, if it has one.
    pub(crate) fn deliver_merged(&self) -> (DeliveryBody, Option<String>) {
        let mut outbox = self.outbox.borrow_mut();
        let waiting: Vec<Popped> = std::iter::from_fn(|| outbox.pop()).collect();
        let texts: Vec<&[u8]> = waiting.iter().map(|popped| &popped.bytes[..]).collect();
        let (text, count) = aspnet::merge(&texts);
        let cursor = aspnet::cursor_of(&text).map(str::to_owned);
        let mut answer = outbox.take_all();
        for (place, Popped { bytes, cause, mark }) in waiting.into_iter().enumerate() {
            match place {
                0 => answer.push(text.clone().into(), cause, Sharing::Alone),
                place if place < count => {}
                _ => {
                    outbox.push(bytes, cause, Sharing::Alone);
                    mark.into_iter().for_each(|mark| outbox.mark(mark));
                    continue;
                }
            }
            mark.into_iter().for_each(|mark| answer.mark(mark));
        }
        outbox.settle(Some(&self.waker()));
        drop(outbox);
        let (delivery, body) = Delivery::whole(answer, self.waker());
        self.delivery.replace(Some(Rc::new(delivery)));
        (body, cursor)
    }

    /// Drops what waits, because it is sent again.
    pub(crate) fn forget_queued(&self) {
        self.outbox.borrow_mut().clear();
    }

    /// An answer to which can be added what is sent to the client.
    pub(crate) fn stream(&self) -> (Delivery, DeliveryBody) {
        Delivery::stream(self.outbox.borrow_mut().take_all(), self.waker())
    }

    /// Begins an answer to which is added what is sent to the client.
    pub(crate) fn deliver_by(&self, delivery: Delivery) -> Rc<Delivery> {
        let delivery = Rc::new(delivery);
        self.delivery.replace(Some(delivery.clone()));
        delivery
    }

    /// The answer did not reach the request's connection.
    pub(crate) fn put_back(&self, body: DeliveryBody) {
        self.outbox.replace(body.reclaim());
        self.delivery.take();
    }

    /// Until the client has taken its answer, or is given up.
    pub(crate) async fn delivered(&self, shared: &Shared) {
        let Some(delivery) = self.delivery.borrow().clone() else {
            return;
        };
        let mut watch = StallWatch::default();
        while self.slow.get().is_none() {
            tokio::select! {
                () = delivery.body_dropped() => break,
                () = self.check_stall(shared, &delivery, &mut watch) => {}
                () = self.changed() => {}
            }
        }
        self.delivery.take();
        // Its task may have been woken for something else, too.
        self.changed.0.notify_one();
    }

    /// Gives the client up when it takes too little of its answer.
    pub(crate) async fn check_stall(&self, shared: &Shared, delivery: &Delivery, watch: &mut StallWatch) {
        let too_slow = poll_fn(|cx| {
            let settings = shared.settings();
            if delivery.is_paused() {
                watch.begin_anew();
            }
            watch.poll(cx, delivery.blocked(), &settings.timeouts)
        });
        self.give_up_slow(too_slow.await);
    }

    /// Before its last messages: the client may still be waiting for the answer to what it posted, and official ones take
    /// it badly to hear that their handshake is refused before they know that it was received.
    pub(crate) async fn linger(&self) {
        if self.state.get() == State::Finishing && !self.has_lingered.replace(true) {
            tokio::time::sleep(LINGER).await;
        }
    }

    /// Something was queued, or its state is another.
    pub(crate) async fn changed(&self) {
        self.changed.0.notified().await;
        let in_answer = || self.delivery.borrow().as_ref().is_some_and(|delivery| delivery.must_go());
        if self.outbox.borrow().must_go() || in_answer() {
            self.give_up_slow(SlowReason::Outboxes);
        }
        if self.is_stuck.get() && !self.is_stuck_on_its_own() {
            self.is_stuck.set(false);
            self.may_be_read.notify_waiters();
        }
    }

    pub(crate) fn set_reading(&self, is_read: bool) {
        self.is_read.set(is_read);
        if is_read {
            self.may_be_read.notify_waiters();
        }
    }

    /// Whether what it posts is read: not while what it has caused itself waits for it, as on a WebSocket.
    pub(crate) fn is_read(&self) -> bool {
        if !self.is_read.get() {
            return false;
        }
        self.is_stuck.set(self.state.get() == State::Open && self.is_stuck_on_its_own());
        !self.is_stuck.get()
    }

    fn is_stuck_on_its_own(&self) -> bool {
        let in_answer = || self.delivery.borrow().as_ref().map_or(0, |delivery| delivery.own_waiting());
        self.outbox.borrow().own_waiting() + in_answer() > MAX_OWN_WAITING
    }

    /// Its transport, once what it posts may be read; `None` when it is gone.
    pub(crate) async fn readable(&self) -> Option<TransportKey> {
        loop {
            let resumed = self.may_be_read.notified();
            if self.transport.get().is_none() || self.is_read() {
                return self.transport.get();
            }
            resumed.await;
        }
    }

    /// Its turn to be heard, once what it posts may be read. Nobody of its hub waits for it until then.
    pub(crate) async fn turn(&self, pass: &Pass) -> Turn {
        if !self.is_read() {
            pass.give_way();
        }
        self.readable().await;
        poll_fn(|cx| pass.poll_turn(cx)).await
    }

    /// Until what it has posted is read, as far as it may be read soon.
    pub(crate) async fn last_words(&self) {
        let read = async {
            let turn = self.posts.all_before().await;
            self.readable().await;
            drop(turn);
        };
        drop(tokio::time::timeout(LAST_WORDS, read).await);
    }

    /// The core has forgotten it.
    pub(crate) fn gone(&self) -> Option<TransportKey> {
        let transport = self.transport.take();
        self.may_be_read.notify_waiters();
        self.posts.end();
        transport
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll};

    use hyper::body::Body;

    use super::*;
    use crate::turns::Turns;

    const TRANSPORT: TransportKey = TransportKey { index: 0, generation: 0 };

    #[test]
    fn a_client_that_is_interrupted_and_then_held_keeps_nobody_of_its_hub_waiting() {
        let (turns, hub) = (Rc::new(Turns::default()), HubName::parse("noisy").expect("a hub's name"));
        let outboxes = Arc::default();
        let client = HttpClient::new(
            hub.clone(),
            Transport::ServerSentEvents,
            None,
            (Millis(0), TokenDigest::of("")),
            Polls::None,
            &outboxes,
        );
        client.transport.set(Some(TRANSPORT));
        let pass = turns.pass(&hub);
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(turn) = pin!(client.turn(&pass)).poll(&mut context) else { panic!("nobody else wants a turn") };
        while !turn.is_spent() {}
        drop(turn);
        assert!(turns.has_more(&hub), "it was interrupted");
        client.set_reading(false);
        let mut next = pin!(client.turn(&pass));
        assert!(next.as_mut().poll(&mut context).is_pending(), "it is held");
        assert!(!turns.has_more(&hub), "it says no more for now");
        client.set_reading(true);
        assert!(next.poll(&mut context).is_ready() || turns.has_more(&hub), "it has its turn, or waits for it");
    }

    fn client() -> HttpClient {
        let hub = HubName::parse("chat").expect("a hub's name");
        let client = HttpClient::new(
            hub,
            Transport::LongPolling,
            None,
            (Millis(0), TokenDigest::of("")),
            Polls::None,
            &Arc::default(),
        );
        client.transport.set(Some(TRANSPORT));
        client
    }

    #[tokio::test]
    async fn a_client_that_does_not_take_what_it_has_asked_for_is_not_read_until_it_has() {
        let (client, large) = (client(), vec![b'x'; MAX_OWN_WAITING]);
        let others = || client.push(large.clone().into(), None, Sharing::Alone, usize::MAX);
        others();
        others();
        assert!(client.is_read(), "others have caused it");
        client.speaking.during(others);
        assert!(!client.is_read());
        let mut context = Context::from_waker(Waker::noop());
        let mut readable = pin!(client.readable());
        assert!(readable.as_mut().poll(&mut context).is_pending());
        let mut body = client.deliver();
        assert!(!client.is_read(), "it is on its way, and not there");
        while !body.is_end_stream() {
            assert!(Pin::new(&mut body).poll_frame(&mut context).is_ready(), "all of it is there");
        }
        client.changed().await;
        assert_eq!(readable.await, Some(TRANSPORT));
        assert!(client.is_read());
    }

    #[test]
    fn the_first_cause_of_an_end_is_the_one() {
        let client = client();
        client.push("what waits".into(), None, Sharing::Alone, 0);
        client.push("one message too many".into(), None, Sharing::Alone, 0);
        assert_eq!(client.state(), State::Over(CloseCause::SlowClient));
        client.end(CloseCause::TransportLost);
        assert_eq!(client.state(), State::Over(CloseCause::SlowClient));
    }
}
