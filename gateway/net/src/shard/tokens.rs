//! The tokens that open connections: what negotiation gives out, and what a request with one may have.

use bytes::Bytes;
use hubgate_core::id::{ConnectionId, HubName, ShardAddress};
use hubgate_core::question::{Ticket, Unanswered};
use hubgate_core::time::Millis;
use hubgate_core::{Claimed, Input, Location, Negotiated, Reconnect, TokenClaim, TokenRefusal, TooManyTokens};
use hubgate_wire::negotiate::Transport;

use super::ShardHandle;
use crate::admission::ClientPlace;
use crate::entrant::{ClaimResult, FirstTransport, Opening, WebSocketRequest};
use crate::inbox::LocalMessage;
use crate::peers::ANSWER_TIMEOUT;
use crate::refusal::{Refusal, no_resume};

/// The way to those of this thread's shard, and through it to those of others, of whatever node.
pub(crate) struct Tokens(ShardHandle);

impl Tokens {
    pub(super) fn new(shard: ShardHandle) -> Tokens {
        Tokens(shard)
    }

    /// What a client that comes to a hub now, and asks for stateful reconnect, may have of it.
    pub(crate) fn offered_reconnect(&self, hub: &HubName) -> Reconnect {
        match self.0.thread().core.borrow().may_offer_stateful_reconnect(hub) {
            true => Reconnect::Stateful,
            false => Reconnect::No,
        }
    }

    /// A client negotiated: its token opens a transport of its connection, on the shard of this node that both name.
    pub(crate) async fn negotiated(&self, hub: HubName, negotiated: Negotiated) -> Result<(), Refusal> {
        let deadline = self.0.deadline(ANSWER_TIMEOUT);
        let kept = self.0.ask(|ticket| Input::Negotiated { hub, negotiated, deadline, ticket }).await;
        kept.map_err(|Unanswered| Refusal::NoAnswer)?.map_err(|TooManyTokens| Refusal::TooManyNegotiated)
    }

    /// Uses a connection token for a WebSocket, on whichever shard and node it was made. One whose client finds no room is not used up.
    pub(crate) async fn claim_for_web_socket(&self, request: WebSocketRequest) -> Result<Opening, Refusal> {
        let shared = self.0.shared();
        let place = shared.admission.enter_client(&shared.settings().limits, request.visitor());
        let (hub, token) = (request.hub.clone(), request.token);
        let holder = self.holder(token);
        let claim = TokenClaim { token, transport: Transport::WebSockets, holder, has_room: place.is_ok() };
        let deadline = self.0.deadline(ANSWER_TIMEOUT);
        let claimed = self.0.ask(|ticket| claim_with(hub, claim, deadline, ticket)).await;
        let ClaimResult { answer, token } = claimed.map_err(|Unanswered| Refusal::NoAnswer)?;
        match (answer, token, place) {
            (Ok(Claimed::First { id, reconnect, .. }), Some(token), Ok(place)) => {
                Ok(Opening::First { token, id, reconnect, place, lives_at: holder })
            }
            (Ok(Claimed::Again { id }), _, place) => {
                // It has one.
                drop::<Result<ClientPlace, _>>(place);
                self.claim_again(id, request).await
            }
            // A node that gives away what it was told there is no room for gets it back.
            (Err(TokenRefusal::NoRoom) | Ok(Claimed::First { .. }), _, Err(full)) => Err(shared.no_room(full)),
            (Err(refusal), ..) => Err(refused(refusal, Transport::WebSockets)),
            (Ok(Claimed::First { .. }), None, Ok(_)) => Err(Refusal::UnknownConnection),
        }
    }

    /// The shard that a connection is to live on: that of its token, or one of this node if the token is of another one.
    fn holder(&self, token: ConnectionId) -> ShardAddress {
        let neighbours = self.0.neighbours();
        match token.owner().node == neighbours.own().node {
            true => token.owner(),
            false => neighbours.address_of(self.0.shared().loads.deal_near(self.0.index())),
        }
    }

    /// Another WebSocket is asked for by a client that has one, or had. Whatever comes of it, the client is none the worse.
    async fn claim_again(&self, id: ConnectionId, request: WebSocketRequest) -> Result<Opening, Refusal> {
        let lives_at = self.0.thread().core.borrow().shard_of(id);
        match self.0.neighbours().locate(lives_at) {
            Location::Here => self.may_resume(id, &request),
            Location::OtherShard(shard) => {
                let resume = |answer| LocalMessage::Resume { id, request: Box::new(request), answer };
                let may_resume = self.0.peers().ask(shard, ANSWER_TIMEOUT, resume).await?;
                may_resume.unwrap_or(Err(Refusal::UnknownConnection))
            }
            Location::OtherNode | Location::Nowhere => Err(Refusal::UnknownConnection),
        }
    }

    /// Another WebSocket is asked for by a client of ASP.NET SignalR, whose token is this one's.
    pub(crate) async fn return_by_web_socket(&self, request: WebSocketRequest) -> Result<Opening, Refusal> {
        match self.0.neighbours().locate(request.token.owner()) {
            Location::Here => self.may_return(&request),
            Location::OtherShard(shard) => {
                let ask = |answer| LocalMessage::Return { request: Box::new(request), answer };
                let may_return = self.0.peers().ask(shard, ANSWER_TIMEOUT, ask).await?;
                may_return.unwrap_or(Err(Refusal::UnknownConnection))
            }
            Location::OtherNode | Location::Nowhere => Err(Refusal::UnknownConnection),
        }
    }

    /// The same of a client of this shard, whatever transport it asks for.
    pub(crate) fn may_return(&self, request: &WebSocketRequest) -> Result<Opening, Refusal> {
        let (thread, shared) = (self.0.thread(), self.0.shared());
        let id = self.0.asp_net().may_return(request.token, &request.hub).ok_or(Refusal::UnknownConnection)?;
        let place = thread.connections.place(id).ok_or(Refusal::UnknownConnection)?;
        let to = shared.admission.enter_again(&shared.settings().limits, &place, request.visitor());
        let to = to.map_err(|full| shared.no_room(full))?;
        Ok(Opening::Again { id, to, lives_at: self.0.neighbours().own() })
    }

    /// The same of a client of this shard.
    pub(crate) fn may_resume(&self, id: ConnectionId, request: &WebSocketRequest) -> Result<Opening, Refusal> {
        let WebSocketRequest { hub, user, .. } = request;
        let (thread, shared) = (self.0.thread(), self.0.shared());
        let may_resume = thread.core.borrow().may_resume(id, hub, user.as_ref(), shared.now());
        if let Err(refusal) = may_resume {
            thread.feed(Input::ResumeRefused { hub: hub.clone(), refusal });
            return Err(no_resume(refusal));
        }
        let place = thread.connections.place(id).ok_or(Refusal::UnknownConnection)?;
        let to = shared.admission.enter_again(&shared.settings().limits, &place, request.visitor());
        let to = to.map_err(|full| shared.no_room(full))?;
        Ok(Opening::Again { id, to, lives_at: self.0.neighbours().own() })
    }

    /// Uses up a connection token of this shard for the first transport of its connection, which opens at once.
    pub(crate) fn claim_first(
        &self,
        token: ConnectionId,
        hub: &HubName,
        transport: Transport,
    ) -> Result<FirstTransport, Refusal> {
        let claim = TokenClaim { token, transport, holder: self.0.neighbours().own(), has_room: true };
        let deadline = self.0.deadline(ANSWER_TIMEOUT);
        let claimed = self.0.ask_here(|ticket| claim_with(hub.clone(), claim, deadline, ticket));
        let ClaimResult { answer, token } = claimed.map_err(|Unanswered| Refusal::UnknownConnection)?;
        match answer.map_err(|refusal| refused(refusal, transport))? {
            Claimed::First { id, early, .. } => {
                if let Some(token) = token {
                    token.transport_opened();
                }
                Ok(FirstTransport { id, early })
            }
            Claimed::Again { .. } => Err(Refusal::ConnectionInUse),
        }
    }

    /// A token that was claimed here was not used.
    pub(crate) fn release(&self, hub: HubName, token: ConnectionId) {
        self.0.thread().feed(Input::TokenUnused { hub, token });
    }

    /// Keeps what a client posts before its transport is open, within bounds.
    pub(crate) fn posted_early(&self, token: ConnectionId, hub: &HubName, bytes: Bytes) -> bool {
        let posted = |ticket| Input::PostedEarly { hub: hub.clone(), token, bytes, ticket };
        self.0.ask_here(posted).unwrap_or(false)
    }

    /// Whether `token` has opened a WebSocket of `hub`, and names this shard.
    pub(crate) fn has_web_socket(&self, hub: &HubName, token: ConnectionId) -> bool {
        self.0.thread().core.borrow().transport_of_token(token, hub) == Some(Transport::WebSockets)
    }
}

fn claim_with(
    hub: HubName,
    claim: TokenClaim,
    deadline: Millis,
    ticket: Ticket<ClaimResult>,
) -> Input<'static, 'static> {
    Input::ClaimToken { hub, claim, deadline, ticket: Ticket::new(ticket.number()) }
}

fn refused(refusal: TokenRefusal, transport: Transport) -> Refusal {
    match refusal {
        TokenRefusal::InUse(present) if present == transport => Refusal::ConnectionInUse,
        TokenRefusal::InUse(_) => Refusal::OtherTransport,
        TokenRefusal::Unknown | TokenRefusal::NoRoom => Refusal::UnknownConnection,
    }
}
