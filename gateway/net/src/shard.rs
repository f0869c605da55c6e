//! A worker thread: it owns sockets, a [`Shard`] and plugin instances, and carries out what the core wants done.

mod drain;
mod effects;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use hubgate_core::event::HubAnswer;
use hubgate_core::id::{ConnectionId, HubName, ServerConnectionId, ShardIndex};
use hubgate_core::time::Millis;
use hubgate_core::{
    CloseCause, ConnectionTokens, Input, NewClient, NewServerConnection, Shard, Slot, Ticket, TokenRefusal,
    TooManyTokens,
};
use hubgate_plugin_host::{PluginStatus, ShardPlugins, ShardQuestion};
use hubgate_wire::endpoint::Resource;
use hubgate_wire::negotiate::Transport;
use hubgate_wire::token::{Claims, TokenError};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use crate::admission::ClientPlace;
use crate::client::ClientLink;
use crate::client::http_client::HttpClient;
use crate::entrant::{ClaimedToken, Entrant, Releases};
#[cfg(test)]
use crate::faults::Fault;
use crate::gateway::Shared;
use crate::http::connections::HttpConnections;
use crate::http::{self, Refusal, VerifiedTokens};
use crate::http_places::HttpPlace;
use crate::inbox::{Inbox, InboxSender, ShardMessage, UpgradedClient};
use crate::peers::{self, ANSWER_TIMEOUT, Peer};
use crate::plugin_http::PluginHttp;
use crate::received::Received;
use crate::recipients::SentLines;
use crate::tasks::PeerTask;
use crate::turns::{MESSAGES_PER_LOOK, Turns};
use crate::upgraded::UpgradedStream;
use crate::webhooks::Webhooks;
use crate::websocket::{self, DirtySockets, Owner, WebSocket};

/// Bytes that one read takes; the buffer is shared by all connections of the shard.
const READ_BUFFER: usize = 64 * 1024;

/// Messages of one hub server that are acted on before the time is looked at. One may be for many clients.
const SERVER_MESSAGES_PER_LOOK: usize = 4;

/// How long a shard does what came from others before whoever else is ready has a turn.
const INBOX_TURN: Duration = Duration::from_micros(400);

/// One worker thread's state. Only its own thread touches it, so no call waits for another.
pub(crate) struct ShardThread {
    pub(crate) index: ShardIndex,
    pub(crate) shared: Arc<Shared>,
    core: RefCell<Shard>,
    /// What negotiation has given out.
    connection_tokens: RefCell<ConnectionTokens>,
    links: RefCell<Vec<Option<ClientLink>>>,
    /// The places of clients, by slot, until the core has forgotten them: what they asked for may outlive their sockets.
    places: RefCell<Vec<Option<Rc<ClientPlace>>>>,
    /// The sockets of hub servers.
    servers: RefCell<HashMap<ServerConnectionId, Rc<WebSocket>>>,
    /// Clients on other transports than WebSockets, by what opens their connections.
    pub(crate) http_clients: RefCell<HashMap<ConnectionId, Rc<HttpClient>>>,
    plugins: ShardPlugins,
    webhooks: Rc<Webhooks>,
    pub(crate) plugin_http: PluginHttp,
    /// Where the answers of the core go that others wait for.
    asked: RefCell<HashMap<Ticket, oneshot::Sender<HubAnswer>>>,
    next_ticket: Cell<u64>,
    pub(crate) peers: Vec<Peer>,
    read_buffer: Cell<Vec<u8>>,
    tokens: RefCell<VerifiedTokens>,
    releases: Releases,
    /// `server.limits.outbox`, in bytes.
    outbox_limit: Cell<usize>,
    /// `server.limits.server-outbox`, in bytes.
    server_outbox_limit: Cell<usize>,
    /// Sockets to which something was queued in this turn.
    dirty: DirtySockets,
    /// Whose turn it is.
    pub(crate) turns: Rc<Turns>,
    flusher: RefCell<Option<Waker>>,
    /// Readers that wait because another shard is behind.
    pub(crate) held_readers: RefCell<Vec<Waker>>,
    is_drained: Notify,
    pub(crate) http: Rc<HttpConnections>,
    /// Whose WebSockets were dropped before the core had heard of their end: the task of each has panicked.
    abandoned: RefCell<Vec<Owner>>,
}

/// Runs a shard on this thread until its inbox is closed.
pub(crate) async fn run(
    index: ShardIndex,
    shared: Arc<Shared>,
    plugins: ShardPlugins,
    mut questions: mpsc::Receiver<ShardQuestion>,
    inboxes: Vec<InboxSender>,
    mut inbox: Inbox,
) {
    let settings = shared.settings().clone();
    let (count, presence) = (inboxes.len() as u16, shared.presence.clone());
    let seed = shared.hash_seed.clone();
    let mut core = Shard::new(index, count, settings.core.clone(), presence, plugins.halves(), seed);
    core.log_sends(Arc::new(SentLines));
    let peers = inboxes.into_iter().map(Peer::new).collect();
    let (releases, mut released) = mpsc::unbounded_channel();
    let shard = Rc::new(ShardThread {
        index,
        webhooks: Rc::new(Webhooks::new(shared.clone())),
        plugin_http: PluginHttp::new(shared.clone()),
        asked: RefCell::default(),
        next_ticket: Cell::default(),
        shared,
        core: RefCell::new(core),
        connection_tokens: RefCell::default(),
        links: RefCell::default(),
        places: RefCell::default(),
        servers: RefCell::default(),
        http_clients: RefCell::default(),
        plugins,
        peers,
        read_buffer: Cell::new(vec![0; READ_BUFFER]),
        tokens: RefCell::default(),
        releases,
        outbox_limit: Cell::new(settings.limits.outbox),
        server_outbox_limit: Cell::new(settings.limits.server_outbox),
        dirty: DirtySockets::default(),
        turns: Rc::default(),
        flusher: RefCell::default(),
        held_readers: RefCell::default(),
        is_drained: Notify::new(),
        http: Rc::default(),
        abandoned: RefCell::default(),
    });
    shard.spawn_vital("the writer", shard.clone().flush_at_the_end_of_each_turn());
    shard.spawn_vital("the clock", shard.clone().keep_time());
    let turns = shard.turns.clone();
    shard.spawn_vital("the dealer of turns", async move { turns.deal().await });
    let (mut received, mut is_spent) = (Received::default(), false);
    loop {
        let is_behind = is_spent || !received.is_empty();
        tokio::select! {
            message = inbox.recv(), if !is_behind => match message {
                Some(ShardMessage::Stop) | None => return,
                Some(message) => received.add(message),
            },
            // Whoever else is ready has a turn.
            () = tokio::task::yield_now(), if is_behind => {}
            Some(token) = released.recv() => shard.connection_tokens.borrow_mut().remove(token),
            Some(question) = questions.recv() => {
                // The plugin hears that nobody answers.
                shard.spawn(PeerTask::Question, shard.clone().answer(question), |_| ());
            }
        }
        while received.takes_more()
            && let Ok(message) = inbox.try_recv()
        {
            match message {
                ShardMessage::Stop => return,
                message => received.add(message),
            }
        }
        is_spent = shard.receive_some(&mut received);
    }
}

impl ShardThread {
    pub(crate) fn now(&self) -> Millis {
        self.shared.now()
    }

    /// How all plugins are.
    pub(crate) fn plugin_statuses(&self) -> Vec<PluginStatus> {
        self.plugins.statuses()
    }

    /// The shard's buffer for reading, for as long as one connection reads.
    pub(crate) fn take_read_buffer(&self) -> Vec<u8> {
        let buffer = self.read_buffer.take();
        match buffer.is_empty() {
            false => buffer,
            true => vec![0; READ_BUFFER],
        }
    }

    pub(crate) fn put_read_buffer(&self, buffer: Vec<u8>) {
        self.read_buffer.set(buffer);
    }

    /// The claims of a token that is signed with one of the gateway's keys, is valid now, and opens `resource`.
    pub(crate) fn verify(&self, token: &str, resource: Resource<'_>) -> Result<Rc<Claims>, TokenError> {
        let now = crate::gateway::unix_seconds();
        self.tokens.borrow_mut().verify(token, resource, &self.shared.settings(), now)
    }

    /// A client negotiated: `token` opens a transport of connection `id`, on the shard that both name.
    pub(crate) async fn negotiated(&self, hub: HubName, id: ConnectionId, token: ConnectionId) -> Result<(), Refusal> {
        let kept = match self.inbox_of(id.shard()) {
            Some(owner) if id.shard() != self.index => {
                let (answer, answered) = oneshot::channel();
                let negotiated = ShardMessage::Negotiated { hub, id, token, answer };
                peers::ask(owner, negotiated, answered, ANSWER_TIMEOUT).await?.unwrap_or(Err(TooManyTokens))
            }
            Some(_) | None => self.keep_token(hub, id, token),
        };
        kept.map_err(|TooManyTokens| Refusal::TooManyNegotiated)
    }

    fn keep_token(&self, hub: HubName, id: ConnectionId, token: ConnectionId) -> Result<(), TooManyTokens> {
        let lifetime = self.shared.settings().core.timeouts.negotiate;
        self.connection_tokens.borrow_mut().add(hub, id, token, lifetime, self.now())
    }

    /// Uses up a connection token, on whichever shard it was made.
    pub(crate) async fn claim_token(&self, token: ConnectionId, hub: &HubName) -> Result<ClaimedToken, Refusal> {
        if token.shard() == self.index {
            return self.claim_for_web_socket(token, hub);
        }
        let owner = self.inbox_of(token.shard()).ok_or(Refusal::UnknownConnection)?;
        let (answer, answered) = oneshot::channel();
        let claim = ShardMessage::ClaimToken { token, hub: hub.clone(), answer };
        peers::ask(owner, claim, answered, ANSWER_TIMEOUT).await?.unwrap_or(Err(Refusal::UnknownConnection))
    }

    fn claim_for_web_socket(&self, token: ConnectionId, hub: &HubName) -> Result<ClaimedToken, Refusal> {
        let (id, _) = self.claim_own_token(token, hub, Transport::WebSockets)?;
        Ok(ClaimedToken::new(token, id, self.releases.clone()))
    }

    /// Uses up a connection token of this shard; gives the id, and what its client posted early.
    pub(crate) fn claim_own_token(
        &self,
        token: ConnectionId,
        hub: &HubName,
        transport: Transport,
    ) -> Result<(ConnectionId, Vec<u8>), Refusal> {
        let claimed = self.connection_tokens.borrow_mut().claim(token, hub, transport, self.now());
        claimed.map_err(|refusal| match refusal {
            TokenRefusal::Unknown => Refusal::UnknownConnection,
            TokenRefusal::InUse(present) if present == transport => Refusal::ConnectionInUse,
            TokenRefusal::InUse(_) => Refusal::OtherTransport,
        })
    }

    /// Keeps what a client posts before its transport is open, within bounds.
    pub(crate) fn posted_early(&self, token: ConnectionId, hub: &HubName, bytes: &[u8]) -> bool {
        self.connection_tokens.borrow_mut().posted_early(token, hub, bytes, self.now())
    }

    /// Whether `token` has opened a WebSocket of `hub`, on this shard.
    pub(crate) fn has_web_socket(&self, hub: &HubName, token: ConnectionId) -> bool {
        self.connection_tokens.borrow().transport(token, hub) == Some(Transport::WebSockets)
    }

    /// Serves a client whose upgrade was answered here, or hands it to the shard that its id names.
    pub(crate) async fn upgraded(self: Rc<Self>, stream: UpgradedStream, unread: Vec<u8>, entrant: Entrant) {
        let owner = entrant.client.id.shard();
        if owner == self.index {
            return websocket::serve_client(self, stream, unread, entrant).await;
        }
        let client = Box::new(UpgradedClient { stream, unread, entrant });
        let handing = self.peers[usize::from(owner.0)].inbox.send(ShardMessage::Adopt(client));
        if timeout(ANSWER_TIMEOUT, handing).await.is_err() {
            tracing::warn!(
                shard = owner.0,
                "a client that has connected is dropped: its worker thread does not answer"
            );
        }
    }

    /// A client's transport is open. Its place is given up when its transport has dropped it and the core has forgotten the
    /// client, whichever comes last.
    pub(crate) fn client_opened(self: &Rc<Self>, client: NewClient, link: ClientLink, place: Rc<ClientPlace>) -> Slot {
        let slot = self.core.borrow().next_slot();
        self.feed(Input::ClientOpened { slot, client: Box::new(client) });
        put(&mut self.links.borrow_mut(), slot, link);
        put(&mut self.places.borrow_mut(), slot, place);
        slot
    }

    /// Acts on some messages of a client, and takes them off the front of `bytes`; what is left when the client is not read is to come
    /// again. No bytes at all are a sign of life.
    pub(crate) fn client_data(self: &Rc<Self>, slot: Slot, bytes: &mut &[u8]) {
        #[cfg(test)]
        self.shared.faults.strike(Fault::Client);
        self.feed(Input::ClientData { slot, bytes, most: MESSAGES_PER_LOOK });
    }

    /// A client has come with a token by which its connection ends at `expiry`, if it does not end later by another one.
    pub(crate) fn token_renewed(self: &Rc<Self>, slot: Slot, expiry: Millis) {
        self.feed(Input::TokenRenewed { slot, expiry });
    }

    pub(crate) fn said_last_words(self: &Rc<Self>, slot: Slot) {
        self.feed(Input::SaidLastWords(slot));
    }

    pub(crate) fn client_gone(self: &Rc<Self>, slot: Slot, cause: CloseCause) {
        self.links.borrow_mut()[slot.0 as usize] = None;
        self.feed(Input::ClientGone { slot, cause });
    }

    pub(crate) fn server_opened(
        self: &Rc<Self>,
        server: NewServerConnection,
        socket: Rc<WebSocket>,
    ) -> ServerConnectionId {
        let id = self.core.borrow().next_server();
        self.feed(Input::ServerOpened { id, server });
        self.servers.borrow_mut().insert(id, socket);
        id
    }

    /// Acts on some messages of a hub server, and takes them off the front of `bytes`, as [`ShardThread::client_data`] does.
    pub(crate) fn server_data(self: &Rc<Self>, id: ServerConnectionId, bytes: &mut &[u8]) {
        self.feed(Input::ServerData { id, bytes, most: SERVER_MESSAGES_PER_LOOK });
    }

    pub(crate) fn server_gone(self: &Rc<Self>, id: ServerConnectionId) {
        self.servers.borrow_mut().remove(&id);
        self.feed(Input::ServerGone(id));
    }

    /// The task of a WebSocket was dropped before the core has heard of its end.
    pub(crate) fn abandon(&self, owner: Owner) {
        self.abandoned.borrow_mut().push(owner);
    }

    /// The core hears of the end of those whose tasks have panicked.
    fn bury_abandoned(self: &Rc<Self>) {
        for owner in self.abandoned.take() {
            match owner {
                Owner::Client(slot) => self.client_gone(slot, CloseCause::TransportLost),
                Owner::Server(id) => self.server_gone(id),
            }
        }
    }

    pub(crate) fn server_congested(self: &Rc<Self>, id: ServerConnectionId, is_congested: bool) {
        let hub = self.core.borrow().hub_of_server(id);
        match (is_congested, hub) {
            (true, Some(hub)) => {
                tracing::warn!(%hub, "a hub server's connection is congested: its clients are not read meanwhile");
            }
            (false, Some(hub)) => tracing::info!(%hub, "a hub server's connection has caught up"),
            (_, None) => {}
        }
        self.feed(Input::ServerCongested { id, is_congested });
    }

    /// What is queued leaves at the end of the turn.
    pub(crate) fn flush_later(&self, socket: &Rc<WebSocket>) {
        if socket.is_dirty.replace(true) {
            return;
        }
        if self.dirty.add(socket)
            && let Some(flusher) = self.flusher.borrow().as_ref()
        {
            flusher.wake_by_ref();
        }
    }

    /// Feeds the core an input, the only way into it, and does what it wants done.
    pub(crate) fn feed(self: &Rc<Self>, input: Input<'_, '_>) {
        let mut effects = Vec::new();
        self.core.borrow_mut().handle(input, self.now(), &mut effects);
        // What plugins answer at once brings effects of its own, after those that are there.
        let mut answers = VecDeque::new();
        loop {
            for effect in effects.drain(..) {
                if let Some(answer) = self.perform(effect) {
                    answers.push_back(answer);
                }
            }
            let Some(answer) = answers.pop_front() else {
                break;
            };
            self.core.borrow_mut().handle(answer, self.now(), &mut effects);
        }
        if self.is_empty() {
            self.is_drained.notify_waiters();
        }
    }

    /// Feeds the core an input whose answer others wait for.
    pub(crate) fn feed_for(
        self: &Rc<Self>,
        asker: oneshot::Sender<HubAnswer>,
        input: impl FnOnce(Ticket) -> Input<'static, 'static>,
    ) {
        let ticket = Ticket(self.next_ticket.replace(self.next_ticket.get() + 1));
        self.asked.borrow_mut().insert(ticket, asker);
        self.feed(input(ticket));
    }

    /// The same; gives the answer.
    pub(crate) async fn ask_core(
        self: &Rc<Self>,
        input: impl FnOnce(Ticket) -> Input<'static, 'static>,
    ) -> Option<HubAnswer> {
        let (asker, answered) = oneshot::channel();
        self.feed_for(asker, input);
        answered.await.ok()
    }

    /// How many clients are here, and how many have negotiated that are still to come.
    fn expected_clients(&self) -> usize {
        self.core.borrow().clients() + self.connection_tokens.borrow().negotiated()
    }

    /// Does what came from others, until there is no more or the turn is spent; gives whether it is.
    fn receive_some(self: &Rc<Self>, received: &mut Received) -> bool {
        let began = Instant::now();
        while let Some(message) = received.pop() {
            self.receive(message);
            if began.elapsed() >= INBOX_TURN {
                return true;
            }
        }
        false
    }

    fn receive(self: &Rc<Self>, message: ShardMessage) {
        #[cfg(test)]
        self.shared.faults.strike(Fault::Inbox);
        match message {
            ShardMessage::Accepted { stream, remote, place } => {
                let served = accepted(self.clone(), stream, remote, place);
                self.spawn(PeerTask::Connection, served, ShardThread::bury_abandoned);
            }
            ShardMessage::Adopt(upgraded) => {
                let UpgradedClient { stream, unread, entrant } = *upgraded;
                let served = websocket::serve_client(self.clone(), stream, unread, entrant);
                self.spawn(PeerTask::Connection, served, ShardThread::bury_abandoned);
            }
            ShardMessage::Order { hub, order } => {
                self.feed(Input::Order { hub, order });
            }
            ShardMessage::ClaimToken { token, hub, answer } => {
                // Who asked may be gone: then the token is free again.
                let _ = answer.send(self.claim_for_web_socket(token, &hub));
            }
            ShardMessage::Negotiated { hub, id, token, answer } => {
                let _ = answer.send(self.keep_token(hub, id, token));
            }
            ShardMessage::Request(request) => self.clone().serve_request(request),
            ShardMessage::Question { hub, question, answer } => {
                self.feed_for(answer, |ticket| Input::Ask { hub, question, ticket });
            }
            ShardMessage::Barrier(answer) => drop(answer.send(())),
            ShardMessage::Status(answer) => drop(answer.send(self.core.borrow().status())),
            ShardMessage::Configure(settings, answer) => {
                self.plugins.refresh();
                self.tokens.borrow_mut().forget();
                self.outbox_limit.set(self.shared.settings().limits.outbox);
                self.server_outbox_limit.set(self.shared.settings().limits.server_outbox);
                self.feed(Input::Configure { settings, halves: self.plugins.halves() });
                let _ = answer.send(());
            }
            ShardMessage::Drain(farewell, answer) => {
                self.spawn_vital("the end", self.clone().drain(farewell, answer));
            }
            ShardMessage::Stop => {}
        }
    }

    /// Writes what was queued, once for all that a turn queued: the task runs behind all others that were ready.
    async fn flush_at_the_end_of_each_turn(self: Rc<Self>) {
        poll_fn(|cx| {
            let mut flusher = self.flusher.borrow_mut();
            match flusher.as_mut() {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *flusher = Some(cx.waker().clone()),
            }
            drop(flusher);
            #[cfg(test)]
            self.shared.faults.strike(Fault::Writer);
            if self.dirty.flush(|hub| self.turns.has_more(hub)).is_pending() {
                // What is ready now goes first.
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        })
        .await;
    }

    async fn keep_time(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(Shard::tick_period().into());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let pulse = self.shared.vitals.shard(usize::from(self.index.0));
        loop {
            ticks.tick().await;
            pulse.beat();
            #[cfg(test)]
            self.shared.faults.strike(Fault::Clock);
            self.feed(Input::Tick);
            self.connection_tokens.borrow_mut().expire(self.now());
            self.shared.outboxes.relieve();
            self.shared.loads.set(self.index, self.expected_clients());
        }
    }
}

/// Keeps something for a slot.
fn put<T>(slots: &mut Vec<Option<T>>, slot: Slot, value: T) {
    let index = slot.0 as usize;
    if slots.len() <= index {
        slots.resize_with(index + 1, || None);
    }
    slots[index] = Some(value);
}

async fn accepted(shard: Rc<ShardThread>, stream: std::net::TcpStream, remote: SocketAddr, place: HttpPlace) {
    match TcpStream::from_std(stream) {
        Ok(stream) => http::serve(shard, stream, remote, place).await,
        Err(error) => tracing::debug!(%error, "an accepted connection cannot be served"),
    }
}
