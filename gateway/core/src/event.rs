//! What happens to a serverless client and is told to upstream, and what upstream answers.

use std::sync::Arc;

use hubgate_wire::payload::Payload;
use hubgate_wire::signalr::HubProtocol;

use crate::delivery::Action;
use crate::id::{ConnectionId, GroupName, HubName, PluginName, UserId};
use crate::pairs::Pairs;
use crate::stream::StreamEvent;

/// What is known of a client for as long as it lives and during its own `disconnected`.
#[derive(Debug, PartialEq, Eq)]
pub struct ConnectionFacts {
    pub hub: HubName,
    pub id: ConnectionId,
    pub user_id: Option<UserId>,
    pub protocol: HubProtocol,
    /// The claims of the client's token; a repeated claim has an entry for each value.
    pub claims: Pairs,
    /// The transport request's query without its `?` and without `access_token`, `id` and `_`.
    pub query: Box<str>,
    /// The transport request's headers, without those that carry credentials.
    pub headers: Pairs,
    /// The client's address without its port.
    pub remote_address: Box<str>,
}

/// An event for the `upstream` interface of a plugin.
#[derive(Debug)]
pub enum UpstreamEvent {
    Connected,
    Disconnected {
        reason: Option<String>,
    },
    Invocation {
        target: Arc<str>,
        arguments: Payload,
        /// None: nobody waits for the result.
        invocation_id: Option<Arc<str>>,
        /// Headers of the hub message.
        headers: Pairs,
    },
    /// A call that is answered by a stream, told to a webhook: its application sends the items with the REST API.
    StreamCall(Box<StreamCall>),
    /// Only plugins are told of what comes of streams.
    Stream(StreamEvent),
}

impl UpstreamEvent {
    /// Those of a hub message; none of others.
    pub fn headers(&self) -> Pairs {
        match self {
            UpstreamEvent::Invocation { headers, .. } => headers.clone(),
            UpstreamEvent::StreamCall(call) => call.headers.clone(),
            UpstreamEvent::Stream(StreamEvent::Begin(opening)) => opening.headers.clone(),
            UpstreamEvent::Stream(StreamEvent::Item(item)) => item.headers.clone(),
            UpstreamEvent::Connected | UpstreamEvent::Disconnected { .. } | UpstreamEvent::Stream(_) => {
                Pairs::default()
            }
        }
    }

    /// The same, without a copy: the event has none from now on.
    pub fn take_headers(&mut self) -> Pairs {
        self.headers_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Those of a hub message, to be changed.
    pub fn headers_mut(&mut self) -> Option<&mut Pairs> {
        match self {
            UpstreamEvent::Invocation { headers, .. } => Some(headers),
            UpstreamEvent::StreamCall(call) => Some(&mut call.headers),
            UpstreamEvent::Stream(StreamEvent::Begin(opening)) => Some(&mut opening.headers),
            UpstreamEvent::Stream(StreamEvent::Item(item)) => Some(&mut item.headers),
            UpstreamEvent::Connected | UpstreamEvent::Disconnected { .. } | UpstreamEvent::Stream(_) => None,
        }
    }
}

/// A client's call for a stream.
#[derive(Debug)]
pub struct StreamCall {
    pub target: Arc<str>,
    pub arguments: Payload,
    /// The client's own: it knows the stream by it.
    pub invocation_id: Arc<str>,
    /// Headers of the hub message.
    pub headers: Pairs,
}

/// One call of a plugin: an event of one client.
#[derive(Debug)]
pub struct UpstreamCall {
    pub plugin: PluginName,
    pub client: Arc<ConnectionFacts>,
    pub event: UpstreamEvent,
}

/// What came of an [`UpstreamCall`].
#[derive(Debug, Clone)]
pub struct UpstreamAnswer {
    /// The result of an invocation; `Ok(None)` for connection events and void methods.
    pub result: Result<Option<Payload>, UpstreamFailure>,
    /// What the plugin asked for, in order. Empty when `result` is an error: a plugin's actions take effect on success
    /// only.
    pub actions: Vec<Action>,
}

/// Why an event has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamFailure {
    /// The plugin's text for the client, word by word.
    Rejected(String),
    /// The plugin's text for the log.
    Failed(String),
    /// Upstream was not reached, or could not answer for now. The text is for the log.
    Unavailable(String),
    /// The plugin broke off: its instance is gone. The reason is for the log.
    Trapped(String),
    /// The call ran longer than the plugin's `call-time`.
    TimedOut,
    /// The call kept a processor busy for longer than the plugin's `cpu-time`.
    OutOfCpuTime {
        /// The time that it took, in milliseconds.
        ticks: u64,
    },
    /// The plugin wanted more than its `memory`.
    OutOfMemory,
    /// No instance of the plugin became free within its `call-time`.
    Busy,
    /// The plugin has no component that serves.
    NotServing,
}

impl UpstreamFailure {
    /// Whether the same event may have an answer later. What upstream has said itself is its answer.
    pub fn may_pass(&self) -> bool {
        match self {
            UpstreamFailure::Rejected(_) => false,
            UpstreamFailure::Failed(_)
            | UpstreamFailure::Unavailable(_)
            | UpstreamFailure::Trapped(_)
            | UpstreamFailure::TimedOut
            | UpstreamFailure::OutOfCpuTime { .. }
            | UpstreamFailure::OutOfMemory
            | UpstreamFailure::Busy
            | UpstreamFailure::NotServing => true,
        }
    }
}

/// What happens to a hub and is told to a plugin, without a client that has caused it.
#[derive(Debug)]
pub enum HubEvent {
    /// A version of the plugin begins to serve the hub.
    Started,
    /// A timer of the plugin is due.
    TimerFired { name: Arc<str>, payload: Arc<[u8]> },
    /// These have joined and left a group that the plugin watches.
    PresenceChanged { group: GroupName, joined: Vec<PresentMember>, left: Vec<PresentMember> },
}

/// A connection that is, or was, in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentMember {
    pub connection: ConnectionId,
    pub user_id: Option<UserId>,
}

/// One call of a plugin for a hub. Its answer is an [`UpstreamAnswer`] without a result.
#[derive(Debug)]
pub struct HubCall {
    pub plugin: PluginName,
    pub hub: HubName,
    pub event: HubEvent,
}
