//! What peers have said is taken message by message: the steps that one leaves are taken before the next is looked at.

use bytes::Buf;

use super::Parts;
use crate::client::unread;
use crate::client_message::{Heard, Listener};
use crate::id::{ServerConnectionId, Slot, TransportKey};
use crate::link::Took;
use crate::turn::Turn;

impl Parts {
    /// The parts that a client's message meets.
    pub(super) fn listener(&mut self) -> Listener<'_> {
        let Parts { clients, links, upstream, inbound, client_results, .. } = self;
        Listener { clients, links, upstream, inbound, client_results }
    }

    /// What a client has said, up to `most` messages of it.
    pub(super) fn client_data(&mut self, turn: &mut Turn<'_>, transport: TransportKey, bytes: &mut &[u8], most: usize) {
        let Some(slot) = self.clients.by_transport(transport) else {
            *bytes = &[];
            return;
        };
        let client = &mut self.clients[slot];
        client.line_mut().was_heard(turn.now);
        let (hub, came) = (client.hub(), bytes.len());
        let (mut taken, mut messages) = (*bytes, 0);
        while !taken.is_empty() && messages < most && !self.slowed_clients.is_out_of_turn(&mut self.clients, turn, slot)
        {
            if self.listener().hear(turn, slot, &mut taken) == Heard::Waits {
                break;
            }
            messages += 1;
            self.settle(turn, 0);
        }
        self.clients.hub_mut(hub).counters.bytes_in += (came - taken.len()) as u64;
        *bytes = taken;
    }

    /// Parses what is unread of a client, as far as that may be parsed now.
    pub(super) fn read_client(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        let base = turn.steps.len();
        let mut unread = self.clients[slot].take_unread();
        while !unread.is_empty()
            && self.clients[slot].is_parsing()
            && !self.slowed_clients.is_out_of_turn(&mut self.clients, turn, slot)
        {
            let mut rest = &unread[..];
            match self.clients[slot].dialect().split(&mut rest) {
                Ok(Some(message)) => self.listener().message(turn, slot, message),
                Ok(None) => break,
                Err(error) => return self.clients.bad_request(turn, slot, error.to_string()),
            }
            let parsed = unread.len() - rest.len();
            unread.advance(parsed);
            self.settle(turn, base);
        }
        unread::put_back(&mut self.clients, turn, slot, unread);
    }

    /// What a hub server has said, up to `most` messages of it.
    pub(super) fn server_data(&mut self, turn: &mut Turn<'_>, id: ServerConnectionId, bytes: &mut &[u8], most: usize) {
        let mut left = most;
        if self.links.was_heard(turn, id, bytes) {
            self.read_server(turn, id);
            left = left.saturating_sub(1);
            if self.links.has_unread(id) {
                return self.links.add_unread(id, std::mem::take(bytes));
            }
        }
        self.server_messages(turn, id, bytes, &mut left);
        if left > 0 && !bytes.is_empty() {
            self.links.add_unread(id, std::mem::take(bytes));
        }
    }

    /// Goes on with what is unread of a hub server.
    pub(super) fn read_server(&mut self, turn: &mut Turn<'_>, id: ServerConnectionId) {
        let mut unread = self.links.take_unread(id);
        let mut input = &unread[..];
        self.server_messages(turn, id, &mut input, &mut { usize::MAX });
        let read = unread.len() - input.len();
        unread.advance(read);
        self.links.put_unread(id, unread);
    }

    /// The messages that `input` begins with, `most` of them and up to one that takes a while.
    fn server_messages(&mut self, turn: &mut Turn<'_>, id: ServerConnectionId, input: &mut &[u8], most: &mut usize) {
        let base = turn.steps.len();
        while *most > 0
            && ((self.senders.is_empty() && !self.links.is_any_crowded()) || self.links.is_parsing(id))
            && self.links.take_message(&mut self.clients, turn, id, input) == Took::Message
        {
            *most -= 1;
            self.settle(turn, base);
        }
    }
}
