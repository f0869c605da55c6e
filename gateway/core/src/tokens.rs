//! The connection tokens that negotiation gives out, and what they open.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use hubgate_wire::negotiate::Transport;

use crate::arrivals::Reconnect;
use crate::hash::FixedMap;
use crate::id::{ConnectionId, HubName, NodeId, ShardAddress};
use crate::time::Millis;

/// The tokens of the connections whose ids name one shard, wherever they live.
#[derive(Debug, Default)]
pub(crate) struct ConnectionTokens {
    states: FixedMap<ConnectionId, TokenState>,
    /// Those that were given out, in the order in which they expire.
    expiring: VecDeque<(Millis, ConnectionId)>,
    /// What those take up that were not used yet, in bytes.
    unused: usize,
    /// The same by hub.
    unused_of: BTreeMap<HubName, usize>,
    /// What their clients have posted early, in bytes.
    early: usize,
}

/// What an unused token takes up, in bytes: two maps' slots that double as they grow, and the hub's name.
const TOKEN_COST: usize = 2 * (size_of::<(ConnectionId, TokenState)>() + size_of::<(Millis, ConnectionId)>()) + 192;
/// What all unused tokens of a shard may take up, in bytes: some 40,000 that are to be used within seconds.
const MAX_UNUSED: usize = 16 << 20;
/// What a client may post before its transport is open, in bytes: what it opens with, and no more.
pub const LONGEST_EARLY_POST: usize = 64 << 10;
/// What the clients of a shard may have posted early, in bytes. They are few, and post a handshake request.
const MAX_EARLY: usize = 4 << 20;

/// A connection-to-be of a client that has negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    pub id: ConnectionId,
    /// What opens its transports. It names the same shard.
    pub token: ConnectionId,
    pub reconnect: Reconnect,
}

/// Too many negotiated connections wait for their clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyTokens;

/// What a connection token opens.
#[derive(Debug)]
enum TokenState {
    /// `early` is what the client posted before it opened its transport.
    Negotiated { hub: HubName, id: ConnectionId, reconnect: Reconnect, early: Vec<u8> },
    /// Its connection is attached to a transport of this kind, and to no other kind any more.
    Attached { hub: HubName, attached: Attached },
}

#[derive(Debug, Clone, Copy)]
struct Attached {
    id: ConnectionId,
    reconnect: Reconnect,
    transport: Transport,
    /// Where the connection lives.
    holder: ShardAddress,
}

/// A transport that somebody wants to open with a connection token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenClaim {
    pub token: ConnectionId,
    pub transport: Transport,
    /// The shard that is to have the connection if the claim comes from another node than that which the token names. From the same node
    /// it is the token's.
    pub holder: ShardAddress,
    /// Whether there is room for one more client. One that finds none may come again: its token is not used up.
    pub has_room: bool,
}

/// What a connection token is used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The first transport of its connection. `early` is what the client posted before; nothing for a WebSocket.
    First { token: ConnectionId, id: ConnectionId, reconnect: Reconnect, early: Bytes },
    /// Another WebSocket of a connection that lives on the claiming node, if [`crate::Shard::may_resume`] lets it.
    Again { id: ConnectionId },
}

/// Why a connection token opens no transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRefusal {
    /// It was never given out for this hub, or not used in time, its connection is over, or lives on another node.
    Unknown,
    /// Its connection has a transport already.
    InUse(Transport),
    /// There is no room for its client.
    NoRoom,
}

/// What came of a claim.
pub type ClaimAnswer = Result<Claimed, TokenRefusal>;

/// What came of a negotiation.
pub type TokenKept = Result<(), TooManyTokens>;

impl ConnectionTokens {
    /// A token opens a transport of its connection for `lifetime`. A hub may have as many as still have room beside: whoever asks
    /// for all that it gets leaves half to other hubs.
    pub(crate) fn add(&mut self, hub: HubName, negotiated: Negotiated, lifetime: Millis, now: Millis) -> TokenKept {
        self.expire(now);
        let Negotiated { id, token, reconnect } = negotiated;
        let of_hub = self.unused_of.get(&hub).copied().unwrap_or_default();
        if of_hub + TOKEN_COST > MAX_UNUSED - self.unused {
            return Err(TooManyTokens);
        }
        self.unused += TOKEN_COST;
        self.unused_of.insert(hub.clone(), of_hub + TOKEN_COST);
        self.states.insert(token, TokenState::Negotiated { hub, id, reconnect, early: Vec::new() });
        self.expiring.push_back((now + lifetime, token));
        Ok(())
    }

    /// How many tokens have opened nothing yet.
    pub(crate) fn negotiated(&self) -> usize {
        self.unused / TOKEN_COST
    }

    /// Keeps what a client posts before its transport is open, up to the length of a handshake request; `false` if there is
    /// no such client, or it posts more.
    pub(crate) fn posted_early(&mut self, token: ConnectionId, hub: &HubName, bytes: &[u8], now: Millis) -> bool {
        self.expire(now);
        match self.states.get_mut(&token) {
            Some(TokenState::Negotiated { hub: of, early, .. })
                if of == hub
                    && early.len() + bytes.len() <= LONGEST_EARLY_POST
                    && self.early + bytes.len() <= MAX_EARLY =>
            {
                early.extend_from_slice(bytes);
                self.early += bytes.len();
                true
            }
            Some(_) | None => false,
        }
    }

    /// Uses a token of the shard at `own` for a transport. Its connection has one transport for its life, or one WebSocket after another.
    pub(crate) fn claim(&mut self, hub: &HubName, claim: &TokenClaim, own: ShardAddress, now: Millis) -> ClaimAnswer {
        self.expire(now);
        let TokenClaim { token, transport, .. } = *claim;
        let holder = if claim.holder.node == own.node { own } else { claim.holder };
        match self.states.get_mut(&token) {
            Some(TokenState::Negotiated { hub: of, .. }) if of == hub && !claim.has_room => Err(TokenRefusal::NoRoom),
            Some(TokenState::Negotiated { hub: of, id, reconnect, early }) if of == hub => {
                let (id, reconnect, early) = (*id, *reconnect, std::mem::take(early));
                self.early -= early.len();
                self.no_longer_unused(hub);
                let attached = Attached { id, reconnect, transport, holder };
                self.states.insert(token, TokenState::Attached { hub: hub.clone(), attached });
                let early = if transport == Transport::WebSockets { Bytes::new() } else { early.into() };
                Ok(Claimed::First { token, id, reconnect, early })
            }
            Some(TokenState::Attached { hub: of, attached }) if of == hub => attached.claim_again(transport, holder),
            Some(TokenState::Negotiated { .. } | TokenState::Attached { .. }) | None => Err(TokenRefusal::Unknown),
        }
    }

    /// The transport of `hub` that a token has opened.
    pub(crate) fn transport(&self, token: ConnectionId, hub: &HubName) -> Option<Transport> {
        match self.states.get(&token) {
            Some(TokenState::Attached { hub: of, attached }) if of == hub => Some(attached.transport),
            Some(_) | None => None,
        }
    }

    /// A node says that a token no longer opens anything: its transport did not open after all, or its connection is over. Gives the
    /// connection, if it was on that node.
    pub(crate) fn end(&mut self, token: ConnectionId, on: NodeId) -> Option<ConnectionId> {
        match self.states.get(&token) {
            Some(TokenState::Attached { attached: Attached { id, holder, .. }, .. }) if holder.node == on => {
                let id = *id;
                self.states.remove(&token);
                Some(id)
            }
            Some(_) | None => None,
        }
    }

    /// The connections that live on a node are over. Gives them.
    pub(crate) fn node_lost(&mut self, node: NodeId) -> Vec<ConnectionId> {
        let lost = self.states.extract_if(|_, state| match state {
            TokenState::Attached { attached, .. } => attached.holder.node == node,
            TokenState::Negotiated { .. } => false,
        });
        let ids = lost.filter_map(|(_, state)| match state {
            TokenState::Attached { attached, .. } => Some(attached.id),
            TokenState::Negotiated { .. } => None,
        });
        ids.collect()
    }

    fn remove_unused(&mut self, token: ConnectionId) {
        if let Some(TokenState::Negotiated { hub, early, .. }) = self.states.remove(&token) {
            self.early -= early.len();
            self.no_longer_unused(&hub);
        }
    }

    fn no_longer_unused(&mut self, hub: &HubName) {
        self.unused -= TOKEN_COST;
        if let Some(of_hub) = self.unused_of.get_mut(hub) {
            *of_hub -= TOKEN_COST;
            if *of_hub == 0 {
                self.unused_of.remove(hub);
            }
        }
    }

    /// Time passed: forgets tokens that nobody has used in time.
    pub(crate) fn expire(&mut self, now: Millis) {
        while let Some((expiry, token)) = self.expiring.front().copied()
            && expiry <= now
        {
            self.expiring.pop_front();
            if let Some(TokenState::Negotiated { .. }) = self.states.get(&token) {
                self.remove_unused(token);
            }
        }
    }
}

impl Attached {
    /// Another transport is asked for, by the node of `by`.
    fn claim_again(self, transport: Transport, by: ShardAddress) -> ClaimAnswer {
        let is_stateful = self.reconnect == Reconnect::Stateful;
        match (self.transport, transport) {
            (Transport::WebSockets, Transport::WebSockets) if is_stateful => match self.holder.node == by.node {
                true => Ok(Claimed::Again { id: self.id }),
                // Nobody there can go on with it.
                false => Err(TokenRefusal::Unknown),
            },
            (present, _) => Err(TokenRefusal::InUse(present)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ShardIndex;

    const NOW: Millis = Millis(0);
    const OWN: ShardAddress = at(0);

    const fn at(node: u32) -> ShardAddress {
        ShardAddress { node: NodeId(node), shard: ShardIndex(0) }
    }

    fn id(number: u32) -> ConnectionId {
        let mut random = [0; 12];
        random[..4].copy_from_slice(&number.to_be_bytes());
        ConnectionId::new(OWN, random)
    }

    fn hub() -> HubName {
        HubName::parse("chat").expect("a hub's name")
    }

    fn add(tokens: &mut ConnectionTokens, hub: HubName, number: u32) -> TokenKept {
        negotiate(tokens, hub, (number, number), Reconnect::No, Millis(9))
    }

    fn negotiate(
        tokens: &mut ConnectionTokens,
        hub: HubName,
        (of, token): (u32, u32),
        reconnect: Reconnect,
        lifetime: Millis,
    ) -> TokenKept {
        tokens.add(hub, Negotiated { id: id(of), token: id(token), reconnect }, lifetime, NOW)
    }

    fn claim(token: u32, transport: Transport) -> TokenClaim {
        TokenClaim { token: id(token), transport, holder: OWN, has_room: true }
    }

    fn claim_here(tokens: &mut ConnectionTokens, token: u32, transport: Transport, now: Millis) -> ClaimAnswer {
        tokens.claim(&hub(), &claim(token, transport), OWN, now)
    }

    #[test]
    fn tokens_that_nobody_uses_have_a_bound_and_make_room_when_they_are_used_or_expire() {
        let mut tokens = ConnectionTokens::default();
        let given = (0..).take_while(|number| add(&mut tokens, hub(), *number).is_ok()).count();
        assert!((10_000..100_000).contains(&given), "{given}");
        assert!(claim_here(&mut tokens, 0, Transport::WebSockets, NOW).is_ok());
        tokens.remove_unused(id(1));
        tokens.remove_unused(id(1));
        for number in 0..2 {
            assert_eq!(add(&mut tokens, hub(), 9_000_000 + number), Ok(()));
        }
        assert_eq!(add(&mut tokens, hub(), 9_000_002), Err(TooManyTokens));
        tokens.expire(Millis(9));
        assert_eq!((tokens.unused, tokens.early), (0, 0));
    }

    #[test]
    fn a_hub_whose_tokens_nobody_uses_keeps_no_other_out() {
        let mut tokens = ConnectionTokens::default();
        let fill = |tokens: &mut ConnectionTokens, name: &str, first: u32| {
            let hub = HubName::parse(name).expect("a hub's name");
            let added = (first..).take_while(|number| add(tokens, hub.clone(), *number).is_ok());
            added.count()
        };
        let noisy = fill(&mut tokens, "noisy", 0);
        let quiet = fill(&mut tokens, "quiet", 1_000_000);
        assert!(noisy > 10_000 && quiet > noisy / 3, "{noisy} {quiet}");
        tokens.expire(Millis(9));
        assert!(tokens.unused_of.is_empty());
    }

    #[test]
    fn what_is_posted_early_has_a_bound_over_all_tokens() {
        let mut tokens = ConnectionTokens::default();
        let bytes = vec![0; LONGEST_EARLY_POST];
        let mut kept = 0;
        while add(&mut tokens, hub(), kept).is_ok() && tokens.posted_early(id(kept), &hub(), &bytes, NOW) {
            kept += 1;
        }
        assert_eq!(kept as usize, MAX_EARLY / bytes.len());
        let first = |early| Ok(Claimed::First { token: id(0), id: id(0), reconnect: Reconnect::No, early });
        assert_eq!(claim_here(&mut tokens, 0, Transport::LongPolling, NOW), first(bytes.clone().into()));
        assert!(tokens.posted_early(id(kept), &hub(), &bytes, NOW));
        tokens.expire(Millis(9));
        assert_eq!((tokens.unused, tokens.early), (0, 0));
    }

    #[test]
    fn a_token_opens_one_transport_of_its_hub_in_time() {
        let mut tokens = ConnectionTokens::default();
        let other = HubName::parse("other").expect("a hub's name");
        negotiate(&mut tokens, hub(), (1, 2), Reconnect::Stateful, Millis(5_000)).expect("there is room");
        let mut claim = |hub: &HubName, at| tokens.claim(hub, &claim(2, Transport::LongPolling), OWN, Millis(at));
        assert_eq!(claim(&other, 1), Err(TokenRefusal::Unknown));
        let first = Claimed::First { token: id(2), id: id(1), reconnect: Reconnect::Stateful, early: Bytes::new() };
        assert_eq!(claim(&hub(), 4_999), Ok(first));
        assert_eq!(claim(&hub(), 4_999), Err(TokenRefusal::InUse(Transport::LongPolling)));
        assert_eq!(claim(&other, 4_999), Err(TokenRefusal::Unknown));
        negotiate(&mut tokens, hub(), (1, 3), Reconnect::No, Millis(5_000)).expect("there is room");
        assert_eq!(claim_here(&mut tokens, 3, Transport::WebSockets, Millis(5_000)), Err(TokenRefusal::Unknown));
    }

    #[test]
    fn a_token_that_was_negotiated_for_it_opens_one_web_socket_after_another() {
        let mut tokens = ConnectionTokens::default();
        for (token, reconnect) in [(2, Reconnect::Stateful), (3, Reconnect::No)] {
            negotiate(&mut tokens, hub(), (1, token), reconnect, Millis(5_000)).expect("there is room");
            assert!(claim_here(&mut tokens, token, Transport::WebSockets, NOW).is_ok());
        }
        let mut again = |token, transport| claim_here(&mut tokens, token, transport, Millis(9_000));
        for _ in 0..2 {
            assert_eq!(again(2, Transport::WebSockets), Ok(Claimed::Again { id: id(1) }));
        }
        let in_use = Err(TokenRefusal::InUse(Transport::WebSockets));
        assert_eq!((again(2, Transport::LongPolling), again(3, Transport::WebSockets)), (in_use.clone(), in_use));
        assert_eq!(tokens.end(id(2), OWN.node), Some(id(1)));
        let over = claim_here(&mut tokens, 2, Transport::WebSockets, NOW);
        assert_eq!(over, Err(TokenRefusal::Unknown), "its connection is over");
    }

    #[test]
    fn a_token_whose_client_finds_no_room_is_not_used_up() {
        let mut tokens = ConnectionTokens::default();
        add(&mut tokens, hub(), 1).expect("there is room");
        let full = TokenClaim { has_room: false, ..claim(1, Transport::WebSockets) };
        assert_eq!(tokens.claim(&hub(), &full, OWN, NOW), Err(TokenRefusal::NoRoom));
        assert!(claim_here(&mut tokens, 1, Transport::WebSockets, NOW).is_ok());
        assert_eq!(
            tokens.claim(&hub(), &full, OWN, NOW),
            Err(TokenRefusal::InUse(Transport::WebSockets)),
            "a client that is here has its room"
        );
    }

    #[test]
    fn a_token_that_another_node_has_claimed_is_that_nodes_to_end_and_goes_with_it() {
        let mut tokens = ConnectionTokens::default();
        let from = |node, token| TokenClaim { holder: at(node), ..claim(token, Transport::WebSockets) };
        for token in [1, 2, 3] {
            negotiate(&mut tokens, hub(), (token, token), Reconnect::Stateful, Millis(9)).expect("there is room");
        }
        for (node, token) in [(7, 1), (7, 2), (8, 3)] {
            assert!(tokens.claim(&hub(), &from(node, token), OWN, NOW).is_ok());
        }
        let mut again = |node, token| tokens.claim(&hub(), &from(node, token), OWN, NOW);
        assert_eq!(again(7, 1), Ok(Claimed::Again { id: id(1) }));
        assert_eq!((again(8, 1), again(0, 1)), (Err(TokenRefusal::Unknown), Err(TokenRefusal::Unknown)));
        assert_eq!((tokens.end(id(1), NodeId(8)), tokens.end(id(1), OWN.node)), (None, None));
        assert_eq!(tokens.end(id(1), NodeId(7)), Some(id(1)));
        assert_eq!(tokens.node_lost(NodeId(7)), [id(2)]);
        assert_eq!(tokens.states.keys().collect::<Vec<_>>(), [&id(3)]);
    }
}
