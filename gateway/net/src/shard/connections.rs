//! The connections of a shard's peers: where what is for each goes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use hubgate_core::Slot;
use hubgate_core::id::ServerConnectionId;
use hubgate_wire::websocket::Frame;

use crate::admission::ClientPlace;
use crate::links::{ClientLink, WebSocket};
use crate::outbox::Sharing;
use crate::settings::Limits;

#[derive(Debug)]
pub(super) struct Connections {
    links: RefCell<Vec<Option<ClientLink>>>,
    /// The places of clients, by slot, until the core has forgotten them: what they asked for may outlive their sockets.
    places: RefCell<Vec<Option<Rc<ClientPlace>>>>,
    /// The sockets of hub servers.
    servers: RefCell<HashMap<ServerConnectionId, Rc<WebSocket>>>,
    /// `server.limits.outbox`, in bytes.
    outbox_limit: Cell<usize>,
    /// `server.limits.server-outbox`, in bytes.
    server_outbox_limit: Cell<usize>,
}

impl Connections {
    pub(super) fn new(limits: &Limits) -> Connections {
        let connections = Connections {
            links: RefCell::default(),
            places: RefCell::default(),
            servers: RefCell::default(),
            outbox_limit: Cell::default(),
            server_outbox_limit: Cell::default(),
        };
        connections.set_limits(limits);
        connections
    }

    pub(super) fn set_limits(&self, limits: &Limits) {
        self.outbox_limit.set(limits.outbox);
        self.server_outbox_limit.set(limits.server_outbox);
    }

    pub(super) fn client_opened(&self, slot: Slot, link: ClientLink, place: Rc<ClientPlace>) {
        put(&mut self.links.borrow_mut(), slot, link);
        put(&mut self.places.borrow_mut(), slot, place);
    }

    /// Nothing more reaches the client.
    pub(super) fn client_gone(&self, slot: Slot) {
        self.links.borrow_mut()[slot.0 as usize] = None;
    }

    /// The core has forgotten the client.
    pub(super) fn client_forgotten(&self, slot: Slot) {
        self.places.borrow_mut()[slot.0 as usize] = None;
    }

    pub(super) fn link(&self, slot: Slot) -> Option<ClientLink> {
        self.links.borrow().get(slot.0 as usize)?.clone()
    }

    /// Queues a frame for a client; gives its socket, if it has one, to be flushed.
    pub(super) fn queue(&self, slot: Slot, frame: Frame, sharing: Sharing, flush_later: impl FnOnce(&Rc<WebSocket>)) {
        match self.links.borrow().get(slot.0 as usize) {
            Some(Some(ClientLink::WebSocket(socket))) => {
                socket.push(frame.into_bytes(), sharing, self.outbox_limit.get());
                flush_later(socket);
            }
            Some(Some(ClientLink::Http(client))) => client.push(frame.payload(), sharing, self.outbox_limit.get()),
            Some(None) | None => {}
        }
    }

    pub(super) fn set_reading(&self, slot: Slot, reading: bool) {
        match self.link(slot) {
            Some(ClientLink::WebSocket(socket)) => socket.set_reading(reading),
            Some(ClientLink::Http(client)) => client.set_reading(reading),
            None => {}
        }
    }

    pub(super) fn server_opened(&self, id: ServerConnectionId, socket: Rc<WebSocket>) {
        self.servers.borrow_mut().insert(id, socket);
    }

    pub(super) fn server_gone(&self, id: ServerConnectionId) {
        self.servers.borrow_mut().remove(&id);
    }

    pub(super) fn has_servers(&self) -> bool {
        !self.servers.borrow().is_empty()
    }

    pub(super) fn server(&self, id: ServerConnectionId) -> Option<Rc<WebSocket>> {
        self.servers.borrow().get(&id).cloned()
    }

    /// Adds messages of the service protocol to those that leave together for a hub server.
    pub(super) fn gather(&self, id: ServerConnectionId, messages: &[u8], flush_later: impl FnOnce(&Rc<WebSocket>)) {
        if let Some(socket) = self.servers.borrow().get(&id) {
            socket.gather(messages, self.server_outbox_limit.get());
            flush_later(socket);
        }
    }
}

/// Keeps something for a slot.
fn put<T>(slots: &mut Vec<Option<T>>, slot: Slot, value: T) {
    let index = slot.0 as usize;
    if slots.len() <= index {
        slots.resize_with(index + 1, || None);
    }
    slots[index] = Some(value);
}
