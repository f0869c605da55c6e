//! Streams of clients: what plugins are told of them, and what plugins do to them.

use std::fmt;
use std::sync::Arc;

use hubgate_wire::payload::Payload;

use crate::id::{ConnectionId, PluginName};
use crate::pairs::Pairs;

/// A stream of a client, whichever way it goes, or a client's call whose uploads these are. It is the gateway's own, so that it says
/// where the client lives, and no other stream ever has it. As text: the connection's id, a dot, and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    pub connection: ConnectionId,
    /// Counted by connection.
    pub number: u32,
}

impl StreamId {
    /// Reads an id from outside; `None` if it cannot be one of ours, so that no such stream exists.
    pub fn parse(text: &str) -> Option<StreamId> {
        let (connection, number) = text.split_once('.')?;
        let is_decimal = number.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.parse().ok().filter(|_| is_decimal)?;
        Some(StreamId { connection: ConnectionId::parse(connection)?, number })
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.connection, self.number)
    }
}

/// What a client waits for after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A stream of items, and its end.
    Items,
    Value,
    Nothing,
}

/// A call that opens streams.
#[derive(Debug)]
pub struct Opening {
    pub id: StreamId,
    pub target: Arc<str>,
    pub arguments: Payload,
    /// The streams that the client sends with it, in the order of the method's parameters.
    pub uploads: Vec<StreamId>,
    pub answer: Expected,
    /// Headers of the hub message.
    pub headers: Pairs,
}

/// What a plugin is told of a client's streams.
#[derive(Debug)]
pub enum StreamEvent {
    /// A call opens streams. An error ends it.
    Begin(Box<Opening>),
    /// A stream that was full has room again.
    Writable { stream: StreamId, room: Room },
    /// The client wants no more of a stream, or has left.
    Cancelled { stream: StreamId },
    /// An item of an upload. An error ends the call that it belongs to.
    Item(Box<UploadedItem>),
    /// An upload is complete, or has failed. An error ends the call that it belongs to.
    Ended { upload: StreamId, error: Option<String> },
}

/// An item of a stream that a client sends.
#[derive(Debug)]
pub struct UploadedItem {
    pub upload: StreamId,
    pub item: Payload,
    /// Headers of the hub message.
    pub headers: Pairs,
}

/// How much may still be pushed to a stream before its client has taken some.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// In number.
    pub items: usize,
    /// Of items, in bytes.
    pub bytes: usize,
}

/// What a plugin does to a stream of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamCommand {
    pub stream: StreamId,
    /// Only the plugin that was told of the stream may.
    pub plugin: PluginName,
    pub does: StreamDeed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamDeed {
    /// Sends all of these items, or none.
    Push(Vec<Payload>),
    /// Ends the stream, or answers the call.
    Finish(Finish),
}

/// How a stream ends, or what answers a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    Void,
    Value(Payload),
    /// The plugin's text for the client, word by word.
    Rejected(String),
    /// The plugin's text for the log.
    Failed(String),
}

/// What came of a [`StreamCommand`]: the room that is left, none in a stream that has ended.
pub type StreamReply = Result<Room, StreamError>;

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamError {
    /// It has ended, was cancelled, or its client is gone.
    NoSuchStream,
    /// There is only so much room.
    Full(Room),
    /// An item, or all of them, would never fit.
    TooLarge,
    /// The client waits for something else.
    Invalid(Unsuited),
}

/// Why something is nothing for a client. The text is for the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsuited {
    #[error("the client waits for no items; `finish` answers its call")]
    Items,
    #[error("a stream of items ends without a value")]
    Value,
}

/// How many streams a plugin may have, and how much may wait in each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamBounds {
    /// Items that wait for the client of a stream, in number.
    pub items: usize,
    /// Those items, in bytes.
    pub bytes: usize,
    /// Streams of one client, uploads among them, in number.
    pub per_client: usize,
    /// Calls of all clients that have streams, in number, on all shards together.
    pub calls: usize,
}

impl Default for StreamBounds {
    fn default() -> StreamBounds {
        StreamBounds { items: 1_000, bytes: 1 << 20, per_client: 100, calls: 10_000 }
    }
}

/// Which of the [`StreamBounds`] has kept a client from opening a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooManyStreams {
    OfClient,
    OfPlugin,
}

impl StreamDeed {
    /// The error says why it is nothing for a client that waits for this.
    pub fn suits(&self, expected: Expected) -> Result<(), StreamError> {
        match (self, expected) {
            (StreamDeed::Push(_), Expected::Value | Expected::Nothing) => Err(StreamError::Invalid(Unsuited::Items)),
            (StreamDeed::Finish(Finish::Value(_)), Expected::Items) => Err(StreamError::Invalid(Unsuited::Value)),
            (StreamDeed::Push(_) | StreamDeed::Finish(_), _) => Ok(()),
        }
    }
}

impl StreamCommand {
    /// What it carries, in bytes.
    pub(crate) fn weight(&self) -> usize {
        match &self.does {
            StreamDeed::Push(items) => items.iter().map(|item| size_of::<Payload>() + item.borrow().len()).sum(),
            StreamDeed::Finish(Finish::Value(result)) => result.borrow().len(),
            StreamDeed::Finish(Finish::Rejected(text) | Finish::Failed(text)) => text.len(),
            StreamDeed::Finish(Finish::Void) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ShardIndex;

    #[test]
    fn an_id_is_read_as_it_was_written_and_nothing_else_is_one() {
        let connection = ConnectionId::new(ShardIndex(3).into(), [7; 12]);
        for number in [0, 1, u32::MAX] {
            let id = StreamId { connection, number };
            assert_eq!(StreamId::parse(&id.to_string()), Some(id));
        }
        for text in
            ["", ".", "1", &connection.to_string(), &format!("{connection}.+1"), &format!("{connection}."), "x.1"]
        {
            assert_eq!(StreamId::parse(text), None, "{text}");
        }
    }
}
