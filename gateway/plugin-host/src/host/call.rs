//! What guests ask of the host, and what they are told, as data: it can be counted, written down and answered again.

use crate::bindings::hubgate::plugin::{http, hub, log, state, types};
use crate::state::{Changed, Operation};

/// A call of an import.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum HostCall {
    /// Answered in place, without a look at whose turn it is.
    Glance(Glance),
    Random {
        length: u32,
    },
    Config {
        key: String,
    },
    Log {
        level: log::Level,
        message: String,
        fields: Vec<types::Pair>,
    },
    Fact {
        fact: Fact,
        connection: String,
    },
    Submit(Vec<hub::Action>),
    Flush,
    Exists(types::TargetResult),
    Get {
        key: String,
    },
    Change {
        key: String,
        operation: Operation,
        ttl_ms: Option<u64>,
    },
    Keys {
        prefix: String,
        after: Option<String>,
        limit: u32,
    },
    Http(http::Request),
    Outside(Outside),
    /// Of WASI: which of these pollables are ready, once one is.
    Poll(Vec<u32>),
    /// Of WASI: whether a pollable is ready now.
    IsReady(u32),
}

/// A call that takes a moment at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glance {
    Now,
    EventId,
    MessageHeaders,
    TimeLeft,
}

/// Time and chance as WASI has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outside {
    WallClock,
    MonotonicClock,
    /// What an instance's random numbers follow from.
    Seed,
}

/// What can be known of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    Claims,
    Query,
    Headers,
    RemoteAddress,
    Protocol,
}

impl HostCall {
    /// What is called, in the contract's words.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            HostCall::Glance(Glance::Now) => "context.now",
            HostCall::Glance(Glance::EventId) => "context.event-id",
            HostCall::Glance(Glance::MessageHeaders) => "context.message-headers",
            HostCall::Glance(Glance::TimeLeft) => "context.time-left",
            HostCall::Random { .. } => "context.random",
            HostCall::Config { .. } => "config.get",
            HostCall::Log { .. } => "log.write",
            HostCall::Fact { .. } => "connections",
            HostCall::Submit(_) => "hub.submit",
            HostCall::Flush => "hub.flush",
            HostCall::Exists(_) => "hub.exists",
            HostCall::Get { .. } => "state.get",
            HostCall::Change { .. } => "state, to change a value",
            HostCall::Keys { .. } => "state.keys",
            HostCall::Http(_) => "http.send",
            HostCall::Outside(Outside::WallClock) => "wasi:clocks/wall-clock",
            HostCall::Outside(Outside::MonotonicClock) => "wasi:clocks/monotonic-clock",
            HostCall::Outside(Outside::Seed) => "wasi:random",
            HostCall::Poll(_) | HostCall::IsReady(_) => "wasi:io/poll",
        }
    }
}

/// A kind of reply.
pub(crate) trait Reply: Sized {
    fn into_reply(self) -> HostReply;

    /// `None` of a reply of another kind.
    fn of(reply: HostReply) -> Option<Self>;
}

macro_rules! replies {
    ($($kind:ident($type:ty),)*) => {
        /// What a call of an import is told.
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) enum HostReply {
            $($kind($type),)*
        }

        $(impl Reply for $type {
            fn into_reply(self) -> HostReply {
                HostReply::$kind(self)
            }

            fn of(reply: HostReply) -> Option<$type> {
                let HostReply::$kind(value) = reply else { return None };
                Some(value)
            }
        })*
    };
}

replies! {
    Done(()),
    Milliseconds(u64),
    TimeLeft(u32),
    Clock(std::time::Duration),
    Seed([u8; 32]),
    Bytes(Vec<u8>),
    Text(String),
    OptionalText(Option<String>),
    Pairs(Vec<types::Pair>),
    OptionalPairs(Option<Vec<types::Pair>>),
    Queued(Result<(), hub::Invalid>),
    Exists(Result<bool, String>),
    Value(Result<Option<Vec<u8>>, state::Error>),
    Changed(Result<Changed, state::Error>),
    Keys(Result<Vec<String>, state::Error>),
    Response(Result<http::Response, http::Error>),
    Ready(Vec<u32>),
    IsReady(bool),
}
