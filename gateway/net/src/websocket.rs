//! A WebSocket of a client or a hub server: one task reads it, and whoever has something to send writes to it directly.

use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hubgate_core::id::HubName;
use hubgate_core::{CloseCause, Family, NewServerConnection, Reconnect};
use hubgate_wire::signalr::framing::RECORD_SEPARATOR;
use hubgate_wire::websocket::{DataKind, Decoder, Event, WebSocketError, close_code};
use tokio::io::ReadBuf;
use tokio::time::Sleep;

use crate::client_log::ClientLog;
use crate::entrant::{Entrant, NewEntrant, Returner, ReturningClient};
use crate::http_places::Carrying;
use crate::links::{ClientLink, Owner, Reader, SocketState, WebSocket, split};
use crate::outboxes::Receiver;
use crate::shard::ShardHandle;
use crate::slow::{SlowReason, StallWatch};
use crate::turns::{Pass, Turn};
use crate::upgraded::UpgradedStream;

/// How long the other side may take to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// A frame's bytes pass through as they come, and the messages in it have their own limit; longer ones are nonsense.
const LONGEST_FRAME: usize = 1 << 30;
/// Reads of one client before others get their turn.
const READS_PER_TURN: usize = 4;

/// Serves one client until its transport is gone. `unread` came right behind the upgrade.
pub(crate) async fn serve_client(shard: ShardHandle, stream: UpgradedStream, unread: Vec<u8>, entrant: Entrant) {
    let (read, socket) = open(&shard, stream, entrant.hub(), Receiver::Client);
    let framing = match entrant.hub().is_asp_net() {
        true => Framing::Messages,
        false => Framing::Bytes,
    };
    let link = ClientLink::WebSocket(socket.clone());
    // The place is given up when the transport has ended.
    let (transport, reconnect, log, _place) = match entrant {
        Entrant::New(entrant) => {
            let NewEntrant { client, lives_at: _, place, claimed, starts_with } = *entrant;
            let reconnect = match client.family {
                Family::Core => client.reconnect,
                Family::AspNet { .. } => Reconnect::Stateful,
            };
            let (token, place) = (client.token, Rc::new(place));
            let (transport, log) = shard.client_opened(client, link, place.clone());
            if let Some(claimed) = claimed {
                claimed.transport_opened();
            }
            if let (Some(token), Some(query)) = (token, starts_with) {
                shard.asp_net().started(token, query);
            }
            (transport, reconnect, log, place)
        }
        Entrant::Returning(ReturningClient { hub, client, lives_at: _, to }) => {
            let returned = match client {
                Returner::Core(client) => shard.client_resumed(hub, client, link, to),
                Returner::AspNet(client) => shard.asp_net().returned(hub, client, link, to),
            };
            // It may have ended since its request was granted: then nobody has its place.
            let Some((transport, place, log)) = returned else { return };
            (transport, Reconnect::Stateful, log, place)
        }
    };
    let (cause, slow) =
        serve(shard.clone(), (Owner::Client(transport, reconnect), framing), Some(&log), read, socket, unread).await;
    shard.transport_ended(log, cause, slow);
}

/// Serves one connection of a hub server until its transport is gone. `unread` came right behind the upgrade.
pub(crate) async fn serve_server(
    shard: ShardHandle,
    stream: UpgradedStream,
    unread: Vec<u8>,
    server: NewServerConnection,
    _place: Carrying,
) {
    let (read, socket) = open(&shard, stream, &server.hub, Receiver::HubServer);
    let (hub, name) = (server.hub.clone(), server.server.clone());
    tracing::info!(%hub, server = %name, "a hub server's connection is open");
    let resource_log = shard.shared().resource_log.clone();
    let id = shard.server_opened(server, socket.clone());
    let visitor = resource_log.and_then(|log| log.hub_server(&hub, &name, id));
    let (cause, slow) = serve(shard, (Owner::Server(id), Framing::Bytes), None, read, socket, unread).await;
    if let Some(visitor) = visitor {
        visitor.ended(cause, slow);
    }
    let limit = slow.map(SlowReason::key);
    tracing::info!(%hub, server = %name, cause = cause.name(), limit, "a hub server's connection ended");
}

fn open(shard: &ShardHandle, stream: UpgradedStream, hub: &HubName, receiver: Receiver) -> (Reader, Rc<WebSocket>) {
    let (reader, writer) = split(stream);
    (reader, Rc::new(WebSocket::new(hub.clone(), writer, shard.shared().outboxes.part(receiver))))
}

/// Reads until the transport is gone; gives the reason, and by which limit its peer was too slow, if it was.
async fn serve(
    shard: ShardHandle,
    (owner, framing): (Owner, Framing),
    log: Option<&ClientLog>,
    read: Reader,
    socket: Rc<WebSocket>,
    unread: Vec<u8>,
) -> (CloseCause, Option<SlowReason>) {
    let decoder = Decoder::new(LONGEST_FRAME);
    let mut task = Task {
        pass: shard.turns().pass(&socket.hub),
        shard,
        owner: Some(owner),
        framing,
        log,
        socket,
        read,
        undecoded: unread,
        decoded: 0,
        payload: Bytes::new(),
        decoder,
        has_paused: false,
        close_deadline: None,
        stall: StallWatch::default(),
        peer_closed: false,
    };
    let lost = poll_fn(|cx| task.poll(cx)).await;
    task.leave(lost);
    task.socket.say_goodbye();
    let slow = task.socket.slow();
    if let Some(reason) = slow {
        task.shard.shared().metrics.slow_peer(reason);
    }
    (task.socket.ending(lost), slow)
}

/// Where the peer's messages end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// The bytes themselves say so, whatever WebSocket messages they come in.
    Bytes,
    /// With each WebSocket message, as in ASP.NET SignalR: a separator tells the core.
    Messages,
}

struct Task<'a> {
    shard: ShardHandle,
    /// Its place in the core, until the core has heard of its end.
    owner: Option<Owner>,
    framing: Framing,
    /// Of a client.
    log: Option<&'a ClientLog>,
    socket: Rc<WebSocket>,
    read: Reader,
    /// What came when nothing more was to be read, from `decoded` on; no more than one read holds.
    undecoded: Vec<u8>,
    decoded: usize,
    /// The rest of a frame's content, for the next turn; what is undecoded comes after it.
    payload: Bytes,
    decoder: Decoder,
    /// Its place among those of its hub that want a turn.
    pass: Pass,
    /// Whether nothing more is read for now.
    has_paused: bool,
    /// When the close handshake is given up.
    close_deadline: Option<Pin<Box<Sleep>>>,
    stall: StallWatch,
    peer_closed: bool,
}

impl Drop for Task<'_> {
    /// The task has panicked if the core has not heard of its end.
    fn drop(&mut self) {
        if let Some(owner) = self.owner.take() {
            self.shard.abandon(owner);
        }
    }
}

impl Task<'_> {
    /// Goes on with the connection; ready with the reason when it is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseCause> {
        self.socket.listen_for_wakes(cx);
        if let Poll::Ready(cause) = self.poll_read(cx) {
            return Poll::Ready(cause);
        }
        if let Poll::Ready(cause) = self.poll_write(cx) {
            return Poll::Ready(cause);
        }
        self.tell_congestion();
        self.check_stall(cx);
        match self.socket.state() {
            SocketState::Broken(cause) => Poll::Ready(cause),
            SocketState::Finishing => self.poll_close(cx),
            SocketState::Open | SocketState::Blocked => Poll::Pending,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<CloseCause> {
        let mut buffer = self.shard.read_buffer().take();
        let polled = self.poll_read_into(cx, &mut buffer);
        self.shard.read_buffer().put_back(buffer);
        polled
    }

    fn poll_read_into(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<CloseCause> {
        if !self.may_be_read() || self.shard.peers().poll_may_read(cx).is_pending() {
            self.pass.give_way();
            return Poll::Pending;
        }
        let Poll::Ready(turn) = self.pass.poll_turn(cx) else {
            return Poll::Pending;
        };
        for _ in 0..READS_PER_TURN {
            if turn.is_spent() {
                break;
            }
            if !self.may_be_read() {
                return Poll::Pending;
            }
            if !self.payload.is_empty() {
                self.rest_of_payload(&turn);
                continue;
            }
            if !self.undecoded.is_empty() {
                let (mut bytes, start) = (std::mem::take(&mut self.undecoded), std::mem::take(&mut self.decoded));
                let left = self.received(&mut bytes[start..], &turn);
                if left > 0 {
                    (self.decoded, self.undecoded) = (bytes.len() - left, bytes);
                }
                continue;
            }
            if self.tell_last_words() {
                continue;
            }
            let mut read = ReadBuf::new(buffer);
            match self.read.poll_read(cx, &mut read) {
                Poll::Pending => {
                    self.socket.has_read(0);
                    self.tell_last_words();
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) if read.filled().is_empty() => return Poll::Ready(self.end_of_stream()),
                Poll::Ready(Ok(())) => {
                    let left = self.received(read.filled_mut(), &turn);
                    self.undecoded.extend_from_slice(&read.filled()[read.filled().len() - left..]);
                    self.socket.has_read(read.filled().len());
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(_)) => return Poll::Ready(self.end_of_stream()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether the core, and what the peer has caused itself, let it be read.
    fn may_be_read(&mut self) -> bool {
        self.has_paused = !self.socket.is_read();
        !self.has_paused && !matches!(self.socket.state(), SocketState::Broken(_))
    }

    /// The core hears, once, that all is read which a client had said before it was asked to leave.
    fn tell_last_words(&self) -> bool {
        let end = self.socket.last_words_end();
        if end && let Some(Owner::Client(transport, _)) = self.owner {
            self.shard.said_last_words(transport);
        }
        end
    }

    fn end_of_stream(&self) -> CloseCause {
        match self.peer_closed {
            true => CloseCause::Normal,
            false => CloseCause::TransportLost,
        }
    }

    /// Takes what came, up to where nothing more is to be read, or the turn is spent: what follows, an end among it, comes
    /// after what waits. Gives how many bytes are left.
    fn received(&mut self, mut bytes: &mut [u8], turn: &Turn) -> usize {
        while !self.peer_closed {
            if !self.socket.is_read() || !self.payload.is_empty() || turn.is_spent() {
                return bytes.len();
            }
            match self.decoder.decode(&mut bytes) {
                Ok(None) => break,
                Ok(Some(event)) => self.event(event, turn),
                Err(error) => self.broke_protocol(error),
            }
        }
        0
    }

    fn event(&mut self, event: Event<'_>, turn: &Turn) {
        match event {
            Event::Data { kind, bytes, end_of_message } if self.framing == Framing::Messages => {
                if kind != DataKind::Text {
                    return self.end(CloseCause::BadRequest, close_code::UNSUPPORTED_DATA);
                }
                let mut message = Vec::with_capacity(bytes.len() + 1);
                message.extend_from_slice(bytes);
                if end_of_message {
                    message.push(RECORD_SEPARATOR);
                }
                self.payload = message.into();
                self.rest_of_payload(turn);
            }
            Event::Data { bytes, .. } => {
                let mut rest = bytes;
                self.data(&mut rest, turn);
                self.payload = Bytes::copy_from_slice(rest);
            }
            Event::Ping(payload) => {
                self.socket.pong(&payload);
                self.shard.flush_later(&self.socket);
            }
            // A sign of life of a client; hub servers have to say something.
            Event::Pong if matches!(self.owner, Some(Owner::Client(..))) => self.step(&mut &[][..]),
            Event::Pong => {}
            // The answer carries the status that came (RFC 6455, section 5.5.1).
            Event::Close(code) => self.end(CloseCause::Normal, code.unwrap_or(close_code::NORMAL)),
        }
    }

    /// Goes on with what was left of a frame.
    fn rest_of_payload(&mut self, turn: &Turn) {
        let payload = std::mem::take(&mut self.payload);
        let mut rest = &payload[..];
        self.data(&mut rest, turn);
        self.payload = payload.slice_ref(rest);
    }

    /// Acts on the peer's next bytes, until there are none, its turn is spent, or it is to say no more for now.
    fn data(&self, bytes: &mut &[u8], turn: &Turn) {
        loop {
            self.step(bytes);
            if bytes.is_empty() || turn.is_spent() || !self.socket.is_read() {
                return;
            }
        }
    }

    /// Acts on some of the peer's messages; none are a sign of life.
    fn step(&self, bytes: &mut &[u8]) {
        self.socket.speaking.during(|| match self.owner {
            Some(Owner::Client(transport, _)) => self.shard.client_data(transport, bytes),
            Some(Owner::Server(id)) => self.shard.server_data(id, bytes),
            None => *bytes = &[],
        });
    }

    fn broke_protocol(&mut self, error: WebSocketError) {
        let tell = || tracing::debug!(%error, "a peer broke the WebSocket protocol");
        match self.log {
            Some(log) => log.in_span(tell),
            None => tell(),
        }
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
            Some(Owner::Client(transport, _)) => self.shard.client_gone(transport, cause),
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
            let is_waiting = match self.socket.state() {
                SocketState::Blocked => true,
                SocketState::Finishing => self.socket.has_unsent(),
                SocketState::Open | SocketState::Broken(_) => false,
            };
            if !is_waiting {
                return Poll::Pending;
            }
            match self.socket.poll_write_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {
                    self.socket.unblock();
                    if self.has_paused {
                        // What it takes shows that it lives, and it may be read again.
                        self.step(&mut &[][..]);
                        cx.waker().wake_by_ref();
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready(CloseCause::TransportLost),
            }
        }
    }

    /// Gives a peer up that takes nothing for too long, or that is to make room. The end of a connection has its own deadline.
    fn check_stall(&mut self, cx: &mut Context<'_>) {
        if self.socket.must_go() {
            return self.socket.give_up_slow(SlowReason::Outboxes);
        }
        let blocked = (self.socket.state() == SocketState::Blocked).then(|| self.socket.flow());
        let settings = self.shard.shared().settings();
        if let Poll::Ready(reason) = self.stall.poll(cx, blocked, &settings.timeouts) {
            match (reason, self.owner) {
                // As likely as not its network is gone: it may come back by another one.
                (SlowReason::Write, Some(Owner::Client(_, Reconnect::Stateful))) => self.socket.cut_off_slow(reason),
                _ => self.socket.give_up_slow(reason),
            }
        }
    }

    /// Waits for the other side's close frame, but not for ever.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<CloseCause> {
        if self.peer_closed && !self.socket.has_unsent() {
            return Poll::Ready(CloseCause::Normal);
        }
        let deadline = self.close_deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(CLOSE_TIMEOUT)));
        deadline.as_mut().poll(cx).map(|()| CloseCause::TransportLost)
    }
}
