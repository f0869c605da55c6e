//! One thread's shard: it tells the core what happens, and carries out what the core wants done.

mod asked;
mod asp_net;
mod connections;
mod effects;
mod handle;
mod kept;
mod presence;
mod read_buffer;
mod timers;
mod tokens;
mod traced;
mod wakes;
mod writer;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use hubgate_core::id::{ConnectionId, HubName, NodeId, ShardAddress, ShardIndex};
use hubgate_core::time::Millis;
use hubgate_core::{Input, Neighbours, Shard, TransportKey};
use hubgate_plugin_host::ShardPlugins;
use tokio::sync::{Notify, mpsc};

use crate::entrant::Releases;
use crate::inbox::InboxSender;
use crate::links::Owner;
use crate::peers::Peers;
use crate::recipients::SentLines;
use crate::shared::{Shared, unix_milliseconds};
use crate::tasks::ShardTasks;
use crate::turns::Turns;
use crate::webhooks::Webhooks;
use asked::Asked;
pub(crate) use asked::CoreAnswer;
use connections::Connections;
pub(crate) use handle::ShardHandle;
use kept::Kept;
use read_buffer::ReadBuffer;
use wakes::Wakes;
use writer::Writer;

/// The state of one shard. Only its own thread touches it, so no call waits for another.
struct ShardThread {
    index: ShardIndex,
    shared: Arc<Shared>,
    tasks: ShardTasks,
    core: RefCell<Shard>,
    connections: Connections,
    kept: Kept,
    plugins: ShardPlugins,
    webhooks: Rc<Webhooks>,
    peers: Rc<Peers>,
    asked: Asked,
    wakes: Wakes,
    writer: Writer,
    /// Whose turn it is.
    turns: Rc<Turns>,
    read_buffer: ReadBuffer,
    releases: Releases,
    /// Where marks of frames tell that their clients have taken them.
    taken: mpsc::UnboundedSender<TransportKey>,
    is_drained: Notify,
    /// Whose WebSockets were dropped before the core had heard of their end: the task of each has panicked.
    abandoned: RefCell<Vec<Owner>>,
}

/// Starts a shard on this thread, with the tasks without which it cannot go on. Gives, beside the way to it, where tokens come that
/// were claimed there, for clients of a hub, and not used.
pub(crate) fn start(
    index: ShardIndex,
    shared: Arc<Shared>,
    plugins: ShardPlugins,
    inboxes: Vec<InboxSender>,
) -> (ShardHandle, mpsc::UnboundedReceiver<(HubName, ConnectionId)>) {
    let settings = shared.settings().clone();
    let node = shared.cluster.as_ref().map_or_else(NodeId::default, |cluster| cluster.node());
    let neighbours = Neighbours::new(ShardAddress { node, shard: index }, inboxes.len() as u16);
    let (directory, hash_seed) = (shared.directory.clone(), shared.hash_seed.clone());
    let mut core = Shard::new(neighbours.clone(), settings.core.clone(), directory, plugins.halves(), hash_seed);
    let log = shared.message_log().cloned();
    core.log_sends(Arc::new(SentLines { telemetry: shared.telemetry.clone(), log }));
    core.follow_messages(shared.follower());
    core.handle(Input::TimeOfDay(unix_milliseconds()), shared.now(), &mut Vec::new());
    let tasks = ShardTasks::new(index, shared.clone());
    let (releases, released) = mpsc::unbounded_channel();
    let (taken, has_left) = mpsc::unbounded_channel();
    let shard = Rc::new(ShardThread {
        index,
        webhooks: Rc::new(Webhooks::new(shared.clone())),
        core: RefCell::new(core),
        connections: Connections::new(&settings.limits),
        kept: Kept::new(&shared.outboxes),
        plugins,
        peers: Rc::new(Peers::new(neighbours, inboxes, tasks.clone())),
        asked: Asked::default(),
        wakes: Wakes::default(),
        writer: Writer::default(),
        turns: Rc::default(),
        read_buffer: ReadBuffer::new(),
        releases,
        taken,
        is_drained: Notify::new(),
        abandoned: RefCell::default(),
        tasks,
        shared,
    });
    shard.tasks.spawn_vital("the writer", shard.clone().write());
    shard.tasks.spawn_vital("the clock", shard.clone().keep_time());
    shard.tasks.spawn_vital("the timers of plugins", shard.clone().fire_timers());
    shard.tasks.spawn_vital("what clients take of streams", shard.clone().hear_what_is_taken(has_left));
    if shard.shared.cluster.is_some() {
        shard.tasks.spawn_vital("the way to other nodes", shard.peers.clone().hear_of_easing());
    }
    let turns = shard.turns.clone();
    shard.tasks.spawn_vital("the dealer of turns", async move { turns.deal().await });
    (ShardHandle::new(shard), released)
}

impl ShardThread {
    fn now(&self) -> Millis {
        self.shared.now()
    }

    /// Feeds the core an input, the only way into it, and does what it wants done.
    fn feed(self: &Rc<Self>, input: Input<'_, '_>) {
        let mut effects = Vec::new();
        self.core.borrow_mut().handle(input, self.now(), &mut effects);
        // What plugins answer at once, and what is not delivered, brings effects of its own, after those that are there.
        let mut answers = VecDeque::new();
        loop {
            for effect in effects.drain(..) {
                self.perform(effect, &mut answers);
            }
            self.peers.flush();
            let Some(answer) = answers.pop_front() else {
                break;
            };
            self.core.borrow_mut().handle(answer, self.now(), &mut effects);
        }
        if self.is_empty() {
            self.is_drained.notify_waiters();
        }
    }

    /// Whether no client and no hub server is connected, and nobody waits for an answer of the core.
    fn is_empty(&self) -> bool {
        self.core.borrow().is_empty() && !self.connections.has_servers() && self.asked.is_empty()
    }

    /// How many clients are here, and how many have negotiated that are still to come.
    fn expected_clients(&self) -> usize {
        let core = self.core.borrow();
        core.clients() + core.negotiated()
    }

    async fn write(self: Rc<Self>) {
        let on_turn = || {
            #[cfg(test)]
            self.shared.faults.strike(crate::faults::Fault::Writer);
        };
        self.writer.flush_at_the_end_of_each_turn(on_turn, |hub| self.turns.has_more(hub)).await;
    }

    /// The core hears what clients have taken of what it wants to hear of.
    async fn hear_what_is_taken(self: Rc<Self>, mut taken: mpsc::UnboundedReceiver<TransportKey>) {
        const AT_ONCE: usize = 64;
        let mut clients = Vec::new();
        while taken.recv_many(&mut clients, AT_ONCE).await > 0 {
            clients.drain(..).for_each(|client| self.feed(Input::Taken(client)));
        }
    }

    async fn keep_time(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(Shard::tick_period().into());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let pulse = self.shared.vitals.shard(usize::from(self.index.0));
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.wakes.next(|| self.now()) => {
                    self.feed(Input::Tick);
                    continue;
                }
            }
            pulse.beat();
            #[cfg(test)]
            self.shared.faults.strike(crate::faults::Fault::Clock);
            self.feed(Input::TimeOfDay(unix_milliseconds()));
            self.feed(Input::Tick);
            self.settle_kept();
            self.shared.outboxes.relieve();
            self.shared.tell_overdue_refusals();
            // In case it was not told of one that has begun or ended to watch.
            self.core.borrow_mut().follow_messages(self.shared.follower());
            self.shared.loads.set(self.index, self.expected_clients());
        }
    }
}
