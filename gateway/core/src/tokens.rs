//! The connection tokens that negotiation gives out, and what they open.

use std::collections::{BTreeMap, VecDeque};

use hubgate_wire::negotiate::Transport;

use crate::arrivals::Reconnect;
use crate::client::dialect::LONGEST_OPENING;
use crate::hash::FixedMap;
use crate::id::{ConnectionId, HubName};
use crate::time::Millis;

/// The tokens of one shard's connections. Whoever owns a shard owns these beside it, and removes those whose connections are over
/// ([`crate::Effect::TokenOver`]).
#[derive(Debug, Default)]
pub struct ConnectionTokens {
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
/// What a client may post before its transport is open, in bytes: what it opens with.
pub const LONGEST_EARLY_POST: usize = LONGEST_OPENING;
/// What the clients of a shard may have posted early, in bytes. They are few, and post a handshake request.
const MAX_EARLY: usize = 4 << 20;

/// Too many negotiated connections wait for their clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyTokens;

/// What a connection token opens.
#[derive(Debug)]
enum TokenState {
    /// `early` is what the client posted before it opened its transport.
    Negotiated { hub: HubName, id: ConnectionId, reconnect: Reconnect, early: Vec<u8> },
    /// Its connection is attached to a transport of this kind, and to no other kind any more.
    Attached { hub: HubName, id: ConnectionId, reconnect: Reconnect, transport: Transport },
}

/// What a connection token is used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The first transport of its connection. `early` is what the client posted before.
    First { id: ConnectionId, reconnect: Reconnect, early: Vec<u8> },
    /// Another WebSocket of a connection that has negotiated stateful reconnect, if [`crate::Shard::may_resume`] lets it.
    Again { id: ConnectionId },
}

/// Why a connection token opens no transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRefusal {
    /// It was never given out for this hub, or not used in time, or its connection is over.
    Unknown,
    /// Its connection has a transport already.
    InUse(Transport),
}

impl ConnectionTokens {
    /// `token` opens a transport of connection `id` for `lifetime`. A hub may have as many as still have room beside: whoever asks
    /// for all that it gets leaves half to other hubs.
    pub fn add(
        &mut self,
        hub: HubName,
        id: ConnectionId,
        token: ConnectionId,
        reconnect: Reconnect,
        lifetime: Millis,
        now: Millis,
    ) -> Result<(), TooManyTokens> {
        self.expire(now);
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
    pub fn negotiated(&self) -> usize {
        self.unused / TOKEN_COST
    }

    /// Keeps what a client posts before its transport is open, up to the length of a handshake request; `false` if there is
    /// no such client, or it posts more.
    pub fn posted_early(&mut self, token: ConnectionId, hub: &HubName, bytes: &[u8], now: Millis) -> bool {
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

    /// Uses a token for a transport. Its connection has one transport for its life, or one WebSocket after another.
    pub fn claim(
        &mut self,
        token: ConnectionId,
        hub: &HubName,
        transport: Transport,
        now: Millis,
    ) -> Result<Claimed, TokenRefusal> {
        self.expire(now);
        match self.states.get_mut(&token) {
            Some(TokenState::Negotiated { hub: of, id, reconnect, early }) if of == hub => {
                let (id, reconnect, early) = (*id, *reconnect, std::mem::take(early));
                self.early -= early.len();
                self.no_longer_unused(hub);
                let hub = hub.clone();
                self.states.insert(token, TokenState::Attached { hub, id, reconnect, transport });
                Ok(Claimed::First { id, reconnect, early })
            }
            Some(TokenState::Attached { hub: of, id, reconnect: Reconnect::Stateful, transport: present })
                if of == hub && (*present, transport) == (Transport::WebSockets, Transport::WebSockets) =>
            {
                Ok(Claimed::Again { id: *id })
            }
            Some(TokenState::Attached { hub: of, transport, .. }) if of == hub => Err(TokenRefusal::InUse(*transport)),
            Some(TokenState::Negotiated { .. } | TokenState::Attached { .. }) | None => Err(TokenRefusal::Unknown),
        }
    }

    /// The transport of `hub` that a token has opened.
    pub fn transport(&self, token: ConnectionId, hub: &HubName) -> Option<Transport> {
        match self.states.get(&token) {
            Some(TokenState::Attached { hub: of, transport, .. }) if of == hub => Some(*transport),
            Some(_) | None => None,
        }
    }

    /// A token no longer opens anything: its transport did not open after all, or its connection is over.
    pub fn remove(&mut self, token: ConnectionId) {
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
    pub fn expire(&mut self, now: Millis) {
        while let Some((expiry, token)) = self.expiring.front().copied()
            && expiry <= now
        {
            self.expiring.pop_front();
            if let Some(TokenState::Negotiated { .. }) = self.states.get(&token) {
                self.remove(token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ShardIndex;

    const NOW: Millis = Millis(0);

    fn id(number: u32) -> ConnectionId {
        let mut random = [0; 12];
        random[..4].copy_from_slice(&number.to_be_bytes());
        ConnectionId::new(ShardIndex(0).into(), random)
    }

    fn hub() -> HubName {
        HubName::parse("chat").expect("a hub's name")
    }

    fn add(tokens: &mut ConnectionTokens, hub: HubName, number: u32) -> Result<(), TooManyTokens> {
        tokens.add(hub, id(number), id(number), Reconnect::No, Millis(9), NOW)
    }

    #[test]
    fn tokens_that_nobody_uses_have_a_bound_and_make_room_when_they_are_used_or_expire() {
        let mut tokens = ConnectionTokens::default();
        let given = (0..).take_while(|number| add(&mut tokens, hub(), *number).is_ok()).count();
        assert!((10_000..100_000).contains(&given), "{given}");
        assert!(tokens.claim(id(0), &hub(), Transport::WebSockets, NOW).is_ok());
        tokens.remove(id(1));
        tokens.remove(id(1));
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
        assert_eq!(
            tokens.claim(id(0), &hub(), Transport::WebSockets, NOW),
            Ok(Claimed::First { id: id(0), reconnect: Reconnect::No, early: bytes.clone() })
        );
        assert!(tokens.posted_early(id(kept), &hub(), &bytes, NOW));
        tokens.expire(Millis(9));
        assert_eq!((tokens.unused, tokens.early), (0, 0));
    }

    #[test]
    fn a_token_opens_one_transport_of_its_hub_in_time() {
        let mut tokens = ConnectionTokens::default();
        let other = HubName::parse("other").expect("a hub's name");
        tokens.add(hub(), id(1), id(2), Reconnect::Stateful, Millis(5_000), NOW).expect("there is room");
        let mut claim = |token, hub: &HubName, at| tokens.claim(token, hub, Transport::LongPolling, Millis(at));
        assert_eq!(claim(id(2), &other, 1), Err(TokenRefusal::Unknown));
        let first = Claimed::First { id: id(1), reconnect: Reconnect::Stateful, early: Vec::new() };
        assert_eq!(claim(id(2), &hub(), 4_999), Ok(first));
        assert_eq!(claim(id(2), &hub(), 4_999), Err(TokenRefusal::InUse(Transport::LongPolling)));
        assert_eq!(claim(id(2), &other, 4_999), Err(TokenRefusal::Unknown));
        tokens.add(hub(), id(1), id(3), Reconnect::No, Millis(5_000), NOW).expect("there is room");
        assert_eq!(tokens.claim(id(3), &hub(), Transport::WebSockets, Millis(5_000)), Err(TokenRefusal::Unknown));
    }

    #[test]
    fn a_token_that_was_negotiated_for_it_opens_one_web_socket_after_another() {
        let mut tokens = ConnectionTokens::default();
        for (token, reconnect) in [(2, Reconnect::Stateful), (3, Reconnect::No)] {
            tokens.add(hub(), id(1), id(token), reconnect, Millis(5_000), NOW).expect("there is room");
            assert!(tokens.claim(id(token), &hub(), Transport::WebSockets, NOW).is_ok());
        }
        let mut again = |token, transport| tokens.claim(id(token), &hub(), transport, Millis(9_000));
        for _ in 0..2 {
            assert_eq!(again(2, Transport::WebSockets), Ok(Claimed::Again { id: id(1) }));
        }
        let in_use = Err(TokenRefusal::InUse(Transport::WebSockets));
        assert_eq!((again(2, Transport::LongPolling), again(3, Transport::WebSockets)), (in_use.clone(), in_use));
        tokens.remove(id(2));
        let over = tokens.claim(id(2), &hub(), Transport::WebSockets, NOW);
        assert_eq!(over, Err(TokenRefusal::Unknown), "its connection is over");
    }
}
