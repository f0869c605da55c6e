//! What clients that may resume say, and what their hub servers say to them, as the log of their link wants it.

use hubgate_wire::signalr::HubMessage;
use hubgate_wire::websocket::Frame;

use super::Clients;
use super::attachment::Attachment;
use super::link_log::{Logged, Said};
use crate::effect::Effect;
use crate::id::Slot;
use crate::turn::{Step, Turn};

/// Whether what a client says goes on to whoever answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heed {
    Yes,
    /// It came before, or was for the gateway alone.
    No,
}

/// Writes down what a client says, and does what is for the gateway alone.
pub(crate) fn hear(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, said: Said, bytes: usize) -> Heed {
    let Some(log) = clients[slot].line_mut().log.as_mut().and_then(|log| log.core_mut()) else {
        return Heed::Yes;
    };
    let logged = log.hear(said, bytes, turn.now);
    if let Some(due) = log.ack_due() {
        match due <= turn.now {
            true => acknowledge(clients, turn, slot),
            false => clients.schedule_by(slot, due),
        }
    }
    match logged {
        Logged::New => return Heed::Yes,
        Logged::Over | Logged::Taken(0) => {}
        Logged::Taken(count) => turn.then(Step::Taken(slot, count)),
        Logged::Breach(breach) => clients.bad_request(turn, slot, breach.to_string()),
    }
    Heed::No
}

/// Tells a client what has come of what it has said, if it is time.
pub(super) fn acknowledge(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
    let client = &mut clients.arena[slot];
    let dialect = client.dialect();
    let line = client.line_mut();
    if let Attachment::Attached(_) = line.attachment()
        && let Some(log) = line.log.as_mut().and_then(|log| log.core_mut())
        && let Some(sequence_id) = log.take_ack(turn.now)
    {
        let frame = dialect.frame(&HubMessage::Ack { sequence_id });
        send_uncounted(clients, turn, slot, frame);
    }
}

/// Sends a client that is open what its hub server says, before what is held back: one message without what frames it.
pub(crate) fn send_said(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, message: &[u8]) {
    let client = &clients[slot];
    let (dialect, has_log) = (client.dialect(), client.line().has_log());
    let frame = dialect.frame_encoded(message);
    match has_log && dialect.said(message) != Said::Counted {
        true => send_uncounted(clients, turn, slot, frame),
        false => clients.send_at_once(turn, slot, frame),
    }
}

/// Sends a client what is not sent again.
fn send_uncounted(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, frame: Frame) {
    let client = &mut clients.arena[slot];
    if let Attachment::Attached(to) = client.line().attachment() {
        clients.hubs[client.hub()].count_out(1, frame.len());
        client.line_mut().last_sent = turn.now;
        turn.effect(Effect::Send { to, frame });
    }
}
