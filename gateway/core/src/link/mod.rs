//! Hub servers and the clients that they answer: what a client says goes to its server, and what the server says goes to it.
//!
//! Source: Azure SignalR SDK for .NET, "Service Protocol" (`specs/ServiceProtocol.md`). The hub server answers the handshake,
//! sends the pings and the Close; the gateway reads of it all only where messages end.

mod asp_net;
mod calls_elsewhere;
mod client_link;
mod client_result;
mod handshake;
mod invoke;
pub(crate) mod loss;
mod message;
mod moving;
mod names;
mod outgoing;
mod oversized;
mod payloads;
mod relay;
mod servers;
mod to_server;

use bytes::{Bytes, BytesMut};
use hubgate_wire::service::{
    self, CloseConnection, ConnectionReconnect, Extensions, MalformedMessage, ServiceError, ServiceMessage,
};

use asp_net::Cursors;
use calls_elsewhere::CallsElsewhere;
use client_link::ClientLink;
use outgoing::ToClient;
pub(crate) use outgoing::{inspected, release_held};
use oversized::Oversized;
use relay::ServerPayload;
pub(crate) use relay::{forward_from_client, relay, route_client};
use servers::{ServerKind, ServerPhase, Servers, written};
pub(crate) use to_server::{pass_on, tell_claims};

use crate::arena::Beside;
use crate::arrivals::NewServerConnection;
use crate::client::read_holds::Hold;
use crate::client::{Clients, LinkTimes};
use crate::directory_change::DirectoryChange;
use crate::effect::Effect;
use crate::filter::LaneKind;
use crate::gate::Lane;
use crate::hash::FixedMap;
use crate::hub::Slots;
use crate::hub::routing::Route;
use crate::id::{HubIndex, ServerConnectionId, ServerId, ShardAddress, Slot};
use crate::neighbours::Location;
use crate::order::{Addressees, Leaving, Order, ServerOrder};
use crate::query::{AckStatus, Carried};
use crate::turn::{Departure, Farewell, Turn};

/// The hub servers of a shard, and the links of its clients to hub servers on whatever shard.
#[derive(Debug)]
pub(crate) struct Links {
    servers: Servers,
    /// None: the gateway answers the client.
    of_clients: Beside<Slot, Option<Box<ClientLink>>>,
    /// The clients of each server connection.
    clients_of: FixedMap<ServerConnectionId, Slots>,
    calls_elsewhere: CallsElsewhere,
    /// Messages of hub servers that are too long and have not come as a whole.
    oversized: FixedMap<ServerConnectionId, Oversized>,
    /// What hub servers say to single clients, while filters look at it.
    lane: Lane<ToClient>,
    /// Of messages for clients of ASP.NET SignalR.
    cursors: Cursors,
}

/// What came of a look at what a hub server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Took {
    Message,
    /// There is no whole message.
    Nothing,
}

impl Links {
    pub(crate) fn new() -> Links {
        Links {
            servers: Servers::default(),
            of_clients: Beside::new(),
            clients_of: FixedMap::default(),
            calls_elsewhere: CallsElsewhere::default(),
            oversized: FixedMap::default(),
            lane: Lane::new(LaneKind::FromServers),
            cursors: Cursors::default(),
        }
    }

    /// The number of the hub server's connection that opens next.
    pub(crate) fn next_server(&self) -> u32 {
        self.servers.next()
    }

    /// A hub server's transport is open; its handshake request comes next.
    pub(crate) fn open_server(
        &mut self,
        clients: &mut Clients,
        turn: &Turn<'_>,
        id: ServerConnectionId,
        new: NewServerConnection,
    ) {
        let hub = clients.hubs_mut().occupy(&new.hub, turn.settings);
        clients.hub_mut(hub).server_connections += 1;
        self.servers.open(turn, id, hub, new.server);
    }

    /// Something came from a hub server: completes the message whose beginning is unread; gives whether there is one.
    pub(crate) fn was_heard(&mut self, turn: &Turn<'_>, id: ServerConnectionId, bytes: &mut &[u8]) -> bool {
        self.servers.was_heard(id, bytes, turn.now)
    }

    pub(crate) fn has_unread(&self, id: ServerConnectionId) -> bool {
        self.servers.has_unread(id)
    }

    pub(crate) fn take_unread(&mut self, id: ServerConnectionId) -> BytesMut {
        self.servers.take_unread(id)
    }

    pub(crate) fn put_unread(&mut self, id: ServerConnectionId, unread: BytesMut) {
        self.servers.put_unread(id, unread);
    }

    pub(crate) fn add_unread(&mut self, id: ServerConnectionId, bytes: &[u8]) {
        self.servers.add_unread(id, bytes);
    }

    /// Whether some hub servers are not read because too many of their acks wait.
    #[inline]
    pub(crate) fn is_any_crowded(&self) -> bool {
        self.servers.is_any_crowded()
    }

    pub(crate) fn is_parsing(&self, id: ServerConnectionId) -> bool {
        self.servers.is_parsing(id)
    }

    /// Acts on the message that `input` begins with, if it is there as a whole.
    pub(crate) fn take_message(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        id: ServerConnectionId,
        input: &mut &[u8],
    ) -> Took {
        if oversized::is_passing_over(self, id) {
            return oversized::pass_over(self, clients, turn, id, input);
        }
        match service::length_prefix(input) {
            Ok(Some((length, prefix))) if length > turn.settings.limits.server_message => {
                *input = &input[prefix..];
                oversized::begin_to_pass_over(self, clients, turn, id, length);
                return oversized::pass_over(self, clients, turn, id, input);
            }
            Ok(_) | Err(service::TooLong) => {}
        }
        match service::split_message(input) {
            Ok(Some(body)) => {
                self.body(clients, turn, id, body);
                Took::Message
            }
            Ok(None) => Took::Nothing,
            Err(service::TooLong) => {
                oversized::end_unreadable(self, clients, turn, id);
                Took::Nothing
            }
        }
    }

    fn body(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, id: ServerConnectionId, body: &[u8]) {
        // A message before it can have ended the connection.
        let Some(server) = self.servers.get(id) else {
            return;
        };
        match (server.phase(), service::parse(body)) {
            (ServerPhase::Handshaking { .. }, message) => self.handshake(clients, turn, id, message),
            (ServerPhase::Open(kind), Ok(message)) => {
                message::act_on(self, clients, turn, (id, server.hub(), kind), message, body);
            }
            (ServerPhase::Open(_), Err(MalformedMessage)) => {
                self.servers.skip_message(clients, turn, id, "a malformed message");
            }
        }
    }

    /// Filters take a while over what a hub server sends.
    pub(crate) fn sending_waits(&mut self, turn: &mut Turn<'_>, id: ServerConnectionId) {
        self.servers.hold(turn, id, Hold::Inspection);
    }

    /// What a hub server sent has left.
    pub(crate) fn sending_ended(&mut self, turn: &mut Turn<'_>, id: ServerConnectionId) {
        self.servers.set_inspected(id, false);
        self.servers.release_hold(turn, id, Hold::Inspection);
    }

    /// An ack of a hub server waits for other shards.
    pub(crate) fn ack_waits(&mut self, turn: &mut Turn<'_>, id: ServerConnectionId) {
        self.servers.ack_waits(turn, id);
    }

    /// An ack that has waited is sent.
    pub(crate) fn ack_ended(&mut self, turn: &mut Turn<'_>, id: ServerConnectionId) {
        self.servers.ack_ended(turn, id);
    }

    /// Acks what a hub server has asked for.
    pub(crate) fn ack(
        &mut self,
        turn: &mut Turn<'_>,
        to: ServerConnectionId,
        ack_id: i64,
        status: AckStatus,
        carried: Option<Carried>,
    ) {
        message::ack(&self.servers, turn, to, ack_id, status, carried);
    }

    /// The hub of a server connection.
    pub(crate) fn hub_of_server(&self, id: ServerConnectionId) -> Option<HubIndex> {
        self.servers.hub(id)
    }

    /// A hub server's transport is gone; nothing is sent to it from now on.
    pub(crate) fn server_gone(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, id: ServerConnectionId) {
        let Some(server) = self.servers.remove(id) else {
            return;
        };
        self.oversized.remove(&id);
        self.calls_elsewhere.server_gone(id);
        let hub = server.hub();
        clients.hub(hub).announce(turn, DirectoryChange::ServerLeft(id));
        if let ServerPhase::Open(ServerKind::Hub { migration }) = server.phase() {
            let leaving = Leaving::Lost(migration.when_lost());
            order_all(self, clients, turn, hub, ServerOrder::Leaves { server: id, leaving });
        }
        clients.hub_mut(hub).server_connections -= 1;
        clients.hubs_mut().vacate(hub);
    }

    /// Ends a hub server's connection; its clients are treated as if it had been lost.
    fn end_server(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, id: ServerConnectionId, detail: String) {
        turn.effect(Effect::FinishServer { to: id, detail });
        self.server_gone(clients, turn, id);
    }

    /// A hub server reads too slowly for what its clients say, or has caught up.
    pub(crate) fn server_congested(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        id: ServerConnectionId,
        is_congested: bool,
    ) {
        if let Some(hub) = self.servers.hub(id) {
            // Clients that are routed to it from now on read this; the others are told.
            clients.hub(hub).announce(turn, DirectoryChange::ServerCongested { id, is_congested });
            order_all(self, clients, turn, hub, ServerOrder::Congested { server: id, is_congested });
        }
    }

    /// Meets the deadlines of hub servers.
    pub(crate) fn tick(&mut self, clients: &mut Clients, turn: &mut Turn<'_>) {
        for (id, why) in self.servers.tick(turn) {
            self.end_server(clients, turn, id, why.to_owned());
        }
        self.close_connections_the_mode_forbids(clients, turn);
    }

    /// Ends the connections of hub servers whose hub's mode takes none any longer, each once its clients are gone.
    fn close_connections_the_mode_forbids(&mut self, clients: &mut Clients, turn: &mut Turn<'_>) {
        let is_forbidden = |id: ServerConnectionId, hub: HubIndex| {
            let hub = clients.hub(hub);
            let takes_servers = turn.settings.hub(&hub.name).mode.takes_hub_servers();
            !takes_servers && hub.directory.servers().clients_of(id) == 0
        };
        let connections = self.servers.iter().filter(|(_, server)| server.takes_clients());
        let forbidden: Vec<(ServerConnectionId, HubIndex)> =
            connections.map(|(id, server)| (id, server.hub())).filter(|(id, hub)| is_forbidden(*id, *hub)).collect();
        for (id, hub) in forbidden {
            let error = handshake::not_for_hub_servers(&clients.hub(hub).name);
            self.servers.send(turn, id, &ServiceMessage::ServiceError(ServiceError { error: &error }));
            self.end_server(clients, turn, id, error);
        }
    }

    /// Tells hub servers that the gateway stops; ends each once no client of its hub is left, on whatever shard, and those on other nodes have gone to
    /// another server where they may, or at once.
    pub(crate) fn drain(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, farewell: Farewell) {
        let all = self.servers.all();
        for id in &all {
            self.servers.announce_drain(turn, *id);
        }
        let is_unused = |id: &ServerConnectionId| {
            self.servers.hub(*id).is_some_and(|hub| clients.hub(hub).directory.clients() == 0)
        };
        let unused: Vec<ServerConnectionId> = all.into_iter().filter(is_unused).collect();
        if farewell == Farewell::Orderly {
            loss::let_guests_leave(self, clients, turn, &unused);
        }
        for id in unused {
            if farewell == Farewell::AtOnce || !loss::guests_are_leaving(self, clients, turn, id) {
                self.end_server(clients, turn, id, "the gateway stops".to_owned());
            }
        }
    }

    /// Does what concerns a client and a hub server, one of which is here. `by` is the shard that orders it.
    pub(crate) fn apply(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        (by, hub): (ShardAddress, HubIndex),
        order: ServerOrder,
    ) {
        match order {
            ServerOrder::Pass { to, messages } => {
                self.servers.pass(turn, &clients.hub(hub).name, to, messages.into());
            }
            ServerOrder::Opens { to, client, messages } => {
                self.servers.open_client(turn, &clients.hub(hub).name, to, (client, by), messages.into());
            }
            ServerOrder::Ends { to, client, messages } => {
                self.servers.end_client(turn, &clients.hub(hub).name, to, client, messages.into());
            }
            ServerOrder::PassToServer { first, server, message } => {
                self.calls_elsewhere.is_told(first, by.node, &message);
                self.pass_to_any_of_server(clients, turn, hub, first, server, message);
            }
            ServerOrder::Says { from, to, payload, data_type } => {
                let said = ServerPayload { payload: &payload, data_type };
                relay::forward_from_server(self, clients, turn, (hub, from), to, said);
            }
            ServerOrder::SaysTooMuch { from, to } => {
                relay::said_too_much(self, clients, turn, (hub, from), to);
            }
            ServerOrder::Closes { from, client, error } => {
                relay::server_closes(self, clients, turn, (hub, from), client, error.as_deref());
            }
            ServerOrder::Leaves { server, leaving } => loss::clients_lose_server(self, clients, turn, server, leaving),
            ServerOrder::Congested { server, is_congested } => {
                self.hold_clients(clients, turn, server, is_congested);
            }
            ServerOrder::Invoke { from, origin, client, message } => {
                invoke::invoke(self, clients, turn, hub, (from, *origin), client, message);
            }
            ServerOrder::Complete { client, message } => {
                client_result::completed(self, clients, turn, hub, client, &message);
            }
        }
    }

    /// A client opens.
    pub(crate) fn opened(&mut self, slot: Slot) {
        self.of_clients.begin(slot);
    }

    /// The link of a client that a hub server answers.
    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<&ClientLink> {
        self.of_clients[slot].as_deref()
    }

    #[inline]
    fn get_mut(&mut self, slot: Slot) -> Option<&mut ClientLink> {
        self.of_clients[slot].as_deref_mut()
    }

    /// When the link of a client is looked at next, after what is due was met.
    pub(crate) fn check_deadlines(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        slot: Slot,
    ) -> Option<LinkTimes> {
        let moving = moving::check(self, clients, turn, slot);
        let next = client_result::check(self, clients, turn, slot);
        let ping = relay::ping_for_waiting(self, clients, turn, slot);
        let next = next.into_iter().chain(ping).min();
        let handshake = self.get(slot)?.deadline;
        Some(LinkTimes { handshake, next, moving })
    }

    /// Reads the clients of a server connection no more, or again.
    fn hold_clients(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, server: ServerConnectionId, is_held: bool) {
        for slot in self.clients_of(server) {
            match is_held {
                true => clients.hold(turn, slot, Hold::Server),
                false => clients.release_hold(turn, slot, Hold::Server),
            }
        }
    }

    fn clients_of(&self, server: ServerConnectionId) -> Vec<Slot> {
        self.clients_of.get(&server).into_iter().flatten().copied().collect()
    }

    /// A client is closed: its hub server is told, and nothing is left of the link. Gives whether there was one.
    pub(crate) fn departed(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, departure: &Departure) -> bool {
        let slot = departure.slot;
        let Some(link) = self.of_clients[slot].take() else {
            return false;
        };
        let (hub, id) = (clients[slot].hub(), clients[slot].id());
        self.release(clients, turn, slot, hub, &link.route);
        for invocation in &link.invocations {
            client_result::fail(self, clients, turn, (hub, id), invocation, "The connection ended before it answered.");
        }
        if !link.server_knows_end {
            let error = departure.reason.as_deref();
            let close = CloseConnection { connection_id: id.as_str(), error, ..CloseConnection::default() };
            let message = written(&ServiceMessage::CloseConnection(close));
            self.servers.end_client(turn, &clients.hub(hub).name, link.route.connection, id, message);
        }
        true
    }

    /// A client goes on by another transport: its hub server is told.
    pub(crate) fn resumed(&self, clients: &Clients, turn: &mut Turn<'_>, slot: Slot) {
        if let Some(link) = self.get(slot).filter(|link| !link.server_knows_end) {
            let client = &clients[slot];
            let (id, extensions) = (client.id(), Extensions::default());
            let message = match client.dialect().is_asp_net() {
                true => asp_net::reconnected(id),
                false => written(&ServiceMessage::ConnectionReconnect(ConnectionReconnect {
                    connection_id: id.as_str(),
                    extensions,
                })),
            };
            self.pass(clients, turn, client.hub(), link.route.connection, message);
        }
    }

    /// A client is no longer routed to a server connection.
    fn release(&mut self, clients: &Clients, turn: &mut Turn<'_>, slot: Slot, hub: HubIndex, route: &Route) {
        if let Some(clients) = self.clients_of.get_mut(&route.connection) {
            clients.swap_remove(&slot);
            if clients.is_empty() {
                self.clients_of.remove(&route.connection);
            }
        }
        let routed = self.routed_to(turn, route.connection);
        clients.hub(hub).announce(turn, routed);
    }

    /// A client is routed to a server connection, which the directory has counted already.
    fn add(&mut self, clients: &Clients, turn: &mut Turn<'_>, slot: Slot, hub: HubIndex, to: ServerConnectionId) {
        self.clients_of.entry(to).or_default().insert(slot);
        let routed = self.routed_to(turn, to);
        turn.tell_nodes(&clients.hub(hub).name, || routed);
    }

    /// How many clients of this shard a server connection has.
    fn routed_to(&self, turn: &Turn<'_>, to: ServerConnectionId) -> DirectoryChange {
        let clients = self.clients_of.get(&to).map_or(0, Slots::len);
        DirectoryChange::ClientsRouted { to, by: turn.here(), clients }
    }

    /// Sends messages to a hub server, on whatever shard it is.
    fn pass(&self, clients: &Clients, turn: &mut Turn<'_>, hub: HubIndex, to: ServerConnectionId, messages: Vec<u8>) {
        self.servers.pass(turn, &clients.hub(hub).name, to, messages);
    }

    /// Sends to a hub server, or to one that only sends, over one of its connections on whatever shard: `first` if that is still
    /// there.
    fn pass_to_any_of_server(
        &self,
        clients: &Clients,
        turn: &mut Turn<'_>,
        hub: HubIndex,
        first: ServerConnectionId,
        server: ServerId,
        message: Bytes,
    ) {
        if self.servers.get(first).is_some() {
            return turn.effect(Effect::ToServer { to: first, messages: message.into() });
        }
        let hub = clients.hub(hub);
        let Some(to) = hub.directory.servers().connection_of(first, &server) else {
            return;
        };
        match turn.locate(to.owner) {
            Location::Here => self.servers.pass(turn, &hub.name, to, message.into()),
            Location::OtherShard(_) | Location::OtherNode => {
                let order = ServerOrder::PassToServer { first: to, server, message };
                turn.forward(Addressees::One(to.owner), &hub.name, Order::Server(order));
            }
            Location::Nowhere => {}
        }
    }
}

/// Lets all shards do what a hub server causes.
fn order_all(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, hub: HubIndex, order: ServerOrder) {
    let of_hub = clients.hub(hub);
    if turn.neighbours.shards() > 1 {
        turn.forward(Addressees::AllOthers, &of_hub.name, Order::Server(order.clone()));
    }
    if let Some(nodes) = of_hub.directory.other_nodes(turn) {
        turn.forward(nodes, &of_hub.name, Order::Server(order.clone()));
    }
    let here = turn.here();
    links.apply(clients, turn, (here, hub), order);
}
