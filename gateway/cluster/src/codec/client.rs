//! What is known of clients, and with what they go on.

use hubgate_core::event::ConnectionFacts;
use hubgate_core::pairs::Pairs;
use hubgate_core::refresh::{NewEnd, NewUser, Refresh, RefreshRefusal};
use hubgate_wire::messagepack::{length_of_array, length_of_text, write_array, write_text};
use hubgate_wire::signalr::HubProtocol;

use crate::field::{Field, Source, Unreadable, choice, record};

record!(ConnectionFacts { hub, id, user_id, protocol, claims, query, headers, remote_address });
choice!(HubProtocol {
    0 Json,
    1 MessagePack,
    2 BlazorPack,
    3 AspNet,
});
record!(Refresh { token, claims, user, end });
choice!(NewUser {
    0 InClaims,
    1 OfToken(user),
});
choice!(NewEnd {
    0 AsBefore,
    1 At(time),
});
choice!(RefreshRefusal {
    0 NoSuchConnection,
    1 AnotherUser,
    2 TooLarge,
});

/// An array of names and values, in turn.
impl Field for Pairs {
    fn length(&self) -> usize {
        let texts = |(name, value): (&str, &str)| length_of_text(name.len()) + length_of_text(value.len());
        length_of_array(2 * self.iter().count()) + self.iter().map(texts).sum::<usize>()
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_array(2 * self.iter().count(), out);
        for (name, value) in self.iter() {
            write_text(name, out);
            write_text(value, out);
        }
    }

    fn read(source: &mut Source<'_>) -> Result<Pairs, Unreadable> {
        let count = source.reader.array()?;
        if count % 2 > 0 {
            return Err(Unreadable::Malformed);
        }
        (0..count / 2).map(|_| Ok((source.reader.text()?, source.reader.text()?))).collect()
    }
}
