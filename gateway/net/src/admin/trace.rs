//! The way of messages for operators who watch: spans as server-sent events, until the operator hangs up.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, StatusCode};
use hubgate_core::id::{ConnectionId, HubName, UserId};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::{Span, SpanFlags};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::Admin;
use super::access::Token;
use super::outcome::{Denial, Reply};
use crate::http::Query;
use crate::inbox::LocalMessage;
use crate::shards::Shards;
use crate::tasks;
use crate::telemetry::{MAX_WAITING, MAX_WATCHERS, Wanted, Watched, Watching};

/// How long the shards may take to go by who watches.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a span waits for others before they are told together.
const GATHERING: Duration = Duration::from_millis(100);
/// How often something is told, so that all on the way see that the answer goes on.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The longest name of a method that is looked for, in bytes.
const LONGEST_METHOD: usize = 1_024;

/// What follows is told from now on: each worker thread follows.
const WATCHING: &str = "event: watching\ndata: {}\n\n";
const STILL_THERE: &str = ":\n\n";

/// The attributes that are told, by the names that they have in telemetry.
const ATTRIBUTES: [(&str, &str); 18] = [
    ("rpc.service", "hub"),
    ("hubgate.hub", "hub"),
    ("rpc.method", "method"),
    ("user.id", "user"),
    ("hubgate.connection.id", "connection"),
    ("hubgate.operation", "operation"),
    ("hubgate.direction", "direction"),
    ("hubgate.plugin", "plugin"),
    ("hubgate.plugin.generation", "generation"),
    ("hubgate.webhook", "webhook"),
    ("hubgate.handler", "handler"),
    ("hubgate.verdict", "verdict"),
    ("hubgate.target", "to"),
    ("messaging.destination.name", "name"),
    ("hubgate.recipients", "recipients"),
    ("thread.name", "thread"),
    ("http.response.status_code", "status"),
    ("error.type", "failed"),
];

/// `GET /admin/trace`.
pub(super) fn watch<B>(admin: &Admin, request: &Request<B>) -> Result<Reply, Denial> {
    let (watcher, headers) = (admin.clone(), request.headers().clone());
    let token = move || Token::of(&headers, &watcher.shared.settings().admin);
    let Some(opened_by) = token() else {
        return Err(Denial::new(StatusCode::UNAUTHORIZED, "The admin token is missing or wrong."));
    };
    let wanted = Wanted { is_for_operator: opened_by == Token::Admin, ..wanted(Query::of(request.uri()))? };
    let with_payloads = wanted.payloads;
    let Some(watching) = admin.shared.telemetry.watch(wanted) else {
        let text = format!("{MAX_WATCHERS} watch messages already: one has to end before another may begin.");
        return Err(Denial::new(StatusCode::TOO_MANY_REQUESTS, text));
    };
    if with_payloads {
        tracing::info!("an operator watches messages with what they carry");
    }
    let (events, told) = mpsc::channel(1);
    // The stream ends with its token.
    let may_go_on = move || token() >= Some(opened_by);
    tasks::spawn_awaited(tell(admin.shards.clone(), may_go_on, watching, events));
    Ok(Reply::Events(told))
}

fn wanted(query: Query<'_>) -> Result<Wanted, Denial> {
    let invalid = |name: &str, why: &dyn std::fmt::Display| Denial::bad_request(format!("`{name}`: {why}"));
    let hub = query.get("hub").map(|hub| HubName::read(&hub).map_err(|error| invalid("hub", &error)));
    let user = query.get("user").map(|user| UserId::parse(&user).map_err(|error| invalid("user", &error)));
    let connection = query.get("connection").map(|id| {
        ConnectionId::parse(&*id).ok_or_else(|| invalid("connection", &"it must be the id of a client's connection."))
    });
    let method = query.get("method").map(|method| match method.len() {
        1..=LONGEST_METHOD => Ok(method.into_owned()),
        _ => Err(invalid("method", &format_args!("it must have 1 to {LONGEST_METHOD} bytes."))),
    });
    let payloads = match query.get("payloads").as_deref() {
        None | Some("false") => false,
        Some("" | "true") => true,
        Some(_) => return Err(invalid("payloads", &"it must be `true` or `false`.")),
    };
    Ok(Wanted {
        hub: hub.transpose()?,
        user: user.transpose()?,
        connection: connection.transpose()?,
        method: method.transpose()?,
        payloads,
        is_for_operator: false,
    })
}

/// Tells what is watched until the operator hangs up, or may no more.
async fn tell(shards: Shards, may_go_on: impl Fn() -> bool, mut watching: Watching, events: mpsc::Sender<Bytes>) {
    tokio::select! {
        // A shard that does not answer follows with its next tick.
        _ = shards.ask(LocalMessage::Follow, FOLLOW_TIMEOUT) => {}
        () = events.closed() => {}
    }
    let mut text = WATCHING.to_owned();
    while may_go_on() && events.send(std::mem::take(&mut text).into()).await.is_ok() {
        let span = tokio::select! {
            () = events.closed() => break,
            span = timeout(KEEP_ALIVE, watching.next()) => span,
        };
        match span {
            Ok(Some(span)) => {
                sleep(GATHERING).await;
                write_span(&mut text, &span);
                // No more than waits at a time: others have a turn on this thread, too.
                for _ in 1..MAX_WAITING {
                    let Some(span) = watching.next_now() else { break };
                    write_span(&mut text, &span);
                }
                let missed = watching.take_missed();
                if missed > 0 {
                    write_event(&mut text, "missed", &json!({ "count": missed }));
                }
            }
            Ok(None) => break,
            Err(_) => text.push_str(STILL_THERE),
        }
    }
    drop(watching);
    shards.ask(LocalMessage::Follow, FOLLOW_TIMEOUT).await;
}

fn write_span(text: &mut String, watched: &Watched) {
    write_event(text, "span", &span_of(watched));
}

/// JSON has no line breaks of its own.
fn write_event(text: &mut String, event: &str, data: &Value) {
    write!(text, "event: {event}\ndata: {data}\n\n").expect("a text takes what is written");
}

fn span_of(Watched { span, payload }: &Watched) -> Value {
    let mut attributes = Map::new();
    for (name, value) in span.attributes.iter().filter_map(told) {
        attributes.insert(name.to_owned(), value);
    }
    let failed = attributes.remove("failed");
    if let Some(payload) = payload {
        attributes.insert("arguments".to_owned(), payload.as_str().into());
    }
    let parent = (!span.parent_span_id.is_empty()).then(|| hex(&span.parent_span_id));
    let nanoseconds = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
    json!({
        "trace": hex(&span.trace_id),
        "span": hex(&span.span_id),
        "parent": parent,
        "root": is_first(span),
        "name": span.name,
        "at": at(span),
        "micros": nanoseconds / 1_000,
        "failed": failed,
        "attributes": attributes,
    })
}

/// Whether it is the first one of this gateway in its trace. That one is told last.
fn is_first(span: &Span) -> bool {
    span.parent_span_id.is_empty() || span.flags & SpanFlags::ContextIsRemoteMask as u32 != 0
}

fn at(span: &Span) -> String {
    humantime::format_rfc3339_micros(UNIX_EPOCH + Duration::from_nanos(span.start_time_unix_nano)).to_string()
}

/// An attribute by the name that is told, if it is.
fn told(attribute: &opentelemetry_proto::tonic::common::v1::KeyValue) -> Option<(&'static str, Value)> {
    let (_, name) = ATTRIBUTES.iter().find(|(known, _)| *known == attribute.key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Attribute::StringValue(text) => Some((name, text.as_str().into())),
        Attribute::IntValue(number) => Some((name, (*number).into())),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes what is written");
        text
    })
}
