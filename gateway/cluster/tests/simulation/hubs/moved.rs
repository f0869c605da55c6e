//! Clients that negotiate with one gateway and come to another.

use hubgate_core::id::{ConnectionId, NodeId, ShardAddress, ShardIndex};
use hubgate_core::question::{Answered, Ticket};
use hubgate_core::time::Millis;
use hubgate_core::{Claimed, Input, Negotiated, Reconnect, TokenClaim};
use hubgate_wire::negotiate::Transport;

use super::{Client, Hubs, PATIENCE, SHARDS, State, hub};

impl Hubs {
    fn negotiated(&mut self, (gateway, shard): (u32, usize)) -> Negotiated {
        let owner = ShardAddress { node: NodeId(gateway), shard: ShardIndex(shard as u16) };
        let mut id = |_| {
            let mut random = [0; 12];
            random[..8].copy_from_slice(&self.next().to_be_bytes());
            ConnectionId::new(owner, random)
        };
        let [id, token] = [(); 2].map(&mut id);
        Negotiated { id, token, reconnect: Reconnect::Stateful }
    }

    /// A client that has negotiated at `home` may open its transport at `holder`. It is refused only where that cannot be known.
    pub(crate) fn claim(&mut self, home: (u32, usize), holder: (u32, usize)) -> Option<Negotiated> {
        let negotiated = self.negotiated(home);
        let (ticket, deadline) = (Ticket::new(self.next()), Millis(self.now + PATIENCE));
        let any_shard = self.chance.below(u64::from(SHARDS)) as usize;
        self.feed(home.0, any_shard, Input::Negotiated { hub: hub(), negotiated, deadline, ticket });
        let kept = self.answer(ticket.number());
        assert!(matches!(kept, Some(Answered::Kept(reply)) if reply.answer == Ok(Ok(()))));
        let (ticket, deadline) = (Ticket::new(self.next()), Millis(self.now + PATIENCE));
        let lives_at = ShardAddress { node: NodeId(holder.0), shard: ShardIndex(holder.1 as u16) };
        let (token, transport) = (negotiated.token, Transport::WebSockets);
        let claim = TokenClaim { token, transport, holder: lives_at, has_room: true };
        let is_well = self.are_all_connected();
        let any_shard = self.chance.below(u64::from(SHARDS)) as usize;
        self.feed(holder.0, any_shard, Input::ClaimToken { hub: hub(), claim, deadline, ticket });
        let answer = match self.answer(ticket.number()) {
            Some(Answered::Claimed { reply, .. }) => reply.answer,
            other => panic!("{other:?}"),
        };
        let is_granted = matches!(answer, Ok(Ok(Claimed::First { id, .. })) if id == negotiated.id);
        assert!(is_granted || !is_well || !self.is_whole, "{answer:?} at {holder:?} of what {home:?} has negotiated");
        if is_granted {
            return Some(negotiated);
        }
        self.unused.push(negotiated);
        None
    }

    /// A client negotiates, and does not come after all.
    pub(crate) fn claim_in_vain(&mut self, home: (u32, usize), holder: (u32, usize)) {
        if let Some(negotiated) = self.claim(home, holder) {
            let token = negotiated.token;
            self.unused.push(negotiated);
            self.feed(holder.0, 0, Input::TokenUnused { hub: hub(), token });
        }
    }

    /// The gateway crashes where a client was to come.
    pub(crate) fn crash_instead_of_opening(&mut self, negotiated: Negotiated, gateway: u32) {
        self.unused.push(negotiated);
        self.crash(gateway);
    }

    /// All gateways know where connections live that have moved, as far as it concerns them, and nothing of those that are over. Those that hear
    /// nobody wait for the others.
    pub(crate) fn check_moved(&self) {
        let hearing = self.gateways.iter().filter(|(_, gateway)| !gateway.node.is_degraded());
        for (gateway, shards) in hearing.map(|(id, gateway)| (NodeId(*id), &gateway.shards)) {
            for Client { id, token, gateway: at, shard, state, .. } in &self.clients {
                let (home, lives_at) =
                    (id.owner(), ShardAddress { node: NodeId(*at), shard: ShardIndex(*shard as u16) });
                let found = shards[0].shard_of(*id);
                let is_right = match state {
                    State::Here if gateway == home.node || gateway == lives_at.node => found == lives_at,
                    // Who does not know it asks there.
                    State::Here if self.gateways.contains_key(&home.node.0) => found == lives_at || found == home,
                    State::Here => found == lives_at,
                    State::Opening | State::Gone => found == home,
                };
                assert!(
                    is_right,
                    "{state:?} at {lives_at:?}, negotiated at {home:?}, looked for at {found:?} by {gateway:?}"
                );
                let by_token = shards[0].shard_of(*token);
                assert_eq!(by_token, found, "by its token");
            }
            let over = self
                .clients
                .iter()
                .filter(|client| client.state == State::Gone)
                .map(|client| (client.id, client.token));
            for (id, token) in over.chain(self.unused.iter().map(|unused| (unused.id, unused.token))) {
                assert_eq!(shards[0].shard_of(id), id.owner(), "nothing is left of it");
                if let Some(home) = shards.get(usize::from(token.owner().shard.0))
                    && token.owner().node == gateway
                {
                    assert_eq!(home.transport_of_token(token, &hub()), None, "its token opens nothing");
                }
            }
        }
    }
}
