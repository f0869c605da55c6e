//! Frames of which the core is told once their clients have taken them.

use hubgate_wire::websocket::Frame;

use super::Clients;
use super::kept::Copies;
use super::link_log::{LinkLog, Mark};
use super::session::Delivery;
use crate::effect::Effect;
use crate::id::Slot;
use crate::turn::{Step, Turn};

/// Queues a frame for one client; [`crate::Input::Taken`] follows if it goes there now, or if it goes there once the client has come back. One that
/// acknowledges what it gets has taken that in any case.
pub(crate) fn send(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, frame: Frame) -> Delivery {
    let client = &mut clients.arena[slot];
    if client.is_closed() {
        return Delivery::NotNow;
    }
    clients.hubs[client.hub()].count_out(1, frame.len());
    let (copies, limits) = (&mut Copies::of(&frame), &turn.settings.limits);
    let delivery = match client.holds_back() {
        true => client.accept_or_hold(copies, turn.now, limits),
        false => client.accept(copies, Mark::Awaited, turn.now, limits),
    };
    match delivery {
        Delivery::Now(to) => turn.effect(Effect::SendMarked { to, frame }),
        Delivery::NotNow | Delivery::OnResume => {}
        Delivery::TooMuch => turn.then(Step::CloseSlow(slot)),
    }
    delivery
}

/// A client's transport has taken the next of them. Gives whether that is news: the client may have said so itself.
pub(crate) fn taken(clients: &mut Clients, slot: Slot) -> bool {
    clients[slot].line_mut().log.as_mut().and_then(|log| log.core_mut()).is_none_or(LinkLog::left)
}
