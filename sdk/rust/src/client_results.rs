//! Ask a client, and wait for what it answers.
//!
//! The client has a handler for the method that gives a value (`connection.on("add", …)`). The call waits meanwhile, and its
//! `call-time` stands still; `ask-time` bounds the wait. What the call has asked of its [`hub`](crate::hub) comes after it, unless it
//! was [flushed](crate::hub::flush).
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use hubgate_plugin::{Arguments, Connection, Reply, reply};
//!
//! fn invoke(client: Connection, _: &str, _: Arguments) -> Reply {
//!     let sum: i64 = client.ask("add", &(1, 2), Duration::from_secs(10))?;
//!     reply(&sum)
//! }
//! ```

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::hubgate::plugin::client_results as contract;
use crate::{Connection, Error, Payload, call_arguments};

pub use crate::bindings::hubgate::plugin::client_results::AskError;

/// Asks a connection of the hub. `arguments` is a tuple, a `Vec` or a slice. For a client that answers without a value, `T` is
/// `()` or an `Option`. The gateway cuts `timeout` to its `ask-time`, which [`Duration::ZERO`] stands for.
pub fn ask<T: DeserializeOwned>(
    connection: &str,
    method: &str,
    arguments: &impl Serialize,
    timeout: Duration,
) -> Result<T, AskError> {
    let arguments = call_arguments(arguments).map_err(|error| AskError::Failed(crate::whole_hub::text(error)))?;
    read(contract::ask(connection, method, &arguments, milliseconds(timeout))?)
}

impl Connection {
    /// [Asks](ask) this client.
    pub fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        arguments: &impl Serialize,
        timeout: Duration,
    ) -> Result<T, AskError> {
        ask(&self.id, method, arguments, timeout)
    }
}

/// As the contract has it: whole milliseconds, and 0 only for [`Duration::ZERO`].
fn milliseconds(timeout: Duration) -> u32 {
    u32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

fn read<T: DeserializeOwned>(answer: Option<Payload>) -> Result<T, AskError> {
    let text = match answer {
        None => "null".to_owned(),
        Some(Payload::Json(text)) => text,
        Some(Payload::Msgpack(_)) => {
            let reason = "the answer is MessagePack; read it with `contract::client_results::ask`";
            return Err(AskError::Failed(reason.to_owned()));
        }
    };
    serde_json::from_str(&text)
        .map_err(|error| AskError::Failed(format!("the client's answer is another one: {error}")))
}

/// The caller is told why, word by word.
impl From<AskError> for Error {
    fn from(error: AskError) -> Error {
        Error::Rejected(match error {
            AskError::NoSuchConnection => "The connection does not exist.".to_owned(),
            AskError::Failed(text) => text,
            AskError::TimedOut => "The client did not answer in time.".to_owned(),
            AskError::Left => "The client left before it answered.".to_owned(),
            AskError::Busy => "Too many wait for answers of clients; try again later.".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_into_what_is_asked_for() {
        let json = |text: &str| Some(Payload::Json(text.to_owned()));
        assert_eq!(read::<(u8, String)>(json(r#"[1, "a"]"#)).unwrap(), (1, "a".to_owned()));
        assert_eq!(read::<Option<u8>>(None).unwrap(), None);
        read::<()>(None).unwrap();
        for other in [None, json("\"1\""), Some(Payload::Msgpack(vec![1]))] {
            assert!(matches!(read::<u8>(other), Err(AskError::Failed(_))));
        }
    }

    #[test]
    fn a_timeout_is_never_shorter_and_none_only_where_it_is_asked_for() {
        let of = |nanoseconds| milliseconds(Duration::from_nanos(nanoseconds));
        assert_eq!([0, 1, 1_000_000, 1_000_001].map(of), [0, 1, 1, 2]);
        assert_eq!(milliseconds(Duration::MAX), u32::MAX);
    }
}
