//! What hub servers say to single clients, on its way through the filters of the hub. What follows waits meanwhile.

use bytes::Bytes;
use hubgate_wire::signalr::HubMessage;

use super::{Links, client_result};
use crate::client::held::{HeldBack, HeldMessage};
use crate::client::{Clients, Closing, actions, logged};
use crate::close_cause::CloseCause;
use crate::delivery::Target;
use crate::failure;
use crate::filter::{Direction, FilterMessage, Inspected, InspectionNumber, Refusal, Subject, Verdict};
use crate::filter_message::method;
use crate::id::Slot;
use crate::turn::Turn;

/// A message for one client that filters look at.
#[derive(Debug)]
pub(super) struct ToClient {
    slot: Slot,
    message: HeldMessage,
}

/// What its hub server says to a client whose hub has filters for that, or for which something is held back: whole messages
/// with what frames them.
pub(super) fn filter_said(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    slot: Slot,
    mut messages: &[u8],
) {
    let dialect = clients[slot].dialect();
    let Some(by) = links.get(slot).map(|link| link.route.server.clone()) else {
        return;
    };
    while clients.is_still(slot)
        && let Ok(Some(message)) = dialect.split(&mut messages)
    {
        let said = HeldMessage::Said { by: by.clone(), message: Bytes::copy_from_slice(message) };
        enqueue(links, clients, turn, slot, HeldBack::Message(said));
    }
}

/// Sends something to a client after what is held back for it.
pub(super) fn enqueue(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, what: HeldBack) {
    let limit = turn.settings.limits.held;
    match clients[slot].held_back_mut() {
        Some(held) => held.push(what, limit),
        None => send(links, clients, turn, slot, what),
    }
}

fn send(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, what: HeldBack) {
    match what {
        HeldBack::Frame(frame) => clients.send_held(turn, slot, frame),
        HeldBack::Message(HeldMessage::Call(call)) if !client_result::is_awaited(links, slot, &call) => {}
        HeldBack::Message(message) => filter(links, clients, turn, slot, message),
        HeldBack::End { error } => end_by_server(links, clients, turn, slot, error),
    }
}

fn filter(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, message: HeldMessage) {
    let (client, hub) = (&clients[slot], clients.hub_of(slot));
    let (id, dialect) = (client.id(), client.dialect());
    let see = |view: &HubMessage<'_>| hub.filters.to_filter_message(Direction::Outbound, view);
    let mut is_close = false;
    let seen = match &message {
        HeldMessage::Said { message, .. } => match dialect.parse(message) {
            Ok(HubMessage::Unbindable(_)) | Err(_) => None,
            Ok(view) => {
                is_close = matches!(view, HubMessage::Close { .. });
                Some(see(&view))
            }
        },
        HeldMessage::Call(call) => call.outgoing.with_call(see),
    };
    // It may have waited for something else: for the handshake, or after filters that are gone.
    let seen = match hub.filters.inspects(Direction::Outbound) {
        true => seen,
        false => Some(None),
    };
    match seen {
        Some(Some(seen)) => {
            let (filters, to) = (hub.filters.clone(), vec![Target::Connection(id)]);
            let subject = Subject::Delivery { hub: hub.name.clone(), to, origin: message.origin() };
            clients[slot].hold_back();
            links.lane.inspect(turn, filters, subject, seen, ToClient { slot, message });
        }
        Some(None) => {
            if let Some(link) = links.get_mut(slot) {
                link.has_said_close |= is_close;
            }
            send_unchanged(links, clients, turn, slot, message);
        }
        None => report_unreadable(links, clients, turn, slot, message),
    }
}

/// What filters cannot read is not sent. Nobody waits for it for ever: the hub server is told, or the client ends.
fn report_unreadable(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, message: HeldMessage) {
    let hub = clients[slot].hub();
    clients.hub_mut(hub).report_unreadable(turn.effects);
    match message {
        HeldMessage::Said { .. } => {
            let detail = "its hub server said what the filters of the hub cannot read";
            clients.close(turn, slot, CloseCause::ClosedByAppServer, Closing::with_error(false, detail));
        }
        HeldMessage::Call(call) => {
            client_result::fail_call(links, clients, turn, slot, &call, failure::UNREADABLE_CALL);
        }
    }
}

fn send_unchanged(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, message: HeldMessage) {
    let dialect = clients[slot].dialect();
    match message {
        HeldMessage::Said { message, .. } => {
            logged::send_said(clients, turn, slot, &message);
        }
        HeldMessage::Call(call) => {
            if let Some(frame) = dialect.frame_of(&call.outgoing).cloned() {
                client_result::call_client(links, clients, turn, slot, &call, frame);
            }
        }
    }
}

/// A hub's filters have looked at what goes to one client.
pub(crate) fn inspected(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    number: InspectionNumber,
    inspected: Inspected,
) {
    let Some(ToClient { slot, message }) = links.lane.take(number) else {
        return;
    };
    if !clients.is_still(slot) {
        return;
    }
    let hub = clients[slot].hub();
    actions::act_all(clients, turn, hub, inspected.actions);
    if !clients.is_still(slot) {
        // The filter itself has closed it.
        return;
    }
    match inspected.verdict {
        Verdict::Pass => send_unchanged(links, clients, turn, slot, message),
        Verdict::Replace(replacement) => send_replacement(links, clients, turn, slot, message, &replacement),
        Verdict::Refuse(refusal) => report_refusal(links, clients, turn, slot, message, refusal),
        Verdict::Close(reason) => clients.close_by_filter(turn, slot, reason),
    }
    release_held(links, clients, turn, slot);
}

fn send_replacement(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    slot: Slot,
    message: HeldMessage,
    replacement: &FilterMessage,
) {
    let dialect = clients[slot].dialect();
    match message {
        HeldMessage::Said { message, .. } => {
            let original = dialect.parse(&message).expect("it was parsed before filters looked at it");
            let frame = dialect.frame(&replacement.put_into(original));
            clients.send_at_once(turn, slot, frame);
        }
        HeldMessage::Call(call) => {
            if let Some(frame) = dialect.frame_of(&call.outgoing.replaced(replacement)).cloned() {
                client_result::call_client(links, clients, turn, slot, &call, frame);
            }
        }
    }
}

/// Who waits for what is not sent is told so: the client for its completion, the hub server for its call.
fn report_refusal(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    slot: Slot,
    message: HeldMessage,
    refusal: Refusal,
) {
    let (dialect, detailed) = (clients[slot].dialect(), turn.settings.detailed_errors);
    match message {
        HeldMessage::Said { message, .. } => {
            if let Ok(HubMessage::Completion { invocation_id, .. }) = dialect.parse(&message) {
                let frame = dialect.error(&invocation_id, &failure::refused(None, refusal, detailed));
                clients.send_at_once(turn, slot, frame);
            }
        }
        HeldMessage::Call(call) => {
            let error = call.outgoing.with_call(|view| failure::refused(method(view), refusal, detailed));
            client_result::fail_call(links, clients, turn, slot, &call, &error.unwrap_or_default());
        }
    }
}

/// Sends what was held back for a client, up to the next message that filters look at.
pub(crate) fn release_held(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
    let Some(mut held) = clients[slot].take_held_back() else {
        return;
    };
    while let Some(what) = held.pop() {
        if !clients.is_still(slot) {
            return;
        }
        send(links, clients, turn, slot, what);
        if let Some(again) = clients[slot].held_back_mut() {
            // The rest waits for the filters once more.
            *again = *held;
            return;
        }
    }
    if held.is_too_much() && clients.is_still(slot) {
        let detail = "more was sent to it than `server.limits.outbox` before its handshake was answered, or while \
                      filters of its hub looked at a message";
        clients.close(turn, slot, CloseCause::SlowClient, Closing::with_error(true, detail));
    }
}

/// A hub server ends its client, which has perhaps got its Close already.
pub(super) fn end_by_server(
    links: &Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    slot: Slot,
    error: Option<String>,
) {
    let Some(link) = links.get(slot) else {
        return;
    };
    let cause = CloseCause::ClosedByAppServer;
    let detail = error.clone().unwrap_or_default();
    match link.has_said_close {
        true => clients.end(turn, slot, cause, None, None, detail),
        false => clients.close(turn, slot, cause, Closing { error, allow_reconnect: false, detail }),
    }
}
