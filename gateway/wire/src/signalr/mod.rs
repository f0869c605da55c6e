//! The SignalR hub protocol between clients and the gateway.

pub mod asp_net;
mod exchange;
pub mod framing;
mod glance;
pub mod handshake;
pub mod json;
mod message;
pub mod messagepack;
mod stream;

use std::borrow::Cow;

pub use exchange::{Exchange, Followed};
pub use message::{CompletionOutcome, Headers, HubMessage, Invocation, Unbindable};
pub use stream::MessageStream;

use crate::payload::PayloadRef;
use crate::websocket::{DataKind, Frame};

/// Headers of one message, in number.
pub const MOST_HEADERS: usize = 100;

/// Streams that one call may upload, in number.
pub const MOST_STREAMS: usize = 100;

/// A hub protocol that clients choose in their handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HubProtocol {
    Json,
    MessagePack,
    /// MessagePack by another name: what server-side Blazor speaks with a hub server.
    BlazorPack,
    /// ASP.NET SignalR, which no handshake names. What clients say comes with the separator of JSON after each message, which the transport adds; what they
    /// are told is framed by the transport alone.
    AspNet,
}

/// Why bytes are no hub message of their protocol. Such bytes end the connection; the text is for the log, and for
/// clients only with detailed errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedMessage {
    #[error(transparent)]
    Json(#[from] json::MalformedMessage),
    #[error(transparent)]
    MessagePack(#[from] messagepack::MalformedMessage),
    #[error(transparent)]
    AspNet(#[from] asp_net::MalformedMessage),
}

impl HubProtocol {
    /// How many are spoken.
    pub const COUNT: usize = Self::ALL.len();

    /// All that are spoken.
    pub const ALL: [HubProtocol; 4] =
        [HubProtocol::Json, HubProtocol::MessagePack, HubProtocol::BlazorPack, HubProtocol::AspNet];

    /// The protocol of this name, compared without case, of those that clients of ASP.NET Core choose.
    pub fn named(name: &str) -> Option<HubProtocol> {
        let mut chosen = HubProtocol::ALL.into_iter().filter(|protocol| *protocol != HubProtocol::AspNet);
        chosen.find(|protocol| protocol.name().eq_ignore_ascii_case(name))
    }

    /// The name in the handshake.
    pub fn name(self) -> &'static str {
        match self {
            HubProtocol::Json => "json",
            HubProtocol::MessagePack => "messagepack",
            HubProtocol::BlazorPack => "blazorpack",
            HubProtocol::AspNet => "aspnet",
        }
    }

    /// The kind of WebSocket messages that clients of the protocol read.
    pub fn data_kind(self) -> DataKind {
        match self {
            HubProtocol::Json | HubProtocol::AspNet => DataKind::Text,
            HubProtocol::MessagePack | HubProtocol::BlazorPack => DataKind::Binary,
        }
    }

    /// Splits the first whole message off the front of `input`; `None` if it is not there as a whole.
    pub fn split_message<'a>(self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, framing::TooLong> {
        match self {
            HubProtocol::Json | HubProtocol::AspNet => Ok(framing::split_message(input)),
            HubProtocol::MessagePack | HubProtocol::BlazorPack => framing::split_binary_message(input),
        }
    }

    /// The type of one message without what frames it, which is not decoded; 0 if it has none.
    pub fn kind_of(self, message: &[u8]) -> u32 {
        glance::kind_of(self, message)
    }

    /// Reads one message without what frames it.
    pub fn parse(self, message: &[u8]) -> Result<HubMessage<'_>, MalformedMessage> {
        match self {
            HubProtocol::Json => Ok(json::parse(message)?),
            HubProtocol::AspNet => Ok(asp_net::parse(message)?),
            HubProtocol::MessagePack | HubProtocol::BlazorPack => Ok(messagepack::parse(message)?),
        }
    }

    /// One hub message without what frames it.
    pub fn encode(self, message: &HubMessage<'_>) -> Vec<u8> {
        let mut framed = Vec::new();
        match self {
            HubProtocol::AspNet => {
                asp_net::write(message, &mut framed);
                framed
            }
            HubProtocol::Json => {
                json::write(message, &mut framed);
                framed.pop();
                framed
            }
            HubProtocol::MessagePack | HubProtocol::BlazorPack => {
                messagepack::write(message, &mut framed);
                let prefix = framing::length_prefix(&framed).ok().flatten().map_or(0, |(_, prefix)| prefix);
                framed.split_off(prefix)
            }
        }
    }

    /// Appends one hub message with what frames it.
    pub fn write(self, message: &HubMessage<'_>, out: &mut Vec<u8>) {
        match self {
            HubProtocol::AspNet => asp_net::write(message, out),
            HubProtocol::Json => json::write(message, out),
            HubProtocol::MessagePack | HubProtocol::BlazorPack => messagepack::write(message, out),
        }
    }

    /// Appends a message that is encoded already, with what frames it.
    pub fn write_framed(self, message: &[u8], out: &mut Vec<u8>) {
        match self {
            HubProtocol::AspNet => out.extend_from_slice(message),
            HubProtocol::Json => {
                out.extend_from_slice(message);
                out.push(framing::RECORD_SEPARATOR);
            }
            HubProtocol::MessagePack | HubProtocol::BlazorPack => {
                framing::write_binary_message(out, |out| out.extend_from_slice(message));
            }
        }
    }

    /// The WebSocket message of one hub message.
    pub fn frame(self, message: &HubMessage<'_>) -> Frame {
        Frame::data(self.data_kind(), |out| self.write(message, out))
    }

    /// A call that nobody answers, as sends to clients are.
    pub fn send_frame(self, target: &str, arguments: PayloadRef<'_>) -> Frame {
        self.frame(&HubMessage::Invocation(Invocation {
            headers: Vec::new(),
            invocation_id: None,
            target: Cow::Borrowed(target),
            arguments,
            stream_ids: Vec::new(),
        }))
    }

    /// A completion; without a result, a void one.
    pub fn result_frame(self, invocation_id: &str, result: Option<PayloadRef<'_>>) -> Frame {
        let outcome = result.map_or(CompletionOutcome::Void, CompletionOutcome::Result);
        self.frame(&HubMessage::Completion {
            headers: Vec::new(),
            invocation_id: Cow::Borrowed(invocation_id),
            outcome,
        })
    }

    /// The completion of a call that failed.
    pub fn error_frame(self, invocation_id: &str, error: &str) -> Frame {
        self.frame(&HubMessage::Completion {
            headers: Vec::new(),
            invocation_id: Cow::Borrowed(invocation_id),
            outcome: CompletionOutcome::Error(Cow::Borrowed(error)),
        })
    }

    /// A text of the handshake, which is JSON in all protocols.
    pub fn handshake_frame(self, text: &[u8]) -> Frame {
        Frame::of_payload(self.data_kind(), text)
    }
}
