//! What clients are told when something fails: one function per place where they can meet it.

use std::time::Duration;

use hubgate_wire::signalr::HubProtocol;
use hubgate_wire::signalr::handshake::MalformedHandshake;

use crate::event::UpstreamFailure;
use crate::filter::Refusal;
use crate::hub::routing::NoRoute;
use crate::id::PluginName;
use crate::stream::TooManyStreams;
use crate::time::Millis;

/// The error of a completion, for a call of `target` that has no answer.
pub(crate) fn completion(target: &str, failure: UpstreamFailure, detailed: bool) -> String {
    let failed = |why: &str| format!("An unexpected error occurred invoking '{target}' on the server.{why}");
    let detail = |text: String| if detailed { format!(" {text}") } else { String::new() };
    match failure {
        UpstreamFailure::Rejected(text) => text,
        UpstreamFailure::Failed(text) => failed(&detail(text)),
        UpstreamFailure::Unavailable(text) => failed(&format!(" The handler is not available.{}", detail(text))),
        UpstreamFailure::Trapped(reason) => failed(&format!(" The handler broke off.{}", detail(reason))),
        UpstreamFailure::TimedOut => failed(" The handler took too long and was stopped."),
        UpstreamFailure::OutOfCpuTime { .. } => failed(" The handler used too much processor time and was stopped."),
        UpstreamFailure::OutOfMemory => failed(" The handler ran out of memory and was stopped."),
        UpstreamFailure::Busy => failed(" The handler is busy; try again later."),
        UpstreamFailure::NotServing => failed(" The handler is not available: its component cannot serve."),
    }
}

/// The error of a completion, for a message that the hub's filters let go no further. `target`: of a call.
pub(crate) fn refused(target: Option<&str>, refusal: Refusal, detailed: bool) -> String {
    let detail = |text: String| if detailed { format!(" {text}") } else { String::new() };
    let what = match refusal {
        Refusal::Rejected(error) => return error,
        Refusal::Dropped => "dropped it.".to_owned(),
        Refusal::Failed(
            UpstreamFailure::Rejected(text) | UpstreamFailure::Failed(text) | UpstreamFailure::Unavailable(text),
        ) => {
            format!("failed.{}", detail(text))
        }
        Refusal::Failed(UpstreamFailure::Trapped(reason)) => format!("broke off.{}", detail(reason)),
        Refusal::Failed(UpstreamFailure::TimedOut) => "took too long and was stopped.".to_owned(),
        Refusal::Failed(UpstreamFailure::OutOfCpuTime { .. }) => {
            "used too much processor time and was stopped.".to_owned()
        }
        Refusal::Failed(UpstreamFailure::OutOfMemory) => "ran out of memory and was stopped.".to_owned(),
        Refusal::Failed(UpstreamFailure::Busy) => "is busy; try again later.".to_owned(),
        Refusal::Failed(UpstreamFailure::NotServing) => "is not available: its component cannot serve.".to_owned(),
    };
    match target {
        Some(target) => format!("Failed to invoke '{target}': a filter of the hub {what}"),
        None => format!("The result cannot be passed on: a filter of the hub {what}"),
    }
}

/// The error of a hub server's call of a client whose payload is not exactly one call.
pub(crate) const UNREADABLE_CALL: &str = "The filters of the hub cannot read the call.";

/// The error of the handshake, for a client that upstream did not take.
pub(crate) fn connected(failure: UpstreamFailure, detailed: bool) -> String {
    let failed = |why: &str| format!("An unexpected error occurred during connection handshake.{why}");
    let detail = |text: String| if detailed { format!(" {text}") } else { String::new() };
    match failure {
        UpstreamFailure::Rejected(text) => text,
        UpstreamFailure::Failed(text) | UpstreamFailure::Unavailable(text) | UpstreamFailure::Trapped(text) => {
            failed(&detail(text))
        }
        UpstreamFailure::TimedOut => failed(" The handler took too long and was stopped."),
        UpstreamFailure::OutOfCpuTime { .. } => failed(" The handler used too much processor time and was stopped."),
        UpstreamFailure::OutOfMemory => failed(" The handler ran out of memory and was stopped."),
        UpstreamFailure::Busy => failed(" The handler is busy; try again later."),
        UpstreamFailure::NotServing => failed(" The handler is not available: its component cannot serve."),
    }
}

/// The error of the close, for a client that was let in before upstream had its say.
pub(crate) fn connected_late(failure: &UpstreamFailure) -> &'static str {
    match failure.may_pass() {
        true => "Connection closed with an error. The application cannot be reached; try again later.",
        false => "Connection closed with an error. The application has refused the connection.",
    }
}

/// The error of the handshake, for a client that has not been answered and is not going to be (.NET's own words).
pub(crate) const HANDSHAKE_CANCELED: &str = "Handshake was canceled.";

/// The error of the close, for a client that said nothing for so long.
pub(crate) fn timed_out(timeout: Millis) -> String {
    let time = Duration::from(timeout);
    format!("Connection closed with an error. The connection timed out: nothing came from the client for {time:?}.")
}

/// The error of the handshake, for a client that no hub server gets (the service's own texts).
pub(crate) fn no_route(no_route: NoRoute) -> &'static str {
    match no_route {
        NoRoute::NoServer => {
            "SignalR Service is now in 'Default' service mode. Current mode works as a proxy that routes client traffic to \
             the connected app servers. However app servers are not connected."
        }
        NoRoute::NotTheRequired => "The server which the client is sticky to is not found.",
    }
}

/// The error of the handshake, for a client whose request is malformed (.NET's own words).
pub(crate) fn malformed_handshake(malformed: &MalformedHandshake, detailed: bool) -> String {
    let detail = if detailed { format!(" InvalidDataException: {malformed}") } else { String::new() };
    format!("An unexpected error occurred during connection handshake.{detail}")
}

/// The error of the handshake, for a client whose transport carries no bytes (.NET's own words).
pub(crate) fn no_binary_transport(protocol: HubProtocol) -> String {
    format!(
        "Cannot use the '{}' protocol on the current transport. The transport does not support 'Binary' transfer format.",
        protocol.name()
    )
}

/// The error of a completion, for a call that no upstream item matches.
pub(crate) fn nobody_answers(target: &str) -> String {
    format!("Failed to invoke '{target}': no upstream item of this hub matches it.")
}

/// The error of a completion, for a call of a client for which no hub server was there when it connected.
pub(crate) fn no_server_for_calls(target: &str) -> String {
    format!("Failed to invoke '{target}': no hub server was connected when this connection began.")
}

/// The error of a completion, for a call with streams of the client's own that a webhook would have to read.
pub(crate) fn webhooks_read_no_streams(target: &str) -> String {
    format!("Failed to invoke '{target}': a webhook answers it, and streaming to webhooks is not supported.")
}

/// The error of a completion, for a call for a stream that a webhook is not told of.
pub(crate) fn webhook_hears_of_no_streams(target: &str) -> String {
    format!(
        "Failed to invoke '{target}': a webhook answers it, and calls for streams are sent to none without `streams = true` in its `[[upstream]]` item."
    )
}

/// The same for a plugin whose version that serves answers none.
pub(crate) fn plugin_has_no_streams(target: &str, plugin: &PluginName) -> String {
    format!("Failed to invoke '{target}': streaming is not supported by the plugin '{plugin}'.")
}

/// The error of a stream whose plugin had streams when it began.
pub(crate) fn stream_lost_its_handler(plugin: &PluginName) -> String {
    format!("The stream has ended: streaming is not supported by the version of the plugin '{plugin}' that serves now.")
}

/// The error of a completion, for a call with streams whose own id is too long.
pub(crate) fn invocation_id_too_long(target: &str) -> String {
    format!("Failed to invoke '{target}': the invocation id of a call with streams is longer than 1024 characters.")
}

/// The error of a completion, for a call whose streams have ids that are taken or too long.
pub(crate) fn bad_stream_id(target: &str) -> String {
    format!(
        "Failed to invoke '{target}': the id of a stream that it sends is that of another stream, or is longer than 1024 \
         characters."
    )
}

/// The error of a completion, for a call that would open more streams than there may be.
pub(crate) fn too_many_streams(target: &str, bound: TooManyStreams, most: usize) -> String {
    match bound {
        TooManyStreams::OfClient => {
            format!("Failed to invoke '{target}': the connection may have {most} streams at a time.")
        }
        TooManyStreams::OfPlugin => {
            format!("Failed to invoke '{target}': too many streams are open already; try again later.")
        }
    }
}

/// The error of an upload that its client has not completed, for the plugin.
pub(crate) const UPLOADER_LEFT: &str = "The client has left.";

/// The same, of a call of which a filter let something go no further.
pub(crate) const CALL_REFUSED: &str = "A filter of the hub has ended the call.";

/// The same for one whose end was dropped because too much waits for the plugin.
pub(crate) const UPLOAD_DROPPED: &str = "The client has left, and the rest of what it said was dropped.";
