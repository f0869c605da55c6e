//! Spans of what the core wants done for messages that are followed: of filters, and of whoever handles them.

use std::rc::Rc;
use std::sync::Arc;

use hubgate_core::event::{ConnectionFacts, UpstreamAnswer, UpstreamEvent, UpstreamFailure};
use hubgate_core::filter::{Inspected, Inspection, Refusal, Subject, Verdict};
use hubgate_core::id::PluginName;
use hubgate_core::pairs::Pairs;
use hubgate_core::settings::Handler;
use hubgate_core::trace::TraceMark;
use hubgate_core::{Effect, Input};
use hubgate_plugin_host::ShardPlugins;

use super::ShardThread;
use crate::telemetry::{Context, Span, SpanKind, is_of_trace};

impl ShardThread {
    /// The same as [`ShardThread::perform`], for a message that is followed.
    pub(super) fn perform_traced(
        self: &Rc<Self>,
        mark: &TraceMark,
        effect: Effect,
        inputs: &mut std::collections::VecDeque<Input<'static, 'static>>,
    ) {
        match effect {
            Effect::Inspect { number, mut inspection } => {
                let is_inbound = matches!(inspection.subject, Subject::Client(_));
                let span = Span::of(mark).map(|cause| of_filters(&self.plugins, &cause, &mut inspection));
                let inspecting = span.map(|span| Inspecting { span, is_inbound, mark: mark.clone() });
                inputs.push_back(self.inspect(number, inspection, inspecting));
            }
            Effect::Call { client, handler, facts, mut event } => {
                let span = Span::of(mark).map(|cause| of_call(&self.plugins, &cause, &handler, &mut event));
                inputs.extend(self.call_handler(client, handler, facts, event, span));
            }
            effect => self.perform(effect, inputs),
        }
    }

    /// The span of what is told a handler because a client has come or gone, if telemetry is on.
    pub(super) fn span_of_event(
        &self,
        handler: &Handler,
        facts: &ConnectionFacts,
        event: &mut UpstreamEvent,
    ) -> Option<Arc<Span>> {
        let name = match event {
            UpstreamEvent::Connected => "connected",
            UpstreamEvent::Disconnected { .. } => "disconnected",
            UpstreamEvent::Invocation { .. } | UpstreamEvent::StreamCall(_) | UpstreamEvent::Stream(_) => return None,
        };
        let first = self.shared.telemetry.of_client(None, facts, name)?;
        Some(of_call(&self.plugins, &first, handler, event))
    }
}

/// The span of filters, and the mark of what they look at.
#[derive(Debug)]
pub(super) struct Inspecting {
    span: Arc<Span>,
    /// Whether they look at what a client says: then its call fails if that does not pass.
    is_inbound: bool,
    mark: TraceMark,
}

impl Inspecting {
    /// What filters have said, for the core. What comes next is not theirs.
    pub(super) fn said(self, input: Input<'static, 'static>) -> Input<'static, 'static> {
        if let Input::Inspected { inspected, .. } = &input {
            self.span.text("hubgate.verdict", verdict(inspected));
            let refused = match &inspected.verdict {
                Verdict::Pass | Verdict::Replace(_) => None,
                Verdict::Refuse(Refusal::Rejected(_)) => Some("rejected"),
                Verdict::Refuse(Refusal::Dropped) => Some("dropped"),
                Verdict::Refuse(Refusal::Failed(failure)) => {
                    self.span.failed(kind_of(failure));
                    Some(kind_of(failure))
                }
                Verdict::Close(_) => Some("closed"),
            };
            if let Some(kind) = refused.filter(|_| self.is_inbound) {
                self.span.fail_cause(kind);
            }
        }
        self.span.end();
        Input::Traced { mark: self.mark, input: Box::new(input) }
    }
}

/// What a handler has answered, for the core: what is done because of it is the handler's.
pub(super) fn answered(span: Arc<Span>, input: Input<'static, 'static>) -> Input<'static, 'static> {
    if let Input::UpstreamAnswered { answer: UpstreamAnswer { result: Err(failure), .. }, .. } = &input {
        span.failed(kind_of(failure));
        span.fail_cause(kind_of(failure));
    }
    span.end();
    Input::Traced { mark: span.mark(), input: Box::new(input) }
}

fn of_filters(plugins: &ShardPlugins, cause: &Arc<Span>, inspection: &mut Inspection) -> Arc<Span> {
    let span = cause.child(SpanKind::Internal, "filter");
    let direction = match &inspection.subject {
        Subject::Client(_) => "inbound",
        Subject::Delivery { .. } => "outbound",
    };
    span.text("hubgate.direction", direction);
    let filters = || inspection.filters.iter().map(|filter| &filter.settings.plugin);
    let names: Vec<&str> = filters().map(PluginName::as_str).collect();
    span.text("hubgate.plugin", &names.join(", "));
    let generations: Vec<String> = filters().map(|filter| generation(plugins, filter)).collect();
    span.text("hubgate.plugin.generation", &generations.join(", "));
    if let Some(context) = span.context() {
        tell(context, &mut inspection.headers);
    }
    span
}

fn of_call(plugins: &ShardPlugins, cause: &Arc<Span>, handler: &Handler, event: &mut UpstreamEvent) -> Arc<Span> {
    let span = cause.child(SpanKind::Internal, "handle");
    match handler {
        Handler::Plugin(plugin) => {
            span.text("hubgate.plugin", plugin.as_str());
            span.text("hubgate.plugin.generation", &generation(plugins, plugin));
            if let (Some(context), Some(headers)) = (span.context(), event.headers_mut()) {
                tell(context, headers);
            }
        }
        // Its request has a header.
        Handler::Webhook(webhook) => span.text("hubgate.webhook", webhook.url.shown()),
    }
    span
}

/// Of the version that a call comes to that begins now.
fn generation(plugins: &ShardPlugins, plugin: &PluginName) -> String {
    plugins.generation(plugin).map_or_else(|| "none".to_owned(), |generation| generation.to_string())
}

/// Lets whoever reads a message's headers know which span it is in.
fn tell(context: &Context, headers: &mut Pairs) {
    let told: Vec<(&str, String)> = context.headers().collect();
    let told = told.iter().map(|(name, value)| (*name, value.as_str()));
    let all: Pairs = headers.iter().filter(|(name, _)| !is_of_trace(name)).chain(told).collect();
    *headers = all;
}

fn verdict(inspected: &Inspected) -> &'static str {
    match inspected.verdict {
        Verdict::Pass => "pass",
        Verdict::Replace(_) => "replace",
        Verdict::Refuse(Refusal::Rejected(_)) => "reject",
        Verdict::Refuse(Refusal::Dropped) => "drop",
        Verdict::Refuse(Refusal::Failed(_)) => "failed",
        Verdict::Close(_) => "close",
    }
}

/// What kind of failure it is. Its text may be the handler's, and tell what nobody else is to read.
fn kind_of(failure: &UpstreamFailure) -> &'static str {
    match failure {
        UpstreamFailure::Rejected(_) => "rejected",
        UpstreamFailure::Failed(_) => "failed",
        UpstreamFailure::Unavailable(_) => "unavailable",
        UpstreamFailure::Trapped(_) => "trapped",
        UpstreamFailure::TimedOut => "timed-out",
        UpstreamFailure::OutOfCpuTime { .. } => "out-of-cpu-time",
        UpstreamFailure::OutOfMemory => "out-of-memory",
        UpstreamFailure::Busy => "busy",
        UpstreamFailure::NotServing => "not-serving",
    }
}
