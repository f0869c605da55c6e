//! A client between the request that lets it in and its open transport. If it never comes, nothing of it stays behind.

use std::net::IpAddr;

use hubgate_core::id::{ConnectionId, HubName, UserId};
use hubgate_core::pairs::Pairs;
use hubgate_core::{NewClient, Reconnect, ResumedClient};
use tokio::sync::mpsc;

use crate::admission::{ClientPlace, Move, Visitor};

/// Whom a request for a client's WebSocket has made of its connection.
#[derive(Debug)]
pub(crate) enum Entrant {
    New(NewEntrant),
    Returning(ReturningClient),
}

impl Entrant {
    pub(crate) fn hub(&self) -> &HubName {
        match self {
            Entrant::New(entrant) => &entrant.client.hub,
            Entrant::Returning(returning) => &returning.hub,
        }
    }

    /// Its connection, which says whose shard it is.
    pub(crate) fn id(&self) -> ConnectionId {
        match self {
            Entrant::New(entrant) => entrant.client.id,
            Entrant::Returning(returning) => returning.client.id,
        }
    }
}

/// A client whose WebSocket is not open yet.
#[derive(Debug)]
pub(crate) struct NewEntrant {
    pub(crate) client: NewClient,
    pub(crate) place: ClientPlace,
    /// `None`: it came without a token.
    pub(crate) claimed: Option<ClaimedToken>,
}

/// A client that lives, and has come with another WebSocket.
#[derive(Debug)]
pub(crate) struct ReturningClient {
    pub(crate) hub: HubName,
    pub(crate) client: ResumedClient,
    pub(crate) to: Move,
}

/// A connection-to-be of a client that has negotiated.
#[derive(Debug)]
pub(crate) struct Negotiated {
    pub(crate) hub: HubName,
    pub(crate) id: ConnectionId,
    /// What opens its transport, on the same shard.
    pub(crate) token: ConnectionId,
    pub(crate) reconnect: Reconnect,
}

/// What a connection token was made for, once its client opens a transport.
#[derive(Debug)]
pub(crate) struct FirstTransport {
    pub(crate) id: ConnectionId,
    pub(crate) reconnect: Reconnect,
    /// What the client has posted before.
    pub(crate) early: Vec<u8>,
}

/// What a request for a WebSocket asks of the shard that its connection token names.
#[derive(Debug)]
pub(crate) struct TokenClaim {
    pub(crate) token: ConnectionId,
    pub(crate) hub: HubName,
    pub(crate) user: Option<UserId>,
    /// Those by which clients are counted.
    pub(crate) claims: Pairs,
    pub(crate) address: IpAddr,
    pub(crate) access_token: Box<str>,
}

impl TokenClaim {
    pub(crate) fn visitor(&self) -> Visitor<'_> {
        let TokenClaim { hub, user, claims, address, access_token, .. } = self;
        Visitor { address: *address, hub, user: user.as_ref(), claims, token: access_token }
    }
}

/// What a connection token opens a WebSocket for.
#[derive(Debug)]
pub(crate) enum Opening {
    /// The client that has negotiated it.
    First { token: ClaimedToken, reconnect: Reconnect, place: ClientPlace },
    /// The client with this id, which lives.
    Again { id: ConnectionId, to: Move },
}

/// Where a shard hears of claimed tokens that were not used. It needs no bound of its own: each token is sent once at most.
pub(crate) type Releases = mpsc::UnboundedSender<ConnectionId>;

/// A connection token that a request has used up. Dropped before its client's transport is open, it is released.
#[derive(Debug)]
pub(crate) struct ClaimedToken {
    token: ConnectionId,
    /// The id of the token's connection.
    id: ConnectionId,
    releases: Option<Releases>,
}

impl ClaimedToken {
    /// `releases` is that of the shard that the token belongs to.
    pub(crate) fn new(token: ConnectionId, id: ConnectionId, releases: Releases) -> ClaimedToken {
        ClaimedToken { token, id, releases: Some(releases) }
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    /// From now on the token is in use for as long as its client is there.
    pub(crate) fn transport_opened(mut self) {
        self.releases = None;
    }
}

impl Drop for ClaimedToken {
    fn drop(&mut self) {
        if let Some(releases) = self.releases.take() {
            // A shard that has ended has no tokens.
            let _ = releases.send(self.token);
        }
    }
}

#[cfg(test)]
mod tests {
    use hubgate_core::id::ShardIndex;
    use tokio::sync::oneshot;

    use super::*;

    fn claimed() -> (ConnectionId, ClaimedToken, mpsc::UnboundedReceiver<ConnectionId>) {
        let [token, id] = [1, 2].map(|byte| ConnectionId::new(ShardIndex(0).into(), [byte; 12]));
        let (releases, released) = mpsc::unbounded_channel();
        (token, ClaimedToken::new(token, id, releases), released)
    }

    #[test]
    fn a_token_is_released_unless_its_client_opened() {
        let (token, claimed, mut released) = claimed();
        drop(claimed);
        assert_eq!(released.try_recv(), Ok(token));

        let (_, claimed, mut released) = self::claimed();
        claimed.transport_opened();
        assert!(released.try_recv().is_err());
    }

    #[test]
    fn a_token_whose_request_is_gone_before_it_hears_is_released() {
        for is_gone_before in [true, false] {
            let (token, claimed, mut released) = claimed();
            let (answer, answered) = oneshot::channel();
            let mut answered = Some(answered);
            if is_gone_before {
                answered = None;
            }
            drop(answer.send(claimed));
            drop(answered);
            assert_eq!(released.try_recv(), Ok(token));
        }
    }
}
