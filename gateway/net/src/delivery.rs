//! The body of an answer that brings a client its messages. What it has not brought yet is on the client's account.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;

use crate::outbox::{Cause, Flow, Mark, Outbox, Sharing};

/// Bytes that the HTTP library gets at once. It keeps what it has got and cannot send, so they are few.
const PIECE: usize = 64 * 1024;

/// An answer ends before its end, because the client takes too little of it.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the client takes its messages too slowly")]
pub(crate) struct CutOff;

/// Messages on their way in an answer, for the shard of their client. An open body is complete when this is dropped.
#[derive(Debug)]
pub(crate) struct Delivery(Arc<Shared>);

/// The answer's body, for the connection of its request, which may be on another shard.
#[derive(Debug)]
pub(crate) struct DeliveryBody(Arc<Shared>);

/// Tells the client of an answer that the answer's connection ends.
#[derive(Debug)]
pub(crate) struct DeliveryFarewell(Weak<Shared>);

impl DeliveryFarewell {
    pub(crate) fn say(&self) {
        if let Some(shared) = self.0.upgrade() {
            let mut content = shared.lock();
            content.is_left = true;
            content.client.wake_by_ref();
        }
    }
}

/// The answers of one connection that were cut off and are still there: the HTTP library looks at a body only when the other
/// side takes more.
#[derive(Debug, Clone, Default)]
pub(crate) struct CutOffs(Arc<CutOffCount>);

#[derive(Debug, Default)]
struct CutOffCount {
    count: AtomicUsize,
    changed: Notify,
}

impl CutOffs {
    pub(crate) fn count(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Until there is one. At most one task may wait.
    pub(crate) async fn any(&self) {
        while self.count() == 0 {
            self.0.changed.notified().await;
        }
    }

    pub(crate) fn begun(&self) {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.0.changed.notify_one();
    }

    pub(crate) fn ended(&self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Shared {
    content: Mutex<Content>,
    body_dropped: Notify,
}

#[derive(Debug)]
struct Content {
    outbox: Outbox,
    state: BodyState,
    /// Wakes the connection of the request.
    reader: Option<Waker>,
    /// Wakes the client.
    client: Waker,
    /// Of that connection.
    cut_offs: Option<CutOffs>,
    /// Of that connection, too: while it says so, nothing passes, whether the client takes it or not.
    pause: Option<Arc<AtomicBool>>,
    /// The connection ends soon for a reason of its own, and the client is to come back by another one.
    is_left: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyState {
    /// More may come.
    Open,
    /// All is there.
    Complete,
    CutOff,
    /// All was sent, or the connection is lost.
    Dropped,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    /// The next piece.
    fn take_piece(&mut self) -> Bytes {
        let before = self.outbox.own_waiting();
        let piece = self.outbox.take(PIECE);
        if before > 0 && self.outbox.own_waiting() < before {
            self.client.wake_by_ref();
        }
        piece
    }

    /// Lets the body see a change.
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl Delivery {
    /// A body to which messages are added as they come, by way of an empty outbox. `client` lets its client notice that it
    /// [must go](Delivery::must_go), or may be read again.
    pub(crate) fn stream(outbox: Outbox, client: Waker) -> (Delivery, DeliveryBody) {
        Delivery::new(outbox, BodyState::Open, client)
    }

    /// A body of these messages. `client` lets its client notice that it may be read again.
    pub(crate) fn whole(messages: Outbox, client: Waker) -> (Delivery, DeliveryBody) {
        Delivery::new(messages, BodyState::Complete, client)
    }

    fn new(outbox: Outbox, state: BodyState, client: Waker) -> (Delivery, DeliveryBody) {
        let content =
            Mutex::new(Content { outbox, state, reader: None, client, cut_offs: None, pause: None, is_left: false });
        let shared = Arc::new(Shared { content, body_dropped: Notify::new() });
        (Delivery(shared.clone()), DeliveryBody(shared))
    }

    pub(crate) fn push(&self, text: Bytes, cause: Cause, mark: Option<Mark>) {
        let content = &mut *self.0.lock();
        if content.state == BodyState::Open {
            content.outbox.push(text, cause, Sharing::Alone);
            mark.into_iter().for_each(|mark| content.outbox.mark(mark));
            content.outbox.settle(Some(&content.client));
            content.wake();
        }
    }

    /// Nothing is added any more.
    pub(crate) fn complete(&self) {
        let mut content = self.0.lock();
        if content.state == BodyState::Open {
            content.state = BodyState::Complete;
            content.wake();
        }
    }

    /// Drops what has not been sent.
    pub(crate) fn cut_off(&self) {
        let mut content = self.0.lock();
        content.outbox.clear();
        if let BodyState::Open | BodyState::Complete = content.state {
            content.state = BodyState::CutOff;
            content.wake();
            if let Some(cut_offs) = &content.cut_offs {
                cut_offs.begun();
            }
        }
    }

    /// What has still to be sent, with what it costs to keep it, in bytes.
    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().outbox.waiting()
    }

    /// The same, without what it costs to keep it.
    pub(crate) fn bytes(&self) -> usize {
        self.0.lock().outbox.bytes()
    }

    /// How much of it is there because of its client itself.
    pub(crate) fn own_waiting(&self) -> usize {
        self.0.lock().outbox.own_waiting()
    }

    /// Whether its client is to be let go, because too much waits for all peers together.
    pub(crate) fn must_go(&self) -> bool {
        self.0.lock().outbox.must_go()
    }

    /// What has passed through, if not all has. The HTTP library keeps the body until it holds all of it; who watches the
    /// connection sees to the rest.
    pub(crate) fn blocked(&self) -> Option<Flow> {
        let content = self.0.lock();
        let is_blocked = !content.outbox.is_empty() || content.state == BodyState::Complete;
        is_blocked.then(|| content.outbox.flow())
    }

    /// Whether nothing passes, for a reason that is not the client's.
    pub(crate) fn is_paused(&self) -> bool {
        self.0.lock().pause.as_ref().is_some_and(|pause| pause.load(Ordering::Relaxed))
    }

    /// Whether the client is to come back by another connection.
    pub(crate) fn is_left(&self) -> bool {
        self.0.lock().is_left
    }

    /// Until all was sent, or the connection is lost.
    pub(crate) async fn body_dropped(&self) {
        loop {
            if self.0.lock().state == BodyState::Dropped {
                return;
            }
            self.0.body_dropped.notified().await;
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.complete();
    }
}

impl DeliveryBody {
    /// The connection that it is sent on.
    pub(crate) fn on_connection(&self, cut_offs: &CutOffs) {
        let mut content = self.0.lock();
        if content.state == BodyState::CutOff {
            cut_offs.begun();
        }
        content.cut_offs = Some(cut_offs.clone());
    }

    /// Nothing passes while `pause` says so.
    pub(crate) fn pauses_while(&self, pause: Arc<AtomicBool>) {
        self.0.lock().pause = Some(pause);
    }

    /// What the connection tells the client of its own end.
    pub(crate) fn farewell(&self) -> DeliveryFarewell {
        DeliveryFarewell(Arc::downgrade(&self.0))
    }

    /// Takes back what was not sent, of a body that nobody has seen.
    pub(crate) fn reclaim(self) -> Outbox {
        std::mem::take(&mut self.0.lock().outbox)
    }
}

impl Drop for DeliveryBody {
    fn drop(&mut self) {
        let mut content = self.0.lock();
        content.outbox.clear();
        if let (BodyState::CutOff, Some(cut_offs)) = (content.state, &content.cut_offs) {
            cut_offs.ended();
        }
        content.state = BodyState::Dropped;
        drop(content);
        self.0.body_dropped.notify_one();
    }
}

impl Body for DeliveryBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let mut content = self.0.lock();
        match content.state {
            BodyState::CutOff => Poll::Ready(Some(Err(CutOff))),
            _ if !content.outbox.is_empty() => Poll::Ready(Some(Ok(Frame::data(content.take_piece())))),
            BodyState::Complete | BodyState::Dropped => Poll::Ready(None),
            BodyState::Open => {
                content.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let content = self.0.lock();
        content.state == BodyState::Complete && content.outbox.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let content = self.0.lock();
        match content.state {
            BodyState::Complete => SizeHint::with_exact(content.outbox.bytes() as u64),
            BodyState::Open | BodyState::CutOff | BodyState::Dropped => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn next(body: &mut DeliveryBody) -> Poll<Option<Result<Bytes, CutOff>>> {
        let polled = Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()));
        polled.map(|next| next.map(|frame| frame.map(|frame| frame.into_data().expect("data"))))
    }

    #[test]
    fn what_an_answer_carries_is_on_the_account_until_it_is_taken_or_the_body_is_dropped() {
        let mut messages = Outbox::default();
        messages.push(vec![b'x'; 3 * PIECE].into(), Cause::Others, Sharing::Alone);
        let (delivery, mut body) = Delivery::whole(messages, Waker::noop().clone());
        assert_eq!(body.size_hint().exact(), Some(3 * PIECE as u64));
        let before = delivery.waiting();
        let Poll::Ready(Some(Ok(piece))) = next(&mut body) else {
            panic!("a piece is there");
        };
        assert_eq!((piece.len(), delivery.waiting()), (PIECE, before - PIECE));
        assert_eq!(body.size_hint().exact(), Some(2 * PIECE as u64));
        while let Poll::Ready(Some(_)) = next(&mut body) {}
        assert_eq!(delivery.waiting(), 0);
        assert!(delivery.blocked().is_some(), "the last piece may still be here");
        drop(body);
        assert_eq!((delivery.waiting(), delivery.blocked()), (0, None));
    }

    #[test]
    fn a_body_that_is_cut_off_holds_nothing_and_ends_with_an_error() {
        let (delivery, mut body) = Delivery::stream(Outbox::default(), Waker::noop().clone());
        delivery.push("text".into(), Cause::Others, None);
        let cut_offs = CutOffs::default();
        body.on_connection(&cut_offs);
        delivery.cut_off();
        assert_eq!((delivery.waiting(), cut_offs.count()), (0, 1));
        assert!(matches!(next(&mut body), Poll::Ready(Some(Err(CutOff)))));
        drop(body);
        assert_eq!(cut_offs.count(), 0);
    }

    #[test]
    fn an_open_body_ends_when_nobody_can_add_to_it() {
        let (delivery, mut body) = Delivery::stream(Outbox::default(), Waker::noop().clone());
        assert!(next(&mut body).is_pending());
        delivery.push("text".into(), Cause::Others, None);
        drop(delivery);
        assert!(matches!(next(&mut body), Poll::Ready(Some(Ok(text))) if text == "text"));
        assert!(matches!(next(&mut body), Poll::Ready(None)));
    }
}
