//! The connection tokens that negotiation gives out, and what they open.

use std::collections::{BTreeMap, VecDeque};

use hubgate_wire::negotiate::Transport;

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
    Negotiated { hub: HubName, id: ConnectionId, early: Vec<u8> },
    /// Its connection is attached to a transport of this kind, and to no other one any more.
    Attached { hub: HubName, transport: Transport },
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
        self.states.insert(token, TokenState::Negotiated { hub, id, early: Vec::new() });
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

    /// Uses up a token for a transport; gives the id of its connection, and what its client posted early.
    pub fn claim(
        &mut self,
        token: ConnectionId,
        hub: &HubName,
        transport: Transport,
        now: Millis,
    ) -> Result<(ConnectionId, Vec<u8>), TokenRefusal> {
        self.expire(now);
        match self.states.get_mut(&token) {
            Some(TokenState::Negotiated { hub: of, id, early }) if of == hub => {
                let claimed = (*id, std::mem::take(early));
                self.early -= claimed.1.len();
                self.no_longer_unused(hub);
                self.states.insert(token, TokenState::Attached { hub: hub.clone(), transport });
                Ok(claimed)
            }
            Some(TokenState::Attached { hub: of, transport }) if of == hub => Err(TokenRefusal::InUse(*transport)),
            Some(TokenState::Negotiated { .. } | TokenState::Attached { .. }) | None => Err(TokenRefusal::Unknown),
        }
    }

    /// The transport of `hub` that a token has opened.
    pub fn transport(&self, token: ConnectionId, hub: &HubName) -> Option<Transport> {
        match self.states.get(&token) {
            Some(TokenState::Attached { hub: of, transport }) if of == hub => Some(*transport),
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

    #[test]
    fn tokens_that_nobody_uses_have_a_bound_and_make_room_when_they_are_used_or_expire() {
        let mut tokens = ConnectionTokens::default();
        let given =
            (0..).take_while(|number| tokens.add(hub(), id(*number), id(*number), Millis(9), NOW).is_ok()).count();
        assert!((10_000..100_000).contains(&given), "{given}");
        assert!(tokens.claim(id(0), &hub(), Transport::WebSockets, NOW).is_ok());
        tokens.remove(id(1));
        tokens.remove(id(1));
        for number in 0..2 {
            assert_eq!(tokens.add(hub(), id(9_000_000 + number), id(9_000_000 + number), Millis(9), NOW), Ok(()));
        }
        assert_eq!(tokens.add(hub(), id(9_000_002), id(9_000_002), Millis(9), NOW), Err(TooManyTokens));
        tokens.expire(Millis(9));
        assert_eq!((tokens.unused, tokens.early), (0, 0));
    }

    #[test]
    fn a_hub_whose_tokens_nobody_uses_keeps_no_other_out() {
        let mut tokens = ConnectionTokens::default();
        let fill = |tokens: &mut ConnectionTokens, name: &str, first: u32| {
            let hub = HubName::parse(name).expect("a hub's name");
            let added = (first..)
                .take_while(|number| tokens.add(hub.clone(), id(*number), id(*number), Millis(9), NOW).is_ok());
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
        while tokens.add(hub(), id(kept), id(kept), Millis(9), NOW).is_ok()
            && tokens.posted_early(id(kept), &hub(), &bytes, NOW)
        {
            kept += 1;
        }
        assert_eq!(kept as usize, MAX_EARLY / bytes.len());
        assert_eq!(
            tokens.claim(id(0), &hub(), Transport::WebSockets, NOW).map(|(_, early)| early.len()),
            Ok(bytes.len())
        );
        assert!(tokens.posted_early(id(kept), &hub(), &bytes, NOW));
        tokens.expire(Millis(9));
        assert_eq!((tokens.unused, tokens.early), (0, 0));
    }

    #[test]
    fn a_token_opens_one_transport_of_its_hub_in_time() {
        let mut tokens = ConnectionTokens::default();
        let other = HubName::parse("other").expect("a hub's name");
        tokens.add(hub(), id(1), id(2), Millis(5_000), NOW).expect("there is room");
        let mut claim = |token, hub: &HubName, at| tokens.claim(token, hub, Transport::LongPolling, Millis(at));
        assert_eq!(claim(id(2), &other, 1), Err(TokenRefusal::Unknown));
        assert_eq!(claim(id(2), &hub(), 4_999), Ok((id(1), Vec::new())));
        assert_eq!(claim(id(2), &hub(), 4_999), Err(TokenRefusal::InUse(Transport::LongPolling)));
        assert_eq!(claim(id(2), &other, 4_999), Err(TokenRefusal::Unknown));
        tokens.add(hub(), id(1), id(3), Millis(5_000), NOW).expect("there is room");
        assert_eq!(tokens.claim(id(3), &hub(), Transport::WebSockets, Millis(5_000)), Err(TokenRefusal::Unknown));
    }
}
