//! Hub servers that call a client and wait for its result.
//!
//! Source: Azure SignalR SDK for .NET, "Client Invocation" (`specs/ClientInvocation.md`). The client answers the hub server
//! that it is routed to; that one reads the answer and sends it on to the server that called.

use bytes::Bytes;
use hubgate_wire::service::{self, ErrorCompletion, ServiceMapping, ServiceMessage};
use hubgate_wire::websocket::Frame;

use crate::client_connection::HubIndex;
use crate::delivery::Target;
use crate::effect::{Effect, Order, Shards};
use crate::filter::{Direction, Origin};
use crate::id::{ConnectionId, ServerConnectionId, ServerId};
use crate::outbound::{HeldBack, HeldMessage};
use crate::outgoing::Outgoing;
use crate::server_connection::written;
use crate::server_message::outgoing;
use crate::server_order::ServerOrder;
use crate::shard::{Shard, Slot};
use crate::time::Millis;

/// How long an answer is waited for.
const LONGEST: Millis = Millis(600_000);
/// Calls of one client that wait for their answers, in number.
const MOST: usize = 1_000;
/// Why a call fails whose client is not there.
pub(crate) const NO_CONNECTION: &str = "The connection does not exist.";
/// What hub servers know the gateway by, where they ask which of several instances has a client.
const INSTANCE: &str = "hubgate";

/// A call of a client that waits for its answer.
#[derive(Debug)]
pub(crate) struct ClientInvocation {
    id: Box<str>,
    caller: ServerId,
    /// The connection that the caller asked on.
    from: ServerConnectionId,
    deadline: Millis,
}

/// A call of a client on its way there; its [`ClientInvocation`] is with the client's [`crate::proxied::Proxy`].
#[derive(Debug)]
pub(crate) struct ClientCall {
    pub(crate) origin: Origin,
    /// The body of the hub server's message.
    pub(crate) message: Bytes,
    pub(crate) outgoing: Outgoing,
    invocation_id: Box<str>,
}

impl Shard {
    /// A hub server calls a client of this shard. `message` is the body of its message. From here on the call has an end,
    /// whatever becomes of the client, its server and its filters.
    pub(crate) fn invoke_client(
        &mut self,
        hub: HubIndex,
        (from, origin): (ServerConnectionId, Origin),
        id: ConnectionId,
        message: Bytes,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let Ok(ServiceMessage::ClientInvocation(call)) = service::parse(&message) else {
            return;
        };
        let invocation = ClientInvocation {
            id: call.invocation_id.into(),
            caller: ServerId::new(call.caller_server_id),
            from,
            deadline: now + LONGEST,
        };
        let Some(slot) = self.slot_of(hub, &Target::Connection(id)) else {
            return self.fail_invocation(hub, id, &invocation, NO_CONNECTION, effects);
        };
        let client = self.client(slot);
        let protocol = client.protocol;
        let Some(proxy) = &mut client.proxy else {
            let error = "The connection is not served by a hub server.";
            return self.fail_invocation(hub, id, &invocation, error, effects);
        };
        if proxy.moving.is_some() {
            // What it answers would not reach the server that is told of the call.
            return self.fail_invocation(hub, id, &invocation, "The connection is moving to another server.", effects);
        }
        let outgoing = outgoing(&call.payloads);
        let Some(frame) = outgoing.frame(protocol).cloned() else {
            let error = format!("The call has no payload for the protocol '{}'.", protocol.name());
            return self.fail_invocation(hub, id, &invocation, &error, effects);
        };
        if proxy.invocations.len() >= MOST {
            let error = format!("{MOST} calls of the connection wait for their results.");
            return self.fail_invocation(hub, id, &invocation, &error, effects);
        }
        let invocation_id = invocation.id.clone();
        proxy.invocations.push(invocation);
        let is_held = client.held_back.is_some() || self.hub(hub).filters.look_at(Direction::Outbound);
        let call = ClientCall { origin, message: message.clone(), outgoing, invocation_id };
        match is_held {
            true => self.say_in_turn(slot, HeldBack::Message(HeldMessage::Call(call)), now, effects),
            false => self.call_client(slot, &call, frame, now, effects),
        }
        if self.is_still(slot, id) {
            self.check_deadlines(slot, now, effects);
        }
    }

    /// Answers a hub server of this shard whose call can be nobody's.
    pub(crate) fn refuse_invocation(
        &mut self,
        from: ServerConnectionId,
        call: &service::ClientInvocation<'_>,
        error: &str,
        effects: &mut Vec<Effect>,
    ) {
        let completion = ErrorCompletion {
            invocation_id: call.invocation_id,
            connection_id: call.connection_id,
            caller_server_id: call.caller_server_id,
            error,
            ..ErrorCompletion::default()
        };
        self.send_to_server(from, &ServiceMessage::ErrorCompletion(completion), effects);
    }

    /// Sends a client the call of a hub server, as `frame`.
    pub(crate) fn call_client(
        &mut self,
        slot: Slot,
        call: &ClientCall,
        frame: Frame,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let client = self.client(slot);
        let (hub, id) = (client.hub, client.id);
        let (Some(proxy), Ok(message)) = (&client.proxy, service::parse(&call.message)) else {
            return;
        };
        let Some(invocation) = proxy.invocations.iter().find(|each| each.id == call.invocation_id) else {
            // It has failed while filters looked at it.
            return;
        };
        let (route, caller, from) = (proxy.route.clone(), invocation.caller.clone(), invocation.from);
        if route.server != caller {
            // It must know whose the answer is before it comes.
            self.pass_to_server(hub, route.connection, written(&message), effects);
            let mapping = ServiceMapping {
                invocation_id: &call.invocation_id,
                connection_id: id.as_str(),
                instance_id: INSTANCE,
                ..ServiceMapping::default()
            };
            let mapping = written(&ServiceMessage::ServiceMapping(mapping)).into();
            self.pass_to_any_of_server(hub, from, caller, mapping, effects);
        }
        self.send_at_once(slot, frame, now, effects);
    }

    /// Whether anybody still waits for the call's answer: it may have failed while it was held back.
    pub(crate) fn is_awaited(&self, slot: Slot, call: &ClientCall) -> bool {
        let proxy = self.clients[slot.0 as usize].proxy.as_ref();
        proxy.is_some_and(|proxy| proxy.invocations.iter().any(|each| each.id == call.invocation_id))
    }

    /// A call does not reach its client.
    pub(crate) fn fail_call(&mut self, slot: Slot, call: &ClientCall, error: &str, effects: &mut Vec<Effect>) {
        let client = self.client(slot);
        let (hub, id) = (client.hub, client.id);
        let Some(proxy) = &mut client.proxy else {
            return;
        };
        if let Some(index) = proxy.invocations.iter().position(|each| each.id == call.invocation_id) {
            let invocation = proxy.invocations.swap_remove(index);
            self.fail_invocation(hub, id, &invocation, error, effects);
        }
    }

    /// The answer of a client of this shard, as its hub server read it. `message` is the body of the server's message.
    pub(crate) fn client_completed(
        &mut self,
        hub: HubIndex,
        id: ConnectionId,
        message: &Bytes,
        effects: &mut Vec<Effect>,
    ) {
        let parsed = service::parse(message);
        let invocation_id = match &parsed {
            Ok(ServiceMessage::ClientCompletion(completion)) => completion.invocation_id,
            Ok(ServiceMessage::ErrorCompletion(completion)) => completion.invocation_id,
            _ => return,
        };
        let Some(slot) = self.slot_of(hub, &Target::Connection(id)) else {
            return;
        };
        let Some(proxy) = &mut self.client(slot).proxy else {
            return;
        };
        let Some(index) = proxy.invocations.iter().position(|each| *each.id == *invocation_id) else {
            return;
        };
        let ClientInvocation { caller, from, .. } = proxy.invocations.swap_remove(index);
        // A caller that has the client itself has read the answer already.
        if caller != proxy.route.server
            && let Ok(message) = parsed
        {
            self.pass_to_any_of_server(hub, from, caller, written(&message).into(), effects);
        }
    }

    /// Ends calls that have waited too long; gives when the next one will have.
    pub(crate) fn check_invocations(&mut self, slot: Slot, now: Millis, effects: &mut Vec<Effect>) -> Option<Millis> {
        let client = self.client(slot);
        let (hub, id) = (client.hub, client.id);
        let proxy = client.proxy.as_mut()?;
        let late: Vec<_> = proxy.invocations.extract_if(.., |each| each.deadline <= now).collect();
        let next = proxy.invocations.iter().map(|each| each.deadline).min();
        for invocation in late {
            self.fail_invocation(hub, id, &invocation, "The connection did not answer in time.", effects);
        }
        next
    }

    /// Tells the caller that there will be no answer.
    pub(crate) fn fail_invocation(
        &mut self,
        hub: HubIndex,
        id: ConnectionId,
        invocation: &ClientInvocation,
        error: &str,
        effects: &mut Vec<Effect>,
    ) {
        let completion = ErrorCompletion {
            invocation_id: &invocation.id,
            connection_id: id.as_str(),
            caller_server_id: invocation.caller.as_str(),
            error,
            ..ErrorCompletion::default()
        };
        let message = written(&ServiceMessage::ErrorCompletion(completion)).into();
        self.pass_to_any_of_server(hub, invocation.from, invocation.caller.clone(), message, effects);
    }

    /// Sends to a hub server, or to one that only sends, over one of its connections on whatever shard: `first` if that is still
    /// there.
    pub(crate) fn pass_to_any_of_server(
        &mut self,
        hub: HubIndex,
        first: ServerConnectionId,
        server: ServerId,
        message: Bytes,
        effects: &mut Vec<Effect>,
    ) {
        if self.servers.contains_key(&first) {
            return effects.push(Effect::ToServer { to: first, messages: message.into() });
        }
        let Some(to) = self.hub(hub).presence.servers.connection_of(first, &server) else {
            return;
        };
        if to.shard == self.index {
            return self.pass_to_server(hub, to, message.into(), effects);
        }
        let order = ServerOrder::PassToServer { first: to, server, message };
        self.forward(Shards::One(to.shard), hub, Order::Server(order), effects);
    }
}
