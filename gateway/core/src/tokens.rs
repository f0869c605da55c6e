//! The connection tokens that negotiation gives out, and what they open.

use std::collections::{HashMap, VecDeque};

use hubgate_wire::negotiate::Transport;
use hubgate_wire::signalr::handshake;

use crate::id::{ConnectionId, HubName};
use crate::time::Millis;

/// The tokens of one shard's connections.
#[derive(Debug, Default)]
pub(crate) struct ConnectionTokens {
    states: HashMap<ConnectionId, TokenState>,
    /// Those that were given out, in the order in which they expire.
    expiring: VecDeque<(Millis, ConnectionId)>,
}

/// What a connection token opens.
#[derive(Debug)]
enum TokenState {
    /// `early` is what the client posted before it opened its transport.
    Negotiated {
        hub: HubName,
        id: ConnectionId,
        early: Vec<u8>,
    },
    InUse {
        hub: HubName,
        transport: Transport,
    },
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
    /// `token` opens a transport of connection `id` until `expiry`.
    pub(crate) fn add(&mut self, hub: HubName, id: ConnectionId, token: ConnectionId, expiry: Millis) {
        self.states.insert(token, TokenState::Negotiated { hub, id, early: Vec::new() });
        self.expiring.push_back((expiry, token));
    }

    /// Keeps what a client posts before its transport is open, up to the length of a handshake request; `false` if there is
    /// no such client, or it posts more.
    pub(crate) fn posted_early(&mut self, token: ConnectionId, hub: &HubName, bytes: &[u8]) -> bool {
        match self.states.get_mut(&token) {
            Some(TokenState::Negotiated { hub: of, early, .. })
                if of == hub && early.len() + bytes.len() <= handshake::LONGEST_REQUEST =>
            {
                early.extend_from_slice(bytes);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Uses up a token for a transport; gives the id of its connection, and what its client posted early.
    pub(crate) fn claim(
        &mut self,
        token: ConnectionId,
        hub: &HubName,
        transport: Transport,
    ) -> Result<(ConnectionId, Vec<u8>), TokenRefusal> {
        match self.states.get_mut(&token) {
            Some(TokenState::Negotiated { hub: of, id, early }) if of == hub => {
                let claimed = (*id, std::mem::take(early));
                self.states.insert(token, TokenState::InUse { hub: hub.clone(), transport });
                Ok(claimed)
            }
            Some(TokenState::InUse { hub: of, transport }) if of == hub => Err(TokenRefusal::InUse(*transport)),
            Some(TokenState::Negotiated { .. } | TokenState::InUse { .. }) | None => Err(TokenRefusal::Unknown),
        }
    }

    /// The transport of `hub` that a token has opened.
    pub(crate) fn transport(&self, token: ConnectionId, hub: &HubName) -> Option<Transport> {
        match self.states.get(&token) {
            Some(TokenState::InUse { hub: of, transport }) if of == hub => Some(*transport),
            Some(_) | None => None,
        }
    }

    /// A token opens nothing any more.
    pub(crate) fn remove(&mut self, token: ConnectionId) {
        self.states.remove(&token);
    }

    pub(crate) fn expire(&mut self, now: Millis) {
        while let Some((expiry, token)) = self.expiring.front().copied()
            && expiry <= now
        {
            self.expiring.pop_front();
            if let Some(TokenState::Negotiated { .. }) = self.states.get(&token) {
                self.states.remove(&token);
            }
        }
    }
}
