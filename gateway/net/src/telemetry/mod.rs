//! The spans of what is done for messages and requests: told to a collector by OTLP, and to operators who watch.
//!
//! Spans are made on the shards' threads, of messages that are followed ([`hubgate_core::trace`]) and of requests. They wait in bounded queues:
//! for a task of the main thread that brings them to the collector ([`crate::telemetry_export`]), and for each operator who watches. What finds no
//! room there is lost and counted. Without a collector in the configuration nothing is followed unless somebody watches.

mod context;
mod counts;
mod export;
mod following;
mod redaction;
mod span;
mod watching;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hubgate_core::delivery::Target;
use hubgate_core::follower::Follower;
use hubgate_core::id::HubName;
use opentelemetry_proto::tonic::trace::v1 as otlp;
use tokio::sync::mpsc;

use self::span::Readers;
use self::watching::Watchers;
use crate::settings::TelemetrySettings;
pub(crate) use context::{Context, is_of_trace};
pub(crate) use counts::Counts as SpanCounts;
pub(crate) use export::Export;
pub(crate) use span::{Span, SpanKind, attribute};
pub(crate) use watching::{MAX_WAITING, MAX_WATCHERS, Subject, Wanted, Watched, Watching};

/// Who is told of spans.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    /// `None`: no collector is.
    export: Option<Arc<Export>>,
    watchers: Watchers,
}

impl Telemetry {
    /// With the end of the queue that brings spans to the collector, if there is one.
    pub(crate) fn new(settings: Option<&TelemetrySettings>) -> (Telemetry, Option<mpsc::Receiver<otlp::Span>>) {
        let (export, spans) = settings.map(Export::new).unzip();
        (Telemetry { export: export.map(Arc::new), watchers: Watchers::default() }, spans)
    }

    pub(crate) fn export(&self) -> Option<&Arc<Export>> {
        self.export.as_ref()
    }

    /// Whether somebody watches.
    pub(crate) fn is_watched(&self) -> bool {
        !self.watchers.is_empty()
    }

    /// Somebody watches until what this gives is dropped. `None`: as many watch as may.
    pub(crate) fn watch(self: &Arc<Telemetry>, wanted: Wanted) -> Option<Watching> {
        Watching::begin(self.clone(), wanted)
    }

    /// What decides which messages of clients are followed, if any may be.
    pub(crate) fn follower(self: &Arc<Telemetry>) -> Option<Arc<dyn Follower>> {
        let is_wanted = self.export.is_some() || !self.watchers.is_empty();
        is_wanted.then(|| Arc::new(following::Following(self.clone())) as Arc<dyn Follower>)
    }

    /// The first span of a trace here, if somebody is told of that.
    pub(crate) fn begin(
        &self,
        parent: Option<&Context>,
        subject: &Subject<'_>,
        kind: SpanKind,
        name: &str,
    ) -> Option<Arc<Span>> {
        let export = self.export.as_ref().filter(|export| export.records(parent));
        self.begin_for(export, parent, subject, kind, name)
    }

    fn begin_for_client(&self, parent: Option<&Context>, subject: &Subject<'_>, name: &str) -> Option<Arc<Span>> {
        let export = self.export.as_ref().filter(|export| export.records_for_client(parent));
        self.begin_for(export, parent, subject, SpanKind::Server, name)
    }

    /// Of a send: for those who watch its target and are not told of what has brought it about, if that is followed.
    pub(crate) fn begin_send(&self, hub: &HubName, to: &Target, name: &str, cause: Option<&Span>) -> Option<Arc<Span>> {
        let (user, connection) = match to {
            Target::User(user) => (Some(user), None),
            Target::Connection(connection) => (None, Some(*connection)),
            Target::All | Target::Group(_) => (None, None),
        };
        let subject = Subject { hub, user, connection, method: None };
        let told = cause.map_or(&[][..], Span::watchers);
        let readers = Readers { export: None, watchers: self.watchers.of(&subject, told) };
        readers.are_there().then(|| Span::first(Arc::new(readers), None, SpanKind::Producer, name))
    }

    fn begin_for(
        &self,
        export: Option<&Arc<Export>>,
        parent: Option<&Context>,
        subject: &Subject<'_>,
        kind: SpanKind,
        name: &str,
    ) -> Option<Arc<Span>> {
        let readers = Readers { export: export.cloned(), watchers: self.watchers.of(subject, &[]) };
        readers.are_there().then(|| Span::first(Arc::new(readers), parent, kind, name))
    }
}

/// Since 1970.
pub(crate) fn unix_nanoseconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
