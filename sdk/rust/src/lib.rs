//! Write Hubgate plugins in Rust: implement [`Handler`], say [`export!`], build with `hubgate plugin build`. A [`Hub`] also
//! streams, and acts later; say [`export_hub!`]. Filters are in [`filter`].
//!
//! What a plugin may ask of the gateway: act on its [`hub`], keep values in [`state`], read its [`config`], write to the [`log`],
//! look at [`connections`], act later by [`timers`], ask the [`context`] for the time, and send requests by [`http`].
//!
//! ```no_run
//! use hubgate_plugin::{Arguments, Connection, Handler, Reply, hub, reply};
//!
//! struct Hello;
//!
//! impl Handler for Hello {
//!     fn invoke(client: Connection, method: &str, arguments: Arguments) -> Reply {
//!         let (name,): (String,) = arguments.parse()?;
//!         hub::send_all("said", &(&name, "is here"))?;
//!         reply(&format!("hello {name}, you called {method} as {}", client.id))
//!     }
//! }
//!
//! hubgate_plugin::export!(Hello);
//! ```

#![warn(missing_docs)]

pub mod authorizer;
pub mod bindings;
pub mod client_results;
pub mod filter;
pub mod http;
pub mod hub;
pub mod log;
pub mod presence;
pub mod state;
pub mod streams;
pub mod timers;
#[doc(hidden)]
pub mod whole_hub;

/// The contract's imports as they are, for what is not wrapped.
pub use bindings::hubgate::plugin as contract;
pub use bindings::hubgate::plugin::types::{Connection, Error, Payload};
pub use bindings::hubgate::plugin::{config, connections, context};
pub use serde_json::value::RawValue;
pub use whole_hub::Hub;

use serde::{Deserialize, Serialize};

/// What a method gives: a result, nothing, or an error.
pub type Reply = Result<Option<Payload>, Error>;

/// The serverless hub. Values kept in statics are a cache that may vanish between any two calls; what must stay belongs
/// into [`state`].
pub trait Handler {
    /// Runs once in each new instance. An error keeps the plugin from serving.
    fn init() -> Result<(), String> {
        Ok(())
    }

    /// Decides whether a client may come. [`Error::Rejected`] refuses it with that text.
    fn connected(client: Connection) -> Result<(), Error> {
        let _ = client;
        Ok(())
    }

    /// A client is gone; `reason` is there if it did not leave by itself.
    fn disconnected(client: Connection, reason: Option<String>) -> Result<(), Error> {
        let _ = (client, reason);
        Ok(())
    }

    /// A client calls a method.
    fn invoke(client: Connection, method: &str, arguments: Arguments) -> Reply;
}

/// The arguments of a call.
#[derive(Debug)]
pub struct Arguments(Payload);

impl Arguments {
    #[doc(hidden)]
    pub fn new(payload: Payload) -> Arguments {
        Arguments(payload)
    }

    /// Reads them into a tuple, or into a `Vec`. `&RawValue` keeps an argument's own text. A wrong number or type is an
    /// error that the caller is told.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        match &self.0 {
            Payload::Json(text) => {
                serde_json::from_str(text).map_err(|error| Error::Rejected(format!("Wrong arguments: {error}")))
            }
            Payload::Msgpack(_) => Err(Error::Failed("the arguments are MessagePack; read them with `raw`".to_owned())),
        }
    }

    /// The arguments as they came.
    pub fn raw(&self) -> &Payload {
        &self.0
    }
}

/// Answers a call with a value.
pub fn reply(value: &(impl Serialize + ?Sized)) -> Reply {
    Ok(Some(json(value)?))
}

/// Answers a call without a value.
pub fn done() -> Reply {
    Ok(None)
}

/// Refuses a call with a text that the caller is told.
pub fn reject<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::Rejected(text.into()))
}

/// Fails a call with a text for the log. The caller is told a general one, unless `server.detailed-errors` is on.
pub fn fail<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::Failed(text.into()))
}

fn json(value: &(impl Serialize + ?Sized)) -> Result<Payload, Error> {
    serde_json::to_string(value)
        .map(Payload::Json)
        .map_err(|error| Error::Failed(format!("a value is not JSON: {error}")))
}

/// The arguments of a call, in one array. The empty tuple, which is `null` in JSON, is no arguments.
fn call_arguments(arguments: &impl Serialize) -> Result<Payload, Error> {
    Ok(match json(arguments)? {
        Payload::Json(text) if text == "null" => Payload::Json("[]".to_owned()),
        other => other,
    })
}

/// Where the crate `getrandom` finds random bytes: `wasm32-unknown-unknown` has none of its own.
#[cfg(getrandom_backend = "custom")]
mod random {
    /// # Safety
    /// `bytes` points to room for `length` bytes.
    #[unsafe(no_mangle)]
    unsafe extern "Rust" fn __getrandom_v03_custom(bytes: *mut u8, length: usize) -> Result<(), getrandom::Error> {
        // So many does the gateway give at a time.
        const MOST: usize = 64 << 10;
        // SAFETY: `getrandom` promises the room.
        let room = unsafe { core::slice::from_raw_parts_mut(bytes.cast::<core::mem::MaybeUninit<u8>>(), length) };
        for part in room.chunks_mut(MOST) {
            let random = crate::context::random(part.len() as u32);
            part.iter_mut().zip(random).for_each(|(byte, random)| *byte = core::mem::MaybeUninit::new(random));
        }
        Ok(())
    }
}

/// Without a hook the text of a panic would vanish: `wasm32-unknown-unknown` has no standard error to write it to.
#[doc(hidden)]
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| log::write(log::Level::Error, &panic.to_string(), &[])));
}

/// Makes a [`Handler`] the plugin that this crate builds.
#[macro_export]
macro_rules! export {
    ($handler:ty) => {
        const _: () = {
            use $crate::bindings::exports::hubgate::plugin::lifecycle;
            use $crate::bindings::upstream::exports::hubgate::plugin::upstream;

            struct Component;

            impl lifecycle::Guest for Component {
                fn init() -> Result<(), String> {
                    $crate::log_panics();
                    <$handler as $crate::Handler>::init()
                }
            }

            impl upstream::Guest for Component {
                fn connected(client: $crate::Connection) -> Result<(), $crate::Error> {
                    <$handler as $crate::Handler>::connected(client)
                }

                fn disconnected(client: $crate::Connection, reason: Option<String>) -> Result<(), $crate::Error> {
                    <$handler as $crate::Handler>::disconnected(client, reason)
                }

                fn invoke(client: $crate::Connection, call: upstream::Invocation) -> $crate::Reply {
                    let arguments = $crate::Arguments::new(call.arguments);
                    <$handler as $crate::Handler>::invoke(client, &call.target, arguments)
                }
            }

            $crate::bindings::export_lifecycle! { Component with_types_in $crate::bindings }
            $crate::bindings::upstream::export_upstream! { Component with_types_in $crate::bindings::upstream }
        };
    };
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(json: &str) -> Arguments {
        Arguments::new(Payload::Json(json.to_owned()))
    }

    #[test]
    fn arguments_become_a_tuple_and_wrong_ones_an_error_for_the_caller() {
        assert_eq!(arguments("[\"ann\", 3]").parse::<(String, u8)>().unwrap(), ("ann".to_owned(), 3));
        arguments("[]").parse::<()>().unwrap_err();
        let raw = arguments("[1.50]");
        assert_eq!(raw.parse::<(&RawValue,)>().unwrap().0.get(), "1.50", "its own text");
        for wrong in ["[\"ann\"]", "[\"ann\", \"three\"]", "[\"ann\", 3, 4]"] {
            let error = arguments(wrong).parse::<(String, u8)>().unwrap_err();
            assert!(matches!(&error, Error::Rejected(text) if text.starts_with("Wrong arguments: ")), "{error:?}");
        }
    }

    #[test]
    fn what_came_in_messagepack_is_there_as_bytes() {
        let arguments = Arguments::new(Payload::Msgpack(vec![0x91, 0x07]));
        assert!(matches!(arguments.raw(), Payload::Msgpack(bytes) if bytes == &[0x91, 0x07]));
        assert!(matches!(arguments.parse::<(u8,)>().unwrap_err(), Error::Failed(_)));
    }

    #[test]
    fn answers_are_values_nothing_and_errors() {
        assert!(matches!(reply("hello"), Ok(Some(Payload::Json(text))) if text == "\"hello\""));
        assert!(matches!(done(), Ok(None)));
        assert!(matches!(reject::<()>("No."), Err(Error::Rejected(text)) if text == "No."));
        assert!(matches!(fail::<()>("a fault"), Err(Error::Failed(text)) if text == "a fault"));
    }

    #[test]
    fn a_call_without_arguments_has_an_empty_array() {
        let text = |payload| match payload {
            Payload::Json(text) => text,
            Payload::Msgpack(_) => panic!("it is JSON"),
        };
        assert_eq!(text(call_arguments(&()).unwrap()), "[]");
        assert_eq!(text(call_arguments(&((),)).unwrap()), "[null]");
        assert_eq!(text(call_arguments(&("a", 1)).unwrap()), r#"["a",1]"#);
    }
}
