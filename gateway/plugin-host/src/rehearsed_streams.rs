//! Streams of clients beside any gateway: what a plugin pushes waits in them until it is taken.

use std::collections::BTreeMap;

use hubgate_core::id::ConnectionId;
use hubgate_core::stream::{
    Expected, Room, StreamBounds, StreamCommand, StreamDeed, StreamError, StreamId, StreamReply,
};

/// The streams that are open in a rehearsal. They have the bounds of a gateway's.
#[derive(Debug)]
pub struct RehearsedStreams {
    bounds: StreamBounds,
    open: BTreeMap<StreamId, Stream>,
}

#[derive(Debug)]
struct Stream {
    answer: Expected,
    room: Room,
}

impl RehearsedStreams {
    pub fn new(bounds: StreamBounds) -> RehearsedStreams {
        RehearsedStreams { bounds, open: BTreeMap::new() }
    }

    /// A call opens a stream, or waits for its answer.
    pub fn open(&mut self, id: StreamId, answer: Expected) {
        let room = self.all_room();
        self.open.insert(id, Stream { answer, room });
    }

    /// A call is over for its client, or by an error.
    pub fn close(&mut self, id: StreamId) {
        self.open.remove(&id);
    }

    /// A client leaves.
    pub fn close_all_of(&mut self, connection: ConnectionId) {
        self.open.retain(|id, _| id.connection != connection);
    }

    /// The clients take all that waits.
    pub fn take(&mut self) {
        let room = self.all_room();
        self.open.values_mut().for_each(|stream| stream.room = room);
    }

    /// The room of a stream in which nothing waits.
    pub fn all_room(&self) -> Room {
        Room { items: self.bounds.items, bytes: self.bounds.bytes }
    }

    /// Does what a plugin wants of a stream; the answer says whether it is done.
    pub fn obey(&mut self, command: &StreamCommand) -> StreamReply {
        let stream = self.open.get_mut(&command.stream).ok_or(StreamError::NoSuchStream)?;
        command.does.suits(stream.answer)?;
        let items = match &command.does {
            StreamDeed::Push(items) => items,
            StreamDeed::Finish(_) => {
                self.open.remove(&command.stream);
                return Ok(Room::default());
            }
        };
        let (count, bytes) = (items.len(), items.iter().map(|item| item.borrow().len()).sum::<usize>());
        if count > self.bounds.items || bytes > self.bounds.bytes {
            return Err(StreamError::TooLarge);
        }
        if count > stream.room.items || bytes > stream.room.bytes {
            return Err(StreamError::Full(stream.room));
        }
        stream.room = Room { items: stream.room.items - count, bytes: stream.room.bytes - bytes };
        Ok(stream.room)
    }
}

#[cfg(test)]
mod tests {
    use hubgate_core::id::{PluginName, ShardIndex};
    use hubgate_core::stream::Finish;
    use hubgate_wire::payload::Payload;

    use super::*;

    #[test]
    fn a_stream_takes_what_there_is_room_for_until_it_has_ended() {
        let bounds = StreamBounds { items: 2, ..StreamBounds::default() };
        let mut streams = RehearsedStreams::new(bounds);
        let stream = StreamId { connection: ConnectionId::new(ShardIndex(0).into(), [1; 12]), number: 1 };
        let command = |does| StreamCommand { stream, plugin: PluginName::new("p"), does };
        let push = |count| command(StreamDeed::Push(vec![Payload::no_arguments(); count]));
        let finish = command(StreamDeed::Finish(Finish::Void));
        assert_eq!(streams.obey(&push(1)), Err(StreamError::NoSuchStream));
        streams.open(stream, Expected::Items);
        assert_eq!(streams.obey(&push(3)), Err(StreamError::TooLarge));
        assert_eq!(streams.obey(&push(2)).map(|room| room.items), Ok(0));
        assert!(matches!(streams.obey(&push(1)), Err(StreamError::Full(Room { items: 0, .. }))));
        streams.take();
        assert_eq!(streams.obey(&push(1)).map(|room| room.items), Ok(1));
        assert!(streams.obey(&finish).is_ok());
        assert_eq!(streams.obey(&finish), Err(StreamError::NoSuchStream));
    }
}
