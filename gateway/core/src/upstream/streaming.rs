//! Streams of clients among their other events.

use std::sync::Arc;

use hubgate_wire::signalr::{CompletionOutcome, Headers, Invocation};

use hubgate_wire::payload::PayloadRef;

use super::calls::{CALL_OVERHEAD, Running, WaitingCall};
use super::{Upstream, find_handler, held_bytes};
use crate::client::Clients;
use crate::event::{StreamCall, UpstreamEvent};
use crate::failure;
use crate::filter::{Inspected, InspectionNumber, Refusal};
use crate::id::{PluginName, Slot, is_short_enough};
use crate::settings::{Handler, StreamCalls};
use crate::stream::{Expected, Room, StreamCommand, StreamEvent, StreamId, StreamReply};
use crate::streams::{About, Telling, Uploaded};
use crate::trace::TraceMark;
use crate::turn::Turn;

impl Upstream {
    /// A client's call that has streams.
    pub(super) fn open_streams(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        slot: Slot,
        (invocation, answer): (&Invocation<'_>, Expected),
    ) {
        let opened = match find_handler(clients, turn, slot, invocation) {
            Ok(Handler::Plugin(plugin)) => self.streams.open(clients, turn, slot, plugin, (invocation, answer)),
            Ok(Handler::Webhook(webhook)) => match (&invocation.invocation_id, answer) {
                (Some(id), Expected::Items) if invocation.stream_ids.is_empty() => {
                    if webhook.stream_calls == StreamCalls::Refused {
                        Err(failure::webhook_hears_of_no_streams(&invocation.target))
                    } else if !is_short_enough(id) {
                        Err(failure::invocation_id_too_long(&invocation.target))
                    } else {
                        let call =
                            stream_call(Handler::Webhook(webhook), invocation, Arc::from(&**id), turn.mark.clone());
                        self.call(clients, turn, slot, call);
                        return self.judge_reading(clients, turn, slot);
                    }
                }
                _ => Err(failure::webhooks_read_no_streams(&invocation.target)),
            },
            Err(error) => Err(error),
        };
        match opened {
            Ok(telling) => self.tell(clients, turn, slot, telling, held_bytes(invocation, turn.mark.as_ref())),
            Err(error) => clients.complete_with_error(turn, slot, invocation.invocation_id.as_deref(), &error),
        }
    }

    /// An item of a stream that a client sends.
    pub(super) fn uploaded_item(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        slot: Slot,
        id: &str,
        (item, headers): (PayloadRef<'_>, &Headers<'_>),
    ) {
        if let Some(telling) = self.streams.uploaded(clients, slot, id, Uploaded::Item(item, headers)) {
            let in_headers: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
            self.tell(clients, turn, slot, telling, CALL_OVERHEAD + item.len() + in_headers);
        }
    }

    /// Whether a client sends a stream that it knows by this id.
    pub(crate) fn has_upload(&self, slot: Slot, id: &str) -> bool {
        self.streams.has_upload(slot, id)
    }

    /// The end of a stream that a client sends.
    pub(super) fn upload_ended(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        slot: Slot,
        id: &str,
        outcome: CompletionOutcome<'_>,
    ) {
        let error = match outcome {
            CompletionOutcome::Void | CompletionOutcome::Result(_) => None,
            CompletionOutcome::Error(error) => Some(error.into_owned()),
        };
        let bytes = CALL_OVERHEAD + error.as_ref().map_or(0, String::len);
        if let Some(telling) = self.streams.uploaded(clients, slot, id, Uploaded::End(error)) {
            self.tell(clients, turn, slot, telling, bytes);
        }
    }

    /// Filters let an item of a stream that a client sends go no further.
    pub(crate) fn refuse_upload(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        slot: Slot,
        refused: (&str, Refusal),
    ) {
        for telling in self.streams.refuse_upload(clients, turn, slot, refused) {
            self.tell(clients, turn, slot, telling, CALL_OVERHEAD);
        }
    }

    /// A client wants no more of a stream.
    pub(super) fn cancel_stream(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, id: &str) {
        if let Some(telling) = self.streams.cancel(clients, turn, slot, id) {
            self.tell(clients, turn, slot, telling, CALL_OVERHEAD);
        }
    }

    fn tell(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, telling: Telling, bytes: usize) {
        let mark = turn.mark.clone();
        self.call(clients, turn, slot, waiting(telling, bytes, mark));
        self.judge_reading(clients, turn, slot);
    }

    /// A plugin is to be told that a stream has room again.
    pub(crate) fn tell_of_room(
        &mut self,
        clients: &Clients,
        turn: &mut Turn<'_>,
        slot: Slot,
        (plugin, stream): (PluginName, StreamId),
    ) {
        if clients.is_still(slot) {
            // How much there is, is seen when it is told.
            let event = StreamEvent::Writable { stream, room: Room::default() };
            self.call(clients, turn, slot, waiting(Telling { plugin, about: About::Nothing, event }, 0, None));
        }
    }

    /// A client has left: its streams are over, after all that it has said.
    pub(super) fn end_streams(&mut self, clients: &Clients, turn: &mut Turn<'_>, slot: Slot) {
        for telling in self.streams.departed(clients, slot) {
            self.call(clients, turn, slot, waiting(telling, 0, None));
        }
    }

    /// Does what a plugin wants of a stream that is here, if it is anywhere.
    pub(crate) fn obey(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, command: StreamCommand) -> StreamReply {
        self.streams.obey(clients, turn, command)
    }

    /// A client has taken what it was sent of a stream.
    pub(crate) fn taken(&mut self, clients: &Clients, turn: &mut Turn<'_>, slot: Slot) {
        self.streams.taken(clients, turn, slot);
    }

    /// A hub's filters have looked at what a stream sends.
    pub(crate) fn stream_inspected(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        number: InspectionNumber,
        inspected: Inspected,
    ) {
        let Some((slot, tellings)) = self.streams.inspected(clients, turn, number, inspected) else {
            return;
        };
        for telling in tellings {
            self.tell(clients, turn, slot, telling, CALL_OVERHEAD);
        }
    }

    /// Time passed.
    pub(crate) fn tick(&mut self, clients: &mut Clients, turn: &mut Turn<'_>) {
        self.streams.tick(clients, turn);
    }

    /// Nothing is left to be done for a client.
    pub(crate) fn forget(&mut self, slot: Slot) {
        self.streams.forget(slot);
    }
}

/// A client's call for a stream, for a webhook.
fn stream_call(handler: Handler, invocation: &Invocation<'_>, id: Arc<str>, mark: Option<TraceMark>) -> WaitingCall {
    let target: Arc<str> = Arc::from(&*invocation.target);
    WaitingCall {
        handler,
        bytes: held_bytes(invocation, mark.as_ref()),
        mark,
        running: Running::StreamCall { id: id.clone(), target: target.clone() },
        event: UpstreamEvent::StreamCall(Box::new(StreamCall {
            invocation_id: id,
            target,
            arguments: invocation.arguments.to_payload(),
            headers: invocation.headers.iter().map(|(name, value)| (name, value)).collect(),
        })),
    }
}

fn waiting(Telling { plugin, about, event }: Telling, bytes: usize, mark: Option<TraceMark>) -> WaitingCall {
    let (handler, event) = (Handler::Plugin(plugin), UpstreamEvent::Stream(event));
    WaitingCall { handler, event, running: Running::Stream(about), bytes, mark }
}
