//! What the parts of a shard need while they act on an input, and what they leave to each other.

use std::sync::Arc;

use crate::close_cause::CloseCause;
use crate::delivery::Action;
use crate::detours::Detours;
use crate::directory_change::DirectoryChange;
use crate::effect::Effect;
use crate::event::ConnectionFacts;
use crate::filter::Origin;
use crate::id::{ConnectionId, HubIndex, HubName, PluginName, ServerConnectionId, ShardAddress, Slot};
use crate::moved_connections::MovedConnections;
use crate::neighbours::{Location, Neighbours};
use crate::order::{Addressees, Order};
use crate::question::{AckQuestion, Ticket};
use crate::settings::Settings;
use crate::stream::StreamId;
use crate::time::Millis;
use crate::trace::TraceMark;

/// One input's turn: when and where it is, what holds, and what comes of it.
pub(crate) struct Turn<'a> {
    pub(crate) now: Millis,
    pub(crate) neighbours: &'a Neighbours,
    pub(crate) moved: &'a MovedConnections,
    pub(crate) detours: &'a mut Detours,
    pub(crate) settings: &'a Settings,
    pub(crate) effects: &'a mut Vec<Effect>,
    pub(crate) steps: &'a mut Vec<Step>,
    /// Of the message that this is about, if that is followed.
    pub(crate) mark: Option<TraceMark>,
}

/// What a part leaves to another one. The shard takes all steps in the order in which they were left, and those that a step
/// leaves before what follows it.
#[derive(Debug)]
pub(crate) enum Step {
    /// Parse what is unread of a client, as far as it may be parsed now.
    ReadClient(Slot),
    /// The same for a hub server.
    ReadServer(ServerConnectionId),
    /// Send a client what was held back for it.
    ReleaseHeld(Slot),
    /// Send a client what its hub server has said with the answer to the handshake.
    Relay(Slot, Box<[u8]>),
    /// Meet the deadlines of a client.
    CheckDeadlines(Slot),
    /// Too much is kept for a client that may resume.
    CloseSlow(Slot),
    /// A client has acknowledged so many messages of which somebody wants to know that it has taken them.
    Taken(Slot, usize),
    /// A client goes on by another transport: whoever answers it is told.
    Resumed(Slot),
    /// A client has other claims: its hub server is told.
    ClaimsChanged(Slot),
    /// A client is closed, and out of all indexes: whoever answers it is told.
    Departed(Box<Departure>),
    /// What has opened a client's transports opens nothing any longer.
    TokenOver { hub: HubIndex, token: ConnectionId },
    /// A client is forgotten if nothing is left to be done for it.
    ForgetIfOver(Slot),
    /// Do what a sender asks of a hub, after the hub's filters.
    Submit { hub: HubIndex, origin: Origin, actions: Vec<Action>, after: AfterSend },
    /// What a hub server sent has left.
    SendingEnded(ServerConnectionId),
    /// The event of a client that is closed is over: others like it may have their turn.
    NextDepartedCall(Slot),
    /// The actions of upstream's answer are done: the client's call is completed.
    CompleteCall(Slot),
    /// A client was asked something that somebody waits for, or nobody waits any more.
    Asked { slot: Slot, waits_for_answers: bool },
    /// So many calls of a client wait that what it was asked is given up.
    GiveUpQuestions(Slot),
    /// Tell a plugin that a stream of the client has room again, after the client's other events.
    TellOfRoom(Slot, PluginName, StreamId),
    /// The gateway stops: hub servers are told, and end once their hubs have no clients left.
    DrainServers(Farewell),
    /// Ask for a hub server, and ack it when all who are asked have answered.
    Ask { server: ServerConnectionId, ack_id: i64, question: AckQuestion },
}

/// How hub servers are left when the gateway stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Clients that they have elsewhere may go to others first.
    Orderly,
    AtOnce,
}

/// What happens when all is done that a sender asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AfterSend {
    /// The hub server's next messages are read.
    ResumeServer(ServerConnectionId),
    /// The client's call is completed.
    CompleteCall(Slot),
    /// Whoever waits for it is told.
    Answer(Ticket<()>),
}

/// A client that others have seen, and that is closed.
#[derive(Debug)]
pub(crate) struct Departure {
    pub(crate) slot: Slot,
    pub(crate) facts: Arc<ConnectionFacts>,
    pub(crate) cause: CloseCause,
    /// For whoever answers it; none of a normal end.
    pub(crate) reason: Option<String>,
}

impl Turn<'_> {
    /// Wants something done.
    #[inline]
    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Wants something done for a message, which has a mark if it is followed.
    #[inline]
    pub(crate) fn effect_for(&mut self, mark: Option<TraceMark>, effect: Effect) {
        self.effects.push(match mark {
            None => effect,
            Some(mark) => Effect::Traced { mark, effect: Box::new(effect) },
        });
    }

    /// Leaves something to another part.
    #[inline]
    pub(crate) fn then(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// The address of the shard whose turn it is.
    pub(crate) fn here(&self) -> ShardAddress {
        self.neighbours.own()
    }

    /// Where an address leads from here.
    #[inline]
    pub(crate) fn locate(&self, address: ShardAddress) -> Location {
        self.neighbours.locate(address)
    }

    /// The shard that a connection lives on, by its id or by what opens it. If it has moved and nobody here knows where to, that is the
    /// shard which its id names, and knows it.
    #[inline]
    pub(crate) fn shard_of(&self, connection: ConnectionId) -> ShardAddress {
        self.moved.find(connection).unwrap_or_else(|| connection.owner())
    }

    /// Where a connection lives, seen from here.
    #[inline]
    pub(crate) fn locate_connection(&self, connection: ConnectionId) -> Location {
        self.locate(self.shard_of(connection))
    }

    /// Where an order about a connection is to be handed on to, whose id names this shard and which has moved.
    #[inline]
    pub(crate) fn next_stop(&self, order: &Order) -> Option<ShardAddress> {
        if self.moved.is_empty() {
            return None;
        }
        let connection = order.connection()?;
        let lives_at = self.moved.find(connection)?;
        // Others that get it have it, or nobody has: so no order goes in circles.
        (connection.owner() == self.here() && lives_at != self.here()).then_some(lives_at)
    }

    /// Hands an order about a connection to the shard at `to`, on which it lives, or which knows where it does.
    pub(crate) fn forward_about(&mut self, connection: ConnectionId, to: ShardAddress, hub: &HubName, order: Order) {
        if to.node != self.here().node && to == connection.owner() {
            self.detours.sent.note(hub, to, self.now);
        }
        self.forward(Addressees::One(to), hub, order);
    }

    /// Hands on an order about a connection of which only this shard knew where it lives.
    pub(crate) fn hand_on(&mut self, to: ShardAddress, hub: &HubName, order: Order) {
        self.detours.handed_on.note(hub, to, self.now);
        self.forward(Addressees::One(to), hub, order);
    }

    /// Tells other nodes of a change that the shards of this one know already.
    pub(crate) fn tell_nodes(&mut self, hub: &HubName, change: impl FnOnce() -> DirectoryChange) {
        if !self.neighbours.nodes().is_empty() {
            self.effects.push(Effect::Announce { hub: hub.clone(), change: change() });
        }
    }

    /// Hands an order to other shards.
    pub(crate) fn forward(&mut self, to: Addressees, hub: &HubName, order: Order) {
        self.effects.push(Effect::Forward { to, hub: hub.clone(), order });
    }
}
