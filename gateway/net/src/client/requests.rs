//! Requests of clients on Server-Sent Events and long polling. They come in on any shard; the connection is on one.
//!
//! Source: ASP.NET Core SignalR, "Transport Protocols"; its own answers to requests that do not fit.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use hubgate_core::id::{ConnectionId, HubName, UserId};
use hubgate_core::pairs::Pairs;
use hubgate_core::time::Millis;
use hubgate_core::{
    ClientTimes, CloseCause, Family, Identity, LONGEST_EARLY_POST, Location, NewClient, Reconnect, TransportKey,
};
use hubgate_wire::negotiate::Transport;
use hubgate_wire::server_sent_events::OPENING;
use tokio::sync::{mpsc, oneshot};

use super::{asp_net, long_polling, server_sent_events};
use crate::admission::{ClientPlace, Visitor};
use crate::client_log::ClientLog;
use crate::client_request::{
    AspNetTransport, ClientRequest, LONGEST_WAIT, Poll, PollAnswer, PostTurn, Posted, TokenTimes, TransportRequest,
};
use crate::delivery::DeliveryBody;
use crate::entrant::FirstTransport;
use crate::inbox::LocalMessage;
use crate::links::{ClientLink, HttpClient, NoTurn, Polls, State, Turn};
use crate::peer_task::PeerTask;
use crate::refusal::Refusal;
use crate::shard::ShardHandle;
use crate::verified_token::TokenDigest;

/// Bytes of a post that the core gets at once, as many as one read of a WebSocket brings: it keeps what is not to be acted on yet.
const PIECE: usize = 64 * 1024;
/// The end of one and the same token may be read as so much later: tokens tell it in seconds of another clock.
const SAME_TOKEN: Millis = Millis(1_000);
/// Polls that wait behind the one that is held; clients send one at a time.
pub(super) const POLLS: usize = 4;

/// The clients of one shard on Server-Sent Events and long polling.
pub(crate) struct HttpClients {
    shard: ShardHandle,
    /// By what opens their connections.
    by_token: RefCell<HashMap<ConnectionId, Rc<HttpClient>>>,
}

impl HttpClients {
    pub(crate) fn new(shard: ShardHandle) -> HttpClients {
        HttpClients { shard, by_token: RefCell::default() }
    }

    /// Asks the shard that owns `token`, which may be this one. One that is well answers within `patience`.
    pub(crate) async fn request<T>(
        self: &Rc<Self>,
        token: ConnectionId,
        patience: Duration,
        request: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> ClientRequest,
    ) -> Result<T, Refusal> {
        let answered = match self.shard.neighbours().locate(token.owner()) {
            Location::Here => {
                let (answer, answered) = oneshot::channel();
                self.serve(request(answer));
                answered.await.ok()
            }
            Location::OtherShard(shard) => {
                let ask = |answer| LocalMessage::Request(request(answer));
                self.shard.peers().ask(shard, patience, ask).await?
            }
            Location::OtherNode | Location::Nowhere => None,
        };
        answered.unwrap_or(Err(Refusal::UnknownConnection))
    }

    /// Does what a client of this shard asks for.
    pub(crate) fn serve(self: &Rc<Self>, request: ClientRequest) {
        match request {
            ClientRequest::Events(request, answer) => drop(answer.send(self.open_events(*request))),
            ClientRequest::Poll(request, answer) if request.asp_net.is_some() => {
                drop(answer.send(self.poll_asp_net(*request)));
            }
            ClientRequest::Poll(request, answer) => drop(answer.send(self.poll(*request))),
            ClientRequest::Start { token, query, answer } => {
                let started = self.shard.asp_net().started(token, query);
                drop(answer.send(started.then_some(()).ok_or(Refusal::UnknownConnection)));
            }
            ClientRequest::Abort { token, answer } => {
                self.shard.asp_net().aborted(token);
                drop(answer.send(Ok(())));
            }
            ClientRequest::Post { hub, token, user, claims, token_times, answer } => {
                if let Some(client) = self.find(&hub, token) {
                    self.renew(&client, user.as_ref(), (token_times, claims.digest), || claims.flatten().collect());
                }
                let (clients, of_hub) = (self.clone(), hub.clone());
                let post = async move { clients.post(&hub, token, answer).await };
                self.spawn_request(post, of_hub, token);
            }
            ClientRequest::IsLatestToken { hub, token, digest, answer } => {
                let is_latest = self.find(&hub, token).is_some_and(|client| client.digest.get() == digest);
                drop(answer.send(Ok(is_latest)));
            }
            ClientRequest::Delete { hub, token, answer } => {
                let (clients, of_hub) = (self.clone(), hub.clone());
                let delete = async move { drop(answer.send(clients.delete(&hub, token).await)) };
                self.spawn_request(delete, of_hub, token);
            }
        }
    }

    /// When what a client asks for panics, its connection is over.
    fn spawn_request(self: &Rc<Self>, request: impl Future<Output = ()> + 'static, hub: HubName, token: ConnectionId) {
        let clients = self.clone();
        self.shard.tasks().spawn(PeerTask::Request, request, move || {
            if let Some(client) = clients.find(&hub, token) {
                client.end(CloseCause::InternalError);
            }
        });
    }

    fn open_events(self: &Rc<Self>, request: TransportRequest) -> Result<DeliveryBody, Refusal> {
        let is_asp_net = request.asp_net.is_some();
        if let Some(client) = self.find(&request.hub, request.token).filter(|_| !is_asp_net) {
            return Err(match client.kind {
                Transport::ServerSentEvents => Refusal::ConnectionInUse,
                Transport::LongPolling | Transport::WebSockets => Refusal::OtherTransport,
            });
        }
        let (token, transport) = (request.token, Transport::ServerSentEvents);
        let user = request.identity.user_id.clone();
        let latest = (request.token_times.valid_until, request.digest);
        let outboxes = &self.shard.shared().outboxes;
        let client = Rc::new(HttpClient::new(request.hub.clone(), transport, user, latest, Polls::None, outboxes));
        // Before anything is sent to the client: all of that has to become events.
        let (events, body) = client.stream();
        let place = self.open(request, &client)?;
        let (clients, served) = (self.clone(), client.clone());
        let opening = if is_asp_net { asp_net::OPENING } else { OPENING };
        let serve = async move {
            let way_ends = |transport| clients.shard.way_ends(transport);
            let lost = server_sent_events::serve(clients.shard.shared(), &client, (events, opening), way_ends).await;
            client.end(lost);
            client.last_words().await;
            drop(place);
            clients.forget(token, &client, lost);
        };
        let clients = self.clone();
        self.shard.tasks().spawn(PeerTask::Transport, serve, move || clients.bury(token, &served));
        Ok(body)
    }

    fn poll(self: &Rc<Self>, request: TransportRequest) -> Result<oneshot::Receiver<PollAnswer>, Refusal> {
        let (poll, answered) = oneshot::channel();
        if let Some(client) = self.find(&request.hub, request.token) {
            let Polls::Core(polls) = &client.polls else {
                return Err(Refusal::OtherTransport);
            };
            let Identity { user_id, claims, .. } = request.identity;
            self.renew(&client, user_id.as_ref(), (request.token_times, request.digest), || claims);
            return match polls.try_send(poll) {
                Ok(()) => Ok(answered),
                Err(mpsc::error::TrySendError::Full(_)) => Err(Refusal::ConnectionInUse),
                Err(mpsc::error::TrySendError::Closed(_)) => Err(Refusal::UnknownConnection),
            };
        }
        let (polls, mut received): (mpsc::Sender<Poll>, _) = mpsc::channel(POLLS);
        drop(polls.try_send(poll));
        let (token, silence) = (request.token, request.silence);
        let user = request.identity.user_id.clone();
        let (hub, latest) = (request.hub.clone(), (request.token_times.valid_until, request.digest));
        let outboxes = &self.shard.shared().outboxes;
        let client = Rc::new(HttpClient::new(hub, Transport::LongPolling, user, latest, Polls::Core(polls), outboxes));
        let place = self.open(request, &client)?;
        let (clients, served) = (self.clone(), client.clone());
        let serve = async move {
            let lost = long_polling::serve(clients.shard.shared(), &client, &mut received, silence).await;
            if client.state() == State::Open {
                client.end(lost);
            }
            client.last_words().await;
            drop(place);
            clients.leave(&client, lost);
            if client.state() == State::Finishing {
                long_polling::say_that_it_is_over(&mut received, silence).await;
            }
            clients.forget(token, &client, lost);
        };
        let clients = self.clone();
        self.shard.tasks().spawn(PeerTask::Transport, serve, move || clients.bury(token, &served));
        Ok(answered)
    }

    async fn post(
        self: &Rc<Self>,
        hub: &HubName,
        token: ConnectionId,
        mut answer: oneshot::Sender<Result<PostTurn, Refusal>>,
    ) {
        let Some(client) = self.find(hub, token) else {
            return self.post_early(hub, token, answer).await;
        };
        let turn = tokio::select! {
            turn = tokio::time::timeout(LONGEST_WAIT, self.turn(&client)) => turn.unwrap_or(Err(Refusal::PostsWait)),
            // Who asked has gone.
            () = answer.closed() => return,
        };
        let _turn = match turn {
            Ok(turn) => turn,
            Err(refusal) => return drop(answer.send(Err(refusal))),
        };
        if let Some(posted) = body_of(answer, None).await {
            self.posted(&client, posted).await;
        }
    }

    /// Until a client may say what it posts: all of its posts before are read, and the core reads more.
    async fn turn<'c>(&self, client: &'c HttpClient) -> Result<Turn<'c>, Refusal> {
        let turn = client.posts.turn().await.map_err(|none| match none {
            NoTurn::Crowded => Refusal::PostsWait,
            NoTurn::Over => Refusal::UnknownConnection,
        })?;
        self.shard.peers().may_read().await;
        client.readable().await.ok_or(Refusal::UnknownConnection)?;
        Ok(turn)
    }

    async fn posted(self: &Rc<Self>, client: &HttpClient, posted: Posted) {
        let Posted { body, answer } = posted;
        self.shard.peers().may_read().await;
        // The client waits for its answer before it says more: as long as the core reads nothing of it.
        let transport = client.readable().await.ok_or(Refusal::UnknownConnection);
        // Answered before it has effects: clients expect no message before they know that theirs was taken.
        drop(answer.send(transport.as_ref().map(drop).map_err(Clone::clone)));
        if let Ok(transport) = transport {
            self.hear(client, transport, &body).await;
        }
    }

    /// Acts on what a client says, in its turns and as far as the core reads it.
    async fn hear(self: &Rc<Self>, client: &HttpClient, transport: TransportKey, mut said: &[u8]) {
        let pass = self.shard.turns().pass(&client.hub);
        let peers = self.shard.peers();
        while !said.is_empty() {
            peers.may_read().await;
            let turn = client.turn(&pass).await;
            if client.transport.get() != Some(transport) {
                // It has left meanwhile.
                return;
            }
            while !said.is_empty() && !turn.is_spent() && client.is_read() && !peers.are_behind() {
                let mut piece = &said[..said.len().min(PIECE)];
                let given = piece.len();
                client.speaking.during(|| self.shard.client_data(transport, &mut piece));
                said = &said[given - piece.len()..];
            }
        }
    }

    /// Some clients post their handshake before they ask for what is answered.
    async fn post_early(
        self: &Rc<Self>,
        hub: &HubName,
        token: ConnectionId,
        answer: oneshot::Sender<Result<PostTurn, Refusal>>,
    ) {
        if self.shard.tokens().has_web_socket(hub, token) {
            return drop(answer.send(Err(Refusal::PostToWebSocket)));
        }
        if !self.shard.tokens().posted_early(token, hub, Bytes::new()) {
            return drop(answer.send(Err(Refusal::UnknownConnection)));
        }
        let Some(posted) = body_of(answer, Some(LONGEST_EARLY_POST)).await else {
            return;
        };
        // Its transport may have opened meanwhile.
        if let Some(client) = self.find(hub, token) {
            match self.turn(&client).await {
                Ok(_turn) => self.posted(&client, posted).await,
                Err(refusal) => drop(posted.answer.send(Err(refusal))),
            }
            return;
        }
        let is_kept = self.shard.tokens().posted_early(token, hub, posted.body.clone());
        drop(posted.answer.send(if is_kept { Ok(()) } else { Err(Refusal::UnknownConnection) }));
    }

    async fn delete(self: &Rc<Self>, hub: &HubName, token: ConnectionId) -> Result<(), Refusal> {
        match self.find(hub, token) {
            Some(client) if client.kind == Transport::LongPolling => {
                client.last_words().await;
                client.end(CloseCause::Normal);
                // At once, so that nobody sees it any more when its request is answered.
                self.leave(&client, CloseCause::Normal);
                Ok(())
            }
            Some(_) => Err(Refusal::NotToBeDeleted),
            None if self.shard.tokens().has_web_socket(hub, token) => Err(Refusal::NotToBeDeleted),
            None => Err(Refusal::UnknownConnection),
        }
    }

    /// Makes a client of a request that opens a connection, or lets one go on by it.
    pub(super) fn open(
        self: &Rc<Self>,
        mut request: TransportRequest,
        client: &Rc<HttpClient>,
    ) -> Result<Rc<ClientPlace>, Refusal> {
        let asp_net = request.asp_net.take();
        if let Some(asp_net) = &asp_net
            && self.is_to_return(&request, asp_net)
        {
            return self.return_asp_net(request, asp_net.why.clone(), client);
        }
        let TransportRequest { hub, token, access_token, address, identity, handshake, token_times, .. } = request;
        let expiry = match &asp_net {
            None => Some(token_times.end),
            Some(asp_net) => asp_net.expiry,
        };
        let times = ClientTimes { handshake, expiry };
        let (family, starts_with) = match asp_net {
            None => (Family::Core, None),
            Some(AspNetTransport { also_in, starts_with, .. }) => (Family::AspNet { also_in }, starts_with),
        };
        let settings = self.shard.shared().settings();
        let (user, claims) = (identity.user_id.as_ref(), &identity.claims);
        let visitor = Visitor { address, hub: &hub, user, claims, token: &access_token };
        let shared = self.shard.shared();
        let place = shared.admission.enter_client(&settings.limits, visitor).map_err(|full| shared.no_room(full))?;
        let place = Rc::new(place);
        let FirstTransport { id, early } = self.shard.tokens().claim_first(token, &hub, client.kind)?;
        let (token_of, transport, reconnect) = (Some(token), client.kind, Reconnect::No);
        let new = NewClient { hub, id, token: token_of, transport, identity, times, reconnect, family };
        let (transport, log) = self.shard.client_opened(new, ClientLink::Http(client.clone()), place.clone());
        self.attached(token, client, transport, log);
        if let Some(query) = starts_with {
            self.shard.asp_net().started(token, query);
        }
        let mut rest = &early[..];
        while !rest.is_empty() && client.is_read() {
            client.speaking.during(|| self.shard.client_data(transport, &mut rest));
        }
        if !rest.is_empty() {
            self.hear_the_rest(client, transport, rest.into());
        }
        Ok(place)
    }

    /// A client has its transport.
    pub(super) fn attached(
        &self,
        token: ConnectionId,
        client: &Rc<HttpClient>,
        transport: TransportKey,
        log: ClientLog,
    ) {
        client.transport.set(Some(transport));
        client.log.replace(Some(log));
        self.by_token.borrow_mut().insert(token, client.clone());
    }

    /// The core reads no more of what a client has posted before its transport was open, for now. It comes before all other posts.
    fn hear_the_rest(self: &Rc<Self>, client: &Rc<HttpClient>, transport: TransportKey, rest: Box<[u8]>) {
        let (clients, client) = (self.clone(), client.clone());
        let served = client.clone();
        let hear = async move {
            if let Some(_turn) = client.posts.all_before().await {
                clients.hear(&client, transport, &rest).await;
            }
        };
        self.shard.tasks().spawn(PeerTask::Request, hear, move || served.end(CloseCause::InternalError));
    }

    /// A client has come with a token that may be good for longer than those before. One of another user says nothing about how long
    /// this one may stay.
    fn renew(
        &self,
        client: &HttpClient,
        user: Option<&UserId>,
        (times, digest): (TokenTimes, TokenDigest),
        claims: impl FnOnce() -> Pairs,
    ) {
        if user != client.user.as_ref() {
            return;
        }
        client.digest.set(digest);
        // The end that an older one sets may have been refreshed since.
        if times.valid_until <= client.valid_until.get() + SAME_TOKEN {
            return;
        }
        client.valid_until.set(times.valid_until);
        if let Some(transport) = client.transport.get() {
            self.shard.token_renewed(transport, times.end, Some(claims()));
        }
    }

    pub(super) fn shard(&self) -> &ShardHandle {
        &self.shard
    }

    pub(super) fn find(&self, hub: &HubName, token: ConnectionId) -> Option<Rc<HttpClient>> {
        self.by_token.borrow().get(&token).filter(|client| client.hub == *hub).cloned()
    }

    /// A client's task is over.
    pub(super) fn forget(self: &Rc<Self>, token: ConnectionId, client: &Rc<HttpClient>, lost: CloseCause) {
        // It may have gone on by another transport.
        let is_its = |each: &Rc<HttpClient>| Rc::ptr_eq(each, client);
        if self.by_token.borrow().get(&token).is_some_and(is_its) {
            self.by_token.borrow_mut().remove(&token);
        }
        self.leave(client, lost);
        let slow = client.slow();
        if let Some(reason) = slow {
            self.shard.shared().metrics.slow_peer(reason);
        }
        let (log, cause) = (client.log.take(), client.ending(lost));
        match log {
            Some(log) if client.hub.is_asp_net() => self.shard.transport_ended(log, cause, slow),
            Some(log) => log.ended(cause, slow),
            None => {}
        }
    }

    /// A client's task has panicked.
    pub(super) fn bury(self: &Rc<Self>, token: ConnectionId, client: &Rc<HttpClient>) {
        client.end(CloseCause::InternalError);
        self.forget(token, client, CloseCause::InternalError);
    }

    /// The core hears, once, that the client is gone.
    pub(super) fn leave(self: &Rc<Self>, client: &HttpClient, cause: CloseCause) {
        if let Some(transport) = client.gone() {
            self.shard.client_gone(transport, cause);
        }
    }
}

/// Asks for the body of a post; `None` if it does not come.
async fn body_of(answer: oneshot::Sender<Result<PostTurn, Refusal>>, early_limit: Option<usize>) -> Option<Posted> {
    let (body, posted) = oneshot::channel();
    answer.send(Ok(PostTurn { early_limit, body })).ok()?;
    posted.await.ok()
}
