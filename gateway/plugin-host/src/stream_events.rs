//! What a guest is told of clients' streams.

use hubgate_core::event::{ConnectionFacts, UpstreamFailure};
use hubgate_core::stream::StreamEvent;
use hubgate_wire::payload::Payload;
use wasmtime::Store;

use crate::bindings::exports::hubgate::plugin::upstream_streams;
use crate::convert::{self, LentPayload};
use crate::host::Guest;

/// The value that an event brings, if it brings one.
pub(crate) fn value(event: &StreamEvent) -> Option<&Payload> {
    match event {
        StreamEvent::Begin(opening) => Some(&opening.arguments),
        StreamEvent::Item(item) => Some(&item.item),
        StreamEvent::Writable { .. } | StreamEvent::Cancelled { .. } | StreamEvent::Ended { .. } => None,
    }
}

/// Tells the guest of an event, with the value that it brings as the plugin wants it.
pub(crate) async fn tell(
    exports: &upstream_streams::Guest,
    store: &mut Store<Guest>,
    client: &ConnectionFacts,
    event: &StreamEvent,
    value: Option<&LentPayload<'_>>,
) -> wasmtime::Result<Result<Option<Payload>, UpstreamFailure>> {
    let connection = convert::connection(client);
    let answer = match (event, value) {
        (StreamEvent::Begin(opening), Some(arguments)) => {
            let (id, uploads) = (opening.id.to_string(), convert::stream_ids(&opening.uploads));
            let uploads: Vec<&str> = uploads.iter().map(String::as_str).collect();
            let opening = convert::opening((&id, &uploads), opening, arguments);
            exports.call_begin(store, connection, opening).await?
        }
        (StreamEvent::Item(item), Some(value)) => {
            exports.call_item(store, connection, &item.upload.to_string(), value.lend()).await?
        }
        (StreamEvent::Ended { upload, error }, _) => {
            exports.call_ended(store, connection, &upload.to_string(), error.as_deref()).await?
        }
        (StreamEvent::Writable { stream, room }, _) => {
            exports.call_writable(store, connection, &stream.to_string(), convert::room(*room)).await?;
            Ok(())
        }
        (StreamEvent::Cancelled { stream }, _) => {
            exports.call_cancelled(store, connection, &stream.to_string()).await?;
            Ok(())
        }
        (StreamEvent::Begin(_) | StreamEvent::Item(_), None) => unreachable!("they bring a value"),
    };
    Ok(convert::no_result(answer))
}
