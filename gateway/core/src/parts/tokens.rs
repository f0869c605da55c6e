//! Connection tokens: the shard that one names keeps it, and knows where its connection lives, if that is on another node.

use super::Parts;
use crate::directory_change::DirectoryChange;
use crate::effect::Effect;
use crate::id::{ConnectionId, HubName, ShardAddress};
use crate::moved_connections::MovedConnection;
use crate::neighbours::Location;
use crate::order::{Addressees, Order};
use crate::question::{Answer, Answered, Ticket, TokenCommand};
use crate::time::Millis;
use crate::tokens::{ClaimAnswer, Claimed, Negotiated, TokenClaim, TokenKept, TokenRefusal, TooManyTokens};
use crate::turn::Turn;
use hubgate_wire::negotiate::Transport;

impl Parts {
    /// A client has negotiated.
    pub(super) fn negotiated(
        &mut self,
        turn: &mut Turn<'_>,
        hub: &HubName,
        negotiated: Negotiated,
        (deadline, ticket): (Millis, Ticket<TokenKept>),
    ) {
        let kept = match turn.locate(negotiated.token.owner()) {
            Location::Here => self.keep(turn, hub, negotiated),
            Location::OtherShard(_) => return self.gathers.keep_token(turn, hub, negotiated, (deadline, ticket)),
            Location::OtherNode | Location::Nowhere => Err(TooManyTokens),
        };
        turn.effect(Effect::Answered(Answered::Kept(ticket.answered(kept))));
    }

    fn keep(&mut self, turn: &Turn<'_>, hub: &HubName, negotiated: Negotiated) -> TokenKept {
        self.tokens.add(hub.clone(), negotiated, turn.settings.timeouts.negotiate, turn.now)
    }

    /// A client wants to open a transport.
    pub(super) fn claim_token(
        &mut self,
        turn: &mut Turn<'_>,
        hub: &HubName,
        claim: TokenClaim,
        (deadline, ticket): (Millis, Ticket<ClaimAnswer>),
    ) {
        let moved = if turn.moved.is_empty() { None } else { turn.moved.look_up(claim.token) };
        let claimed = match moved {
            // This node has it of another one, which need not be asked, and may be lost.
            Some((id, lives_at)) if lives_at.node == turn.here().node => match claim.transport {
                Transport::WebSockets => Ok(Claimed::Again { id }),
                _ => Err(TokenRefusal::InUse(Transport::WebSockets)),
            },
            Some(_) if claim.token.owner().node != turn.here().node => Err(TokenRefusal::Unknown),
            Some(_) | None => match turn.locate(claim.token.owner()) {
                Location::Here => self.claim(turn, hub, &claim),
                Location::OtherShard(_) | Location::OtherNode => {
                    return self.gathers.claim_token(turn, hub, claim, (deadline, ticket));
                }
                Location::Nowhere => Err(TokenRefusal::Unknown),
            },
        };
        turn.effect(Effect::Answered(Answered::Claimed { hub: hub.clone(), reply: ticket.answered(claimed) }));
    }

    fn claim(&mut self, turn: &Turn<'_>, hub: &HubName, claim: &TokenClaim) -> ClaimAnswer {
        let claimed = self.tokens.claim(hub, claim, turn.here(), turn.now);
        if let Ok(Claimed::First { token, id, .. }) = claimed
            && claim.holder.node != turn.here().node
        {
            turn.moved.moved_away(MovedConnection { hub: hub.clone(), id, token, lives_at: claim.holder });
        }
        claimed
    }

    /// Another shard asks for something that concerns a token of this one.
    pub(super) fn obey_token(
        &mut self,
        turn: &mut Turn<'_>,
        (from, hub): (ShardAddress, &HubName),
        command: TokenCommand,
        (asker, number): (ShardAddress, u32),
    ) {
        let answer = match command {
            // Nodes negotiate for themselves alone.
            TokenCommand::Keep(_) if from.node != turn.here().node => Answer::Kept(Err(TooManyTokens)),
            TokenCommand::Keep(negotiated) => Answer::Kept(self.keep(turn, hub, negotiated)),
            // And take connections for themselves alone.
            TokenCommand::Claim(claim) if claim.holder.node != from.node => {
                Answer::Claimed(Box::new(Err(TokenRefusal::Unknown)))
            }
            TokenCommand::Claim(claim) => Answer::Claimed(Box::new(self.claim(turn, hub, &claim))),
        };
        turn.forward(Addressees::One(asker), hub, Order::Answer { number, answer });
    }

    /// A client of this shard has ended that a token has opened, or was to open.
    pub(super) fn token_over(&mut self, turn: &mut Turn<'_>, hub: &HubName, token: ConnectionId) {
        match turn.locate(token.owner()) {
            Location::Here => drop(self.tokens.end(token, turn.here().node)),
            Location::OtherShard(_) | Location::OtherNode => {
                turn.forward(Addressees::One(token.owner()), hub, Order::TokenOver { token });
            }
            Location::Nowhere => {}
        }
        if token.owner().node != turn.here().node
            && let Some((id, lives_at)) = turn.moved.look_up(token)
            && turn.moved.end(id)
        {
            turn.tell_nodes(hub, || DirectoryChange::ConnectionOver { id, at: lives_at });
        }
    }

    /// The transport of a connection that was claimed here has not opened after all.
    pub(super) fn token_unused(&mut self, turn: &mut Turn<'_>, hub: &HubName, token: ConnectionId) {
        match turn.moved.find(token) {
            // Of what becomes of it that shard alone tells, so that all hear it in order.
            Some(lives_at) if lives_at.node == turn.here().node && lives_at != turn.here() => {
                turn.forward(Addressees::One(lives_at), hub, Order::TokenOver { token });
            }
            Some(_) | None => self.token_over(turn, hub, token),
        }
    }

    /// A shard says that a token opens nothing any longer.
    pub(super) fn heard_token_over(
        &mut self,
        turn: &mut Turn<'_>,
        (from, hub): (ShardAddress, &HubName),
        token: ConnectionId,
    ) {
        if token.owner() == turn.here() {
            let over = self.tokens.end(token, from.node);
            if let Some(id) = over.filter(|_| from.node != turn.here().node) {
                turn.moved.end(id);
            }
        } else if from.node == turn.here().node && turn.moved.find(token) == Some(turn.here()) {
            self.token_over(turn, hub, token);
        }
    }

    /// Tells other nodes of connections that live here and whose own nodes are lost.
    pub(super) fn tell_of_homeless(turn: &mut Turn<'_>) {
        for moved in turn.moved.take_homeless(turn.here()) {
            turn.tell_nodes(&moved.hub, || moved.change());
        }
    }

    /// Other nodes have come: some of what was told while they were not there may have reached nobody.
    pub(crate) fn tell_again_of_homeless(turn: &mut Turn<'_>) {
        let here = turn.here();
        for moved in turn.moved.announced(|at| at == here) {
            turn.tell_nodes(&moved.hub, || moved.change());
        }
    }
}
