//! One worker thread's part of the gateway, with its only door.

use std::sync::Arc;

use hubgate_wire::negotiate::Transport;

use crate::client::Clients;
use crate::client::listing::{self, ListPart, ListedClients};
use crate::client::resuming::{self, MostKept};
use crate::client::returning;
use crate::client::timer_wheel::TimerWheel;
use crate::detours::Detours;
use crate::effect::Effect;
use crate::filter::HalvesByPlugin;
use crate::follower::Follower;
use crate::hash::HashSeed;
use crate::hub::directory::Directory;
use crate::hub::hubs::Hubs;
use crate::hub::status::ShardStatus;
use crate::id::{ConnectionId, HubName, ServerConnectionId, ShardAddress, Slot, TransportKey, UserId};
use crate::input::Input;
use crate::neighbours::Neighbours;
use crate::parts::Parts;
use crate::reach::SendLog;
use crate::refusal::ResumeRefusal;
use crate::settings::Settings;
use crate::time::Millis;
use crate::turn::{Step, Turn};

/// The connections of one worker thread. [`Shard::handle`] is its only way in, and the effects are its only way out.
#[derive(Debug)]
pub struct Shard {
    neighbours: Neighbours,
    directory: Arc<Directory>,
    detours: Detours,
    settings: Arc<Settings>,
    steps: Vec<Step>,
    parts: Parts,
}

impl Shard {
    /// `directory` is that of all shards of the gateway; `halves` those of the plugins that are there. Shards that are given the
    /// same seed and the same inputs do the same.
    pub fn new(
        neighbours: Neighbours,
        settings: Arc<Settings>,
        directory: Arc<Directory>,
        halves: HalvesByPlugin,
        seed: HashSeed,
    ) -> Shard {
        let clients = Clients::new(Hubs::new(directory.clone(), halves, seed.clone()), seed);
        let (detours, steps, parts) = (Detours::default(), Vec::new(), Parts::new(clients));
        Shard { neighbours, directory, detours, settings, steps, parts }
    }

    /// Tells this log of all sends from now on.
    pub fn log_sends(&mut self, log: Arc<dyn SendLog>) {
        self.parts.clients_mut().hubs_mut().log_sends(log);
    }

    /// Lets this one decide which messages of clients are followed from now on; `None`: none are.
    pub fn follow_messages(&mut self, follower: Option<Arc<dyn Follower>>) {
        self.parts.clients_mut().hubs_mut().follow_messages(follower);
    }

    /// Does what an input means; what is to be done about it is appended to `effects`.
    pub fn handle(&mut self, input: Input<'_, '_>, now: Millis, effects: &mut Vec<Effect>) {
        if let Input::Configure { .. } | Input::Nodes(_) | Input::NodeLost(_) | Input::Named(_) = &input {
            return self.adapt(input, now, effects);
        }
        // What a panic has cut off is lost: it is about things as they were before that.
        self.steps.clear();
        let (mut turn, parts) = self.turn(now, effects);
        parts.act_on(&mut turn, input);
    }

    /// Other settings hold from now on, or other nodes are there. No turn has two of either.
    #[cold]
    fn adapt(&mut self, input: Input<'_, '_>, now: Millis, effects: &mut Vec<Effect>) {
        match input {
            Input::Configure { settings, halves } => {
                let before = std::mem::replace(&mut self.settings, settings);
                self.parts.configure(&before, &self.settings, halves);
            }
            Input::Nodes(nodes) => {
                let is_any_new = nodes.iter().any(|node| self.neighbours.nodes().find(node.id).is_none());
                self.neighbours.set_nodes(nodes);
                if is_any_new {
                    Parts::tell_again_of_homeless(&mut self.turn(now, effects).0);
                }
            }
            Input::Named(node) => self.neighbours.set_node(node),
            Input::NodeLost(node) => {
                self.neighbours.lose(node);
                self.steps.clear();
                let (mut turn, parts) = self.turn(now, effects);
                parts.node_lost(&mut turn, node);
            }
            _ => unreachable!("it changes nothing that a turn goes by"),
        }
    }

    #[inline(always)]
    fn turn<'a>(&'a mut self, now: Millis, effects: &'a mut Vec<Effect>) -> (Turn<'a>, &'a mut Parts) {
        let Shard { neighbours, directory, detours, settings, steps, parts } = self;
        (Turn { now, neighbours, moved: &directory.moved, detours, settings, effects, steps, mark: None }, parts)
    }

    /// The shard that a connection lives on, by its id, as far as this node knows: one of those that have moved to it, or the one that the id
    /// names.
    pub fn shard_of(&self, connection: ConnectionId) -> ShardAddress {
        self.directory.moved.find(connection).unwrap_or_else(|| connection.owner())
    }

    /// The transport of a hub that a token has opened which names this shard.
    pub fn transport_of_token(&self, token: ConnectionId, hub: &HubName) -> Option<Transport> {
        self.parts.tokens().transport(token, hub)
    }

    /// How many clients have negotiated that are to come.
    pub fn negotiated(&self) -> usize {
        self.parts.tokens().negotiated()
    }

    /// The key of the client's transport that opens next.
    pub fn next_transport(&self) -> TransportKey {
        self.parts.clients().next_transport()
    }

    /// What carries a client's messages, if anything does.
    pub fn transport_of(&self, client: Slot) -> Option<TransportKey> {
        self.parts.clients().get(client)?.line().attachment().transport()
    }

    /// Whether a transport carries a client's messages, be it one that is closed and has not heard of it.
    pub fn carries(&self, transport: TransportKey) -> bool {
        self.parts.clients().by_transport(transport).is_some()
    }

    /// The client that others see under this id, whether it has a transport or waits for one.
    pub fn find(&self, client: ConnectionId) -> Option<Slot> {
        self.parts.clients().find(client)
    }

    /// Whether a WebSocket of this user may go on with a client of this shard, by [`Input::ClientResumed`].
    pub fn may_resume(
        &self,
        client: ConnectionId,
        hub: &HubName,
        user: Option<&UserId>,
        now: Millis,
    ) -> Result<(), ResumeRefusal> {
        resuming::may_resume(self.parts.clients(), client, hub, user, now)
    }

    /// Whether a hub server is there to which clients of the hub can be routed, on whatever shard.
    pub fn has_hub_servers(&self, hub: &HubName) -> bool {
        self.directory.has_servers(hub)
    }

    /// The client of ASP.NET SignalR that this token has opened, if it is there.
    pub fn client_of_token(&self, token: ConnectionId) -> Option<ConnectionId> {
        returning::find(self.parts.clients(), token)
    }

    /// Whether the client of ASP.NET SignalR that this token has opened may come by another transport, by [`Input::ClientReturned`].
    pub fn may_return(&self, token: ConnectionId, hub: &HubName, now: Millis) -> bool {
        returning::may_return(self.parts.clients(), token, hub, now)
    }

    /// Whether a client that comes to a hub now, and asks for it, may resume: where the gateway answers it, and where all hub servers
    /// that are there have allowed it.
    pub fn may_offer_stateful_reconnect(&self, hub: &HubName) -> bool {
        let clients = self.parts.clients();
        let answerable = clients.hubs().directory().servers_allow_stateful_reconnect(hub);
        self.settings.hub(hub).mode.offers_stateful_reconnect(answerable)
    }

    /// What is kept for all clients that may resume, in bytes. What is kept for many of them counts once.
    pub fn kept_for_resumes(&self) -> usize {
        resuming::kept(self.parts.clients())
    }

    /// The client for which most is kept. It looks at all clients: for one who has to find somebody to let go
    /// ([`Input::KeepsTooMuch`]).
    pub fn most_kept_for_resumes(&self) -> Option<MostKept> {
        resuming::most_kept(self.parts.clients())
    }

    /// The id of the hub server's connection that opens next.
    pub fn next_server(&self) -> ServerConnectionId {
        ServerConnectionId { owner: self.neighbours.own(), number: self.parts.links().next_server() }
    }

    /// Whether no client is left, and upstream has heard of the end of all.
    pub fn is_empty(&self) -> bool {
        self.parts.clients().len() == 0
    }

    /// How many clients are here, those among them of whose end upstream has not heard.
    pub fn clients(&self) -> usize {
        self.parts.clients().len()
    }

    /// The hub of a server connection on this shard.
    pub fn hub_of_server(&self, id: ServerConnectionId) -> Option<HubName> {
        self.parts.links().hub_of_server(id).map(|hub| self.parts.clients().hub(hub).name.clone())
    }

    /// How long the owner may wait between two [`Input::Tick`]s.
    pub const fn tick_period() -> Millis {
        TimerWheel::period()
    }

    /// A part of a list of clients: what the places from `from` on have of it, `most` clients at most.
    pub fn list(&self, wanted: &ListedClients, from: usize, most: usize) -> ListPart {
        listing::part(self.parts.clients(), wanted, from, most)
    }

    /// The hubs that this shard knows.
    pub fn status(&self) -> ShardStatus {
        self.parts.clients().hubs().status(&self.settings)
    }
}
