//! Clients of ASP.NET SignalR on Server-Sent Events and long polling, as far as they differ from others.
//!
//! Source: ASP.NET SignalR 2.4, its server and its clients.

use std::rc::Rc;
use std::time::Duration;

use hubgate_core::id::ConnectionId;
use hubgate_core::{CloseCause, Return, ReturningClient};
use hubgate_wire::aspnet;
use hubgate_wire::negotiate::Transport;
use tokio::sync::{mpsc, oneshot};

use super::HttpClients;
use super::requests::POLLS;
use crate::admission::ClientPlace;
use crate::client_request::{AspNetPoll, AspNetTransport, PollAnswer, TransportRequest};
use crate::entrant::{Opening, WebSocketRequest};
use crate::links::{ClientLink, HttpClient, Polls, State};
use crate::peer_task::PeerTask;
use crate::refusal::Refusal;

/// What an event stream begins with.
pub(super) const OPENING: &[u8] = b"data: initialized\r\n\r\n";
/// How long a poll is held when there is nothing to answer: less than the 60 s that many proxies wait for an answer to begin. Clients wait for 120 s.
const LONGEST_POLL: Duration = Duration::from_secs(50);
/// The cursor that a client has which was sent nothing yet.
const FIRST: &str = "0";

impl HttpClients {
    /// Whether a request is for a client that is there, or was.
    pub(super) fn is_to_return(&self, request: &TransportRequest, asp_net: &AspNetTransport) -> bool {
        asp_net.why != Return::Anew || self.shard().asp_net().may_return(request.token, &request.hub).is_some()
    }

    /// A client goes on by the transport of this request.
    pub(super) fn return_asp_net(
        self: &Rc<Self>,
        request: TransportRequest,
        why: Return,
        client: &Rc<HttpClient>,
    ) -> Result<Rc<ClientPlace>, Refusal> {
        let TransportRequest { hub, token, access_token, address, identity, .. } = request;
        let claims = self.shard().shared().settings().limits.counted_claims(&identity.claims);
        let asked = WebSocketRequest { token, hub, user: identity.user_id, claims, address, access_token };
        let Opening::Again { to, .. } = self.shard().tokens().may_return(&asked)? else {
            return Err(Refusal::UnknownConnection);
        };
        let returning = ReturningClient { token, transport: client.kind, why };
        let link = ClientLink::Http(client.clone());
        let returned = self.shard().asp_net().returned(asked.hub, returning, link, to);
        let (transport, place, log) = returned.ok_or(Refusal::UnknownConnection)?;
        self.attached(token, client, transport, log);
        Ok(place)
    }

    pub(super) fn poll_asp_net(
        self: &Rc<Self>,
        request: TransportRequest,
    ) -> Result<oneshot::Receiver<PollAnswer>, Refusal> {
        let (answer, answered) = oneshot::channel();
        let why = request.asp_net.as_ref().map_or(Return::Anew, |asp_net| asp_net.why.clone());
        if why != Return::Anew
            && let Some(client) = self.find(&request.hub, request.token)
            && let Polls::AspNet(polls) = &client.polls
        {
            return match polls.try_send(AspNetPoll { answer, at: Some(why) }) {
                Ok(()) => Ok(answered),
                Err(mpsc::error::TrySendError::Full(_)) => Err(Refusal::ConnectionInUse),
                Err(mpsc::error::TrySendError::Closed(_)) => Err(Refusal::UnknownConnection),
            };
        }
        if let Return::Again(_) = why {
            return Err(Refusal::UnknownConnection);
        }
        let (polls, mut received) = mpsc::channel(POLLS);
        drop(polls.try_send(AspNetPoll { answer, at: None }));
        let (token, silence) = (request.token, request.silence);
        let user = request.identity.user_id.clone();
        let (hub, latest) = (request.hub.clone(), (request.token_times.valid_until, request.digest));
        let outboxes = &self.shard().shared().outboxes;
        let client =
            Rc::new(HttpClient::new(hub, Transport::LongPolling, user, latest, Polls::AspNet(polls), outboxes));
        let place = self.open(request, &client)?;
        let (clients, served) = (self.clone(), client.clone());
        let serve = async move {
            let polled = Polled { clients: clients.clone(), client: client.clone(), token, cursor: FIRST.to_owned() };
            let lost = polled.serve(&mut received, silence).await;
            if client.state() == State::Open {
                client.end(lost);
            }
            client.last_words().await;
            drop(place);
            clients.forget(token, &client, lost);
        };
        let clients = self.clone();
        self.shard().tasks().spawn(PeerTask::Transport, serve, move || clients.bury(token, &served));
        Ok(answered)
    }
}

/// A client that polls.
struct Polled {
    clients: Rc<HttpClients>,
    client: Rc<HttpClient>,
    token: ConnectionId,
    /// That of the last answer that had one.
    cursor: String,
}

impl Polled {
    /// Answers the client's polls until it has got all that it gets, or is lost. Between two of them it may be silent for `silence`.
    async fn serve(mut self, polls: &mut mpsc::Receiver<AspNetPoll>, silence: Duration) -> CloseCause {
        let mut next = None;
        loop {
            let poll = match next.take() {
                Some(poll) => Some(poll),
                None => self.next_poll(polls, silence).await,
            };
            let Some(AspNetPoll { answer, at }) = poll else {
                return match self.client.state() {
                    State::Over(cause) => cause,
                    State::Open | State::Finishing => CloseCause::PingTimeout,
                };
            };
            self.go_on_at(at);
            match self.answer(polls, answer).await {
                Answered::Poll(newer) => next = newer,
                Answered::Last(cause) => return cause,
            }
        }
    }

    async fn next_poll(&self, polls: &mut mpsc::Receiver<AspNetPoll>, silence: Duration) -> Option<AspNetPoll> {
        let silence = tokio::time::sleep(silence);
        tokio::pin!(silence);
        loop {
            // What is last waits for one more poll.
            if let State::Over(_) = self.client.state() {
                return None;
            }
            tokio::select! {
                poll = polls.recv() => return poll,
                () = &mut silence => return None,
                () = self.client.changed() => {}
            }
        }
    }

    /// A client that is not where the last answer has left it has not got that one: it gets again what it has missed.
    fn go_on_at(&mut self, at: Option<Return>) {
        let why = match at {
            None => return,
            Some(Return::Again(cursor)) if *cursor == *self.cursor => return,
            Some(why) => why,
        };
        let shard = self.clients.shard();
        let Some(before) = self.client.transport.get().filter(|_| self.client.state() == State::Open) else {
            return;
        };
        if shard.asp_net().may_return(self.token, &self.client.hub).is_none() {
            return self.client.end(CloseCause::BadRequest);
        }
        self.client.forget_queued();
        let returning = ReturningClient { token: self.token, transport: Transport::LongPolling, why };
        let transport = shard.asp_net().polls_again(returning, ClientLink::Http(self.client.clone()), before);
        if let Some(transport) = transport {
            self.client.transport.set(Some(transport));
        }
    }

    /// Answers one poll as soon as there is something to say, or it has been held for long enough.
    async fn answer(
        &mut self,
        polls: &mut mpsc::Receiver<AspNetPoll>,
        mut answer: oneshot::Sender<PollAnswer>,
    ) -> Answered {
        let shared = self.clients.shard().shared().clone();
        let client = self.client.clone();
        // At the end of its token, too, so that its next poll tells it so.
        let valid = client.valid_until.get().0.saturating_sub(shared.now().0);
        let patience = tokio::time::sleep(LONGEST_POLL.min(Duration::from_millis(valid)));
        tokio::pin!(patience);
        loop {
            match client.state() {
                State::Over(cause) => {
                    self.tell_idle(answer);
                    return Answered::Last(cause);
                }
                State::Open | State::Finishing if answer.is_closed() => return Answered::Poll(None),
                State::Open | State::Finishing if client.has_messages() => {
                    let (body, cursor) = client.deliver_merged();
                    self.cursor = cursor.unwrap_or_else(|| std::mem::take(&mut self.cursor));
                    // One that nobody takes any longer the client asks for again.
                    drop(answer.send(PollAnswer::Messages(body)));
                    // The client polls again when it has it all, and is silent only from then on.
                    client.delivered(&shared).await;
                    let is_last = client.state() == State::Finishing && !client.has_messages();
                    return if is_last { Answered::Last(CloseCause::Normal) } else { Answered::Poll(None) };
                }
                State::Finishing => {
                    self.tell_idle(answer);
                    return Answered::Last(CloseCause::Normal);
                }
                State::Open => {}
            }
            tokio::select! {
                () = client.changed() => {}
                Some(newer) = polls.recv() => {
                    self.tell_idle(answer);
                    return Answered::Poll(Some(newer));
                }
                () = answer.closed() => return Answered::Poll(None),
                () = &mut patience => {
                    self.tell_idle(answer);
                    return Answered::Poll(None);
                }
            }
        }
    }

    fn tell_idle(&self, answer: oneshot::Sender<PollAnswer>) {
        drop(answer.send(PollAnswer::Idle(aspnet::idle(&self.cursor))));
    }
}

/// What comes after a poll that was answered.
enum Answered {
    /// The next one, which may be there already.
    Poll(Option<AspNetPoll>),
    /// Nothing.
    Last(CloseCause),
}
