//! The tokens that open connections: what negotiation gives out, and what a request with one may have.

use std::rc::Rc;

use hubgate_core::id::{ConnectionId, HubName};
use hubgate_core::{Claimed, Input, Location, Reconnect, TokenRefusal, TooManyTokens};
use hubgate_wire::negotiate::Transport;

use super::ShardThread;
use crate::entrant::{ClaimedToken, FirstTransport, Negotiated, Opening, TokenClaim};
use crate::inbox::LocalMessage;
use crate::peers::ANSWER_TIMEOUT;
use crate::refusal::{Refusal, no_resume};

/// The way to those of this thread's shard, and through it to those of others.
pub(crate) struct Tokens(Rc<ShardThread>);

impl Tokens {
    pub(super) fn new(shard: Rc<ShardThread>) -> Tokens {
        Tokens(shard)
    }

    /// What a client that comes to a hub now, and asks for stateful reconnect, may have of it.
    pub(crate) fn offered_reconnect(&self, hub: &HubName) -> Reconnect {
        match self.0.core.borrow().may_offer_stateful_reconnect(hub) {
            true => Reconnect::Stateful,
            false => Reconnect::No,
        }
    }

    /// A client negotiated: its token opens a transport of its connection, on the shard that both name.
    pub(crate) async fn negotiated(&self, negotiated: Negotiated) -> Result<(), Refusal> {
        let kept = match self.0.peers.neighbours().locate(negotiated.id.owner()) {
            Location::Here => self.keep(negotiated),
            Location::OtherShard(shard) => {
                let negotiated = |answer| LocalMessage::Negotiated(negotiated, answer);
                let kept = self.0.peers.ask(shard, ANSWER_TIMEOUT, negotiated).await?;
                kept.unwrap_or(Err(TooManyTokens))
            }
            Location::OtherNode | Location::Nowhere => Err(TooManyTokens),
        };
        kept.map_err(|TooManyTokens| Refusal::TooManyNegotiated)
    }

    /// The same of a connection that is to be here.
    pub(crate) fn keep(&self, negotiated: Negotiated) -> Result<(), TooManyTokens> {
        let Negotiated { hub, id, token, reconnect } = negotiated;
        let lifetime = self.0.shared.settings().core.timeouts.negotiate;
        self.0.connection_tokens.borrow_mut().add(hub, id, token, reconnect, lifetime, self.0.now())
    }

    /// Uses a connection token for a WebSocket, on whichever shard it was made.
    pub(crate) async fn claim_anywhere(&self, claim: TokenClaim) -> Result<Opening, Refusal> {
        match self.0.peers.neighbours().locate(claim.token.owner()) {
            Location::Here => self.claim_for_web_socket(&claim),
            Location::OtherShard(shard) => {
                let claim = |answer| LocalMessage::ClaimToken(Box::new(claim), answer);
                let claimed = self.0.peers.ask(shard, ANSWER_TIMEOUT, claim).await?;
                claimed.unwrap_or(Err(Refusal::UnknownConnection))
            }
            Location::OtherNode | Location::Nowhere => Err(Refusal::UnknownConnection),
        }
    }

    /// The same of a token of this shard. One whose client finds no room is not used up.
    pub(crate) fn claim_for_web_socket(&self, claim: &TokenClaim) -> Result<Opening, Refusal> {
        let TokenClaim { token, hub, .. } = claim;
        if self.has_web_socket(hub, *token) {
            return self.claim_again(claim);
        }
        let shared = &self.0.shared;
        let place = shared.admission.enter_client(&shared.settings().limits, claim.visitor());
        let place = place.map_err(|full| shared.no_room(full))?;
        let FirstTransport { id, reconnect, .. } = self.claim_first(*token, hub, Transport::WebSockets)?;
        Ok(Opening::First { token: ClaimedToken::new(*token, id, self.0.releases.clone()), reconnect, place })
    }

    /// Another WebSocket is asked for by a client that has one, or had. Whatever comes of it, the client is none the worse.
    fn claim_again(&self, claim: &TokenClaim) -> Result<Opening, Refusal> {
        let TokenClaim { token, hub, user, .. } = claim;
        let id = match self.claim(*token, hub, Transport::WebSockets)? {
            Claimed::First { id, .. } | Claimed::Again { id } => id,
        };
        let may_resume = self.0.core.borrow().may_resume(id, hub, user.as_ref(), self.0.now());
        if let Err(refusal) = may_resume {
            self.0.feed(Input::ResumeRefused { hub: hub.clone(), refusal });
            return Err(no_resume(refusal));
        }
        let shared = &self.0.shared;
        let place = self.0.connections.place(id).ok_or(Refusal::UnknownConnection)?;
        let to = shared.admission.enter_again(&shared.settings().limits, &place, claim.visitor());
        Ok(Opening::Again { id, to: to.map_err(|full| shared.no_room(full))? })
    }

    /// Uses up a connection token of this shard for the first transport of its connection.
    pub(crate) fn claim_first(
        &self,
        token: ConnectionId,
        hub: &HubName,
        transport: Transport,
    ) -> Result<FirstTransport, Refusal> {
        match self.claim(token, hub, transport)? {
            Claimed::First { id, reconnect, early } => Ok(FirstTransport { id, reconnect, early }),
            Claimed::Again { .. } => Err(Refusal::ConnectionInUse),
        }
    }

    fn claim(&self, token: ConnectionId, hub: &HubName, transport: Transport) -> Result<Claimed, Refusal> {
        let claimed = self.0.connection_tokens.borrow_mut().claim(token, hub, transport, self.0.now());
        claimed.map_err(|refusal| match refusal {
            TokenRefusal::Unknown => Refusal::UnknownConnection,
            TokenRefusal::InUse(present) if present == transport => Refusal::ConnectionInUse,
            TokenRefusal::InUse(_) => Refusal::OtherTransport,
        })
    }

    /// A claimed token was not used.
    pub(crate) fn release(&self, token: ConnectionId) {
        self.0.connection_tokens.borrow_mut().remove(token);
    }

    /// Keeps what a client posts before its transport is open, within bounds.
    pub(crate) fn posted_early(&self, token: ConnectionId, hub: &HubName, bytes: &[u8]) -> bool {
        self.0.connection_tokens.borrow_mut().posted_early(token, hub, bytes, self.0.now())
    }

    /// Whether `token` has opened a WebSocket of `hub`, on this shard.
    pub(crate) fn has_web_socket(&self, hub: &HubName, token: ConnectionId) -> bool {
        self.0.connection_tokens.borrow().transport(token, hub) == Some(Transport::WebSockets)
    }
}
