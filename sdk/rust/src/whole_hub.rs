//! A whole hub: what a [`Handler`] is, and streams, timers, presence and sign-in beside it.

use crate::authorizer::{Grant, Refusal, Request};
use crate::presence::Member;
use crate::streams::{Item, Opening, Room, Stream};
use crate::{Arguments, Connection, Error, Handler, reject};

/// What a hub does beside answering calls. Each method has a default, and costs nothing until it is used.
///
/// ```no_run
/// use hubgate_plugin::streams::Opening;
/// use hubgate_plugin::{Arguments, Connection, Error, Handler, Hub, Reply, reject};
///
/// struct Counter;
///
/// impl Handler for Counter {
///     fn invoke(_: Connection, method: &str, _: Arguments) -> Reply {
///         reject(format!("There is no method '{method}'."))
///     }
/// }
///
/// impl Hub for Counter {
///     fn begin(_: Connection, _: &str, arguments: Arguments, opening: Opening) -> Result<(), Error> {
///         let (last,): (u32,) = arguments.parse()?;
///         opening.stream.push_all(1..=last)?;
///         Ok(opening.stream.finish()?)
///     }
/// }
///
/// hubgate_plugin::export_hub!(Counter);
/// ```
pub trait Hub: Handler {
    /// A client opens a stream, or calls a method and sends streams with the call; other calls go to [`Handler::invoke`]. An
    /// error ends it. Otherwise it is open until it is [finished](Stream::finish).
    fn begin(client: Connection, method: &str, arguments: Arguments, opening: Opening) -> Result<(), Error> {
        let _ = (client, arguments, opening);
        reject(format!("There is no method '{method}' with streams."))
    }

    /// There is room again in a stream that was full.
    fn writable(client: Connection, stream: Stream, room: Room) {
        let _ = (client, stream, room);
    }

    /// The client wants no more of a stream, or has left.
    fn cancelled(client: Connection, stream: Stream) {
        let _ = (client, stream);
    }

    /// An item of a stream that a client sends. An error ends the call that came with it.
    fn item(client: Connection, upload: &str, item: Item) -> Result<(), Error> {
        let _ = (client, upload, item);
        Ok(())
    }

    /// A stream that a client sends is complete, or has failed with an error.
    fn ended(client: Connection, upload: &str, error: Option<String>) -> Result<(), Error> {
        let _ = (client, upload, error);
        Ok(())
    }

    /// A timer is due: at least once each time.
    fn fired(hub: &str, timer: &str, payload: Vec<u8>) -> Result<(), Error> {
        let _ = (hub, timer, payload);
        Ok(())
    }

    /// Clients have joined and left a watched group.
    fn presence_changed(hub: &str, group: &str, joined: Vec<Member>, left: Vec<Member>) -> Result<(), Error> {
        let _ = (hub, group, joined, left);
        Ok(())
    }

    /// This version begins to serve a hub.
    fn started(hub: &str) -> Result<(), Error> {
        let _ = hub;
        Ok(())
    }

    /// Decides who may come, and as whom, where `hubs.NAME.negotiate` names this plugin.
    fn authorize(request: Request) -> Result<Grant, Refusal> {
        Err(Refusal::Failed(format!("this plugin has no authorizer for the hub '{}'", request.hub)))
    }
}

/// The text of an error, where only the log is told of it.
#[doc(hidden)]
pub fn text(error: Error) -> String {
    match error {
        Error::Rejected(text) | Error::Failed(text) => text,
    }
}

/// Makes a [`Hub`](crate::Hub) the plugin that this crate builds.
#[macro_export]
macro_rules! export_hub {
    ($hub:ty) => {
        $crate::export!($hub);

        const _: () = {
            struct Component;
    $crate::export_hub!(@streams $hub);
    $crate::export_hub!(@events $hub);
    $crate::export_hub!(@authorizer $hub);
        };
    };
    (@streams $hub:ty) => {
        use $crate::bindings::upstream_streams::exports::hubgate::plugin::upstream_streams;

        impl upstream_streams::Guest for Component {
            fn begin(client: $crate::Connection, opening: upstream_streams::Opening) -> Result<(), $crate::Error> {
                let upstream_streams::Opening { id, target, arguments, uploads, answer } = opening;
                let stream = $crate::streams::Stream::from_id(id);
                let opening = $crate::streams::Opening { stream, uploads, answer };
                <$hub as $crate::Hub>::begin(client, &target, $crate::Arguments::new(arguments), opening)
            }

            fn writable(client: $crate::Connection, id: String, room: $crate::streams::Room) {
                <$hub as $crate::Hub>::writable(client, $crate::streams::Stream::from_id(id), room)
            }

            fn cancelled(client: $crate::Connection, id: String) {
                <$hub as $crate::Hub>::cancelled(client, $crate::streams::Stream::from_id(id))
            }

            fn item(client: $crate::Connection, upload: String, item: $crate::Payload) -> Result<(), $crate::Error> {
                <$hub as $crate::Hub>::item(client, &upload, $crate::streams::Item::new(item))
            }

            fn ended(client: $crate::Connection, upload: String, error: Option<String>) -> Result<(), $crate::Error> {
                <$hub as $crate::Hub>::ended(client, &upload, error)
            }
        }

        $crate::bindings::upstream_streams::export_upstream_streams! {
            Component with_types_in $crate::bindings::upstream_streams
        }
    };
    (@events $hub:ty) => {
        impl $crate::bindings::scheduled::exports::hubgate::plugin::scheduled::Guest for Component {
            fn fired(hub: String, name: String, payload: Vec<u8>) -> Result<(), String> {
                <$hub as $crate::Hub>::fired(&hub, &name, payload).map_err($crate::whole_hub::text)
            }
        }

        impl $crate::bindings::presence_events::exports::hubgate::plugin::presence_events::Guest for Component {
            fn changed(
                hub: String,
                group: String,
                joined: Vec<$crate::presence::Member>,
                left: Vec<$crate::presence::Member>,
            ) -> Result<(), String> {
                <$hub as $crate::Hub>::presence_changed(&hub, &group, joined, left).map_err($crate::whole_hub::text)
            }
        }

        impl $crate::bindings::hub_lifetime::exports::hubgate::plugin::hub_lifetime::Guest for Component {
            fn started(hub: String) -> Result<(), String> {
                <$hub as $crate::Hub>::started(&hub).map_err($crate::whole_hub::text)
            }
        }

        $crate::bindings::scheduled::export_scheduled! {
            Component with_types_in $crate::bindings::scheduled
        }
        $crate::bindings::presence_events::export_presence_events! {
            Component with_types_in $crate::bindings::presence_events
        }
        $crate::bindings::hub_lifetime::export_hub_lifetime! {
            Component with_types_in $crate::bindings::hub_lifetime
        }
    };
    (@authorizer $hub:ty) => {
        impl $crate::bindings::authorizer::exports::hubgate::plugin::authorizer::Guest for Component {
            fn authorize(
                request: $crate::authorizer::Request,
            ) -> Result<$crate::authorizer::Grant, $crate::authorizer::Refusal> {
                <$hub as $crate::Hub>::authorize(request)
            }
        }

        $crate::bindings::authorizer::export_authorizer! {
            Component with_types_in $crate::bindings::authorizer
        }
    };
}
