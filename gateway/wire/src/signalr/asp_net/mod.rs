//! ASP.NET SignalR as one more hub protocol: its messages as those that the gateway knows.

mod message;

use std::borrow::Cow;

use super::message::{CompletionOutcome, HubMessage, Invocation};
pub use message::{Call, KEEP_ALIVE, call_of, cursor_of, error, failed_call, idle, init, merge, with_cursor};

/// What a client is told that ends for a reason that is not for it.
const CLOSED: &str = "The connection was closed.";

/// A text is no call, which alone can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The message is no call of a hub method.")]
pub struct MalformedMessage;

/// Reads what a client says: a call, whose target is the hub and the method.
pub fn parse(message: &[u8]) -> Result<HubMessage<'_>, MalformedMessage> {
    let call = call_of(message).ok_or(MalformedMessage)?;
    Ok(HubMessage::Invocation(Invocation {
        headers: Vec::new(),
        invocation_id: call.id,
        target: Cow::Owned(call.target),
        arguments: call.arguments,
        stream_ids: Vec::new(),
    }))
}

/// Appends what a client is told. Nothing is written of messages that the protocol does not have; hub servers write the others themselves.
pub fn write(message: &HubMessage<'_>, out: &mut Vec<u8>) {
    match message {
        HubMessage::Close { error, .. } => {
            out.extend_from_slice(&self::error(error.as_deref().unwrap_or(CLOSED)));
        }
        HubMessage::Completion { invocation_id, outcome: CompletionOutcome::Error(error), .. } => {
            out.extend_from_slice(&failed_call(invocation_id, error));
        }
        _ => out.extend_from_slice(KEEP_ALIVE),
    }
}
