//! Claims of connection tokens that name other shards.

use crate::id::{HubName, ShardAddress};
use crate::moved_connections::{Losses, MovedConnection};
use crate::order::{Addressees, Order};
use crate::question::{Answered, Ticket};
use crate::tokens::{ClaimAnswer, Claimed, TokenClaim, TokenRefusal};
use crate::turn::Turn;

/// Whoever wants to open a transport, and what came of it.
#[derive(Debug)]
pub(super) struct Claiming {
    ticket: Ticket<ClaimAnswer>,
    hub: HubName,
    claim: TokenClaim,
    when_claimed: Losses,
    outcome: ClaimAnswer,
}

impl Claiming {
    pub(super) fn new(turn: &Turn<'_>, hub: HubName, claim: TokenClaim, ticket: Ticket<ClaimAnswer>) -> Claiming {
        // A node that is lost knows no tokens any more.
        Claiming { ticket, hub, claim, when_claimed: turn.moved.losses(), outcome: Err(TokenRefusal::Unknown) }
    }

    pub(super) fn answered(&mut self, answer: ClaimAnswer) {
        self.outcome = answer;
    }

    /// The shard that the token names has answered. A connection of another node lives here from now on.
    pub(super) fn finish(self, turn: &mut Turn<'_>) -> Answered {
        let Claiming { ticket, hub, claim, when_claimed, outcome } = self;
        let answered = |hub, answer| Answered::Claimed { hub, reply: ticket.answered(answer) };
        let Ok(Claimed::First { token, id, .. }) = outcome else {
            return answered(hub, outcome);
        };
        // Its node gives away nobody else's connections.
        if token != claim.token || id.owner() != claim.token.owner() || turn.moved.find(id).is_some() {
            return answered(hub, Err(TokenRefusal::Unknown));
        }
        if token.owner().node != turn.here().node {
            turn.moved
                .moved_here(MovedConnection { hub: hub.clone(), id, token, lives_at: claim.holder }, when_claimed);
        }
        answered(hub, outcome)
    }

    pub(super) fn give_up(self) -> Answered {
        Answered::Claimed { hub: self.hub, reply: self.ticket.unanswered() }
    }
}

/// A claim was granted by a shard when nobody waited for that any more.
pub(super) fn give_back(turn: &mut Turn<'_>, from: ShardAddress, hub: &HubName, answer: &ClaimAnswer) {
    if let Ok(Claimed::First { token, .. }) = answer {
        turn.forward(Addressees::One(from), hub, Order::TokenOver { token: *token });
    }
}
