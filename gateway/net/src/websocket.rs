//! A WebSocket of a client or a hub server: one task reads it, and whoever has something to send writes to it directly.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hubgate_core::id::ServerConnectionId;
use hubgate_core::{CloseCause, NewClient, NewServerConnection, Slot};
use hubgate_wire::websocket::{DataKind, Decoder, Event, Frame, WebSocketError, close_code};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Sleep;

use crate::admission::{ClientPlace, HttpPlace};
use crate::client::ClientLink;
use crate::outbox::{Flushed, Outbox};
use crate::shard::ShardThread;
use crate::tls::{TlsSession, UpgradedStream};

/// How long the other side may take to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// A frame's bytes pass through as they come, and the messages in it have their own limit; longer ones are nonsense.
const LONGEST_FRAME: usize = 1 << 30;
/// Reads of one client before others get their turn.
const READS_PER_TURN: usize = 4;

/// A hub server for which more than so many bytes wait is congested: its clients are not read until it has caught up.
const CONGESTED: usize = 1024 * 1024;
/// It has caught up when no more wait for it.
const CAUGHT_UP: usize = 256 * 1024;
/// A buffer that is larger than this is not kept for later.
const KEPT_BUFFER: usize = 64 * 1024;

/// The side of a socket that is written to, from anywhere on its shard's thread.
#[derive(Debug)]
pub(crate) struct WebSocket {
    write: OwnedWriteHalf,
    /// None on a plain connection. Boxed: it is large.
    tls: Option<Box<TlsSession>>,
    outbox: RefCell<Outbox>,
    /// Messages of the service protocol that leave in one WebSocket message at the end of the turn.
    gathered: RefCell<Vec<u8>>,
    /// Whether its clients are not read because of it.
    is_congested: Cell<bool>,
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

impl WebSocket {
    fn new(write: OwnedWriteHalf, tls: Option<TlsSession>) -> WebSocket {
        WebSocket {
            write,
            tls: tls.map(Box::new),
            outbox: RefCell::default(),
            gathered: RefCell::default(),
            is_congested: Cell::new(false),
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

    /// Adds messages of the service protocol to those that leave together; who lets more than `limit` bytes wait is given
    /// up.
    pub(crate) fn gather(&self, messages: &[u8], limit: usize) {
        self.gathered.borrow_mut().extend_from_slice(messages);
        if self.queued_bytes() > limit {
            self.flush();
            if self.queued_bytes() > limit {
                self.give_up(CloseCause::SlowClient);
            }
        }
    }

    /// Makes one WebSocket message of what was gathered.
    fn frame_gathered(&self) {
        let mut gathered = self.gathered.borrow_mut();
        if gathered.is_empty() {
            return;
        }
        let frame = Frame::data(DataKind::Binary, |out| out.extend_from_slice(&gathered));
        match gathered.capacity() > KEPT_BUFFER {
            true => *gathered = Vec::new(),
            false => gathered.clear(),
        }
        self.outbox.borrow_mut().push(frame.into_bytes());
    }

    fn queued_bytes(&self) -> usize {
        self.outbox.borrow().bytes() + self.gathered.borrow().len()
    }

    /// Whether it has become congested, or has caught up, since this was asked last.
    fn congestion_change(&self) -> Option<bool> {
        let queued = self.queued_bytes();
        let is_congested = match self.is_congested.get() {
            true => queued > CAUGHT_UP,
            false => queued > CONGESTED,
        };
        (self.is_congested.replace(is_congested) != is_congested).then_some(is_congested)
    }

    /// Writes what is queued, as far as the socket takes it.
    pub(crate) fn flush(&self) {
        if matches!(self.state.get(), SocketState::Open | SocketState::Blocked) {
            self.frame_gathered();
        }
        if self.state.get() == SocketState::Blocked && !self.is_congested.get() && self.queued_bytes() > CONGESTED {
            self.wake();
        }
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

    /// Queues the close frame; nothing can be queued behind it. `cause` is the gateway's, if it wants the end. It is read
    /// again, for the other side's close frame.
    pub(crate) fn finish(&self, code: u16, cause: Option<CloseCause>) {
        self.reading.set(true);
        if self.ending.get().is_none() {
            self.ending.set(cause);
        }
        if matches!(self.state.get(), SocketState::Open | SocketState::Blocked) {
            self.frame_gathered();
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

/// Whose WebSocket it is.
#[derive(Debug, Clone, Copy)]
enum Owner {
    Client(Slot),
    Server(ServerConnectionId),
}

/// Serves one client until its transport is gone. `unread` came right behind the upgrade.
pub(crate) async fn serve_client(
    shard: Rc<ShardThread>,
    stream: UpgradedStream,
    unread: Vec<u8>,
    client: NewClient,
    place: ClientPlace,
) {
    let Some((read, socket)) = open(stream) else {
        return shard.upgrade_failed(&client);
    };
    let (hub, id) = (client.hub.clone(), client.id);
    tracing::debug!(%hub, connection = %id, address = &*client.identity.remote_address, "a client connected");
    let place = Rc::new(place);
    let slot = shard.client_opened(client, ClientLink::WebSocket(socket.clone()), place.clone());
    let cause = serve(shard, Owner::Client(slot), read, socket, unread).await;
    tracing::info!(%hub, connection = %id, cause = cause.name(), "a client's connection ended");
}

/// Serves one connection of a hub server until its transport is gone. `unread` came right behind the upgrade.
pub(crate) async fn serve_server(
    shard: Rc<ShardThread>,
    stream: UpgradedStream,
    unread: Vec<u8>,
    server: NewServerConnection,
    _place: HttpPlace,
) {
    let Some((read, socket)) = open(stream) else {
        return;
    };
    let (hub, name) = (server.hub.clone(), server.server.clone());
    tracing::info!(%hub, server = %name, "a hub server's connection is open");
    let id = shard.server_opened(server, socket.clone());
    let cause = serve(shard, Owner::Server(id), read, socket, unread).await;
    tracing::info!(%hub, server = %name, cause = cause.name(), "a hub server's connection ended");
}

fn open(stream: UpgradedStream) -> Option<(OwnedReadHalf, Rc<WebSocket>)> {
    let (read, write) = TcpStream::from_std(stream.tcp).ok()?.into_split();
    let tls = stream.tls.map(|session| TlsSession::new(*session));
    Some((read, Rc::new(WebSocket::new(write, tls))))
}

/// Reads until the transport is gone; gives the reason.
async fn serve(
    shard: Rc<ShardThread>,
    owner: Owner,
    read: OwnedReadHalf,
    socket: Rc<WebSocket>,
    unread: Vec<u8>,
) -> CloseCause {
    let decoder = Decoder::new(LONGEST_FRAME);
    let mut task = Task {
        shard,
        owner: Some(owner),
        socket,
        read,
        undecoded: unread,
        decoded: 0,
        decoder,
        deadline: None,
        peer_closed: false,
    };
    let lost = poll_fn(|cx| task.poll(cx)).await;
    task.leave(lost);
    task.socket.say_goodbye();
    task.socket.ending.get().unwrap_or(lost)
}

struct Task {
    shard: Rc<ShardThread>,
    /// Its place in the core, until the core has heard of its end.
    owner: Option<Owner>,
    socket: Rc<WebSocket>,
    read: OwnedReadHalf,
    /// What came when nothing more was to be read, from `decoded` on; no more than one read holds.
    undecoded: Vec<u8>,
    decoded: usize,
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
        self.tell_congestion();
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
            if !self.undecoded.is_empty() {
                let (mut bytes, start) = (std::mem::take(&mut self.undecoded), std::mem::take(&mut self.decoded));
                let left = self.received(&mut bytes[start..]);
                if left > 0 {
                    (self.decoded, self.undecoded) = (bytes.len() - left, bytes);
                }
                continue;
            }
            let mut read = ReadBuf::new(buffer);
            let polled = match &self.socket.tls {
                None => Pin::new(&mut self.read).poll_read(cx, &mut read),
                Some(tls) => tls.poll_read(cx, &mut self.read, &mut read),
            };
            match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if read.filled().is_empty() => return Poll::Ready(self.end_of_stream()),
                Poll::Ready(Ok(())) => {
                    let left = self.received(read.filled_mut());
                    self.undecoded.extend_from_slice(&read.filled()[read.filled().len() - left..]);
                }
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

    /// Takes what came, up to where nothing more is to be read: what follows, an end among it, comes behind what waits. Gives
    /// how many bytes are left.
    fn received(&mut self, mut bytes: &mut [u8]) -> usize {
        while !self.peer_closed {
            if !self.socket.reading.get() {
                return bytes.len();
            }
            match self.decoder.decode(&mut bytes) {
                Ok(None) => break,
                Ok(Some(event)) => self.event(event),
                Err(error) => self.broke_protocol(error),
            }
        }
        0
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Data { bytes, .. } => match self.owner {
                Some(Owner::Client(slot)) => self.shard.client_data(slot, bytes),
                Some(Owner::Server(id)) => self.shard.server_data(id, bytes),
                None => {}
            },
            Event::Ping(payload) => self.shard.send(&self.socket, Frame::pong(&payload)),
            Event::Pong => {}
            // The answer carries the status that came (RFC 6455, section 5.5.1).
            Event::Close(code) => self.end(CloseCause::Normal, code.unwrap_or(close_code::NORMAL)),
        }
    }

    fn broke_protocol(&mut self, error: WebSocketError) {
        tracing::debug!(%error, "a peer broke the WebSocket protocol");
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

    /// The core hears, once, that its peer is gone.
    fn leave(&mut self, cause: CloseCause) {
        match self.owner.take() {
            Some(Owner::Client(slot)) => self.shard.client_gone(slot, cause),
            Some(Owner::Server(id)) => self.shard.server_gone(id),
            None => {}
        }
    }

    /// The core hears when its clients must not be read, and when they may be.
    fn tell_congestion(&self) {
        if let Some(Owner::Server(id)) = self.owner
            && let Some(is_congested) = self.socket.congestion_change()
        {
            self.shard.server_congested(id, is_congested);
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
