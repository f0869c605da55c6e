//! A client's WebSocket: one task reads it, and whoever has something to send writes to it directly.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hubgate_core::{CloseCause, NewClient, Slot};
use hubgate_wire::websocket::{Decoder, Event, Frame, WebSocketError, close_code};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Sleep;

use super::ClientLink;
use crate::admission::ClientPlace;
use crate::outbox::{Flushed, Outbox};
use crate::shard::ShardThread;
use crate::tls::{ClientStream, TlsSession};

/// How long the other side may take to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// A frame's bytes pass through as they come, and the messages in it have their own limit; longer ones are nonsense.
const LONGEST_FRAME: usize = 1 << 30;
/// Reads of one client before others get their turn.
const READS_PER_TURN: usize = 4;

/// The side of a client's socket that is written to, from anywhere on its shard's thread.
#[derive(Debug)]
pub(crate) struct ClientSocket {
    write: OwnedWriteHalf,
    /// None on a plain connection. Boxed: it is large.
    tls: Option<Box<TlsSession>>,
    outbox: RefCell<Outbox>,
    state: Cell<SocketState>,
    reading: Cell<bool>,
    /// Whether the shard has it on its list of sockets to flush.
    pub(crate) is_dirty: Cell<bool>,
    /// Why the gateway ends the connection, if it does.
    ending: Cell<Option<CloseCause>>,
    /// Wakes the task that reads.
    task: RefCell<Option<Waker>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SocketState {
    Open,
    /// The socket takes no more for now; its task waits until it does.
    Blocked,
    /// A close frame is the last thing in the outbox, or has left.
    Finishing,
    /// Nothing more can be written.
    Broken(CloseCause),
}

impl ClientSocket {
    fn new(write: OwnedWriteHalf, tls: Option<TlsSession>) -> ClientSocket {
        ClientSocket {
            write,
            tls: tls.map(Box::new),
            outbox: RefCell::default(),
            state: Cell::new(SocketState::Open),
            reading: Cell::new(true),
            is_dirty: Cell::new(false),
            ending: Cell::new(None),
            task: RefCell::new(None),
        }
    }

    /// Queues a frame; a client that lets more than `limit` bytes wait is given up.
    pub(crate) fn push(&self, frame: Bytes, limit: usize) {
        match self.state.get() {
            SocketState::Open | SocketState::Blocked => {}
            SocketState::Finishing | SocketState::Broken(_) => return,
        }
        if !self.outbox.borrow().has_room(frame.len(), limit) {
            self.flush();
            if !self.outbox.borrow().has_room(frame.len(), limit) {
                return self.give_up(CloseCause::SlowClient);
            }
        }
        self.outbox.borrow_mut().push(frame);
    }

    /// Writes what is queued, as far as the socket takes it.
    pub(crate) fn flush(&self) {
        if matches!(self.state.get(), SocketState::Blocked | SocketState::Broken(_)) {
            return;
        }
        let flushed = self.outbox.borrow_mut().flush(|slices| match (&self.tls, slices) {
            // The kernel takes one buffer with less ado than a list of one.
            (None, [one]) => self.write.try_write(one),
            (None, many) => self.write.try_write_vectored(many),
            (Some(tls), slices) => tls.try_write(&self.write, slices),
        });
        match flushed {
            // Encrypted, but not sent.
            Ok(Flushed::All) if self.has_unsent() => self.block(),
            Ok(Flushed::All) => {}
            Ok(Flushed::Blocked) => self.block(),
            Err(_) => self.give_up(CloseCause::TransportLost),
        }
    }

    /// Whether something that was queued has not left yet.
    fn has_unsent(&self) -> bool {
        !self.outbox.borrow().is_empty() || self.tls.as_ref().is_some_and(|tls| tls.has_unsent())
    }

    /// Its task waits until the socket takes more.
    fn block(&self) {
        if self.state.get() == SocketState::Open {
            self.state.set(SocketState::Blocked);
        }
        self.wake();
    }

    /// The socket takes more: sends what was encrypted before, then what is queued.
    fn unblock(&self) {
        if let Some(tls) = &self.tls {
            match tls.send(&self.write) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.give_up(CloseCause::TransportLost),
                Ok(()) => {}
            }
        }
        if self.state.get() == SocketState::Blocked {
            self.state.set(SocketState::Open);
        }
        self.flush();
    }

    fn say_goodbye(&self) {
        if let Some(tls) = &self.tls {
            tls.say_goodbye(&self.write);
        }
    }

    /// Queues the close frame; nothing can be queued behind it. `cause` is the gateway's, if it wants the end.
    pub(crate) fn finish(&self, code: u16, cause: Option<CloseCause>) {
        if self.ending.get().is_none() {
            self.ending.set(cause);
        }
        if matches!(self.state.get(), SocketState::Open | SocketState::Blocked) {
            self.outbox.borrow_mut().push(Frame::close(code).into_bytes());
            self.state.set(SocketState::Finishing);
            self.wake();
        }
    }

    pub(crate) fn set_reading(&self, reading: bool) {
        self.reading.set(reading);
        self.wake();
    }

    fn give_up(&self, cause: CloseCause) {
        self.state.set(SocketState::Broken(cause));
        self.wake();
    }

    fn wake(&self) {
        if let Some(task) = self.task.borrow().as_ref() {
            task.wake_by_ref();
        }
    }
}

/// Serves one client until its transport is gone. `unread` came right behind the upgrade.
pub(crate) async fn serve(
    shard: Rc<ShardThread>,
    stream: ClientStream,
    mut unread: Vec<u8>,
    client: NewClient,
    _place: ClientPlace,
) {
    let Ok(tcp) = TcpStream::from_std(stream.tcp) else {
        return shard.upgrade_failed(&client);
    };
    let (read, write) = tcp.into_split();
    let socket = Rc::new(ClientSocket::new(write, stream.tls.map(|session| TlsSession::new(*session))));
    let (hub, id) = (client.hub.clone(), client.id);
    tracing::debug!(%hub, connection = %id, address = &*client.identity.remote_address, "a client connected");
    let slot = shard.client_opened(client, ClientLink::WebSocket(socket.clone()));
    let decoder = Decoder::new(LONGEST_FRAME);
    let mut task = Task { shard, slot: Some(slot), socket, read, decoder, deadline: None, peer_closed: false };
    task.received(&mut unread);
    drop(unread);
    let lost = poll_fn(|cx| task.poll(cx)).await;
    task.leave(lost);
    task.socket.say_goodbye();
    let cause = task.socket.ending.get().unwrap_or(lost);
    tracing::info!(%hub, connection = %id, cause = cause.name(), "a client's connection ended");
}

struct Task {
    shard: Rc<ShardThread>,
    /// The client's place in the core, until the core has heard of its end.
    slot: Option<Slot>,
    socket: Rc<ClientSocket>,
    read: OwnedReadHalf,
    decoder: Decoder,
    /// When the close handshake is given up.
    deadline: Option<Pin<Box<Sleep>>>,
    peer_closed: bool,
}

impl Task {
    /// Goes on with the connection; ready with the reason when it is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseCause> {
        self.listen_for_wakes(cx);
        if let Poll::Ready(cause) = self.poll_read(cx) {
            return Poll::Ready(cause);
        }
        if let Poll::Ready(cause) = self.poll_write(cx) {
            return Poll::Ready(cause);
        }
        match self.socket.state.get() {
            SocketState::Broken(cause) => Poll::Ready(cause),
            SocketState::Finishing => self.poll_close(cx),
            SocketState::Open | SocketState::Blocked => Poll::Pending,
        }
    }

    fn listen_for_wakes(&self, cx: &Context<'_>) {
        let mut task = self.socket.task.borrow_mut();
        match task.as_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *task = Some(cx.waker().clone()),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<CloseCause> {
        let mut buffer = self.shard.take_read_buffer();
        let polled = self.poll_read_into(cx, &mut buffer);
        self.shard.put_read_buffer(buffer);
        polled
    }

    fn poll_read_into(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<CloseCause> {
        for _ in 0..READS_PER_TURN {
            if !self.socket.reading.get() || matches!(self.socket.state.get(), SocketState::Broken(_)) {
                return Poll::Pending;
            }
            if self.shard.poll_may_read(cx).is_pending() {
                return Poll::Pending;
            }
            let mut read = ReadBuf::new(buffer);
            let polled = match &self.socket.tls {
                None => Pin::new(&mut self.read).poll_read(cx, &mut read),
                Some(tls) => tls.poll_read(cx, &mut self.read, &mut read),
            };
            match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if read.filled().is_empty() => return Poll::Ready(self.end_of_stream()),
                Poll::Ready(Ok(())) => self.received(read.filled_mut()),
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(_)) => return Poll::Ready(self.end_of_stream()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn end_of_stream(&self) -> CloseCause {
        match self.peer_closed {
            true => CloseCause::Normal,
            false => CloseCause::TransportLost,
        }
    }

    fn received(&mut self, mut bytes: &mut [u8]) {
        while !self.peer_closed {
            match self.decoder.decode(&mut bytes) {
                Ok(None) => return,
                Ok(Some(event)) => self.event(event),
                Err(error) => return self.broke_protocol(error),
            }
        }
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Data { bytes, .. } => {
                if let Some(slot) = self.slot {
                    self.shard.client_data(slot, bytes);
                }
            }
            Event::Ping(payload) => self.shard.send(&self.socket, Frame::pong(&payload)),
            Event::Pong => {}
            // The answer carries the status that came (RFC 6455, section 5.5.1).
            Event::Close(code) => self.end(CloseCause::Normal, code.unwrap_or(close_code::NORMAL)),
        }
    }

    fn broke_protocol(&mut self, error: WebSocketError) {
        tracing::debug!(%error, "a client broke the WebSocket protocol");
        self.end(CloseCause::BadRequest, error.close_code());
    }

    /// Nothing is read any more; what is queued still leaves, with a close frame behind it.
    fn end(&mut self, cause: CloseCause, code: u16) {
        self.peer_closed = true;
        self.leave(cause);
        let ours = (cause != CloseCause::Normal).then_some(cause);
        self.socket.finish(code, ours);
        self.shard.flush_later(&self.socket);
    }

    /// The core hears, once, that the client is gone.
    fn leave(&mut self, cause: CloseCause) {
        if let Some(slot) = self.slot.take() {
            self.shard.client_gone(slot, cause);
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<CloseCause> {
        loop {
            let is_waiting = match self.socket.state.get() {
                SocketState::Blocked => true,
                SocketState::Finishing => self.socket.has_unsent(),
                SocketState::Open | SocketState::Broken(_) => false,
            };
            if !is_waiting {
                return Poll::Pending;
            }
            match self.socket.write.as_ref().poll_write_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => self.socket.unblock(),
                Poll::Ready(Err(_)) => return Poll::Ready(CloseCause::TransportLost),
            }
        }
    }

    /// Waits for the other side's close frame, but not for ever.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<CloseCause> {
        if self.peer_closed && !self.socket.has_unsent() {
            return Poll::Ready(CloseCause::Normal);
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(CLOSE_TIMEOUT)));
        deadline.as_mut().poll(cx).map(|()| CloseCause::TransportLost)
    }
}
