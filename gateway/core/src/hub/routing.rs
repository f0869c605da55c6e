//! Which hub server gets a client, sticky routing among it.
//!
//! Source: Azure SignalR Service, "Azure SignalR Service internals": a client is routed to one server connection of its hub,
//! and stays with it for life.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::arrivals::{Reconnect, WhenLost};
use crate::id::{NodeId, ServerConnectionId, ServerId, ShardAddress, ShardIndex};
use crate::pairs::Pairs;

use crate::directory_change::DirectoryChange;

/// The server connections of one hub, on all shards of all nodes.
#[derive(Debug, Default)]
pub(crate) struct HubServers(Mutex<Connections>);

#[derive(Debug, Default)]
struct Connections {
    all: Vec<Connected>,
    /// Those that only send, and get no clients.
    senders: Vec<(ServerConnectionId, ServerId)>,
    /// How many clients of each shard are routed to each connection. A shard may tell so before a connection is known, or after it was lost.
    routed: BTreeMap<(ServerConnectionId, ShardAddress), usize>,
    /// Where the search for a connection begins, so that equals get clients in turn.
    turn: usize,
}

#[derive(Debug)]
struct Connected {
    id: ServerConnectionId,
    server: ServerId,
    /// What its clients may have.
    reconnect: Reconnect,
    when_lost: WhenLost,
    /// Of all shards.
    clients: usize,
    /// Its server gets no new clients.
    is_leaving: bool,
    /// It reads too slowly for what its clients say.
    is_congested: bool,
}

/// Which hub server a client's token asks for (the claims `asrs.s.ssticky` and `asrs.s.sn`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerAffinity<'a> {
    Any,
    Preferred(&'a str),
    Required(&'a str),
}

impl<'a> ServerAffinity<'a> {
    pub(crate) fn of(claims: &'a Pairs) -> ServerAffinity<'a> {
        match (claims.get("asrs.s.ssticky"), claims.get("asrs.s.sn")) {
            (Some(how), Some(server)) if how.eq_ignore_ascii_case("required") => ServerAffinity::Required(server),
            (Some(how), Some(server)) if how.eq_ignore_ascii_case("preferred") => ServerAffinity::Preferred(server),
            _ => ServerAffinity::Any,
        }
    }
}

/// Where a client goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) connection: ServerConnectionId,
    pub(crate) server: ServerId,
    /// The client is not read until the connection has caught up.
    pub(crate) is_congested: bool,
    /// What becomes of the client when the connection is lost.
    pub(crate) when_lost: WhenLost,
}

/// Why a client goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// No hub server is connected.
    NoServer,
    /// The one that the client requires is not connected.
    NotTheRequired,
}

impl HubServers {
    pub(super) fn connected(
        &self,
        id: ServerConnectionId,
        server: ServerId,
        reconnect: Reconnect,
        when_lost: WhenLost,
    ) {
        let connections = &mut *self.lock();
        if connections.find(id).is_none() {
            let (clients, is_leaving, is_congested) = (connections.clients_of(id), false, false);
            connections.all.push(Connected { id, server, reconnect, when_lost, clients, is_leaving, is_congested });
        }
    }

    /// A connection that only sends, and waits for answers to what it asks.
    pub(super) fn sender_connected(&self, id: ServerConnectionId, server: ServerId) {
        let senders = &mut self.lock().senders;
        if senders.iter().all(|(each, _)| *each != id) {
            senders.push((id, server));
        }
    }

    pub(super) fn disconnected(&self, id: ServerConnectionId) {
        let connections = &mut *self.lock();
        connections.all.retain(|each| each.id != id);
        connections.senders.retain(|(each, _)| *each != id);
    }

    /// A connection gets no new clients.
    pub(super) fn drains(&self, id: ServerConnectionId) {
        if let Some(connected) = self.lock().find(id) {
            connected.is_leaving = true;
        }
    }

    /// Nothing is known of a node any longer.
    pub(super) fn node_lost(&self, node: NodeId) {
        let Connections { all, senders, routed, .. } = &mut *self.lock();
        all.retain(|each| each.id.owner.node != node);
        senders.retain(|(each, _)| each.owner.node != node);
        for ((to, _), clients) in routed.extract_if(.., |(_, by), _| by.node == node) {
            if let Some(connected) = all.iter_mut().find(|each| each.id == to) {
                connected.clients -= clients;
            }
        }
    }

    /// The connections of a server that get clients.
    pub(crate) fn connections_of(&self, server: &ServerId) -> Vec<ServerConnectionId> {
        let connections = self.lock();
        let staying = connections.all.iter().filter(|each| each.server == *server && !each.is_leaving);
        staying.map(|each| each.id).collect()
    }

    /// A connection reads too slowly, or has caught up.
    pub(super) fn congested(&self, id: ServerConnectionId, is_congested: bool) {
        if let Some(connected) = self.lock().find(id) {
            connected.is_congested = is_congested;
        }
    }

    /// Finds a connection for a client of `shard`, and counts it there. From then on the shard [tells](DirectoryChange::ClientsRouted) how many
    /// of its clients are there.
    pub(crate) fn route(&self, shard: ShardAddress, affinity: ServerAffinity<'_>) -> Result<Route, NoRoute> {
        let connections = &mut *self.lock();
        let required = match affinity {
            ServerAffinity::Any => None,
            ServerAffinity::Preferred(server) | ServerAffinity::Required(server) => {
                connections.pick(shard, |each| each.as_str() == server)
            }
        };
        match (required, affinity) {
            (Some(route), _) => Ok(route),
            (None, ServerAffinity::Required(_)) => Err(NoRoute::NotTheRequired),
            (None, ServerAffinity::Any | ServerAffinity::Preferred(_)) => {
                connections.pick(shard, |_| true).ok_or(NoRoute::NoServer)
            }
        }
    }

    /// Finds a connection of another server for a client that leaves `server`, and counts it there.
    pub(crate) fn route_away(&self, shard: ShardAddress, server: &ServerId) -> Option<Route> {
        self.lock().pick(shard, |each| each != server)
    }

    /// Whether clients of `server` can go to another one.
    pub(crate) fn is_another_there(&self, server: &ServerId) -> bool {
        self.lock().all.iter().any(|each| !each.is_leaving && each.server != *server)
    }

    /// Whether a connection is there that gets new clients.
    pub(crate) fn is_any_there(&self) -> bool {
        self.lock().all.iter().any(|each| !each.is_leaving)
    }

    /// Whether all connections that get clients have allowed stateful reconnect; none if there is no connection.
    pub(crate) fn allow_stateful_reconnect(&self) -> Option<bool> {
        let connections = self.lock();
        (!connections.all.is_empty()).then(|| connections.all.iter().all(|each| each.reconnect == Reconnect::Stateful))
    }

    /// Clients that are routed to a connection, on all shards.
    pub(crate) fn clients_of(&self, id: ServerConnectionId) -> usize {
        self.lock().clients_of(id)
    }

    /// So many clients of a shard are routed to a connection.
    pub(super) fn routed(&self, to: ServerConnectionId, by: ShardAddress, clients: usize) {
        self.lock().set_routed(to, by, |_| clients);
    }

    /// `first` if it is connected, or else another connection of the same server, whether clients are routed to it or not.
    pub(crate) fn connection_of(&self, first: ServerConnectionId, server: &ServerId) -> Option<ServerConnectionId> {
        let connections = &*self.lock();
        let senders = connections.senders.iter().map(|(id, server)| (*id, server));
        let mut all = connections.all.iter().map(|each| (each.id, &each.server)).chain(senders);
        match all.clone().any(|(id, _)| id == first) {
            true => Some(first),
            false => all.find(|(_, each)| *each == server).map(|(id, _)| id),
        }
    }

    /// The servers that stay, each once.
    pub(crate) fn names(&self) -> Vec<ServerId> {
        let connections = self.lock();
        let staying = connections.all.iter().filter(|each| !each.is_leaving);
        let mut servers: Vec<ServerId> = staying.map(|each| each.server.clone()).collect();
        servers.sort();
        servers.dedup();
        servers
    }

    pub(super) fn is_empty(&self) -> bool {
        let connections = self.lock();
        connections.all.is_empty() && connections.senders.is_empty()
    }

    /// The changes that lead from nothing to the connections of these shards, and to where their clients are routed.
    pub(super) fn snapshot(&self, is_of: impl Fn(ShardAddress) -> bool) -> Vec<DirectoryChange> {
        let connections = self.lock();
        let connected = connections.all.iter().filter(|each| is_of(each.id.owner)).flat_map(Connected::snapshot);
        let senders = connections.senders.iter().filter(|(id, _)| is_of(id.owner));
        let senders = senders.map(|(id, server)| DirectoryChange::SenderConnected { id: *id, server: server.clone() });
        let routed = connections.routed.iter().filter(|((_, by), _)| is_of(*by));
        let routed =
            routed.map(|((to, by), clients)| DirectoryChange::ClientsRouted { to: *to, by: *by, clients: *clients });
        connected.chain(senders).chain(routed).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected {
    fn snapshot(&self) -> impl Iterator<Item = DirectoryChange> + use<> {
        let Connected { id, reconnect, when_lost, .. } = *self;
        let connected = DirectoryChange::ServerConnected { id, server: self.server.clone(), reconnect, when_lost };
        let drains = self.is_leaving.then_some(DirectoryChange::ServerDrains(id));
        let congested = self.is_congested.then_some(DirectoryChange::ServerCongested { id, is_congested: true });
        [Some(connected), drains, congested].into_iter().flatten()
    }
}

impl Connections {
    fn find(&mut self, id: ServerConnectionId) -> Option<&mut Connected> {
        self.all.iter_mut().find(|each| each.id == id)
    }

    fn clients_of(&self, id: ServerConnectionId) -> usize {
        let first = ShardAddress { node: NodeId(0), shard: ShardIndex(0) };
        let last = ShardAddress { node: NodeId(u32::MAX), shard: ShardIndex(u16::MAX) };
        self.routed.range((id, first)..=(id, last)).map(|(_, clients)| clients).sum()
    }

    fn set_routed(&mut self, to: ServerConnectionId, by: ShardAddress, change: impl Fn(usize) -> usize) {
        let before = self.routed.get(&(to, by)).copied().unwrap_or_default();
        let clients = change(before);
        match clients {
            0 => drop(self.routed.remove(&(to, by))),
            _ => drop(self.routed.insert((to, by), clients)),
        }
        if let Some(connected) = self.find(to) {
            connected.clients = connected.clients - before + clients;
        }
    }

    /// The connection with the fewest clients among those of servers that `may` get the client, a congested one only if all
    /// are. One of the same node, where nothing passes the network, may have a quarter more, and of the same server then one of `shard`, where
    /// nothing passes between threads.
    fn pick(&mut self, shard: ShardAddress, may: impl Fn(&ServerId) -> bool) -> Option<Route> {
        let count = self.all.len();
        let (turn, all) = (self.turn, &self.all);
        let candidates = || {
            let in_turn = (0..count).map(|offset| (turn + offset) % count);
            in_turn.filter(|index| !all[*index].is_leaving && may(&all[*index].server))
        };
        let fewest = candidates().min_by_key(|index| (all[*index].is_congested, all[*index].clients))?;
        let (bound, is_congested) = (all[fewest].clients * 5 / 4, all[fewest].is_congested);
        let close =
            || candidates().filter(|index| all[*index].is_congested == is_congested && all[*index].clients <= bound);
        let on_node = close().filter(|index| all[*index].id.owner.node == shard.node);
        let chosen = on_node.min_by_key(|index| all[*index].clients).unwrap_or(fewest);
        let on_shard =
            close().filter(|index| all[*index].id.owner == shard && all[*index].server == all[chosen].server);
        let chosen_or_nearer = on_shard.min_by_key(|index| all[*index].clients).unwrap_or(chosen);
        let Connected { id, ref server, when_lost, .. } = all[chosen_or_nearer];
        let route = Route { connection: id, server: server.clone(), is_congested, when_lost };
        self.turn = (chosen + 1) % count;
        self.set_routed(id, shard, |clients| clients + 1);
        Some(route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(shard: u16) -> ShardAddress {
        ShardIndex(shard).into()
    }

    fn id(shard: u16, number: u32) -> ServerConnectionId {
        ServerConnectionId { owner: at(shard), number }
    }

    fn servers(connections: &[(ServerConnectionId, &str)]) -> HubServers {
        let servers = HubServers::default();
        connections.iter().for_each(|(id, server)| connect(&servers, *id, server));
        servers
    }

    fn connect(servers: &HubServers, id: ServerConnectionId, server: &str) {
        servers.connected(id, ServerId::new(server), Reconnect::No, WhenLost::DropsClients);
    }

    fn drain(servers: &HubServers, server: &str) {
        servers.connections_of(&ServerId::new(server)).into_iter().for_each(|id| servers.drains(id));
    }

    fn routes(servers: &HubServers, shard: u16, affinity: ServerAffinity<'_>, times: usize) -> Vec<ServerConnectionId> {
        (0..times).map(|_| servers.route(at(shard), affinity).expect("a server").connection).collect()
    }

    #[test]
    fn clients_spread_over_all_connections() {
        let all = [(id(0, 1), "a"), (id(0, 2), "b"), (id(1, 1), "a"), (id(1, 2), "b")];
        let servers = servers(&all);
        let mut routed: Vec<_> = (0..2).flat_map(|shard| routes(&servers, shard, ServerAffinity::Any, 20)).collect();
        routed.sort();
        for (id, _) in all {
            let count = routed.iter().filter(|each| **each == id).count();
            assert!((8..=12).contains(&count), "{count} of 40 to {id:?}");
        }
    }

    #[test]
    fn clients_that_come_and_go_one_by_one_meet_all_servers() {
        let servers = servers(&[(id(0, 1), "a"), (id(1, 1), "a"), (id(2, 1), "b"), (id(2, 2), "b")]);
        let mut met = Vec::new();
        for _ in 0..8 {
            let route = servers.route(at(1), ServerAffinity::Any).expect("a server");
            servers.routed(route.connection, at(1), 0);
            met.push(route.server);
        }
        assert_eq!(met.iter().filter(|server| server.as_str() == "a").count(), 4, "{met:?}");
    }

    #[test]
    fn a_connection_of_the_same_shard_is_taken_when_loads_are_close() {
        let servers = servers(&[(id(0, 1), "a"), (id(1, 1), "a")]);
        assert_eq!(routes(&servers, 1, ServerAffinity::Any, 1), [id(1, 1)]);
        assert_eq!(routes(&servers, 1, ServerAffinity::Any, 1), [id(0, 1)]);
        let routed = routes(&servers, 1, ServerAffinity::Any, 100);
        let here = routed.iter().filter(|each| **each == id(1, 1)).count();
        assert!((50..=60).contains(&here), "{here} of 100");
    }

    #[test]
    fn a_connection_of_the_same_node_is_taken_when_loads_are_close() {
        let elsewhere = |shard, number| ServerConnectionId {
            owner: ShardAddress { node: NodeId(7), shard: ShardIndex(shard) },
            number,
        };
        let servers = servers(&[(elsewhere(0, 1), "a"), (elsewhere(1, 1), "b"), (id(1, 1), "c"), (id(1, 2), "d")]);
        let routed = routes(&servers, 0, ServerAffinity::Any, 100);
        for (connection, most) in [(elsewhere(0, 1), 25), (elsewhere(1, 1), 25), (id(1, 1), 31), (id(1, 2), 31)] {
            let count = routed.iter().filter(|each| **each == connection).count();
            assert!((most - 6..=most).contains(&count), "{count} of 100 to {connection:?}");
        }
        // Clients of the other node count as those of this one do.
        servers.routed(id(1, 1), elsewhere(0, 1).owner, 100);
        servers.routed(id(1, 2), elsewhere(0, 1).owner, 100);
        assert!(routes(&servers, 0, ServerAffinity::Any, 20).iter().all(|each| each.owner.node == NodeId(7)));
        assert_eq!(routes(&servers, 0, ServerAffinity::Required("c"), 1), [id(1, 1)]);
    }

    #[test]
    fn nothing_is_left_of_a_node_that_is_lost_and_its_clients_make_room() {
        let servers = servers(&[(id(0, 1), "a"), (id(0, 2), "b")]);
        let lost = ShardAddress { node: NodeId(7), shard: ShardIndex(0) };
        let of_lost = ServerConnectionId { owner: lost, number: 1 };
        servers.routed(of_lost, lost, 2);
        connect(&servers, of_lost, "c");
        servers.sender_connected(ServerConnectionId { owner: lost, number: 2 }, ServerId::new("d"));
        servers.routed(id(0, 1), lost, 5);
        assert_eq!((servers.clients_of(of_lost), servers.clients_of(id(0, 1))), (2, 5));
        servers.node_lost(NodeId(7));
        assert_eq!((servers.clients_of(of_lost), servers.clients_of(id(0, 1))), (0, 0));
        assert_eq!(servers.names(), ["a", "b"].map(ServerId::new));
        assert_eq!(servers.connection_of(of_lost, &ServerId::new("d")), None);
        servers.disconnected(id(0, 1));
        servers.disconnected(id(0, 2));
        assert!(servers.is_empty() && servers.lock().routed.is_empty());
    }

    #[test]
    fn who_was_released_makes_room() {
        let servers = servers(&[(id(0, 1), "a"), (id(0, 2), "b")]);
        let routed = routes(&servers, 0, ServerAffinity::Any, 2);
        servers.routed(routed[0], at(0), 0);
        assert_eq!(routes(&servers, 0, ServerAffinity::Any, 1), [routed[0]]);
    }

    #[test]
    fn a_congested_connection_gets_a_client_only_if_all_are() {
        let servers = servers(&[(id(0, 1), "a"), (id(1, 1), "a"), (id(1, 2), "b")]);
        servers.congested(id(0, 1), true);
        assert!(!routes(&servers, 0, ServerAffinity::Any, 20).contains(&id(0, 1)));
        let route = servers.route(at(0), ServerAffinity::Required("a")).expect("a server");
        assert_eq!((route.connection, route.is_congested), (id(1, 1), false));
        servers.congested(id(1, 1), true);
        assert!(servers.route(at(0), ServerAffinity::Required("a")).expect("a server").is_congested);
        servers.congested(id(0, 1), false);
        assert_eq!(routes(&servers, 1, ServerAffinity::Required("a"), 1), [id(0, 1)]);
    }

    #[test]
    fn a_required_server_gets_the_client_or_nobody_a_preferred_one_if_it_is_there() {
        let servers = servers(&[(id(0, 1), "a"), (id(0, 2), "b")]);
        for _ in 0..3 {
            assert_eq!(routes(&servers, 0, ServerAffinity::Required("a"), 1), [id(0, 1)]);
            assert_eq!(routes(&servers, 0, ServerAffinity::Preferred("b"), 1), [id(0, 2)]);
        }
        assert_eq!(servers.route(at(0), ServerAffinity::Required("c")), Err(NoRoute::NotTheRequired));
        assert!(servers.route(at(0), ServerAffinity::Preferred("c")).is_ok());
        drain(&servers, "a");
        assert_eq!(servers.route(at(0), ServerAffinity::Required("a")), Err(NoRoute::NotTheRequired));
    }

    #[test]
    fn a_server_that_leaves_gets_no_client_and_is_not_named() {
        let servers = servers(&[(id(0, 1), "a"), (id(0, 2), "b"), (id(0, 3), "b")]);
        assert_eq!(servers.names(), [ServerId::new("a"), ServerId::new("b")]);
        drain(&servers, "b");
        assert_eq!(servers.names(), [ServerId::new("a")]);
        assert_eq!(routes(&servers, 0, ServerAffinity::Any, 2), [id(0, 1), id(0, 1)]);
        assert_eq!(servers.route_away(at(0), &ServerId::new("a")), None);
        servers.disconnected(id(0, 1));
        assert_eq!(servers.route(at(0), ServerAffinity::Any), Err(NoRoute::NoServer));
    }

    #[test]
    fn an_answer_goes_over_the_same_connection_or_another_of_its_server() {
        let servers = servers(&[(id(0, 1), "a"), (id(0, 2), "b"), (id(0, 3), "a")]);
        let of_a = |servers: &HubServers| servers.connection_of(id(0, 1), &ServerId::new("a"));
        assert_eq!(of_a(&servers), Some(id(0, 1)));
        servers.disconnected(id(0, 1));
        assert_eq!(of_a(&servers), Some(id(0, 3)));
        servers.disconnected(id(0, 3));
        assert_eq!(of_a(&servers), None);
        servers.sender_connected(id(1, 1), ServerId::new("a"));
        assert_eq!(of_a(&servers), Some(id(1, 1)), "also one that gets no clients");
        assert_eq!(servers.route(at(1), ServerAffinity::Required("a")), Err(NoRoute::NotTheRequired));
        servers.disconnected(id(1, 1));
        assert_eq!(of_a(&servers), None);
    }

    #[test]
    fn the_claims_of_a_token_say_which_server_its_client_sticks_to() {
        let affinity = |claims: &[(&str, &str)]| match ServerAffinity::of(&claims.iter().copied().collect()) {
            ServerAffinity::Any => "any".to_owned(),
            ServerAffinity::Preferred(server) => format!("prefers {server}"),
            ServerAffinity::Required(server) => format!("requires {server}"),
        };
        assert_eq!(affinity(&[("asrs.s.ssticky", "Required"), ("asrs.s.sn", "s")]), "requires s");
        assert_eq!(affinity(&[("asrs.s.sn", "s"), ("asrs.s.ssticky", "preferred")]), "prefers s");
        assert_eq!(affinity(&[("asrs.s.ssticky", "Disabled"), ("asrs.s.sn", "s")]), "any");
        assert_eq!(affinity(&[("asrs.s.ssticky", "Required")]), "any");
    }
}
