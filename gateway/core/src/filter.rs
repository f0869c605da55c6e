//! What passes between a hub and its filters: messages on their way, and what a filter makes of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hubgate_wire::payload::{Payload, PayloadRef};
use hubgate_wire::signalr::{CompletionOutcome, HubMessage};

use crate::delivery::{Action, Target};
use crate::event::{ConnectionFacts, UpstreamFailure};
use crate::id::{HubName, PluginName, ServerId};
use crate::pairs::Pairs;
use crate::settings::Handler;

/// A filter of a hub, as the configuration describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterSettings {
    pub plugin: PluginName,
    pub targets: Targets,
    pub on_error: OnError,
}

/// The hub methods that a filter sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// Every message, those that name no method (stream items and completions) among them.
    All,
    /// Calls of these methods alone. Compared without case, as hub servers find their methods.
    OneOf(Vec<String>),
}

/// What becomes of a message when its filter fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// It is refused.
    Closed,
    /// It passes.
    Open,
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From a client.
    Inbound,
    /// To clients.
    Outbound,
}

/// Which halves the component has that serves as a filter now. A swap may change them.
#[derive(Debug, Default)]
pub struct Halves {
    inbound: AtomicBool,
    outbound: AtomicBool,
}

/// The halves of all plugins that may be filters.
pub type HalvesByPlugin = BTreeMap<PluginName, Arc<Halves>>;

/// The filters of a hub, in the order in which messages meet them. A clone shares them.
#[derive(Debug, Clone, Default)]
pub struct Filters(Option<Arc<[Filter]>>);

/// One filter of a hub.
#[derive(Debug)]
pub struct Filter {
    pub settings: FilterSettings,
    halves: Arc<Halves>,
}

/// What kind of hub message a filter sees. Others (pings, cancellations, the end) are not shown to filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    Invocation,
    StreamInvocation,
    StreamItem,
    Completion,
}

/// A hub message as filters see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterMessage {
    pub kind: MessageKind,
    /// The method of a call.
    pub target: Option<String>,
    /// The arguments of a call (one array), a stream's item, or a result.
    pub content: Option<Payload>,
    /// Of a completion.
    pub error: Option<String>,
}

/// A message on its way through a hub's filters.
#[derive(Debug)]
pub struct Inspection {
    pub filters: Filters,
    pub subject: Subject,
    pub message: FilterMessage,
    /// Headers of the hub message.
    pub headers: Pairs,
}

/// Whose message it is.
#[derive(Debug)]
pub enum Subject {
    /// What this client says.
    Client(Arc<ConnectionFacts>),
    /// What is sent to clients.
    Delivery { hub: HubName, to: Vec<Target>, origin: Origin },
}

/// Who sends something to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    HubServer(ServerId),
    Plugin(PluginName),
    Webhook,
    Rest,
    /// A management connection.
    Management,
}

/// What a hub's filters made of a message.
#[derive(Debug)]
pub struct Inspected {
    pub verdict: Verdict,
    /// What the filters asked for, in order. Filters do not see it.
    pub actions: Vec<Action>,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on as it came.
    Pass,
    /// This goes on in its place. It has the same kind.
    Replace(FilterMessage),
    /// Nobody gets it, and who waits for an answer gets an error.
    Refuse(Refusal),
    /// Nobody gets it, and the client that sent it, or the single connections that it was for, are closed with this error.
    Close(String),
}

/// Why a message goes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// With this error for who waits for an answer.
    Rejected(String),
    Dropped,
    /// A filter failed whose messages are refused then.
    Failed(UpstreamFailure),
}

/// Tells an [`crate::Effect::Inspect`] from others of its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InspectionNumber(pub(crate) u64);

impl Targets {
    fn wants(&self, target: Option<&str>) -> bool {
        match (self, target) {
            (Targets::All, _) => true,
            (Targets::OneOf(_), None) => false,
            (Targets::OneOf(names), Some(target)) => names.iter().any(|name| is_same_method(name, target)),
        }
    }
}

fn is_same_method(name: &str, target: &str) -> bool {
    let upper_case = |text: &str| text.chars().flat_map(char::to_uppercase).collect::<String>();
    name.eq_ignore_ascii_case(target)
        || (!(name.is_ascii() && target.is_ascii()) && upper_case(name) == upper_case(target))
}

impl Halves {
    pub fn set(&self, inbound: bool, outbound: bool) {
        self.inbound.store(inbound, Ordering::Relaxed);
        self.outbound.store(outbound, Ordering::Relaxed);
    }

    fn has(&self, direction: Direction) -> bool {
        match direction {
            Direction::Inbound => self.inbound.load(Ordering::Relaxed),
            Direction::Outbound => self.outbound.load(Ordering::Relaxed),
        }
    }
}

impl Filter {
    /// Whether the filter looks at messages of this way that call `target`.
    pub fn wants(&self, direction: Direction, target: Option<&str>) -> bool {
        self.halves.has(direction) && self.settings.targets.wants(target)
    }
}

impl Filters {
    pub fn new(settings: &[FilterSettings], halves: &HalvesByPlugin) -> Filters {
        let filter = |settings: &FilterSettings| Filter {
            settings: settings.clone(),
            halves: halves.get(&settings.plugin).cloned().unwrap_or_default(),
        };
        Filters((!settings.is_empty()).then(|| settings.iter().map(filter).collect()))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Filter> {
        self.0.iter().flat_map(|filters| filters.iter())
    }

    /// Whether any of them looks at messages of this way.
    #[inline]
    pub(crate) fn look_at(&self, direction: Direction) -> bool {
        self.0.as_ref().is_some_and(|filters| filters.iter().any(|filter| filter.halves.has(direction)))
    }

    /// The message as those that want to see it do, and its headers; `None` if there are none.
    pub(crate) fn see(&self, direction: Direction, message: &HubMessage<'_>) -> Option<(FilterMessage, Pairs)> {
        match self.iter().any(|filter| filter.wants(direction, method(message))) {
            true => FilterMessage::of(message),
            false => None,
        }
    }
}

/// The method that a message calls.
pub(crate) fn method<'m>(message: &'m HubMessage<'_>) -> Option<&'m str> {
    match message {
        HubMessage::Invocation(call) | HubMessage::StreamInvocation(call) => Some(&call.target),
        _ => None,
    }
}

impl FilterMessage {
    /// The message as filters see it, and its headers; none of a kind that they do not see.
    fn of(message: &HubMessage<'_>) -> Option<(FilterMessage, Pairs)> {
        let (kind, target, content, error, headers) = match message {
            HubMessage::Invocation(call) => {
                (MessageKind::Invocation, Some(&call.target), Some(call.arguments), None, &call.headers)
            }
            HubMessage::StreamInvocation(call) => {
                (MessageKind::StreamInvocation, Some(&call.target), Some(call.arguments), None, &call.headers)
            }
            HubMessage::StreamItem { headers, item, .. } => (MessageKind::StreamItem, None, Some(*item), None, headers),
            HubMessage::Completion { headers, outcome, .. } => {
                let (content, error) = match outcome {
                    CompletionOutcome::Void => (None, None),
                    CompletionOutcome::Result(result) => (Some(*result), None),
                    CompletionOutcome::Error(error) => (None, Some(error)),
                };
                (MessageKind::Completion, None, content, error, headers)
            }
            HubMessage::CancelInvocation { .. }
            | HubMessage::Ping
            | HubMessage::Close { .. }
            | HubMessage::Ack { .. }
            | HubMessage::Sequence { .. }
            | HubMessage::Unbindable(_)
            | HubMessage::Unknown { .. } => return None,
        };
        let message = FilterMessage {
            kind,
            target: target.map(|target| target.clone().into_owned()),
            content: content.map(PayloadRef::to_payload),
            error: error.map(|error| error.clone().into_owned()),
        };
        Some((message, headers.iter().map(|(name, value)| (name, value)).collect()))
    }

    /// Whether the message can go on in the place of one of `kind`.
    pub fn can_replace(&self, kind: MessageKind) -> Result<(), &'static str> {
        let FilterMessage { kind: own, target, content, error } = self;
        match own {
            _ if *own != kind => Err("the message that replaces another is of another kind"),
            MessageKind::Invocation | MessageKind::StreamInvocation if target.as_deref().is_none_or(str::is_empty) => {
                Err("the call has no target")
            }
            MessageKind::Invocation | MessageKind::StreamInvocation if content.is_none() => {
                Err("the call has no arguments")
            }
            MessageKind::StreamItem if content.is_none() => Err("the stream's item has no content"),
            MessageKind::Completion if content.is_some() && error.is_some() => {
                Err("the completion has both content and an error")
            }
            _ => Ok(()),
        }
    }

    /// `original` with what the filter has put in its place.
    pub(crate) fn put_into<'a>(&'a self, original: HubMessage<'a>) -> HubMessage<'a> {
        let target = || self.target.as_deref().unwrap_or_default().into();
        let content = self.content.as_ref().map(Payload::borrow);
        match (original, content) {
            (HubMessage::Invocation(mut call), Some(arguments)) => {
                (call.target, call.arguments) = (target(), arguments);
                HubMessage::Invocation(call)
            }
            (HubMessage::StreamInvocation(mut call), Some(arguments)) => {
                (call.target, call.arguments) = (target(), arguments);
                HubMessage::StreamInvocation(call)
            }
            (HubMessage::StreamItem { headers, invocation_id, .. }, Some(item)) => {
                HubMessage::StreamItem { headers, invocation_id, item }
            }
            (HubMessage::Completion { headers, invocation_id, .. }, content) => {
                let outcome = match (content, &self.error) {
                    (Some(result), _) => CompletionOutcome::Result(result),
                    (None, Some(error)) => CompletionOutcome::Error(error.into()),
                    (None, None) => CompletionOutcome::Void,
                };
                HubMessage::Completion { headers, invocation_id, outcome }
            }
            (original, _) => original,
        }
    }
}

impl From<Handler> for Origin {
    fn from(handler: Handler) -> Origin {
        match handler {
            Handler::Plugin(plugin) => Origin::Plugin(plugin),
            Handler::Webhook(_) => Origin::Webhook,
        }
    }
}

impl Inspected {
    /// Nothing is changed.
    pub fn pass() -> Inspected {
        Inspected { verdict: Verdict::Pass, actions: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_compared_without_case_as_hub_servers_find_them() {
        let targets = Targets::OneOf(vec!["send".to_owned(), "größe".to_owned()]);
        assert!(targets.wants(Some("SEND")) && targets.wants(Some("GRÖSSE")));
        assert!(!targets.wants(Some("sends")) && !targets.wants(None));
        assert!(Targets::All.wants(None));
    }
}
