//! What requests of clients on Server-Sent Events and long polling ask of the shard that has their connection, and what it answers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hubgate_core::id::{ConnectionId, HubName, UserId};
use hubgate_core::time::Millis;
use hubgate_core::{Identity, Return};
use tokio::sync::oneshot;

use crate::delivery::DeliveryBody;
use crate::refusal::Refusal;
use crate::verified_token::{TokenDigest, VerifiedToken};

/// How long a post may wait for its turn: less than the 100 seconds after which clients give it up.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(90);
/// How long the end of a client waits for what it has posted before.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(5);

/// What a client's request asks of the shard that its connection belongs to.
#[derive(Debug)]
pub(crate) enum ClientRequest {
    /// A stream of events; its text is answered.
    Events(Box<TransportRequest>, oneshot::Sender<Result<DeliveryBody, Refusal>>),
    Poll(Box<TransportRequest>, oneshot::Sender<Result<oneshot::Receiver<PollAnswer>, Refusal>>),
    /// The client wants to say something; answered when its turn has come.
    Post {
        hub: HubName,
        token: ConnectionId,
        /// Of its token.
        user: Option<UserId>,
        claims: Arc<VerifiedToken>,
        token_times: TokenTimes,
        answer: oneshot::Sender<Result<PostTurn, Refusal>>,
    },
    /// Whether the latest token of an open connection is this one.
    IsLatestToken {
        hub: HubName,
        token: ConnectionId,
        digest: TokenDigest,
        answer: oneshot::Sender<Result<bool, Refusal>>,
    },
    /// A client of ASP.NET SignalR says that it is ready, with the query that its hub sees.
    Start {
        token: ConnectionId,
        query: Box<str>,
        answer: oneshot::Sender<Result<(), Refusal>>,
    },
    /// One leaves for good.
    Abort {
        token: ConnectionId,
        answer: oneshot::Sender<Result<(), Refusal>>,
    },
    /// The end of a connection that polls.
    Delete {
        hub: HubName,
        token: ConnectionId,
        answer: oneshot::Sender<Result<(), Refusal>>,
    },
}

/// A post whose turn has come. Its body is read only now: until then it is the client's to keep.
#[derive(Debug)]
pub(crate) struct PostTurn {
    /// The longest body that is kept while no transport is open, in bytes.
    pub(crate) early_limit: Option<usize>,
    /// Dropped if the body does not come.
    pub(crate) body: oneshot::Sender<Posted>,
}

/// What a client says in one request.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) body: Bytes,
    pub(crate) answer: oneshot::Sender<Result<(), Refusal>>,
}

/// A request for a transport, for the shard that the connection belongs to.
#[derive(Debug)]
pub(crate) struct TransportRequest {
    pub(crate) hub: HubName,
    /// What opens the connection's transports.
    pub(crate) token: ConnectionId,
    pub(crate) access_token: Box<str>,
    pub(crate) digest: TokenDigest,
    pub(crate) address: IpAddr,
    pub(crate) identity: Identity,
    /// How long its hub handshake may take, if its token says so.
    pub(crate) handshake: Option<Millis>,
    pub(crate) token_times: TokenTimes,
    /// How long a client that polls may be without a poll.
    pub(crate) silence: Duration,
    /// Of a client of ASP.NET SignalR.
    pub(crate) asp_net: Option<AspNetTransport>,
}

/// What a request for a transport has beside that in ASP.NET SignalR.
#[derive(Debug)]
pub(crate) struct AspNetTransport {
    pub(crate) also_in: Vec<HubName>,
    /// What becomes of a client that is there.
    pub(crate) why: Return,
    /// The query with which it starts if it does not say by itself that it is ready.
    pub(crate) starts_with: Option<Box<str>>,
    /// When the connection ends because the token that it came with does.
    pub(crate) expiry: Option<Millis>,
}

/// A poll of a client of ASP.NET SignalR that is there.
#[derive(Debug)]
pub(crate) struct AspNetPoll {
    pub(crate) answer: Poll,
    /// Where the client is; None with its first poll.
    pub(crate) at: Option<Return>,
}

/// The times of the token that a request came with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenTimes {
    /// From then on requests with it are refused.
    pub(crate) valid_until: Millis,
    /// When the connection ends, unless a request with a later one comes.
    pub(crate) end: Millis,
}

/// A poll that waits for its answer; dropped when its sender is gone.
pub(crate) type Poll = oneshot::Sender<PollAnswer>;

/// The answers to a poll (ASP.NET Core SignalR, "Transport Protocols", "Long Polling").
#[derive(Debug)]
pub(crate) enum PollAnswer {
    /// To the first poll: the connection is there.
    Opened,
    /// Whole hub messages.
    Messages(DeliveryBody),
    /// What one of ASP.NET SignalR is told for which nothing came.
    Idle(Vec<u8>),
    /// Nothing came in time.
    Empty,
    /// The connection is over, or a newer poll has taken this one's place.
    Over,
}
