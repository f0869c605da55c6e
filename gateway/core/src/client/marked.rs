//! Frames of which the core is told once their clients have taken them.

use hubgate_wire::websocket::Frame;

use super::link_log::Mark;
use super::session::Delivery;
use super::{Clients, deliver};
use crate::effect::Effect;
use crate::id::Slot;
use crate::turn::Turn;

/// Queues a frame for one client; [`crate::Input::Taken`] follows if it goes there now, or `Step::Taken` of one
/// that acknowledges what it gets.
pub(crate) fn send(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, frame: Frame) -> Delivery {
    let client = &mut clients.arena[slot];
    if client.is_closed() {
        return Delivery::NotNow;
    }
    clients.hubs[client.hub()].count_out(1, frame.len());
    if client.has_log() && !client.holds_back() {
        // It has taken what it acknowledges, by whatever transport it gets that.
        let delivery = client.accept(&frame, Mark::Awaited, turn.now, &turn.settings.limits);
        deliver(turn, slot, delivery, frame);
        return delivery;
    }
    let delivery = client.accept_or_hold(&frame, turn.now, &turn.settings.limits);
    if let Delivery::Now(to) = delivery {
        turn.effect(Effect::SendMarked { to, frame });
    }
    delivery
}
