//! A component whose exports are called once each, with throw-away state and a hub in which nothing happens.

use std::sync::Arc;
use std::time::Duration;

use hubgate_core::delivery::Target;
use hubgate_core::event::{ConnectionFacts, HubCall, HubEvent, PresentMember, UpstreamEvent, UpstreamFailure};
use hubgate_core::filter::{FilterMessage, MessageKind, Origin, Subject};
use hubgate_core::id::{ConnectionId, GroupName, HubName, ShardIndex, UserId};
use hubgate_core::pairs::Pairs;
use hubgate_core::question::AskError;
use hubgate_core::stream::{Expected, Opening, StreamBounds, StreamEvent, StreamId, UploadedItem};
use hubgate_wire::payload::Payload;
use hubgate_wire::signalr::HubProtocol;

use crate::authorization::{AuthorizeCall, Refused};
use crate::budgets::Budgets;
use crate::compiler::Compilation;
use crate::host::{HostCall, HttpFailure, Recording, ShardQuestion, Tape, Term};
use crate::inspect::settings_of_anything;
use crate::instance::{Broken, Instance};
use crate::load_error::LoadError;
use crate::rehearsal::{Rehearsal, RehearsalError, Stage};
use crate::rehearsed_streams::RehearsedStreams;
use crate::version::{
    AUTHORIZER, HUB_LIFETIME, INBOUND_FILTER, OUTBOUND_FILTER, PRESENCE_EVENTS, SCHEDULED, UPSTREAM, UPSTREAM_STREAMS,
    has, is_http, worlds,
};

const FIRED: &str = "scheduled.fired";
/// The method that is called, the timer that fires and the group that changes. No plugin need have them.
const METHOD: &str = "hubgate-check";
/// So many calls are timed, for so long at most.
const TIMED: (usize, Duration) = (200, Duration::from_millis(500));

/// What is told of an instance that wants more than [`Budgets::memory_bytes`] of a plugin whose configuration does not say another number.
const BEYOND_MEMORY: &str =
    "an instance wants more memory than a plugin has whose configuration does not say `memory`: 64 MiB";

/// What a component is like, and what came of its calls.
#[derive(Debug, Clone)]
pub struct DryRun {
    /// The worlds that it serves: `handler`, `whole-hub` or `negotiator`, and `filter`, `filter-inbound` or `filter-outbound`.
    pub worlds: Vec<&'static str>,
    /// The interfaces that it imports and exports, with package and version.
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// The size of the component, in bytes.
    pub size_bytes: usize,
    /// Whether it imports `http`, which a gateway has to grant.
    pub asks_by_http: bool,
    pub compile_time: Duration,
    /// How long it took to make an instance, `init` included, and what its memories hold then, in bytes; or why there is none.
    pub start: Result<(Duration, usize), String>,
    /// What came of each export's call. None was called where there is no instance.
    pub calls: Vec<DryCall>,
    /// Half of the calls of an instance that is used again take no longer.
    pub call_time: Option<Duration>,
    /// The keys of its configuration that it has asked for, each once.
    pub configuration: Vec<String>,
}

/// The call of an export.
#[derive(Debug, Clone)]
pub struct DryCall {
    /// As in `upstream.invoke`.
    pub export: &'static str,
    pub outcome: DryRunOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DryRunOutcome {
    /// With a result, nothing, or a verdict.
    Answered,
    /// With a text for the client, or for the log.
    Refused(String),
    /// By a trap, or by a budget that was used up.
    BrokenOff(String),
}

impl DryRun {
    /// Why the component cannot serve: what broke off although it has asked for no configuration, the lack of which may be why. A timer
    /// that it has not set has a payload that it has not written, which may be why, too.
    pub fn failure(&self) -> Option<String> {
        if !self.configuration.is_empty() {
            return None;
        }
        let broken = self.calls.iter().find_map(|call| match &call.outcome {
            DryRunOutcome::BrokenOff(_) if call.export == FIRED => None,
            DryRunOutcome::BrokenOff(reason) => Some(format!("`{}` broke off: {reason}", call.export)),
            DryRunOutcome::Answered | DryRunOutcome::Refused(_) => None,
        });
        self.start.as_ref().err().cloned().or(broken)
    }
}

/// Loads a component and calls each of its exports once. Nothing is sent, nothing is kept, and no web server is asked. Blocks meanwhile. The
/// error says why it cannot serve, whatever its configuration.
pub fn dry_run(component: &[u8], compilation: Compilation) -> Result<DryRun, LoadError> {
    let stage = Stage::load(component, compilation)?;
    let recording = Recording::default();
    let mut rehearsal = rehearse(&stage, Tape::Recording(recording.clone()))?;
    let start = rehearsal.begin().map_err(|broken| match broken {
        Broken::OutOfMemory => BEYOND_MEMORY.to_owned(),
        broken => broken.to_string(),
    });
    let calls = if start.is_ok() { call_each(&mut rehearsal, &stage) } else { Vec::new() };
    let is_whole = calls.iter().all(|call| !matches!(call.outcome, DryRunOutcome::BrokenOff(_)));
    let call_time = if start.is_ok() && is_whole { time(&stage)? } else { None };
    let mut configuration = Vec::new();
    for exchange in recording.exchanges().unwrap_or_default() {
        if let HostCall::Config { key } = exchange.call
            && !configuration.contains(&key)
        {
            configuration.push(key);
        }
    }
    let loaded = &stage.loaded;
    Ok(DryRun {
        worlds: worlds(&loaded.interfaces),
        imports: loaded.imports.clone(),
        exports: loaded.interfaces.clone(),
        digest: loaded.digest.to_string(),
        size_bytes: component.len(),
        asks_by_http: loaded.imports.iter().any(|name| is_http(name)),
        compile_time: stage.compile_time,
        start,
        calls,
        call_time,
        configuration,
    })
}

fn rehearse(stage: &Stage, tape: Tape) -> Result<Rehearsal<'_>, LoadError> {
    let mut settings = settings_of_anything();
    // What is checked is nobody's yet, and may be made to take all that it gets.
    settings.budgets.memory_bytes = Budgets::default().memory_bytes;
    stage.rehearse_on(tape, settings, 0, &[]).map_err(|error| match error {
        RehearsalError::Load(error) => error,
        RehearsalError::State { .. } => unreachable!("no state is given"),
    })
}

/// Half of the calls take no longer, of an instance that nobody listens to.
fn time(stage: &Stage) -> Result<Option<Duration>, LoadError> {
    let mut rehearsal = rehearse(stage, Tape::Off)?;
    let exports = &stage.loaded.interfaces;
    let (client, call, message, request) = (client(), call(), message(), request());
    let subject = match has(exports, INBOUND_FILTER) {
        true => Subject::Client(client.clone()),
        false => delivery(),
    };
    let mut nobody = nobody();
    let timed = match (has(exports, UPSTREAM), has(exports, AUTHORIZER)) {
        (true, _) => rehearsal.time(TIMED, &mut nobody, async |instance: &mut Instance, term: Term| {
            instance.call(&client, (&call, call.headers()), term).await.map(drop)
        }),
        (false, true) => rehearsal.time(TIMED, &mut nobody, async |instance: &mut Instance, term: Term| {
            instance.authorize(&request, term).await.map(drop)
        }),
        (false, false) => rehearsal.time(TIMED, &mut nobody, async |instance: &mut Instance, term: Term| {
            instance.inspect(&subject, &message, &Pairs::default(), term).await.map(drop)
        }),
    };
    let mut timed = timed.unwrap_or_default();
    timed.sort();
    Ok(timed.get(timed.len() / 2).copied())
}

/// How an export is called.
enum Trial {
    Event(UpstreamEvent),
    Hub(HubEvent),
    Filter(Subject),
    Authorize,
}

/// Each export with the interface that it is of, in the order in which a hub would call it.
fn trials() -> [(&'static str, &'static str, Trial); 14] {
    let ended = StreamEvent::Ended { upload: stream(2), error: None };
    let room = RehearsedStreams::new(StreamBounds::default()).all_room();
    let streams = |event| Trial::Event(UpstreamEvent::Stream(event));
    [
        (HUB_LIFETIME, "hub-lifetime.started", Trial::Hub(HubEvent::Started)),
        (UPSTREAM, "upstream.connected", Trial::Event(UpstreamEvent::Connected)),
        (UPSTREAM, "upstream.invoke", Trial::Event(call())),
        (UPSTREAM_STREAMS, "upstream-streams.begin", streams(StreamEvent::Begin(Box::new(opening())))),
        (UPSTREAM_STREAMS, "upstream-streams.item", streams(StreamEvent::Item(Box::new(item())))),
        (UPSTREAM_STREAMS, "upstream-streams.ended", streams(ended)),
        (UPSTREAM_STREAMS, "upstream-streams.writable", streams(StreamEvent::Writable { stream: stream(1), room })),
        (UPSTREAM_STREAMS, "upstream-streams.cancelled", streams(StreamEvent::Cancelled { stream: stream(1) })),
        (SCHEDULED, FIRED, Trial::Hub(timer())),
        (PRESENCE_EVENTS, "presence-events.changed", Trial::Hub(joined())),
        (UPSTREAM, "upstream.disconnected", Trial::Event(UpstreamEvent::Disconnected { reason: None })),
        (INBOUND_FILTER, "inbound-filter.inspect", Trial::Filter(Subject::Client(client()))),
        (OUTBOUND_FILTER, "outbound-filter.inspect", Trial::Filter(delivery())),
        (AUTHORIZER, "authorizer.authorize", Trial::Authorize),
    ]
}

fn call_each(rehearsal: &mut Rehearsal<'_>, stage: &Stage) -> Vec<DryCall> {
    let mut nobody = nobody();
    let exported = trials().into_iter().filter(|(interface, ..)| has(&stage.loaded.interfaces, interface));
    let call = |(_, export, trial)| {
        let result = match trial {
            Trial::Event(event) => rehearsal.call(&client(), &event, &mut nobody).result.map(drop),
            Trial::Hub(event) => {
                let call = HubCall { plugin: settings_of_anything().name, hub: hub(), event };
                rehearsal.call_hub(&call, &mut nobody).result.map(drop)
            }
            Trial::Filter(subject) => {
                rehearsal.inspect(&subject, (&message(), &Pairs::default()), &mut nobody).map(drop)
            }
            Trial::Authorize => match rehearsal.authorize(&request(), &mut nobody).result {
                Ok(_) => Ok(()),
                Err(Refused::Unauthorized(text) | Refused::Forbidden(text)) => Err(UpstreamFailure::Rejected(text)),
                Err(Refused::Failed(failure)) => Err(failure),
            },
        };
        DryCall { export, outcome: outcome(result) }
    };
    exported.map(call).collect()
}

fn outcome(answer: Result<(), UpstreamFailure>) -> DryRunOutcome {
    let broken = |budget: &str| DryRunOutcome::BrokenOff(format!("it was beyond {budget}"));
    match answer {
        Ok(()) => DryRunOutcome::Answered,
        Err(UpstreamFailure::Rejected(text) | UpstreamFailure::Failed(text) | UpstreamFailure::Unavailable(text)) => {
            DryRunOutcome::Refused(text)
        }
        Err(UpstreamFailure::Trapped(reason)) => DryRunOutcome::BrokenOff(reason),
        Err(UpstreamFailure::TimedOut) => broken("the time of a call"),
        Err(UpstreamFailure::OutOfCpuTime { .. }) => broken("the processor time of a call"),
        Err(UpstreamFailure::OutOfMemory) => broken("the memory of an instance"),
        Err(UpstreamFailure::Busy | UpstreamFailure::NotServing) => broken("what can be tried here"),
    }
}

/// A hub in which nobody is, and nothing happens: only the stream that is begun is open from the beginning. Who asks may have gone on
/// without an answer.
fn nobody() -> impl FnMut(ShardQuestion) + Send {
    let mut streams = RehearsedStreams::new(StreamBounds::default());
    streams.open(stream(1), Expected::Items);
    move |question| match question {
        ShardQuestion::Exists { answer, .. } => drop(answer.send(false)),
        ShardQuestion::Facts { answer, .. } => drop(answer.send(None)),
        ShardQuestion::Count { answer, .. } => drop(answer.send(0)),
        ShardQuestion::Members { answer, .. } => drop(answer.send(Vec::new())),
        ShardQuestion::Watch { answer, .. } => drop(answer.send(Ok(()))),
        ShardQuestion::Run { done, .. } | ShardQuestion::Unwatch { done, .. } => {
            let _ = done.send(());
        }
        ShardQuestion::Stream { command, answer, .. } => drop(answer.send(streams.obey(&command))),
        ShardQuestion::Http(call) => {
            let reason = "no web server is asked while a component is checked".to_owned();
            drop(call.answer.send(Err(HttpFailure::Denied(reason))));
        }
        ShardQuestion::AskClient { answer, .. } => drop(answer.send(Err(AskError::NoSuchConnection))),
    }
}

fn hub() -> HubName {
    HubName::parse("check").expect("it is a hub's name")
}

fn client() -> Arc<ConnectionFacts> {
    Arc::new(ConnectionFacts {
        hub: hub(),
        id: ConnectionId::new(ShardIndex(0).into(), *b"hubgatecheck"),
        user_id: Some(UserId::new("check")),
        protocol: HubProtocol::Json,
        claims: Pairs::default(),
        query: "".into(),
        headers: Pairs::default(),
        remote_address: "127.0.0.1".into(),
    })
}

/// A stream of the client, or an upload.
fn stream(number: u32) -> StreamId {
    StreamId { connection: client().id, number }
}

fn opening() -> Opening {
    Opening {
        id: stream(1),
        target: METHOD.into(),
        arguments: Payload::no_arguments(),
        uploads: vec![stream(2)],
        answer: Expected::Items,
        headers: Pairs::default(),
    }
}

fn item() -> UploadedItem {
    UploadedItem { upload: stream(2), item: Payload::no_arguments(), headers: Pairs::default() }
}

fn timer() -> HubEvent {
    HubEvent::TimerFired { name: METHOD.into(), payload: Arc::default() }
}

fn joined() -> HubEvent {
    let client = client();
    let joined = vec![PresentMember { connection: client.id, user_id: client.user_id.clone() }];
    HubEvent::PresenceChanged { group: GroupName::new(METHOD), joined, left: Vec::new() }
}

fn request() -> AuthorizeCall {
    AuthorizeCall {
        plugin: settings_of_anything().name,
        hub: hub(),
        headers: Pairs::default(),
        query: Pairs::default(),
        remote_address: "127.0.0.1".into(),
    }
}

fn call() -> UpstreamEvent {
    UpstreamEvent::Invocation {
        target: METHOD.into(),
        arguments: Payload::no_arguments(),
        invocation_id: Some("1".into()),
        headers: Pairs::default(),
    }
}

fn message() -> FilterMessage {
    let content = Some(Payload::no_arguments());
    FilterMessage { kind: MessageKind::Invocation, target: Some(METHOD.to_owned()), content, error: None }
}

fn delivery() -> Subject {
    Subject::Delivery { hub: hub(), to: vec![Target::All], origin: Origin::Rest }
}
