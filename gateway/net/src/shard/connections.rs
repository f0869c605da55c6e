//! The connections of a shard's peers: where what is for each goes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use hubgate_core::CloseCause;
use hubgate_core::TransportKey;
use hubgate_core::id::{ConnectionId, ServerConnectionId};
use hubgate_wire::websocket::Frame;

use crate::admission::ClientPlace;
use crate::client_log::ClientLog;
use crate::links::{ClientLink, WebSocket};
use crate::outbox::{Mark, Sharing};
use crate::resource_log::Visitor;
use crate::settings::Limits;

#[derive(Debug)]
pub(super) struct Connections {
    /// By the index of the transport, with its key: a later one may have the same index.
    links: RefCell<Vec<Option<(TransportKey, ClientLink)>>>,
    /// The places of clients until the core has forgotten them: what they asked for may outlive their transports.
    places: RefCell<HashMap<ConnectionId, Rc<ClientPlace>, foldhash::fast::RandomState>>,
    /// Of clients that have lost their transports and may come back.
    waiting: RefCell<HashMap<ConnectionId, ClientLog, foldhash::fast::RandomState>>,
    /// What the resource log is told of clients with their end, where it is told of them.
    visitors: RefCell<HashMap<ConnectionId, Rc<Visitor>, foldhash::fast::RandomState>>,
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
            waiting: RefCell::default(),
            visitors: RefCell::default(),
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

    pub(super) fn client_opened(
        &self,
        client: ConnectionId,
        transport: TransportKey,
        link: ClientLink,
        place: Rc<ClientPlace>,
        visitor: Option<&Rc<Visitor>>,
    ) {
        self.attach(transport, link);
        if let Some(visitor) = visitor {
            self.visitors.borrow_mut().insert(client, visitor.clone());
        }
        self.places.borrow_mut().insert(client, place);
    }

    /// A client that had no transport has one again.
    pub(super) fn client_waits_no_more(&self, client: ConnectionId) {
        self.waiting.borrow_mut().remove(&client);
    }

    /// A client has no transport, and may come by another one.
    pub(super) fn client_waits(&self, log: ClientLog) {
        self.waiting.borrow_mut().insert(log.id(), log);
    }

    /// What is for this transport goes there.
    pub(super) fn attach(&self, transport: TransportKey, link: ClientLink) {
        let (mut links, index) = (self.links.borrow_mut(), transport.index as usize);
        if links.len() <= index {
            links.resize_with(index + 1, || None);
        }
        links[index] = Some((transport, link));
    }

    /// Nothing more reaches a client by this transport.
    pub(super) fn client_gone(&self, transport: TransportKey) {
        self.links.borrow_mut()[transport.index as usize].take_if(|(key, _)| *key == transport);
    }

    /// The core has forgotten the client.
    pub(super) fn client_forgotten(&self, client: ConnectionId) {
        self.places.borrow_mut().remove(&client);
        self.visitors.borrow_mut().remove(&client);
    }

    /// A client has ended that had no transport.
    pub(super) fn client_ended_waiting(&self, client: ConnectionId, cause: CloseCause) {
        if let Some(log) = self.waiting.borrow_mut().remove(&client) {
            log.ended_without_transport(cause);
        }
    }

    /// The place of a client that the core has not forgotten.
    pub(super) fn place(&self, client: ConnectionId) -> Option<Rc<ClientPlace>> {
        self.places.borrow().get(&client).cloned()
    }

    pub(super) fn visitor(&self, client: ConnectionId) -> Option<Rc<Visitor>> {
        self.visitors.borrow().get(&client).cloned()
    }

    pub(super) fn link(&self, transport: TransportKey) -> Option<ClientLink> {
        find(&self.links.borrow(), transport).cloned()
    }

    /// Queues a frame for a client, with what tells that it has left; gives its socket, if it has one, to be flushed.
    pub(super) fn queue(
        &self,
        transport: TransportKey,
        frame: Frame,
        mark: Option<Mark>,
        sharing: Sharing,
        flush_later: impl FnOnce(&Rc<WebSocket>),
    ) {
        match find(&self.links.borrow(), transport) {
            Some(ClientLink::WebSocket(socket)) => {
                socket.push(frame.into_bytes(), mark, sharing, self.outbox_limit.get());
                flush_later(socket);
            }
            Some(ClientLink::Http(client)) => client.push(frame.payload(), mark, sharing, self.outbox_limit.get()),
            None => {}
        }
    }

    pub(super) fn set_reading(&self, transport: TransportKey, reading: bool) {
        match self.link(transport) {
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

/// Where what is for this transport goes, and not for one that has had its index before or has it now.
fn find(links: &[Option<(TransportKey, ClientLink)>], transport: TransportKey) -> Option<&ClientLink> {
    match links.get(transport.index as usize)? {
        Some((key, link)) if *key == transport => Some(link),
        Some(_) | None => None,
    }
}
