//! Requests of clients on Server-Sent Events and long polling. They come in on any shard; the connection is on one.
//!
//! Source: ASP.NET Core SignalR, "Transport Protocols"; its own answers to requests that do not fit.

use std::future::poll_fn;
use std::rc::Rc;

use bytes::Bytes;
use hubgate_core::id::{ConnectionId, HubName};
use hubgate_core::{CloseCause, NewClient};
use hubgate_wire::negotiate::Transport;
use tokio::sync::{mpsc, oneshot};

use super::ClientLink;
use super::http_client::{HttpClient, Poll, PollAnswer, State, TransportRequest};
use super::{long_polling, server_sent_events};
use crate::admission::ClientPlace;
use crate::http::Refusal;
use crate::inbox::ShardMessage;
use crate::shard::ShardThread;

/// Polls that wait behind the one that is held; clients send one at a time.
const POLLS: usize = 4;

/// What a client's request asks of the shard that its connection belongs to.
#[derive(Debug)]
pub(crate) enum ClientRequest {
    /// A stream of events; its text is answered.
    Events(Box<TransportRequest>, oneshot::Sender<Result<mpsc::Receiver<Bytes>, Refusal>>),
    Poll(Box<TransportRequest>, oneshot::Sender<Result<oneshot::Receiver<PollAnswer>, Refusal>>),
    /// What the client says.
    Post {
        hub: HubName,
        token: ConnectionId,
        body: Bytes,
        answer: oneshot::Sender<Result<(), Refusal>>,
    },
    /// The end of a connection that polls.
    Delete {
        hub: HubName,
        token: ConnectionId,
        answer: oneshot::Sender<Result<(), Refusal>>,
    },
}

impl ShardThread {
    /// Asks the shard that owns `token`, which may be this one.
    pub(crate) async fn request<T>(
        self: &Rc<Self>,
        token: ConnectionId,
        request: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> ClientRequest,
    ) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        match self.inbox_of(token.shard()) {
            None => return Err(Refusal::UnknownConnection),
            Some(_) if token.shard() == self.index => self.clone().serve_request(request(answer)),
            Some(owner) => drop(owner.send(ShardMessage::Request(request(answer))).await),
        }
        answered.await.unwrap_or(Err(Refusal::UnknownConnection))
    }

    /// Does what a client of this shard asks for.
    pub(crate) fn serve_request(self: Rc<Self>, request: ClientRequest) {
        match request {
            ClientRequest::Events(request, answer) => drop(answer.send(self.open_events(*request))),
            ClientRequest::Poll(request, answer) => drop(answer.send(self.poll(*request))),
            ClientRequest::Post { hub, token, body, answer } => {
                tokio::task::spawn_local(async move { self.post(&hub, token, &body, answer).await });
            }
            ClientRequest::Delete { hub, token, answer } => {
                tokio::task::spawn_local(async move { drop(answer.send(self.delete(&hub, token).await)) });
            }
        }
    }

    fn open_events(self: &Rc<Self>, request: TransportRequest) -> Result<mpsc::Receiver<Bytes>, Refusal> {
        if let Some(client) = self.http_client(&request.hub, request.token) {
            return Err(match client.transport {
                Transport::ServerSentEvents => Refusal::ConnectionInUse,
                Transport::LongPolling | Transport::WebSockets => Refusal::OtherTransport,
            });
        }
        let (token, transport) = (request.token, Transport::ServerSentEvents);
        let client = Rc::new(HttpClient::new(request.hub.clone(), transport, None));
        let place = self.open(request, &client)?;
        let (events, body) = mpsc::channel(1);
        let shard = self.clone();
        tokio::task::spawn_local(async move {
            let lost = server_sent_events::serve(&client, events).await;
            client.end(lost);
            client.last_words().await;
            drop(place);
            shard.forget(token, &client, lost);
        });
        Ok(body)
    }

    fn poll(self: &Rc<Self>, request: TransportRequest) -> Result<oneshot::Receiver<PollAnswer>, Refusal> {
        let (poll, answered) = oneshot::channel();
        if let Some(client) = self.http_client(&request.hub, request.token) {
            let polls = client.polls.as_ref().ok_or(Refusal::OtherTransport)?;
            return match polls.try_send(poll) {
                Ok(()) => Ok(answered),
                Err(mpsc::error::TrySendError::Full(_)) => Err(Refusal::ConnectionInUse),
                Err(mpsc::error::TrySendError::Closed(_)) => Err(Refusal::UnknownConnection),
            };
        }
        let (polls, mut received): (mpsc::Sender<Poll>, _) = mpsc::channel(POLLS);
        drop(polls.try_send(poll));
        let (token, silence) = (request.token, request.silence);
        let client = Rc::new(HttpClient::new(request.hub.clone(), Transport::LongPolling, Some(polls)));
        let place = self.open(request, &client)?;
        let shard = self.clone();
        tokio::task::spawn_local(async move {
            let lost = long_polling::serve(&client, &mut received, silence).await;
            if client.state() == State::Open {
                client.end(lost);
            }
            client.last_words().await;
            drop(place);
            shard.leave(&client, lost);
            if client.state() == State::Finishing {
                long_polling::say_that_it_is_over(&mut received, silence).await;
            }
            shard.forget(token, &client, lost);
        });
        Ok(answered)
    }

    async fn post(
        self: &Rc<Self>,
        hub: &HubName,
        token: ConnectionId,
        body: &[u8],
        answer: oneshot::Sender<Result<(), Refusal>>,
    ) {
        poll_fn(|cx| self.poll_may_read(cx)).await;
        let slot = match self.http_client(hub, token) {
            // The client waits for its answer before it says more: as long as the core reads nothing of it.
            Some(client) => client.readable().await.ok_or(Refusal::UnknownConnection),
            None if self.has_web_socket(hub, token) => Err(Refusal::PostToWebSocket),
            // Some clients post their handshake before they ask for what is answered.
            None if self.posted_early(token, hub, body) => return drop(answer.send(Ok(()))),
            None => Err(Refusal::UnknownConnection),
        };
        // Answered before it has effects: clients expect no message before they know that theirs was taken.
        drop(answer.send(slot.as_ref().map(drop).map_err(Clone::clone)));
        if let Ok(slot) = slot {
            self.client_data(slot, body);
        }
    }

    async fn delete(self: &Rc<Self>, hub: &HubName, token: ConnectionId) -> Result<(), Refusal> {
        match self.http_client(hub, token) {
            Some(client) if client.transport == Transport::LongPolling => {
                client.last_words().await;
                client.end(CloseCause::Normal);
                // At once, so that nobody sees it any more when its request is answered.
                self.leave(&client, CloseCause::Normal);
                Ok(())
            }
            Some(_) => Err(Refusal::NotToBeDeleted),
            None if self.has_web_socket(hub, token) => Err(Refusal::NotToBeDeleted),
            None => Err(Refusal::UnknownConnection),
        }
    }

    /// Makes a client of a request that opens a connection.
    fn open(self: &Rc<Self>, request: TransportRequest, client: &Rc<HttpClient>) -> Result<Rc<ClientPlace>, Refusal> {
        let TransportRequest { hub, token, access_token, address, identity, times, .. } = request;
        let settings = self.shared.settings();
        let user = identity.user_id.as_ref();
        let place = self
            .shared
            .admission
            .enter_client(&settings.limits, address, &hub, user, &access_token)
            .map_err(Refusal::NoRoom)?;
        let place = Rc::new(place);
        let (id, early) = self.claim_own_token(token, &hub, client.transport)?;
        tracing::debug!(%hub, connection = %id, %address, transport = client.transport.name(), "a client connected");
        let new = NewClient { hub, id, token: Some(token), transport: client.transport, identity, times };
        let slot = self.client_opened(new, ClientLink::Http(client.clone()), place.clone());
        client.slot.set(Some(slot));
        client.id.set(Some(id));
        self.http_clients.borrow_mut().insert(token, client.clone());
        if !early.is_empty() {
            self.client_data(slot, &early);
        }
        Ok(place)
    }

    fn http_client(&self, hub: &HubName, token: ConnectionId) -> Option<Rc<HttpClient>> {
        self.http_clients.borrow().get(&token).filter(|client| client.hub == *hub).cloned()
    }

    /// A client's task is over.
    fn forget(self: &Rc<Self>, token: ConnectionId, client: &HttpClient, lost: CloseCause) {
        self.http_clients.borrow_mut().remove(&token);
        self.leave(client, lost);
        if let Some(id) = client.id.get() {
            let (hub, cause) = (&client.hub, client.ending(lost));
            tracing::info!(%hub, connection = %id, cause = cause.name(), "a client's connection ended");
        }
    }

    /// The core hears, once, that the client is gone.
    fn leave(self: &Rc<Self>, client: &HttpClient, cause: CloseCause) {
        if let Some(slot) = client.gone() {
            self.client_gone(slot, cause);
        }
    }
}
