//! What guests ask of the host, and what they are told, as data: it can be counted, written down and answered again. It has no text of
//! what was said, which may be secret.

use std::fmt;

use super::client_results::Answer as ClientAnswer;
use super::streams::Outcome;
use super::weight::{actions_weight, outcome_weight, pairs_weight, payloads_weight, target_weight};
use crate::bindings::hubgate::plugin::client_results::AskError;
use crate::bindings::hubgate::plugin::{http, hub, log, presence, state, streams, timers, types};
use crate::convert::payload_bytes;
use crate::state::{Changed, Operation};

/// A call of an import.
#[derive(Clone, PartialEq)]
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
        fields: Vec<types::PairResult>,
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
    Push {
        id: String,
        items: Vec<types::PayloadResult>,
    },
    Finish {
        id: String,
        outcome: Outcome,
    },
    Http(http::Request),
    SetTimer {
        name: String,
        when: timers::Schedule,
        payload: Vec<u8>,
        durable: bool,
    },
    CancelTimer {
        name: String,
    },
    Timers {
        after: Option<String>,
        limit: u32,
    },
    Count(types::TargetResult),
    Members {
        group: String,
        after: Option<String>,
        limit: u32,
    },
    ConnectionsOf {
        user: String,
        after: Option<String>,
        limit: u32,
    },
    Watch {
        group: String,
    },
    Unwatch {
        group: String,
    },
    Outside(Outside),
    /// Of WASI: which of these pollables are ready, once one is.
    Poll(Vec<u32>),
    /// Of WASI: whether a pollable is ready now.
    IsReady(u32),
    Ask {
        connection: String,
        method: String,
        arguments: types::PayloadResult,
        timeout_ms: u32,
    },
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
            HostCall::Push { .. } => "streams.push",
            HostCall::Finish { .. } => "streams.finish",
            HostCall::Http(_) => "http.send",
            HostCall::SetTimer { .. } => "timers.set",
            HostCall::CancelTimer { .. } => "timers.cancel",
            HostCall::Timers { .. } => "timers.list",
            HostCall::Count(_) => "presence.count",
            HostCall::Members { .. } => "presence.members",
            HostCall::ConnectionsOf { .. } => "presence.connections",
            HostCall::Watch { .. } => "presence.watch",
            HostCall::Unwatch { .. } => "presence.unwatch",
            HostCall::Outside(Outside::WallClock) => "wasi:clocks/wall-clock",
            HostCall::Outside(Outside::MonotonicClock) => "wasi:clocks/monotonic-clock",
            HostCall::Outside(Outside::Seed) => "wasi:random",
            HostCall::Poll(_) | HostCall::IsReady(_) => "wasi:io/poll",
            HostCall::Ask { .. } => "client-results.ask",
        }
    }

    /// What it holds in memory beside its own size, about, in bytes.
    pub(super) fn weight(&self) -> usize {
        match self {
            HostCall::Glance(_)
            | HostCall::Random { .. }
            | HostCall::Flush
            | HostCall::Outside(_)
            | HostCall::IsReady(_) => 0,
            HostCall::Config { key: name }
            | HostCall::Get { key: name }
            | HostCall::Watch { group: name }
            | HostCall::Unwatch { group: name } => name.len(),
            HostCall::Log { message, fields, .. } => message.len() + pairs_weight(fields),
            HostCall::Fact { connection, .. } => connection.len(),
            HostCall::Submit(actions) => actions_weight(actions),
            HostCall::Exists(target) | HostCall::Count(target) => target_weight(target),
            HostCall::Change { key, operation, .. } => key.len() + operation.weight(),
            HostCall::Keys { prefix: name, after, .. }
            | HostCall::Members { group: name, after, .. }
            | HostCall::ConnectionsOf { user: name, after, .. } => name.len() + after.as_ref().map_or(0, String::len),
            HostCall::Push { id, items } => id.len() + payloads_weight(items),
            HostCall::Finish { id, outcome } => id.len() + outcome_weight(outcome),
            HostCall::Http(http::Request { method, url, headers, body, timeout_ms: _ }) => {
                method.len() + url.len() + pairs_weight(headers) + body.len()
            }
            HostCall::SetTimer { name, payload, .. } => name.len() + payload.len(),
            HostCall::CancelTimer { name } => name.len(),
            HostCall::Timers { after, .. } => after.as_ref().map_or(0, String::len),
            HostCall::Poll(pollables) => size_of_val(pollables.as_slice()),
            HostCall::Ask { connection, method, arguments, timeout_ms: _ } => {
                connection.len() + method.len() + payload_bytes(arguments)
            }
        }
    }
}

impl fmt::Debug for HostCall {
    /// Without what it says: it may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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
        #[derive(Clone, PartialEq)]
        pub(crate) enum HostReply {
            $($kind($type),)*
        }

        impl fmt::Debug for HostReply {
            /// Without what it says: it may be secret.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(HostReply::$kind(_) => stringify!($kind),)*
                })
            }
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
    Pairs(Vec<types::PairResult>),
    OptionalPairs(Option<Vec<types::PairResult>>),
    Queued(Result<(), hub::Invalid>),
    Exists(Result<bool, String>),
    Value(Result<Option<Vec<u8>>, state::Error>),
    Changed(Result<Changed, state::Error>),
    Keys(Result<Vec<String>, state::Error>),
    Pushed(Result<streams::Room, streams::PushError>),
    Finished(Result<(), streams::PushError>),
    Response(Result<http::Response, http::Error>),
    TimerSet(Result<(), timers::Error>),
    TimerCancelled(Result<bool, timers::Error>),
    Timers(Result<Vec<timers::Timer>, timers::Error>),
    Count(Result<u64, String>),
    Members(Result<Vec<presence::MemberResult>, String>),
    Connections(Result<Vec<String>, String>),
    Watched(Result<(), presence::WatchError>),
    Ready(Vec<u32>),
    IsReady(bool),
    ClientAnswer(ClientAnswer),
}

impl HostReply {
    /// What it holds in memory beside its own size, about, in bytes.
    pub(super) fn weight(&self) -> usize {
        let error = |error: &state::Error| match error {
            state::Error::TooLarge | state::Error::Quota => 0,
            state::Error::Unavailable(reason) => reason.len(),
        };
        match self {
            HostReply::Done(())
            | HostReply::Milliseconds(_)
            | HostReply::TimeLeft(_)
            | HostReply::Clock(_)
            | HostReply::Seed(_)
            | HostReply::IsReady(_)
            | HostReply::OptionalText(None)
            | HostReply::OptionalPairs(None)
            | HostReply::Queued(Ok(()))
            | HostReply::Exists(Ok(_))
            | HostReply::Count(Ok(_))
            | HostReply::Watched(Ok(()) | Err(presence::WatchError::TooMany))
            | HostReply::Value(Ok(None))
            | HostReply::Changed(Ok(_))
            | HostReply::ClientAnswer(Ok(None)) => 0,
            HostReply::Bytes(bytes) | HostReply::Value(Ok(Some(bytes))) => bytes.len(),
            HostReply::Text(text)
            | HostReply::OptionalText(Some(text))
            | HostReply::Queued(Err(hub::Invalid { reason: text, .. }))
            | HostReply::Exists(Err(text))
            | HostReply::Count(Err(text))
            | HostReply::Members(Err(text))
            | HostReply::Connections(Err(text))
            | HostReply::Watched(Err(presence::WatchError::Invalid(text)))
            | HostReply::Response(Err(http::Error::Denied(text) | http::Error::Failed(text))) => text.len(),
            HostReply::Pairs(pairs) | HostReply::OptionalPairs(Some(pairs)) => pairs_weight(pairs),
            HostReply::Keys(Ok(texts)) | HostReply::Connections(Ok(texts)) => {
                texts.iter().map(|text| size_of::<String>() + text.len()).sum()
            }
            HostReply::Members(Ok(members)) => members.iter().map(member_weight).sum(),
            HostReply::Value(Err(why)) | HostReply::Changed(Err(why)) | HostReply::Keys(Err(why)) => error(why),
            HostReply::Response(Ok(http::Response { status: _, headers, body })) => pairs_weight(headers) + body.len(),
            HostReply::Pushed(Err(streams::PushError::Invalid(reason)))
            | HostReply::Finished(Err(streams::PushError::Invalid(reason))) => reason.len(),
            HostReply::Pushed(_) | HostReply::Finished(_) => 0,
            HostReply::Response(Err(http::Error::TimedOut | http::Error::TooLarge)) => 0,
            HostReply::Timers(Ok(timers)) => timers.iter().map(timer_weight).sum(),
            HostReply::TimerSet(Ok(())) | HostReply::TimerCancelled(Ok(_)) => 0,
            HostReply::TimerSet(Err(why)) | HostReply::TimerCancelled(Err(why)) | HostReply::Timers(Err(why)) => {
                match why {
                    timers::Error::TooMany | timers::Error::TooShort | timers::Error::TooLarge => 0,
                    timers::Error::Unavailable(reason) => reason.len(),
                }
            }
            HostReply::Ready(ready) => size_of_val(ready.as_slice()),
            HostReply::ClientAnswer(Ok(Some(value))) => payload_bytes(value),
            HostReply::ClientAnswer(Err(AskError::Failed(error))) => error.len(),
            HostReply::ClientAnswer(Err(_)) => 0,
        }
    }
}

fn timer_weight(timer: &timers::Timer) -> usize {
    size_of_val(timer) + timer.name.len() + timer.payload.len()
}

fn member_weight(member: &presence::MemberResult) -> usize {
    size_of_val(member) + member.connection.len() + member.user_id.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_has_no_text() {
        let secret = || "hunter2".to_owned();
        let call = HostCall::Get { key: secret() };
        assert_eq!(format!("{call:?} {:?}", secret().into_reply()), "state.get Text");
    }
}
