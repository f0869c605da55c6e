//! Hub messages, whatever protocol carries them.
//!
//! Source: ASP.NET Core SignalR hub protocol, "Message Headers" to "Sequence Message".

use std::borrow::Cow;

use crate::payload::PayloadRef;

/// Headers of a hub message, in their order.
pub type Headers<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// One hub message, borrowed from the bytes that it was read from.
#[derive(Debug, Clone)]
pub enum HubMessage<'a> {
    Invocation(Invocation<'a>),
    StreamItem {
        headers: Headers<'a>,
        invocation_id: Cow<'a, str>,
        item: PayloadRef<'a>,
    },
    Completion {
        headers: Headers<'a>,
        invocation_id: Cow<'a, str>,
        outcome: CompletionOutcome<'a>,
    },
    /// A call that is answered by a stream. Its `invocation_id` is always there.
    StreamInvocation(Invocation<'a>),
    CancelInvocation {
        headers: Headers<'a>,
        invocation_id: Cow<'a, str>,
    },
    Ping,
    Close {
        error: Option<Cow<'a, str>>,
        allow_reconnect: bool,
    },
    Ack {
        sequence_id: i64,
    },
    Sequence {
        sequence_id: i64,
    },
    /// A call whose arguments are none. It fails, and the connection goes on.
    Unbindable(Unbindable<'a>),
    /// A type that is not known. Ignored, so that newer peers can be talked to.
    Unknown {
        kind: i64,
    },
}

/// A call of a method.
#[derive(Debug, Clone)]
pub struct Invocation<'a> {
    pub headers: Headers<'a>,
    /// `None`: nobody waits for an answer.
    pub invocation_id: Option<Cow<'a, str>>,
    pub target: Cow<'a, str>,
    /// One array.
    pub arguments: PayloadRef<'a>,
    /// Streams that the caller uploads beside its arguments.
    pub stream_ids: Vec<Cow<'a, str>>,
}

/// A call that cannot be made.
#[derive(Debug, Clone)]
pub struct Unbindable<'a> {
    /// `None`: nobody waits for an answer.
    pub invocation_id: Option<Cow<'a, str>>,
    pub error: &'static str,
}

/// What came of a call.
#[derive(Debug, Clone)]
pub enum CompletionOutcome<'a> {
    Void,
    Result(PayloadRef<'a>),
    Error(Cow<'a, str>),
}
