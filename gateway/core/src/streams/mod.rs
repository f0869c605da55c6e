//! Streams of serverless clients, to them and from them. Plugins are told of them in the order of the client's other events; what plugins
//! do to them takes effect at once.
//!
//! Source: ASP.NET Core SignalR hub protocol, "Streaming" and "Client to server streaming".

mod client_streams;
mod outgoing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hubgate_wire::payload::{Payload, PayloadRef};
use hubgate_wire::signalr::{Headers, Invocation};

use client_streams::{Bounds, Call, CallState, ClientStreams, Fullness, streams_of};
use outgoing::{Content, Ending, Outgoing, Unsent};

use crate::arena::Beside;
use crate::client::Clients;
use crate::effect::Effect;
use crate::event::UpstreamFailure;
use crate::failure;
use crate::filter::{LaneKind, Refusal};
use crate::gate::Lane;
use crate::id::{PluginName, Slot, is_short_enough};
use crate::settings::Settings;
use crate::stream::{
    Expected, Finish, Opening, Room, StreamCommand, StreamDeed, StreamError, StreamEvent, StreamId, StreamReply,
    TooManyStreams, UploadedItem,
};
use crate::turn::{Step, Turn};

/// The streams of a shard's clients.
#[derive(Debug)]
pub(crate) struct Streams {
    /// None of a client that has opened none.
    of_clients: Beside<Slot, Option<Box<ClientStreams>>>,
    /// Calls that are open, by the plugin that answers them.
    open: BTreeMap<PluginName, BTreeSet<(Slot, u32)>>,
    /// What filters look at of each client.
    lane: Lane<Unsent>,
}

/// What a plugin is told of a stream of a client, and of which call it decides.
#[derive(Debug)]
pub(crate) struct Telling {
    pub(crate) plugin: PluginName,
    pub(crate) about: About,
    pub(crate) event: StreamEvent,
}

/// The call, by its number, that ends if the plugin's answer to an event is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// A call that begins, or an item of it.
    Call(u32),
    /// A call of which an upload has ended. If the client waits for nothing, and it was the last one, the call is over.
    LastOf(u32),
    /// The plugin is only told.
    Nothing,
}

impl Streams {
    pub(crate) fn new() -> Streams {
        Streams { of_clients: Beside::new(), open: BTreeMap::new(), lane: Lane::new(LaneKind::Streams) }
    }

    /// A client opens.
    pub(crate) fn opened(&mut self, slot: Slot) {
        self.of_clients.begin(slot);
    }

    /// Nothing is left to be done for a client.
    pub(crate) fn forget(&mut self, slot: Slot) {
        self.of_clients[slot] = None;
    }

    /// A client's call opens streams that a plugin answers; or the error that the client is told.
    pub(crate) fn open(
        &mut self,
        clients: &Clients,
        turn: &mut Turn<'_>,
        slot: Slot,
        plugin: PluginName,
        (invocation, answer): (&Invocation<'_>, Expected),
    ) -> Result<Telling, String> {
        if !clients.hubs().has_streams(&plugin) {
            return Err(failure::plugin_has_no_streams(&invocation.target, &plugin));
        }
        if invocation.invocation_id.as_deref().is_some_and(|id| !is_short_enough(id)) {
            // It would be kept, and be said again with each item. The one completion has it as any other.
            return Err(failure::invocation_id_too_long(&invocation.target));
        }
        let streams = self.of_clients[slot].get_or_insert_default();
        for (index, id) in invocation.stream_ids.iter().enumerate() {
            let is_taken = streams.find_upload(id).is_some() || invocation.stream_ids[..index].contains(id);
            if is_taken || !is_short_enough(id) {
                return Err(failure::bad_stream_id(&invocation.target));
            }
        }
        let bounds = turn.settings.stream_bounds(&plugin);
        let new = streams_of(invocation.stream_ids.len(), answer);
        let directory = clients.hubs().directory();
        let refused = match streams.count() + new > bounds.per_client {
            true => Some((TooManyStreams::OfClient, bounds.per_client)),
            false if !directory.streams.begin(&plugin, bounds.calls) => Some((TooManyStreams::OfPlugin, bounds.calls)),
            false => None,
        };
        if let Some((bound, most)) = refused {
            turn.effect(Effect::StreamsExceeded { plugin, bound });
            return Err(failure::too_many_streams(&invocation.target, bound, most));
        }
        let target: Arc<str> = Arc::from(&*invocation.target);
        let invocation_id = invocation.invocation_id.as_deref().map(Arc::from);
        let number = streams.add_call(Call::new(plugin.clone(), target.clone(), invocation_id, answer));
        self.open.entry(plugin.clone()).or_default().insert((slot, number));
        let connection = clients[slot].id();
        let upload = |id: &std::borrow::Cow<'_, str>| StreamId { connection, number: streams.add_upload(id, number) };
        let opening = Opening {
            id: StreamId { connection, number },
            target,
            arguments: invocation.arguments.to_payload(),
            uploads: invocation.stream_ids.iter().map(upload).collect(),
            answer,
            headers: invocation.headers.iter().map(|(name, value)| (name, value)).collect(),
        };
        Ok(Telling { plugin, about: About::Call(number), event: StreamEvent::Begin(Box::new(opening)) })
    }

    /// Whether a client sends a stream that it knows by this id, and has not completed it.
    pub(crate) fn has_upload(&self, slot: Slot, client_id: &str) -> bool {
        self.of_clients[slot].as_ref().is_some_and(|streams| streams.find_upload(client_id).is_some())
    }

    /// What a client says of an upload of its own; none of others.
    pub(crate) fn uploaded(
        &mut self,
        clients: &Clients,
        slot: Slot,
        client_id: &str,
        said: Uploaded<'_, '_>,
    ) -> Option<Telling> {
        let streams = self.of_clients[slot].as_mut()?;
        let (number, call) = streams.find_upload(client_id)?;
        let plugin = streams.calls.get(&call)?.plugin.clone();
        let upload = StreamId { connection: clients[slot].id(), number };
        let (about, event) = match said {
            Uploaded::Item(item, headers) => {
                let item = item.to_payload();
                let headers = headers.iter().map(|(name, value)| (name, value)).collect();
                (About::Call(call), StreamEvent::Item(Box::new(UploadedItem { upload, item, headers })))
            }
            Uploaded::End(error) => {
                streams.complete_upload(number);
                (About::LastOf(call), StreamEvent::Ended { upload, error })
            }
        };
        Some(Telling { plugin, about, event })
    }

    /// A client wants no more of a stream: it is told at once that it has ended.
    pub(crate) fn cancel(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        slot: Slot,
        invocation_id: &str,
    ) -> Option<Telling> {
        let streams = self.of_clients[slot].as_mut()?;
        let is_it = |call: &Call| {
            let is_open = call.state == CallState::Open && call.answer == Expected::Items;
            is_open && call.invocation_id.as_deref() == Some(invocation_id)
        };
        let (number, call) = streams.calls.iter_mut().find(|(_, call)| is_it(call))?;
        let (number, plugin) = (*number, call.plugin.clone());
        call.state = CallState::Cancelled;
        let end = call.ending(number, Ending::Void);
        streams.forget_uploads(number);
        self.no_longer_open(clients, slot, number, &plugin);
        if let Some(end) = end {
            self.send_end(clients, turn, slot, end);
        }
        let stream = StreamId { connection: clients[slot].id(), number };
        Some(Telling { plugin, about: About::Nothing, event: StreamEvent::Cancelled { stream } })
    }

    /// A client has left: what the plugins of its streams are to be told, after all that it said before.
    pub(crate) fn departed(&mut self, clients: &Clients, slot: Slot) -> Vec<Telling> {
        let Some(streams) = &mut self.of_clients[slot] else {
            return Vec::new();
        };
        streams.outgoing.clear();
        let open = |(number, call): (&u32, &Call)| (call.state == CallState::Open).then_some(*number);
        let open: Vec<u32> = streams.calls.iter().filter_map(open).collect();
        open.into_iter().flat_map(|call| self.break_off(clients, slot, call, failure::UPLOADER_LEFT)).collect()
    }

    /// Filters let an item of an upload go no further: the call that it belongs to ends, because without the item it is another one.
    /// What the plugin is to be told.
    pub(crate) fn refuse_upload(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        slot: Slot,
        (client_id, refusal): (&str, Refusal),
    ) -> Vec<Telling> {
        let Some(streams) = &self.of_clients[slot] else {
            return Vec::new();
        };
        let Some((number, call)) =
            streams.find_upload(client_id).and_then(|(_, number)| Some((number, streams.calls.get(&number)?)))
        else {
            return Vec::new();
        };
        let error = failure::refused(Some(&call.target), refusal, turn.settings.detailed_errors);
        let end = call.ending(number, Ending::OwnError(error));
        let tellings = self.break_off(clients, slot, number, failure::CALL_REFUSED);
        if let Some(end) = end {
            self.send_end(clients, turn, slot, end);
        }
        tellings
    }

    /// An open call is over, and not because its plugin or its client has ended it. What the plugin is told of that, after what the
    /// client said before; `error` is that of the uploads.
    fn break_off(&mut self, clients: &Clients, slot: Slot, number: u32, error: &str) -> Vec<Telling> {
        let Some(streams) = &mut self.of_clients[slot] else {
            return Vec::new();
        };
        let Some(call) = streams.calls.get_mut(&number).filter(|call| call.state == CallState::Open) else {
            return Vec::new();
        };
        call.state = CallState::BrokenOff;
        let (plugin, answer, connection) = (call.plugin.clone(), call.answer, clients[slot].id());
        let mut tellings: Vec<Telling> = Vec::new();
        for upload in streams.break_off_uploads(number) {
            let upload = StreamId { connection, number: upload };
            let event = StreamEvent::Ended { upload, error: Some(error.to_owned()) };
            tellings.push(Telling { plugin: plugin.clone(), about: About::LastOf(number), event });
        }
        if answer != Expected::Nothing {
            let event = StreamEvent::Cancelled { stream: StreamId { connection, number } };
            tellings.push(Telling { plugin: plugin.clone(), about: About::Nothing, event });
        }
        self.no_longer_open(clients, slot, number, &plugin);
        tellings
    }

    /// Its plugin is told of this now. Gives whether it still wants to know.
    pub(crate) fn begins(&mut self, settings: &Settings, slot: Slot, event: &mut StreamEvent) -> bool {
        let Some(streams) = &mut self.of_clients[slot] else {
            return false;
        };
        match event {
            StreamEvent::Begin(opening) => match streams.calls.get_mut(&opening.id.number) {
                Some(call) if call.state != CallState::Cancelled => {
                    call.has_begun = true;
                    true
                }
                Some(_) | None => false,
            },
            StreamEvent::Writable { stream, room } => {
                let Some(call) = streams.calls.get_mut(&stream.number) else {
                    return false;
                };
                call.fullness = Fullness::Roomy;
                let call = &streams.calls[&stream.number];
                *room = streams.room(call, bounds(settings, &call.plugin));
                call.state == CallState::Open
            }
            StreamEvent::Cancelled { stream } => {
                streams.calls.remove(&stream.number).is_some_and(|call| call.has_begun)
            }
            StreamEvent::Item(item) => streams.is_heard(item.upload.number),
            StreamEvent::Ended { upload, .. } => {
                let is_heard = streams.is_heard(upload.number);
                streams.forget_upload(upload.number);
                is_heard
            }
        }
    }

    /// A plugin has answered what it was told.
    pub(crate) fn answered(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        slot: Slot,
        about: About,
        result: Result<(), UpstreamFailure>,
    ) {
        match (about, result) {
            (About::Call(call) | About::LastOf(call), Err(failure)) => {
                let details = turn.settings.detailed_errors;
                self.end(clients, turn, slot, call, |target| error_of(target, failure, details));
            }
            (About::LastOf(number), Ok(())) => {
                let Some(streams) = &self.of_clients[slot] else {
                    return;
                };
                let waits_for_nothing = streams.calls.get(&number).is_some_and(|call| call.answer == Expected::Nothing);
                if waits_for_nothing && !streams.has_uploads(number) {
                    self.end(clients, turn, slot, number, |_| Ending::Void);
                }
            }
            (About::Call(_), Ok(())) | (About::Nothing, _) => {}
        }
    }

    /// Does what a plugin wants of a stream that is here, if it is anywhere.
    pub(crate) fn obey(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, command: StreamCommand) -> StreamReply {
        let StreamCommand { stream: StreamId { connection, number }, plugin, does } = command;
        let slot = clients.find(connection).ok_or(StreamError::NoSuchStream)?;
        let streams = self.of_clients[slot].as_ref().ok_or(StreamError::NoSuchStream)?;
        let is_its_own = |call: &&Call| call.plugin == plugin && call.state == CallState::Open;
        let call = streams.calls.get(&number).filter(is_its_own).ok_or(StreamError::NoSuchStream)?;
        does.suits(call.answer)?;
        match does {
            StreamDeed::Push(items) => self.push(clients, turn, slot, number, items),
            StreamDeed::Finish(finish) => {
                let details = turn.settings.detailed_errors;
                self.end(clients, turn, slot, number, |target| match finish {
                    Finish::Void => Ending::Void,
                    Finish::Value(result) => Ending::Result(result),
                    Finish::Rejected(error) => Ending::Error(error),
                    Finish::Failed(text) => error_of(target, UpstreamFailure::Failed(text), details),
                });
                Ok(Room::default())
            }
        }
    }

    fn push(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        slot: Slot,
        number: u32,
        items: Vec<Payload>,
    ) -> StreamReply {
        let streams = self.of_clients[slot].as_mut().ok_or(StreamError::NoSuchStream)?;
        let call = streams.calls.get(&number).ok_or(StreamError::NoSuchStream)?;
        let plugin = call.plugin.clone();
        let bounds = bounds(turn.settings, &plugin);
        let size = Room { items: items.len(), bytes: items.iter().map(|item| item.borrow().len()).sum() };
        let Some(invocation_id) = call.invocation_id.clone() else {
            return Err(StreamError::NoSuchStream);
        };
        let batch = size.of(number, &invocation_id);
        if bounds.exclude(batch) {
            return Err(StreamError::TooLarge);
        }
        if !streams.fits(call, batch, bounds) {
            let room = streams.room(call, bounds);
            if let Some(call) = streams.calls.get_mut(&number) {
                call.fullness = Fullness::Full;
            }
            return Err(StreamError::Full(room));
        }
        streams.begin_waiting(batch);
        let room = streams.room(&streams.calls[&number], bounds);
        self.send_items(clients, turn, slot, (number, plugin, invocation_id), items);
        Ok(room)
    }

    /// The client has taken the next of what it was sent.
    pub(crate) fn taken(&mut self, clients: &Clients, turn: &mut Turn<'_>, slot: Slot) {
        if let Some(streams) = &mut self.of_clients[slot] {
            streams.taken();
            self.tell_of_room(clients, turn, slot);
        }
    }

    /// Tells plugins that wait for room, if half of it is free.
    fn tell_of_room(&mut self, clients: &Clients, turn: &mut Turn<'_>, slot: Slot) {
        let Some(streams) = &mut self.of_clients[slot] else {
            return;
        };
        let is_roomy_again = |call: &Call| streams.is_roomy_again(call, bounds(turn.settings, &call.plugin));
        let roomy: Vec<u32> =
            streams.calls.iter().filter(|(_, call)| is_roomy_again(call)).map(|(number, _)| *number).collect();
        for number in roomy {
            if let Some(call) = streams.calls.get_mut(&number) {
                call.fullness = Fullness::Told;
                let stream = StreamId { connection: clients[slot].id(), number };
                turn.then(Step::TellOfRoom(slot, call.plugin.clone(), stream));
            }
        }
    }

    /// Time passed: ends the streams of plugins whose versions have none any longer.
    pub(crate) fn tick(&mut self, clients: &mut Clients, turn: &mut Turn<'_>) {
        let is_over = |plugin: &&PluginName| !clients.hubs().has_streams(plugin);
        let over: Vec<PluginName> = self.open.keys().filter(is_over).cloned().collect();
        for plugin in over {
            for (slot, number) in self.open.get(&plugin).cloned().unwrap_or_default() {
                let error = || Ending::OwnError(failure::stream_lost_its_handler(&plugin));
                self.end(clients, turn, slot, number, |_| error());
            }
        }
    }

    /// A call is over; its client, if it is still there and waits, is told how.
    fn end(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        slot: Slot,
        number: u32,
        ending: impl FnOnce(&str) -> Ending,
    ) {
        let Some(streams) = &mut self.of_clients[slot] else {
            return;
        };
        let Some(call) = streams.calls.remove(&number) else {
            return;
        };
        streams.forget_uploads(number);
        if call.state != CallState::Open {
            return;
        }
        self.no_longer_open(clients, slot, number, &call.plugin);
        if let Some(end) = call.ending(number, ending(&call.target)) {
            self.send_end(clients, turn, slot, end);
        }
    }

    fn no_longer_open(&mut self, clients: &Clients, slot: Slot, number: u32, plugin: &PluginName) {
        forget_open(&mut self.open, (slot, number), plugin);
        clients.hubs().directory().streams.end(plugin);
    }
}

/// What a client says of an upload.
pub(crate) enum Uploaded<'h, 'm> {
    Item(PayloadRef<'m>, &'h Headers<'m>),
    /// It is complete, or has failed with an error.
    End(Option<String>),
}

impl Call {
    /// What its client is told of its end; nothing if it does not wait.
    fn ending(&self, number: u32, ending: Ending) -> Option<Outgoing> {
        let (plugin, invocation_id) = (self.plugin.clone(), self.invocation_id.clone()?);
        Some(Outgoing { call: number, plugin, invocation_id, content: Content::End(ending) })
    }
}

fn forget_open(open: &mut BTreeMap<PluginName, BTreeSet<(Slot, u32)>>, call: (Slot, u32), plugin: &PluginName) {
    if let Some(calls) = open.get_mut(plugin) {
        calls.remove(&call);
        if calls.is_empty() {
            open.remove(plugin);
        }
    }
}

fn bounds<'a>(settings: &'a Settings, plugin: &PluginName) -> Bounds<'a> {
    Bounds { of_stream: settings.stream_bounds(plugin), held: settings.limits.held }
}

fn error_of(target: &str, failure: UpstreamFailure, detailed_errors: bool) -> Ending {
    match failure {
        UpstreamFailure::Rejected(error) => Ending::Error(error),
        failure => Ending::OwnError(failure::completion(target, failure, detailed_errors)),
    }
}
