//! What clients say, message by message: what they open with, then hub messages on their way to whoever answers them.

use hubgate_wire::signalr::HubMessage;

use crate::client::link_log::Said;
use crate::client::logged::{self, Heed};
use crate::client::read_holds::Hold;
use crate::client::{Clients, Phase, actions, opening, unread};
use crate::client_results::ClientResults;
use crate::filter::{Direction, Inspected, InspectionNumber, Refusal, Verdict};
use crate::gate::inbound::{Gate, Inbound, Refused, is_filtered, refused};
use crate::id::Slot;
use crate::link::{self, Links};
use crate::mode::ClientKind;
use crate::slowed_clients::{charge, has_rate};
use crate::trace::TraceMark;
use crate::turn::Turn;
use crate::upstream::Upstream;

/// The parts that a client's message meets.
pub(crate) struct Listener<'a> {
    pub(crate) clients: &'a mut Clients,
    pub(crate) links: &'a mut Links,
    pub(crate) upstream: &'a mut Upstream,
    pub(crate) inbound: &'a mut Inbound,
    pub(crate) client_results: &'a mut ClientResults,
}

/// What becomes of what a client says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Some of it is taken.
    Taken,
    /// It is to come again: the client says nothing more for now.
    Waits,
}

impl Listener<'_> {
    /// Takes a message, or what is there of it, off the front of what a client says.
    pub(crate) fn hear(&mut self, turn: &mut Turn<'_>, slot: Slot, bytes: &mut &[u8]) -> Heard {
        if !self.clients[slot].is_parsing() && self.waits(slot) {
            return Heard::Waits;
        }
        self.take(turn, slot, bytes);
        Heard::Taken
    }

    /// Whether what a client says may stay where it is until that may be parsed.
    fn waits(&self, slot: Slot) -> bool {
        match self.clients[slot].is_open() {
            true => self.reads_one_by_one(slot),
            false => self.clients[slot].has_hold(Hold::Announcement) || self.clients[slot].has_hold(Hold::Start),
        }
    }

    /// Whether the messages of a client are read one by one, and not only passed on.
    fn reads_one_by_one(&self, slot: Slot) -> bool {
        self.links.get(slot).is_none() || is_filtered(self.clients, slot)
    }

    fn take(&mut self, turn: &mut Turn<'_>, slot: Slot, bytes: &mut &[u8]) {
        if let Some(link) = self.links.get(slot) {
            if !is_filtered(self.clients, slot) {
                if self.clients.hubs().reads_what_passes() {
                    return self.pass_followed(turn, slot, bytes);
                }
                let said = match has_rate(self.clients, turn.settings, slot) {
                    true => link.split_message(bytes),
                    false => std::mem::take(bytes),
                };
                return link::forward_from_client(self.links, self.clients, turn, slot, said);
            }
            let begun = link.unfinished(bytes);
            if begun > 0 {
                // Its beginning is with the hub server already.
                let (begun, rest) = bytes.split_at(begun);
                *bytes = rest;
                return link::forward_from_client(self.links, self.clients, turn, slot, begun);
            }
        }
        let client = &mut self.clients[slot];
        if !client.is_parsing() {
            return unread::keep(self.clients, turn, slot, std::mem::take(bytes));
        }
        let parsed = match client.has_unread() {
            false => {
                client.dialect().split(bytes).map(|message| message.map(|message| self.message(turn, slot, message)))
            }
            true => {
                client.complete_message(bytes).map(|message| message.map(|message| self.message(turn, slot, &message)))
            }
        };
        match parsed {
            Ok(Some(())) => {}
            Ok(None) => unread::keep(self.clients, turn, slot, std::mem::take(bytes)),
            Err(error) => {
                *bytes = &[];
                self.clients.bad_request(turn, slot, error.to_string());
            }
        }
    }

    /// Passes the next message on, or what is there of it, and lets it be followed if it is whole.
    fn pass_followed(&mut self, turn: &mut Turn<'_>, slot: Slot, bytes: &mut &[u8]) {
        let (Some(link), client) = (self.links.get(slot), &self.clients[slot]) else {
            return;
        };
        let is_begun = !link.is_between_messages() || client.has_unread();
        let said = link.split_message(bytes);
        // What is not whole, or cannot be read, is for the hub server to see.
        let message = match is_begun {
            true => None,
            false => client.dialect().split(&mut &*said).ok().flatten(),
        };
        let mark = message.and_then(|message| mark_of_passing(self.clients, slot, message));
        link::forward_from_client(self.links, self.clients, turn, slot, said);
        drop(mark);
    }

    /// One message of a client.
    pub(crate) fn message(&mut self, turn: &mut Turn<'_>, slot: Slot, message: &[u8]) {
        if message.len() > turn.settings.limits.message {
            return self.clients.too_large(turn, slot);
        }
        match self.clients[slot].phase() {
            Phase::Handshaking { .. } => self.opening(turn, slot, message),
            Phase::Open { .. } => {
                charge(self.clients, turn, slot, 1);
                self.open_message(turn, slot, message);
            }
            Phase::Connecting { .. } | Phase::Closed { .. } => {}
        }
    }

    /// What a client opens with: whoever answers it decides whether it is let in.
    fn opening(&mut self, turn: &mut Turn<'_>, slot: Slot, request: &[u8]) {
        let Listener { clients, links, upstream, .. } = self;
        let Some(dialect) = opening::read(clients, turn, slot, request) else {
            return;
        };
        match clients[slot].kind() {
            ClientKind::Serverless => {
                opening::register(clients, turn, slot, dialect);
                upstream.call_connected(clients, turn, slot);
            }
            ClientKind::Unserved => {
                opening::register(clients, turn, slot, dialect);
                opening::accept(clients, turn, slot);
            }
            ClientKind::Proxied => link::route_client(links, clients, turn, slot, dialect, request),
        }
    }

    /// A whole hub message of an open client, on its way to whoever answers it.
    fn open_message(&mut self, turn: &mut Turn<'_>, slot: Slot, bytes: &[u8]) {
        let Listener { clients, links, .. } = self;
        let (hub, dialect) = (clients[slot].hub(), clients[slot].dialect());
        clients.hub_mut(hub).counters.messages_in += 1;
        if clients[slot].line().has_log() && !is_read(links, clients, slot) {
            // It is looked at for the log alone.
            if logged::hear(clients, turn, slot, dialect.said(bytes), bytes.len()) == Heed::Yes {
                let mark = mark_of_passing(clients, slot, bytes);
                link::pass_on(links, clients, turn, slot, |out| dialect.write_encoded(bytes, out));
                drop(mark);
            }
            return;
        }
        let message = match dialect.parse(bytes) {
            Ok(message) => message,
            Err(malformed) => return clients.bad_request(turn, slot, malformed.to_string()),
        };
        if clients[slot].line().has_log()
            && logged::hear(clients, turn, slot, Said::of(&message), bytes.len()) == Heed::No
        {
            return;
        }
        match clients.hubs().follower() {
            None => self.take_message(turn, slot, bytes, message),
            Some(follower) => {
                let mark = clients[slot].facts().and_then(|facts| match links.get(slot) {
                    None => follower.said(facts, &message),
                    Some(_) => follower.passes(facts, &message),
                });
                let before = std::mem::replace(&mut turn.mark, mark);
                self.take_message(turn, slot, bytes, message);
                turn.mark = before;
            }
        }
    }

    /// What is left of its way.
    #[inline(always)]
    fn take_message(&mut self, turn: &mut Turn<'_>, slot: Slot, bytes: &[u8], message: HubMessage<'_>) {
        let Listener { clients, links, inbound, .. } = self;
        let (hub, dialect) = (clients[slot].hub(), clients[slot].dialect());
        let is_filtered = clients.hub(hub).filters.inspects(Direction::Inbound);
        if is_filtered && inbound.show(clients, turn, slot, bytes, &message) == Gate::Waits {
            return;
        }
        match (links.get(slot), &message) {
            // What filters cannot read does not pass them by: it is answered here, as the gateway answers its own clients.
            (Some(_), HubMessage::Unbindable(_)) | (None, _) => self.own_message(turn, slot, message),
            (Some(_), _) => link::pass_on(links, clients, turn, slot, |out| dialect.write_encoded(bytes, out)),
        }
    }

    /// A message of a client that the gateway itself answers.
    fn own_message(&mut self, turn: &mut Turn<'_>, slot: Slot, message: HubMessage<'_>) {
        let Listener { clients, upstream, client_results, .. } = self;
        match message {
            // An upload has the id that its client has given it, a question the gateway's.
            HubMessage::Completion { invocation_id, outcome, .. } if !upstream.has_upload(slot, &invocation_id) => {
                client_results.completed(turn, slot, (&invocation_id, outcome));
            }
            message => upstream.hub_message(clients, turn, slot, message),
        }
    }

    /// Filters have looked at what a client says.
    pub(crate) fn inspected(&mut self, turn: &mut Turn<'_>, number: InspectionNumber, inspected: Inspected) {
        let Listener { clients, links, inbound, .. } = self;
        let Some(message) = inbound.take(number).filter(|message| clients.is_still(message.slot)) else {
            return;
        };
        let (slot, hub, dialect) = (message.slot, clients[message.slot].hub(), clients[message.slot].dialect());
        actions::act_all(clients, turn, hub, inspected.actions);
        if !clients.is_still(slot) {
            // The filter itself has closed it.
            return;
        }
        let bytes = &message.bytes;
        let is_linked = links.get(slot).is_some();
        let parsed = || dialect.parse(bytes).expect("it was parsed before filters looked at it");
        match inspected.verdict {
            Verdict::Pass if is_linked => {
                link::pass_on(links, clients, turn, slot, |out| dialect.write_encoded(bytes, out));
            }
            Verdict::Pass => self.own_message(turn, slot, parsed()),
            Verdict::Replace(replacement) => {
                let message = replacement.put_into(parsed());
                match is_linked {
                    true => link::pass_on(links, clients, turn, slot, |out| dialect.write(&message, out)),
                    false => self.own_message(turn, slot, message),
                }
            }
            Verdict::Refuse(refusal) => self.refuse(turn, slot, parsed(), refusal),
            Verdict::Close(reason) => clients.close_by_filter(turn, slot, reason),
        }
        self.clients[slot].set_inspected(false);
        self.clients.release_hold(turn, slot, Hold::Inspection);
    }

    /// A client's message goes no further; who waits for an answer gets the error.
    fn refuse(&mut self, turn: &mut Turn<'_>, slot: Slot, message: HubMessage<'_>, refusal: Refusal) {
        match refused(message, refusal, turn.settings.detailed_errors) {
            Refused::Call { id, error } => self.clients.complete_with_error(turn, slot, id.as_deref(), &error),
            Refused::Result(message) if self.links.get(slot).is_none() => self.own_message(turn, slot, message),
            Refused::Result(message) => {
                let dialect = self.clients[slot].dialect();
                link::pass_on(self.links, self.clients, turn, slot, |out| dialect.write(&message, out));
            }
            // Uploads to hub servers are not known here: the item is left out.
            Refused::Item { id, refusal } => self.upstream.refuse_upload(self.clients, turn, slot, (&id, refusal)),
            Refused::Other => {}
        }
    }
}

/// The mark of a message that a hub server answers, if somebody follows it and it can be read.
fn mark_of_passing(clients: &Clients, slot: Slot, message: &[u8]) -> Option<TraceMark> {
    let follower = clients.hubs().follower().filter(|_| clients.hubs().reads_what_passes())?;
    let client = &clients[slot];
    follower.passes(client.facts()?, &client.dialect().parse(message).ok()?)
}

/// Whether somebody here wants to know what a client's messages say: the gateway that answers it, or filters.
fn is_read(links: &Links, clients: &Clients, slot: Slot) -> bool {
    links.get(slot).is_none() || clients.hub_of(slot).filters.inspects(Direction::Inbound)
}
