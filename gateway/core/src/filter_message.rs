//! Hub messages as filters see them.

use hubgate_wire::payload::{Payload, PayloadRef};
use hubgate_wire::signalr::{CompletionOutcome, HubMessage};

use crate::pairs::Pairs;

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

/// The method that a message calls.
pub(crate) fn method<'m>(message: &'m HubMessage<'_>) -> Option<&'m str> {
    match message {
        HubMessage::Invocation(call) | HubMessage::StreamInvocation(call) => Some(&call.target),
        _ => None,
    }
}

impl FilterMessage {
    /// The message as filters see it, and its headers; none of a kind that they do not see.
    pub(crate) fn of(message: &HubMessage<'_>) -> Option<(FilterMessage, Pairs)> {
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
