//! Resource logs: what the service's categories of logs tell of connections, messages and requests, as lines of JSON in a file.
//!
//! Source: "Azure SignalR Service monitoring data reference", whose names of fields are taken where there are any. Lines are made on the shards'
//! threads and wait in a bounded queue ([`lines`]) for a thread that writes them ([`file`]). Without a file in the configuration there is no
//! [`ResourceLog`], and nothing is made.

mod entry;
mod file;
mod lines;
mod said;
mod visitor;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use hubgate_core::CloseCause;
use hubgate_core::event::ConnectionFacts;
use hubgate_core::id::{HubName, ServerConnectionId, ServerId};
use hubgate_wire::signalr::HubMessage;
use prometheus_client::registry::Registry;

use self::entry::Entry;
use self::file::LogFile;
use self::lines::Lines;
use crate::settings::{LogCategory, ResourceLogSettings};
pub(crate) use said::Hearing;
pub(crate) use visitor::Visitor;

/// How long the last lines may take when the gateway ends.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The log, for all threads.
#[derive(Debug)]
pub(crate) struct ResourceLog {
    categories: Vec<LogCategory>,
    lines: Arc<Lines>,
}

/// A request that was answered.
#[derive(Debug)]
pub(crate) struct Answered<'a> {
    pub(crate) operation: &'static str,
    pub(crate) method: &'a str,
    /// Without its query.
    pub(crate) path: &'a str,
    pub(crate) user_agent: Option<&'a str>,
    pub(crate) address: &'a str,
    pub(crate) status: StatusCode,
    pub(crate) took: Duration,
}

impl ResourceLog {
    /// Opens the file. Gives, beside the log, what writes there until the log ends: the work of a thread of its own.
    pub(crate) fn open(settings: &ResourceLogSettings) -> io::Result<(Arc<ResourceLog>, impl FnOnce() + Send + use<>)> {
        let file = LogFile::open(&settings.file)?;
        let lines = Arc::new(Lines::new());
        let written = lines.clone();
        let log = ResourceLog { categories: settings.categories.clone(), lines };
        Ok((Arc::new(log), move || written.write_all_to(file)))
    }

    pub(crate) fn wants(&self, category: LogCategory) -> bool {
        self.categories.contains(&category)
    }

    /// What became of lines, as metrics.
    pub(crate) fn metrics(&self) -> Registry {
        self.lines.metrics()
    }

    /// No more lines come; those that wait are written within some time. It is waited for.
    pub(crate) fn end(&self) {
        self.lines.end(LAST_LINES);
    }

    /// A connection of a hub server is open; gives what tells of its end.
    pub(crate) fn hub_server(
        self: &Arc<Self>,
        hub: &HubName,
        server: &ServerId,
        id: ServerConnectionId,
    ) -> Option<Visitor> {
        let visitor = || Visitor::hub_server(self.clone(), hub, server, id);
        self.wants(LogCategory::Connectivity).then(visitor)
    }

    /// A client calls a method, where that is read here.
    fn said(&self, client: &ConnectionFacts, message: &HubMessage<'_>) {
        let (kind, call) = match message {
            HubMessage::Invocation(call) => ("Invocation", call),
            HubMessage::StreamInvocation(call) => ("StreamInvocation", call),
            _ => return,
        };
        let mut entry = Entry::of_message("MessageReceived", kind, &client.hub);
        entry.address(&client.remote_address);
        entry.text("connectionId", client.id.as_str());
        entry.text("connectionType", "Client");
        entry.optional("userId", client.user_id.as_ref().map(|user| user.as_str()));
        entry.text("method", &call.target);
        entry.optional("invocationId", call.invocation_id.as_deref());
        entry.text("message", "A client has called a method.");
        self.lines.push(&entry.line());
    }

    /// Something was sent to so many connections of this gateway. `to` is the kind of the target, and its name if it has one.
    pub(crate) fn sent(&self, hub: &HubName, (kind, name): (&str, Option<&str>), recipients: usize) {
        let (message_type, field) = match kind {
            "group" => ("GroupBroadcastDataMessage", "groupName"),
            "user" => ("UserDataMessage", "userId"),
            "connection" => ("MultiConnectionDataMessage", "connectionId"),
            _ => ("BroadcastDataMessage", "target"),
        };
        let mut entry = Entry::of_message("MessageSent", message_type, hub);
        entry.optional(field, name);
        entry.number("recipients", recipients as u64);
        entry.text("message", "A message was sent to connections of this gateway.");
        self.lines.push(&entry.line());
    }

    pub(crate) fn answered(&self, request: &Answered<'_>) {
        let level = match request.status {
            status if status.is_server_error() => "Error",
            status if status.is_client_error() => "Warning",
            _ => "Informational",
        };
        let mut entry = Entry::new("HttpRequestLogs", request.operation, level);
        entry.address(request.address);
        entry.text("method", request.method);
        entry.text("url", request.path);
        entry.number("statusCode", u64::from(request.status.as_u16()));
        entry.milliseconds("duration", request.took);
        entry.optional("userAgent", request.user_agent);
        entry.text("message", "A request was answered.");
        self.lines.push(&entry.line());
    }
}

/// What a connection's end is called.
fn operation_of(cause: CloseCause) -> &'static str {
    match cause {
        CloseCause::TransportLost | CloseCause::PingTimeout | CloseCause::SlowClient | CloseCause::InternalError => {
            "ConnectionAborted"
        }
        _ => "ConnectionEnded",
    }
}
