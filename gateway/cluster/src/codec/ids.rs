//! Names, ids and addresses.

use hubgate_core::id::{
    ConnectionId, GroupName, HubName, NodeId, PluginName, ServerConnectionId, ServerId, ShardAddress, ShardIndex,
    UserId, is_short_enough,
};
use hubgate_core::stream::StreamId;
use hubgate_core::time::Millis;
use hubgate_wire::messagepack::{length_of_text, write_text};

use crate::field::{Field, Source, Unreadable, record};

record!(ShardAddress { node, shard });
record!(ServerConnectionId { owner, number });
record!(StreamId { connection, number });

/// Texts, none longer than a name may be.
macro_rules! names {
    ($($name:ident)+) => {
        $(impl Field for $name {
            fn length(&self) -> usize {
                length_of_text(self.as_str().len())
            }

            fn write(&self, out: &mut Vec<u8>) {
                write_text(self.as_str(), out);
            }

            fn read(source: &mut Source<'_>) -> Result<$name, Unreadable> {
                let name = source.reader.text()?;
                match is_short_enough(name) {
                    true => Ok($name::new(name)),
                    false => Err(Unreadable::Malformed),
                }
            }
        })+
    };
}

names!(UserId GroupName PluginName ServerId);

/// Numbers that have a type of their own.
macro_rules! numbers {
    ($($name:ident)+) => {
        $(impl Field for $name {
            fn length(&self) -> usize {
                self.0.length()
            }

            fn write(&self, out: &mut Vec<u8>) {
                self.0.write(out);
            }

            fn read(source: &mut Source<'_>) -> Result<$name, Unreadable> {
                Field::read(source).map($name)
            }
        })+
    };
}

numbers!(NodeId ShardIndex Millis);

impl Field for HubName {
    fn length(&self) -> usize {
        length_of_text(self.as_str().len())
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_text(self.as_str(), out);
    }

    fn read(source: &mut Source<'_>) -> Result<HubName, Unreadable> {
        HubName::read(source.reader.text()?).map_err(|_| Unreadable::Malformed)
    }
}

impl Field for ConnectionId {
    fn length(&self) -> usize {
        length_of_text(self.as_bytes().len())
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_text(self.as_str(), out);
    }

    fn read(source: &mut Source<'_>) -> Result<ConnectionId, Unreadable> {
        ConnectionId::parse(source.reader.text()?).ok_or(Unreadable::Malformed)
    }
}
