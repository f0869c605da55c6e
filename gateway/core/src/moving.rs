//! Clients that move to another hub server, because theirs leaves.
//!
//! Source: Azure SignalR SDK for .NET, "Service Protocol" (`specs/ServiceProtocol.md`), "Client migration". Its version 1.34 hands what it
//! reads to the hub a moment later, and drops what it has not handed on when it is told that the client has gone. So a client
//! that moves is not read until what it has said before is answered.

use hubgate_wire::service::{CloseConnection, ServiceMessage};
use hubgate_wire::signalr::{MessageStream, OpenCalls};

use crate::client_connection::Phase;
use crate::effect::Effect;
use crate::proxied::Proxy;
use crate::read_holds::Hold;
use crate::server_connection::written;
use crate::shard::{Shard, Slot};
use crate::time::Millis;

/// How long a hub server has for what it was handed last.
const SETTLING: Millis = Millis(100);
/// How long answers are waited for: with what the deadlines of clients may be late, one second.
const LONGEST: Millis = Millis(750);

/// A client on its way to another hub server.
#[derive(Debug)]
pub(crate) struct Moving {
    earliest: Millis,
    /// It goes then, whatever it waits for.
    latest: Millis,
    /// What filters have let pass meanwhile.
    held: Vec<u8>,
}

impl Shard {
    /// A client's hub server leaves: the client goes to another one, if there is one, once its calls are answered.
    pub(crate) fn begin_to_move(&mut self, slot: Slot, now: Millis, effects: &mut Vec<Effect>) {
        let client = &mut self.clients[slot.0 as usize];
        let Some(proxy) = &mut client.proxy else {
            return;
        };
        let servers = &self.hubs[client.hub].presence.servers;
        if proxy.moving.is_some() || proxy.has_said_close || !servers.is_another_there(&proxy.route.server) {
            return;
        }
        let earliest = match proxy.has_spoken {
            true => client.last_heard + SETTLING,
            false => now,
        };
        proxy.moving = Some(Moving { earliest, latest: now + LONGEST, held: Vec::new() });
        self.go_on_moving(slot, now, effects);
        self.hold_for_move(slot, effects);
        self.check_deadlines(slot, now, effects);
    }

    /// The message is over that had begun when the client was to move.
    pub(crate) fn said_its_last(&mut self, slot: Slot, now: Millis, effects: &mut Vec<Effect>) {
        if let Some(proxy) = &mut self.client(slot).proxy
            && proxy.from_client.is_between_messages()
            && let Some(moving) = &mut proxy.moving
        {
            moving.earliest = now + SETTLING;
            self.hold_for_move(slot, effects);
            self.check_deadlines(slot, now, effects);
        }
    }

    /// Reads no more of a client that is to move, unless it is in the middle of a message.
    fn hold_for_move(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        let proxy = self.client(slot).proxy.as_ref();
        if proxy.is_some_and(|proxy| proxy.moving.is_some() && proxy.from_client.is_between_messages()) {
            self.hold(slot, Hold::Moving, effects);
        }
    }

    /// Moves a client that waits for nothing any more.
    pub(crate) fn go_on_moving(&mut self, slot: Slot, now: Millis, effects: &mut Vec<Effect>) {
        if self.may_move(slot, now) {
            self.end_move(slot, now, effects);
        }
    }

    /// The same; gives when it is looked at again.
    pub(crate) fn check_moving(&mut self, slot: Slot, now: Millis, effects: &mut Vec<Effect>) -> Option<Millis> {
        self.go_on_moving(slot, now, effects);
        let moving = self.client(slot).proxy.as_ref()?.moving.as_ref()?;
        [moving.earliest, moving.latest].into_iter().find(|time| *time > now)
    }

    fn may_move(&self, slot: Slot, now: Millis) -> bool {
        let client = &self.clients[slot.0 as usize];
        let Some(proxy) = &client.proxy else {
            return false;
        };
        let Some(moving) = &proxy.moving else {
            return false;
        };
        if now < moving.earliest || !proxy.from_client.is_between_messages() {
            return false;
        }
        let is_let_in = matches!(client.phase, Phase::Open { .. });
        // What it has said may still be on its way to a server that is congested.
        let has_arrived = !proxy.has_spoken || (is_let_in && !client.holds.has(Hold::Server));
        now >= moving.latest || (has_arrived && proxy.is_answered())
    }

    /// A client moves now. One for which there is no other server any more stays, if it has one at all.
    pub(crate) fn end_move(&mut self, slot: Slot, now: Millis, effects: &mut Vec<Effect>) -> bool {
        let has_moved = self.move_client(slot, now, effects);
        let client = self.client(slot);
        let moving = client.proxy.as_mut().and_then(|proxy| proxy.moving.take());
        if let Some(Moving { held, .. }) = moving.filter(|moving| !moving.held.is_empty()) {
            self.hand_to_server(slot, &held, effects);
        }
        if !self.is_filtered(slot) {
            self.client_says(slot, &[], now, effects);
        }
        self.release_hold(slot, Hold::Moving, now, effects);
        has_moved
    }

    /// Lets another hub server have a client that is between two messages, if there is one.
    fn move_client(&mut self, slot: Slot, now: Millis, effects: &mut Vec<Effect>) -> bool {
        let client = &mut self.clients[slot.0 as usize];
        let (hub, id, protocol) = (client.hub, client.id, client.protocol);
        // Who has not been let in yet begins anew: the other server is to answer its handshake.
        let has_begun = matches!(client.phase, Phase::Open { .. });
        let Some(proxy) = &mut client.proxy else {
            return false;
        };
        if proxy.has_said_close {
            return false;
        }
        let from = proxy.route.clone();
        let Some(to) = self.hubs[hub].presence.servers.route_away(self.index, &from.server) else {
            return false;
        };
        let knows_end = std::mem::take(&mut proxy.server_knows_end);
        let invocations = std::mem::take(&mut proxy.invocations);
        proxy.route = to.clone();
        proxy.deadline = now + self.settings.timeouts.handshake;
        proxy.partial = Vec::new();
        proxy.from_server = MessageStream::new(protocol);
        proxy.has_spoken = false;
        proxy.calls = OpenCalls::new(protocol);
        let deadline = proxy.deadline;
        for invocation in &invocations {
            self.fail_invocation(hub, id, invocation, "The connection has moved to another server.", effects);
        }
        self.release(slot, hub, &from);
        self.clients_of_servers.entry(to.connection).or_default().insert(slot);
        if !knows_end {
            let headers = match has_begun {
                true => vec![("Asrs-Migrate-To", vec![to.server.as_str()])],
                false => Vec::new(),
            };
            let close = CloseConnection { connection_id: id.as_str(), headers, ..CloseConnection::default() };
            let message = written(&ServiceMessage::CloseConnection(close));
            self.pass_to_server(hub, from.connection, message, effects);
        }
        self.open_at_server(slot, has_begun.then_some(&from.server), effects);
        if !has_begun {
            self.schedule(slot, deadline);
        }
        if to.is_congested {
            self.hold(slot, Hold::Server, effects);
        } else {
            self.release_hold(slot, Hold::Server, now, effects);
        }
        true
    }
}

impl Proxy {
    /// Whether the server has answered all that the client has called, and is not in the middle of a message.
    fn is_answered(&self) -> bool {
        self.partial.is_empty() && self.calls.waiting() == 0
    }

    /// Keeps what filters have let pass of a client that is moving; gives it back if the client's server may have it.
    pub(crate) fn hold_if_moving(&mut self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        match &mut self.moving {
            Some(moving) if self.from_client.is_between_messages() => {
                moving.held.extend_from_slice(&bytes);
                None
            }
            Some(_) | None => Some(bytes),
        }
    }
}
