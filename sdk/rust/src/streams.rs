//! Streams of clients, to them and from them.
//!
//! A stream begins in [`Hub::begin`](crate::Hub::begin), and goes on until it is finished, now or in any later call: a [`Stream`]
//! is made again from its id, which can be kept in [`state`](crate::state) or in a timer's payload. What is pushed takes effect at
//! once, whatever becomes of the call.
//!
//! ```no_run
//! use hubgate_plugin::streams::Opening;
//! use hubgate_plugin::{Arguments, Connection, Error, reject};
//!
//! fn begin(_: Connection, method: &str, arguments: Arguments, opening: Opening) -> Result<(), Error> {
//!     match method {
//!         "countTo" => {
//!             let (last,): (u32,) = arguments.parse()?;
//!             opening.stream.push_all(1..=last)?;
//!             opening.stream.finish()?;
//!             Ok(())
//!         }
//!         unknown => reject(format!("There is no method '{unknown}'.")),
//!     }
//! }
//! ```

use serde::{Deserialize, Serialize};

use crate::bindings::hubgate::plugin::streams as contract;
use crate::{Error, Payload, json};

pub use crate::bindings::hubgate::plugin::streams::{PushError, Room};
pub use crate::bindings::upstream_streams::exports::hubgate::plugin::upstream_streams::Answer;

/// What a client opens with a call.
#[derive(Debug)]
pub struct Opening {
    /// To push items to, or to answer the call by.
    pub stream: Stream,
    /// The ids of the streams that the client sends with the call, in the order of the method's parameters.
    /// [`Hub::item`](crate::Hub::item) and [`Hub::ended`](crate::Hub::ended) have them.
    pub uploads: Vec<String>,
    /// What the client waits for.
    pub answer: Answer,
}

/// A client's call that is not over: a stream to it, or a call whose answer it waits for. Only its id, so it can be kept as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stream(String);

impl Stream {
    /// The stream of an id that was kept.
    pub fn from_id(id: impl Into<String>) -> Stream {
        Stream(id.into())
    }

    /// The gateway's own id, which no other stream has, nor had.
    pub fn id(&self) -> &str {
        &self.0
    }

    /// Sends an item, and says how much room is left. After [`PushError::Full`], [`Hub::writable`](crate::Hub::writable) is
    /// called once there is room again.
    pub fn push(&self, item: &(impl Serialize + ?Sized)) -> Result<Room, PushError> {
        self.push_payloads(&[payload(item)?])
    }

    /// Sends all of these items, in order, or none.
    pub fn push_all<T: Serialize>(&self, items: impl IntoIterator<Item = T>) -> Result<Room, PushError> {
        let items = items.into_iter().map(|item| payload(&item)).collect::<Result<Vec<_>, _>>()?;
        self.push_payloads(&items)
    }

    /// Sends all of these items as they are, or none.
    pub fn push_payloads(&self, items: &[Payload]) -> Result<Room, PushError> {
        contract::push(&self.0, items)
    }

    /// Ends the stream, or answers the call without a value.
    pub fn finish(&self) -> Result<(), PushError> {
        contract::finish(&self.0, Ok(None))
    }

    /// Answers the call with a value. A stream of items has none.
    pub fn answer(&self, value: &(impl Serialize + ?Sized)) -> Result<(), PushError> {
        contract::finish(&self.0, Ok(Some(&payload(value)?)))
    }

    /// Ends the stream or the call with an error.
    pub fn fail(&self, error: &Error) -> Result<(), PushError> {
        contract::finish(&self.0, Err(error))
    }
}

/// An item that a client sends.
#[derive(Debug)]
pub struct Item(Payload);

impl Item {
    #[doc(hidden)]
    pub fn new(payload: Payload) -> Item {
        Item(payload)
    }

    /// Reads it. A wrong type is an error that the client is told.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        match &self.0 {
            Payload::Json(text) => {
                serde_json::from_str(text).map_err(|error| Error::Rejected(format!("Wrong item: {error}")))
            }
            Payload::Msgpack(_) => Err(Error::Failed("the item is MessagePack; read it with `raw`".to_owned())),
        }
    }

    /// The item as it came.
    pub fn raw(&self) -> &Payload {
        &self.0
    }
}

impl From<PushError> for Error {
    /// For the log: the client is not there any more, or has taken too little.
    fn from(error: PushError) -> Error {
        Error::Failed(match error {
            PushError::NoSuchStream => "stream: it has ended, or its client is gone".to_owned(),
            PushError::Full(room) => {
                format!("stream: it is full; {} items and {} bytes may still be pushed", room.items, room.bytes)
            }
            PushError::TooLarge => "stream: what is pushed would never fit".to_owned(),
            PushError::Invalid(reason) => format!("stream: {reason}"),
        })
    }
}

fn payload(value: &(impl Serialize + ?Sized)) -> Result<Payload, PushError> {
    json(value).map_err(|error| match error {
        Error::Rejected(text) | Error::Failed(text) => PushError::Invalid(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_kept_as_its_id() {
        let stream = Stream::from_id("a-1");
        let kept = serde_json::to_string(&stream).unwrap();
        assert_eq!(kept, "\"a-1\"");
        assert_eq!(serde_json::from_str::<Stream>(&kept).unwrap(), stream);
    }

    #[test]
    fn an_item_of_another_type_is_an_error_for_the_client() {
        let item = Item::new(Payload::Json("3".to_owned()));
        assert_eq!(item.parse::<u8>().unwrap(), 3);
        let error = item.parse::<String>().unwrap_err();
        assert!(matches!(&error, Error::Rejected(text) if text.starts_with("Wrong item: ")), "{error:?}");
        assert!(matches!(Item::new(Payload::Msgpack(vec![3])).parse::<u8>(), Err(Error::Failed(_))));
    }
}
