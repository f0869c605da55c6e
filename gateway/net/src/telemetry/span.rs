//! Spans: what was done for a message or a request, from when to when, and because of what.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hubgate_core::trace::{TraceMark, Traced};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{self as otlp, SpanFlags, Status, status::StatusCode};

use super::context::Context;
use super::watching::Watcher;
use super::{Export, unix_nanoseconds};

pub(crate) use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

/// The longest text of an attribute and the longest name, in bytes.
const LONGEST_TEXT: usize = 1_024;

/// Who is told of the spans of a trace.
#[derive(Debug)]
pub(super) struct Readers {
    /// `None`: the collector is not.
    pub(super) export: Option<Arc<Export>>,
    pub(super) watchers: Vec<Arc<Watcher>>,
}

impl Readers {
    pub(super) fn are_there(&self) -> bool {
        self.export.is_some() || !self.watchers.is_empty()
    }
}

/// A span that is under way. It is told when its last owner drops it.
#[derive(Debug)]
pub(crate) struct Span {
    readers: Arc<Readers>,
    context: Context,
    cause: Cause,
    kind: SpanKind,
    name: String,
    begun: Moment,
    noted: Mutex<Noted>,
}

/// What has brought a span about.
#[derive(Debug)]
enum Cause {
    /// It is the first one of its trace.
    Nothing,
    /// A span of somebody else.
    Other([u8; 8]),
    /// One of this gateway, which is not told before those that it has caused.
    Span(Arc<Span>),
}

/// By both clocks: one tells the time, and the other is never set.
#[derive(Debug, Clone, Copy)]
struct Moment {
    unix_nanoseconds: u64,
    instant: Instant,
}

/// What is known of a span by and by.
#[derive(Debug, Default)]
struct Noted {
    attributes: Vec<KeyValue>,
    /// What kind of failure it was.
    error: Option<&'static str>,
    /// What it carries, for those who watch alone.
    payload: Option<String>,
    ended: Option<Instant>,
}

impl Traced for Span {}

impl Moment {
    fn now() -> Moment {
        Moment { unix_nanoseconds: unix_nanoseconds(), instant: Instant::now() }
    }
}

impl Span {
    /// The first span of this gateway in a trace; `parent` is somebody else's.
    pub(super) fn first(readers: Arc<Readers>, parent: Option<&Context>, kind: SpanKind, name: &str) -> Arc<Span> {
        let (context, cause) = match parent {
            None => (Context::begin(), Cause::Nothing),
            Some(parent) => (parent.child(), Cause::Other(parent.span_id)),
        };
        let (name, begun) = (bounded(name).to_owned(), Moment::now());
        Arc::new(Span { readers, context, cause, kind, name, begun, noted: Mutex::default() })
    }

    /// A span that this one has caused.
    pub(crate) fn child(self: &Arc<Span>, kind: SpanKind, name: &str) -> Arc<Span> {
        Arc::new(self.child_since(Moment::now(), kind, name))
    }

    /// One that began with this one, and ends now.
    pub(crate) fn child_from_the_beginning(self: &Arc<Span>, kind: SpanKind, name: &str) -> Span {
        self.child_since(self.begun, kind, name)
    }

    fn child_since(self: &Arc<Span>, begun: Moment, kind: SpanKind, name: &str) -> Span {
        Span {
            readers: self.readers.clone(),
            context: self.context.child(),
            cause: Cause::Span(self.clone()),
            kind,
            name: bounded(name).to_owned(),
            begun,
            noted: Mutex::default(),
        }
    }

    /// What others are told of the trace; `None` where the collector is not told of it.
    pub(crate) fn context(&self) -> Option<&Context> {
        self.readers.export.as_ref().map(|_| &self.context)
    }

    pub(super) fn watchers(&self) -> &[Arc<Watcher>] {
        &self.readers.watchers
    }

    /// Lets those who watch see what it carries, if they want to.
    pub(super) fn payload(&self, payload: impl FnOnce() -> String) {
        if self.readers.watchers.iter().any(|watcher| watcher.wants_payloads()) {
            self.note(|noted| noted.payload = Some(payload()));
        }
    }

    /// For what belongs to it.
    pub(crate) fn mark(self: &Arc<Span>) -> TraceMark {
        TraceMark::new(self.clone())
    }

    /// Of a mark that is a span's.
    pub(crate) fn of(mark: &TraceMark) -> Option<Arc<Span>> {
        mark.traced()
    }

    fn note(&self, note: impl FnOnce(&mut Noted)) {
        note(&mut self.noted.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Adds a text about it; never a payload, and nothing that is secret: the collector is told.
    pub(crate) fn text(&self, key: &'static str, value: &str) {
        let value = Value::StringValue(bounded(value).to_owned());
        self.note(|noted| noted.attributes.push(attribute(key, value)));
    }

    /// Adds a number about it.
    pub(crate) fn number(&self, key: &'static str, value: usize) {
        let value = Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX));
        self.note(|noted| noted.attributes.push(attribute(key, value)));
    }

    /// It has failed.
    pub(crate) fn failed(&self, kind: &'static str) {
        self.note(|noted| noted.error = Some(kind));
    }

    /// What has brought it about has failed with it.
    pub(crate) fn fail_cause(&self, kind: &'static str) {
        if let Cause::Span(span) = &self.cause {
            span.failed(kind);
        }
    }

    /// It is over, although what it has caused is not.
    pub(crate) fn end(&self) {
        self.note(|noted| {
            noted.ended.get_or_insert_with(Instant::now);
        });
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Noted { attributes, error, payload, ended } =
            mem::take(self.noted.get_mut().unwrap_or_else(PoisonError::into_inner));
        let took = ended.unwrap_or_else(Instant::now).saturating_duration_since(self.begun.instant);
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let parent = match &self.cause {
            Cause::Nothing => None,
            Cause::Other(span_id) => Some(*span_id),
            Cause::Span(span) => Some(span.context.span_id),
        };
        let mut span = otlp::Span {
            trace_id: self.context.trace_id.to_vec(),
            span_id: self.context.span_id.to_vec(),
            trace_state: self.context.state.as_deref().unwrap_or_default().to_owned(),
            parent_span_id: parent.map(|id| id.to_vec()).unwrap_or_default(),
            flags: flags(&self.cause),
            name: mem::take(&mut self.name),
            kind: self.kind.into(),
            start_time_unix_nano: self.begun.unix_nanoseconds,
            end_time_unix_nano: self.begun.unix_nanoseconds.saturating_add(took),
            attributes,
            ..otlp::Span::default()
        };
        if let Some(error) = error {
            span.attributes.push(attribute("error.type", Value::StringValue(error.to_owned())));
            span.status = Some(Status { message: String::new(), code: StatusCode::Error.into() });
        }
        for watcher in &self.readers.watchers {
            watcher.tell(&span, payload.as_deref());
        }
        if let Some(export) = &self.readers.export {
            export.told(span);
        }
    }
}

/// That the trace is recorded, and whether the parent is another process's.
fn flags(cause: &Cause) -> u32 {
    const SAMPLED: u32 = 1;
    let remote = match cause {
        Cause::Other(_) => SpanFlags::ContextIsRemoteMask as u32,
        Cause::Nothing | Cause::Span(_) => 0,
    };
    SAMPLED | SpanFlags::ContextHasIsRemoteMask as u32 | remote
}

/// A name with its value.
pub(crate) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}
