//! A client between the request that lets it in and its open transport. If it never comes, nothing of it stays behind.

use std::net::IpAddr;

use bytes::Bytes;
use hubgate_core::id::{ConnectionId, HubName, ShardAddress, UserId};
use hubgate_core::pairs::Pairs;
use hubgate_core::{ClaimAnswer, Claimed, NewClient, Reconnect, ResumedClient};
use tokio::sync::mpsc;

use crate::admission::{ClientPlace, Move, Visitor};

/// Whom a request for a client's WebSocket has made of its connection.
#[derive(Debug)]
pub(crate) enum Entrant {
    New(Box<NewEntrant>),
    Returning(ReturningClient),
}

impl Entrant {
    pub(crate) fn hub(&self) -> &HubName {
        match self {
            Entrant::New(entrant) => &entrant.client.hub,
            Entrant::Returning(returning) => &returning.hub,
        }
    }

    /// The shard that its connection lives on.
    pub(crate) fn lives_at(&self) -> ShardAddress {
        match self {
            Entrant::New(entrant) => entrant.lives_at,
            Entrant::Returning(returning) => returning.lives_at,
        }
    }
}

/// A client whose WebSocket is not open yet.
#[derive(Debug)]
pub(crate) struct NewEntrant {
    pub(crate) client: NewClient,
    pub(crate) lives_at: ShardAddress,
    pub(crate) place: ClientPlace,
    /// `None`: it came without a token.
    pub(crate) claimed: Option<ClaimedToken>,
    /// The query with which a client of ASP.NET SignalR starts that does not say by itself that it is ready.
    pub(crate) starts_with: Option<Box<str>>,
}

/// A client that lives, and has come with another WebSocket.
#[derive(Debug)]
pub(crate) struct ReturningClient {
    pub(crate) hub: HubName,
    pub(crate) client: Returner,
    pub(crate) lives_at: ShardAddress,
    pub(crate) to: Move,
}

/// By which protocol it has come back.
#[derive(Debug)]
pub(crate) enum Returner {
    Core(ResumedClient),
    AspNet(hubgate_core::ReturningClient),
}

/// What a connection token was made for, once its client opens a transport.
#[derive(Debug)]
pub(crate) struct FirstTransport {
    pub(crate) id: ConnectionId,
    /// What the client has posted before.
    pub(crate) early: Bytes,
}

/// A request for a WebSocket that names a connection token.
#[derive(Debug)]
pub(crate) struct WebSocketRequest {
    pub(crate) token: ConnectionId,
    pub(crate) hub: HubName,
    pub(crate) user: Option<UserId>,
    /// Those by which clients are counted.
    pub(crate) claims: Pairs,
    pub(crate) address: IpAddr,
    pub(crate) access_token: Box<str>,
}

impl WebSocketRequest {
    pub(crate) fn visitor(&self) -> Visitor<'_> {
        let WebSocketRequest { hub, user, claims, address, access_token, .. } = self;
        Visitor { address: *address, hub, user: user.as_ref(), claims, token: access_token }
    }
}

/// What a connection token opens a WebSocket for, and where the connection lives.
#[derive(Debug)]
pub(crate) enum Opening {
    /// The client that has negotiated it.
    First { token: ClaimedToken, id: ConnectionId, reconnect: Reconnect, place: ClientPlace, lives_at: ShardAddress },
    /// The client with this id, which lives.
    Again { id: ConnectionId, to: Move, lives_at: ShardAddress },
}

/// Where a shard hears of tokens that were claimed there, for clients of a hub, and not used. It needs no bound of its own: each token is
/// sent once at most.
pub(crate) type Releases = mpsc::UnboundedSender<(HubName, ConnectionId)>;

/// A connection token that a request has used up. Dropped before its client's transport is open, it is released.
#[derive(Debug)]
pub(crate) struct ClaimedToken {
    hub: HubName,
    token: ConnectionId,
    releases: Option<Releases>,
}

/// What came of a claim. A token that it has used up is released if nobody takes it.
#[derive(Debug)]
pub(crate) struct ClaimResult {
    pub(crate) answer: ClaimAnswer,
    /// Of a first transport.
    pub(crate) token: Option<ClaimedToken>,
}

impl ClaimResult {
    /// `releases` is that of the shard that has claimed.
    pub(crate) fn new(hub: HubName, answer: ClaimAnswer, releases: &Releases) -> ClaimResult {
        let token = match &answer {
            Ok(Claimed::First { token, .. }) => Some(ClaimedToken::new(hub, *token, releases.clone())),
            Ok(Claimed::Again { .. }) | Err(_) => None,
        };
        ClaimResult { answer, token }
    }
}

impl ClaimedToken {
    fn new(hub: HubName, token: ConnectionId, releases: Releases) -> ClaimedToken {
        ClaimedToken { hub, token, releases: Some(releases) }
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
            let _ = releases.send((self.hub.clone(), self.token));
        }
    }
}

#[cfg(test)]
mod tests {
    use hubgate_core::id::ShardIndex;
    use tokio::sync::oneshot;

    use super::*;

    fn claimed() -> (ConnectionId, ClaimedToken, mpsc::UnboundedReceiver<(HubName, ConnectionId)>) {
        let token = ConnectionId::new(ShardIndex(0).into(), [1; 12]);
        let (releases, released) = mpsc::unbounded_channel();
        (token, ClaimedToken::new(hub(), token, releases), released)
    }

    fn hub() -> HubName {
        HubName::parse("chat").expect("a name")
    }

    #[test]
    fn a_token_is_released_unless_its_client_opened() {
        let (token, claimed, mut released) = claimed();
        drop(claimed);
        assert_eq!(released.try_recv(), Ok((hub(), token)));

        let (_, claimed, mut released) = self::claimed();
        claimed.transport_opened();
        assert!(released.try_recv().is_err());
    }

    #[test]
    fn what_was_claimed_for_a_first_transport_is_released_if_nobody_takes_it() {
        let token = ConnectionId::new(ShardIndex(0).into(), [1; 12]);
        let first = Claimed::First { token, id: token, reconnect: Reconnect::No, early: Bytes::new() };
        let (releases, mut released) = mpsc::unbounded_channel();
        for (answer, is_released) in [
            (Ok(first), true),
            (Ok(Claimed::Again { id: token }), false),
            (Err(hubgate_core::TokenRefusal::Unknown), false),
        ] {
            drop(ClaimResult::new(hub(), answer, &releases));
            assert_eq!(released.try_recv().ok(), is_released.then(|| (hub(), token)));
        }
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
            assert_eq!(released.try_recv(), Ok((hub(), token)));
        }
    }
}
