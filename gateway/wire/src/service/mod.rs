//! The protocol between hub servers and the gateway: MessagePack arrays, each with its length before it.
//!
//! Source: Azure SignalR SDK for .NET, "Service Protocol" (`specs/ServiceProtocol.md`). Reading is lenient: elements that
//! older peers leave out have their defaults, what newer ones add is ignored. Writing is exact: all elements of the newest
//! layout. Nothing is copied: a message borrows from the bytes that it was read from.

mod abridged;
mod claims;
mod field;
mod message;

pub use crate::signalr::framing::{TooLong, length_prefix, split_binary_message as split_message};
pub use abridged::Abridged;
pub use claims::{long_name, short_name};
pub use field::{AnyText, Extensions, FixedInteger, Headers, Pairs, Payloads, Timestamp};
pub use message::*;

use crate::messagepack::{Reader, Unexpected, write_array, write_map, write_nil, write_optional_text, write_text};
use crate::signalr::framing::write_binary_message;
use field::Fields;

/// Why bytes are no message of the service protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no message of the service protocol")]
pub struct MalformedMessage;

impl From<Unexpected> for MalformedMessage {
    fn from(Unexpected: Unexpected) -> MalformedMessage {
        MalformedMessage
    }
}

/// Reads one message without its length.
pub fn parse(body: &[u8]) -> Result<ServiceMessage<'_>, MalformedMessage> {
    let mut reader = Reader::new(body);
    let count = reader.array()?;
    let number = reader.integer()?;
    ServiceMessage::read(number, &mut Fields::new(reader, count.saturating_sub(1)))
}

/// The payload of an ack to a [`GroupMemberQuery`]: each member's connection id and user, and where the next page begins.
pub fn group_members(members: &[(&str, Option<&str>)], next: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    write_array(2, &mut out);
    write_array(members.len(), &mut out);
    for (connection_id, user_id) in members {
        write_array(2, &mut out);
        write_text(connection_id, &mut out);
        write_optional_text(*user_id, &mut out);
    }
    write_optional_text(next, &mut out);
    out
}

/// The payload of an ack to a [`RefreshAuth`] and to a [`GetConnectionClaims`]: the claims of the client, whose names may repeat.
pub fn connection_claims<'c>(claims: impl ExactSizeIterator<Item = (&'c str, &'c str)>) -> Vec<u8> {
    let mut out = Vec::new();
    match claims.len() {
        0 => write_nil(&mut out),
        count => write_map(count, &mut out),
    }
    for (name, value) in claims {
        write_text(name, &mut out);
        write_text(value, &mut out);
    }
    out
}

/// Appends `message` with its length before it.
pub fn write(message: &ServiceMessage<'_>, out: &mut Vec<u8>) {
    write_binary_message(out, |out| message.write(out));
}
