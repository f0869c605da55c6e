//! What the core wants done, and how it is done.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use hubgate_core::event::{ConnectionFacts, UpstreamAnswer, UpstreamCall, UpstreamEvent, UpstreamFailure};
use hubgate_core::filter::{Inspected, Inspection, InspectionNumber, Refusal, Verdict};
use hubgate_core::id::ServerConnectionId;
use hubgate_core::settings::Handler;
use hubgate_core::{CloseCause, Effect, Input, Slot, TransportKey};
use hubgate_wire::websocket::{Frame, close_code};

use super::ShardThread;
use super::traced::{self, Inspecting};
use crate::links::{ClientLink, HttpClient};
use crate::outbox::{Mark, Sharing};
use crate::peer_task::PeerTask;
use crate::refusal::no_membership;
use crate::tasks::{Caught, Panicked};
use crate::telemetry::Span;

/// What the log tells of why a client is closed, in bytes.
const LONGEST_DETAIL: usize = 1024;

impl ShardThread {
    /// Does what the core wants done; what comes of it at once is added to `inputs`.
    pub(super) fn perform(self: &Rc<Self>, effect: Effect, inputs: &mut VecDeque<Input<'static, 'static>>) {
        match effect {
            Effect::Send { to, frame } => self.queue(to, frame, None, Sharing::Alone),
            Effect::SendMarked { to, frame } => {
                self.queue(to, frame, Some(Mark::new(to, self.taken.clone())), Sharing::Alone);
            }
            Effect::Deliver { to, frame } => {
                let frame = frame.kept_by(|bytes| self.shared.outboxes.share(bytes));
                for transport in to {
                    self.queue(transport, frame.clone(), None, Sharing::Shared);
                }
            }
            Effect::Finish { transport, code, cause, detail } => {
                // A handshake names its protocol at any length.
                let detail = &detail[..detail.floor_char_boundary(LONGEST_DETAIL)];
                tracing::debug!(cause = cause.name(), detail, "closing a client");
                match self.connections.link(transport) {
                    Some(ClientLink::WebSocket(socket)) => {
                        socket.finish(code, Some(cause));
                        self.writer.flush_later(&socket);
                    }
                    Some(ClientLink::Http(client)) => client.finish(cause),
                    None => {}
                }
            }
            Effect::Sever(transport) => match self.connections.link(transport) {
                Some(ClientLink::WebSocket(socket)) => socket.break_off(),
                Some(ClientLink::Http(client)) => client.end(CloseCause::TransportLost),
                None => {}
            },
            Effect::EndedWaiting { client, cause, detail } => {
                let detail = &detail[..detail.floor_char_boundary(LONGEST_DETAIL)];
                tracing::debug!(cause = cause.name(), detail, "a client ends that has lost its WebSocket");
                self.connections.client_ended_waiting(client, cause);
            }
            Effect::Forgotten(client) => self.connections.client_forgotten(client),
            Effect::CallsDropped { hub } => {
                tracing::warn!(
                    %hub,
                    "calls of clients that have left are dropped: too many of them wait for upstream; further ones are only counted"
                );
            }
            Effect::MembershipRefused { hub, refusal } => {
                let why = no_membership(&refusal);
                tracing::warn!(%hub, why, "a user was not added to a group; further refusals are only counted");
            }
            Effect::Unmatched { hub, method } => {
                tracing::warn!(
                    %hub,
                    method,
                    "no item of `[[upstream]]` matches a method that clients call: look at its `hubs`, `categories` and `events`, \
                     which are compared with case; each thread tells of a hub once a minute"
                );
            }
            Effect::Probe(transport) => {
                if let Some(ClientLink::WebSocket(socket)) = self.connections.link(transport) {
                    socket.ping();
                    self.writer.flush_later(&socket);
                }
            }
            Effect::PauseReading(transport) => self.connections.set_reading(transport, false),
            Effect::ResumeReading(transport) => self.connections.set_reading(transport, true),
            Effect::HearLastWords(transport) => match self.connections.link(transport) {
                Some(ClientLink::WebSocket(socket)) => socket.hear_last_words(),
                Some(ClientLink::Http(client)) => self.hear_last_words(transport, client),
                None => {}
            },
            Effect::Call { client, handler, facts, mut event } => {
                let span = self.span_of_event(&handler, &facts, &mut event);
                inputs.extend(self.call_handler(client, handler, facts, event, span));
            }
            Effect::Inspect { number, inspection } => inputs.push_back(self.inspect(number, inspection, None)),
            Effect::Answered(answered) => self.asked.answered(answered, &self.releases),
            Effect::Unreadable { hub } => {
                tracing::warn!(%hub, "something for clients was not sent: it is not a hub message that filters could look at");
            }
            Effect::StreamsExceeded { plugin, bound } => self.plugins.streams_exceeded(&plugin, bound),
            Effect::PauseServer(id) => self.set_reading_server(id, false),
            Effect::ResumeServer(id) => self.set_reading_server(id, true),
            Effect::ToServer { to, messages } => {
                self.connections.gather(to, &messages, |socket| self.writer.flush_later(socket));
            }
            Effect::FinishServer { to, detail } => {
                if let Some(socket) = self.connections.server(to) {
                    tracing::info!(detail, "closing a hub server's connection");
                    socket.finish(close_code::NORMAL, None);
                    self.writer.flush_later(&socket);
                }
            }
            Effect::ServerMessageSkipped { hub, what } => {
                tracing::warn!(%hub, what, "a hub server's message is skipped; further ones on its connection are only counted");
            }
            Effect::Forward { to, hub, order } => {
                let given_back = self.peers.forward(to, hub, order).into_iter();
                inputs.extend(given_back.map(|(to, order)| Input::Undelivered { to, order }));
            }
            Effect::Announce { hub, change } => self.peers.announce(hub, change),
            Effect::WakeAt(at) => self.wakes.add(at),
            Effect::TellPresence(call) => self.tell_presence(*call),
            Effect::Traced { mark, effect } => self.perform_traced(&mark, *effect, inputs),
        }
    }

    fn queue(&self, transport: TransportKey, frame: Frame, mark: Option<Mark>, sharing: Sharing) {
        self.connections.queue(transport, frame, mark, sharing, |socket| self.writer.flush_later(socket));
    }

    fn set_reading_server(&self, id: ServerConnectionId, reading: bool) {
        if let Some(socket) = self.connections.server(id) {
            socket.set_reading(reading);
        }
    }

    /// Shows a message to filters, which as a rule have looked at it when they are first polled.
    pub(super) fn inspect(
        self: &Rc<Self>,
        number: InspectionNumber,
        inspection: Box<Inspection>,
        inspecting: Option<Inspecting>,
    ) -> Input<'static, 'static> {
        let said = |input| match inspecting {
            None => input,
            Some(inspecting) => inspecting.said(input),
        };
        let mut inspected = Box::pin(Caught::new(self.plugins.inspect(inspection)));
        match inspected.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(inspected) => said(Input::Inspected { number, inspected: inspected.unwrap_or_else(refused) }),
            Poll::Pending => {
                let shard = self.clone();
                let tell = async move {
                    let inspected = inspected.await.unwrap_or_else(refused);
                    shard.feed(said(Input::Inspected { number, inspected }));
                };
                // Whose message it is is not known here, and others wait for it.
                let (vitals, index) = (self.shared.vitals.clone(), self.index.0);
                self.tasks.spawn(PeerTask::Filter, tell, move || {
                    vitals.fail(format!("shard {index} panicked over what filters said"));
                });
                Input::InspectionWaits(number)
            }
        }
    }

    /// Tells an event of a client to whoever handles it; gives the answer, if that is there at once. `span`: of the call, if it is traced.
    pub(super) fn call_handler(
        self: &Rc<Self>,
        client: Slot,
        handler: Handler,
        facts: Arc<ConnectionFacts>,
        event: UpstreamEvent,
        span: Option<Arc<Span>>,
    ) -> Option<Input<'static, 'static>> {
        match handler {
            Handler::Plugin(plugin) => self.call(client, UpstreamCall { plugin, client: facts, event }, span),
            Handler::Webhook(webhook) => {
                let call = self.webhooks.clone().call(webhook, facts, event, span.clone());
                self.wait_for_answer(client, Box::pin(Caught::new(call)), span);
                None
            }
        }
    }

    /// Calls a plugin. Most calls are over when they are first polled, so only one that waits gets a task.
    fn call(
        self: &Rc<Self>,
        client: Slot,
        call: UpstreamCall,
        span: Option<Arc<Span>>,
    ) -> Option<Input<'static, 'static>> {
        let mut call: Pin<Box<dyn Future<Output = _>>> = Box::pin(Caught::new(self.plugins.call(call)));
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer_of(client, answer.unwrap_or_else(failed), span)),
            Poll::Pending => {
                self.wait_for_answer(client, call, span);
                None
            }
        }
    }

    /// Waits for the answer to an event of a client. A call that panics has failed.
    fn wait_for_answer(
        self: &Rc<Self>,
        client: Slot,
        call: Pin<Box<dyn Future<Output = Result<UpstreamAnswer, Panicked>>>>,
        span: Option<Arc<Span>>,
    ) {
        let shard = self.clone();
        let tell = async move {
            let answer = call.await.unwrap_or_else(failed);
            let tell = || shard.feed(answer_of(client, answer, span));
            match shard.link_of(client) {
                // It has asked for it.
                Some(link) => link.speaking().during(tell),
                None => tell(),
            }
        };
        let shard = self.clone();
        self.tasks.spawn(PeerTask::Call, tell, move || shard.break_off_client(client));
    }

    /// What a client has posted is read before it has said its last words: it was told that it is taken.
    fn hear_last_words(self: &Rc<Self>, transport: TransportKey, client: Rc<HttpClient>) {
        let (shard, served) = (self.clone(), client.clone());
        let hear = async move {
            client.last_words().await;
            shard.feed(Input::SaidLastWords(transport));
        };
        self.tasks.spawn(PeerTask::Request, hear, move || served.end(CloseCause::InternalError));
    }

    /// Where what is for a client goes, if it is attached to anything.
    fn link_of(&self, client: Slot) -> Option<ClientLink> {
        let transport = self.core.borrow().transport_of(client)?;
        self.connections.link(transport)
    }

    /// What a client has caused made the gateway panic: its connection is over.
    fn break_off_client(&self, client: Slot) {
        match self.link_of(client) {
            Some(ClientLink::WebSocket(socket)) => socket.break_off_panicked(),
            Some(ClientLink::Http(client)) => client.end(CloseCause::InternalError),
            None => {}
        }
    }
}

/// The answer to an event, as the core hears it.
fn answer_of(client: Slot, answer: UpstreamAnswer, span: Option<Arc<Span>>) -> Input<'static, 'static> {
    let input = Input::UpstreamAnswered { client, answer };
    match span {
        None => input,
        Some(span) => traced::answered(span, input),
    }
}

/// The answer of a call that panicked.
fn failed(panicked: Panicked) -> UpstreamAnswer {
    UpstreamAnswer { result: Err(UpstreamFailure::Failed(panicked.to_string())), actions: Vec::new() }
}

/// The verdict on a message when the gateway panicked over it.
fn refused(panicked: Panicked) -> Inspected {
    let refusal = Refusal::Failed(UpstreamFailure::Failed(panicked.to_string()));
    Inspected { verdict: Verdict::Refuse(refusal), actions: Vec::new() }
}
