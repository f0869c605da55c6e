//! Items and ends of streams on their way to clients, through the filters of their hub and in their order.

use std::collections::VecDeque;
use std::sync::Arc;

use hubgate_wire::payload::Payload;
use hubgate_wire::signalr::{CompletionOutcome, HubMessage};
use hubgate_wire::websocket::Frame;

use super::client_streams::{Batch, ClientStreams};
use super::{Streams, Telling};
use crate::client::{Clients, Delivery, actions, marked};
use crate::failure;
use crate::filter::{Direction, Inspected, InspectionNumber, Origin, Subject, Verdict};
use crate::id::{HubIndex, PluginName, Slot};
use crate::stream::Room;
use crate::target::Target;
use crate::turn::Turn;

/// Of so many items that are pushed at once, one is told of when it is taken, and so is the last.
const ITEMS_PER_MARK: usize = 64;

/// What goes to a client of a stream.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) call: u32,
    pub(super) plugin: PluginName,
    pub(super) invocation_id: Arc<str>,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Item(Payload),
    End(Ending),
}

/// What filters look at: the first that goes to a client, which may leave meanwhile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unsent {
    slot: Slot,
    /// Kept for what the filters ask for.
    hub: HubIndex,
}

/// How a stream ends, or what answers a call.
#[derive(Debug)]
pub(super) enum Ending {
    Void,
    Result(Payload),
    /// With the plugin's own text.
    Error(String),
    /// With an error that the gateway puts into words, which filters do not see.
    OwnError(String),
}

impl Outgoing {
    fn message(&self) -> HubMessage<'_> {
        let (headers, invocation_id) = (Vec::new(), (&*self.invocation_id).into());
        let outcome = match &self.content {
            Content::Item(item) => return item_message(&self.invocation_id, item),
            Content::End(Ending::Void) => CompletionOutcome::Void,
            Content::End(Ending::Result(result)) => CompletionOutcome::Result(result.borrow()),
            Content::End(Ending::Error(error) | Ending::OwnError(error)) => CompletionOutcome::Error(error.into()),
        };
        HubMessage::Completion { headers, invocation_id, outcome }
    }

    /// The item alone, as it counts while it waits.
    fn batch(&self) -> Option<Batch> {
        match &self.content {
            Content::Item(item) => {
                let size = Room { items: 1, bytes: item.borrow().len() };
                Some(size.of(self.call, &self.invocation_id))
            }
            Content::End(_) => None,
        }
    }
}

fn item_message<'a>(invocation_id: &'a str, item: &'a Payload) -> HubMessage<'a> {
    HubMessage::StreamItem { headers: Vec::new(), invocation_id: invocation_id.into(), item: item.borrow() }
}

impl Streams {
    /// Sends items of a stream, which wait for the client already.
    pub(super) fn send_items(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        slot: Slot,
        (call, plugin, invocation_id): (u32, PluginName, Arc<str>),
        items: Vec<Payload>,
    ) {
        let Some(streams) = &mut self.of_clients[slot] else {
            return;
        };
        if clients.hub_of(slot).filters.inspects(Direction::Outbound) || !streams.outgoing.is_empty() {
            let outgoing = |item| Outgoing {
                call,
                plugin: plugin.clone(),
                invocation_id: invocation_id.clone(),
                content: Content::Item(item),
            };
            streams.outgoing.extend(items.into_iter().map(outgoing));
            return self.go_on(clients, turn, slot);
        }
        let (dialect, last) = (clients[slot].dialect(), items.len().saturating_sub(1));
        let mut size = Room::default();
        for (index, item) in items.iter().enumerate() {
            size.add(Room { items: 1, bytes: item.borrow().len() });
            let frame = dialect.frame(&item_message(&invocation_id, item));
            match index == last || size.items == ITEMS_PER_MARK {
                true => {
                    let batch = std::mem::take(&mut size).of(call, &invocation_id);
                    send_marked(streams, clients, turn, slot, frame, batch);
                }
                false => clients.send(turn, slot, frame),
            }
        }
    }

    /// Sends what ends a stream after all of its items, or answers a call.
    pub(super) fn send_end(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, end: Outgoing) {
        if let Some(streams) = &mut self.of_clients[slot] {
            streams.outgoing.push_back(end);
            self.go_on(clients, turn, slot);
        }
    }

    /// Sends what is next, up to what filters have to look at.
    fn go_on(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
        let Streams { of_clients, lane, .. } = self;
        let Some(streams) = &mut of_clients[slot] else {
            return;
        };
        while !streams.is_inspected
            && let Some(next) = streams.outgoing.front()
        {
            let (message, hub, index) = (next.message(), clients.hub_of(slot), clients[slot].hub());
            let is_shown = !matches!(next.content, Content::End(Ending::OwnError(_)));
            if is_shown && let Some(seen) = hub.filters.to_filter_message(Direction::Outbound, &message) {
                let to = vec![Target::Connection(clients[slot].id())];
                let subject =
                    Subject::Delivery { hub: hub.name.clone(), to, origin: Origin::Plugin(next.plugin.clone()) };
                let filters = hub.filters.clone();
                streams.is_inspected = true;
                clients.hubs_mut().occupy_again(index, turn.settings);
                return lane.inspect(turn, filters, subject, seen, Unsent { slot, hub: index });
            }
            let frame = clients[slot].dialect().frame(&message);
            send_first(streams, clients, turn, slot, frame);
        }
    }

    /// A hub's filters have looked at what is next. Gives what plugins are to be told.
    pub(crate) fn inspected(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        number: InspectionNumber,
        inspected: Inspected,
    ) -> Option<(Slot, Vec<Telling>)> {
        let Unsent { slot, hub } = self.lane.take(number)?;
        actions::act_all(clients, turn, hub, inspected.actions);
        clients.hubs_mut().vacate(hub);
        // The client may have left, and the filter itself may have closed it.
        if !clients.is_still(slot) {
            return None;
        }
        let streams = self.of_clients[slot].as_mut()?;
        streams.is_inspected = false;
        let next = streams.outgoing.front()?;
        let (dialect, mut tellings) = (clients[slot].dialect(), Vec::new());
        match inspected.verdict {
            Verdict::Pass => {
                let frame = dialect.frame(&next.message());
                send_first(streams, clients, turn, slot, frame);
            }
            Verdict::Replace(replacement) => {
                let frame = dialect.frame(&replacement.put_into(next.message()));
                send_first(streams, clients, turn, slot, frame);
            }
            Verdict::Refuse(refusal) => {
                let error = failure::refused(None, refusal, turn.settings.detailed_errors);
                let call = next.call;
                streams.end_with_error(error);
                tellings = self.break_off(clients, slot, call, failure::CALL_REFUSED);
                self.tell_of_room(clients, turn, slot);
            }
            Verdict::Close(reason) => {
                clients.close_by_filter(turn, slot, reason);
                return None;
            }
        }
        // What comes next may be of other calls.
        turn.mark = None;
        self.go_on(clients, turn, slot);
        Some((slot, tellings))
    }
}

impl ClientStreams {
    /// The call of what is next ends with this error, in place of all that was to go to its client.
    fn end_with_error(&mut self, error: String) {
        let Some(mut end) = self.outgoing.pop_front() else {
            return;
        };
        let (rest, others) = std::mem::take(&mut self.outgoing).into_iter().partition(|each| each.call == end.call);
        self.outgoing = others;
        let rest: VecDeque<Outgoing> = rest;
        for batch in end.batch().into_iter().chain(rest.iter().filter_map(Outgoing::batch)) {
            self.end_waiting(batch);
        }
        end.content = Content::End(Ending::OwnError(error));
        self.outgoing.push_front(end);
    }
}

/// Sends what is next as this frame.
fn send_first(streams: &mut ClientStreams, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, frame: Frame) {
    match streams.outgoing.pop_front().and_then(|sent| sent.batch()) {
        Some(batch) => send_marked(streams, clients, turn, slot, frame, batch),
        None => clients.send(turn, slot, frame),
    }
}

/// Sends a frame with which all of these items are sent.
fn send_marked(
    streams: &mut ClientStreams,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    slot: Slot,
    frame: Frame,
    batch: Batch,
) {
    match marked::send(clients, turn, slot, frame) {
        Delivery::Now(_) | Delivery::OnResume => streams.sent(batch),
        Delivery::NotNow | Delivery::TooMuch => streams.end_waiting(batch),
    }
}
