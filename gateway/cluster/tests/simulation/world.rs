//! Nodes that serve as one, what carries their frames, and somebody who looks whether each hears the others as it must.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use bytes::Bytes;
use hubgate_cluster::codec::{Envelope, Item, Shards};
use hubgate_cluster::{Announced, Input, Node, NodeSettings, Output, Receivers, Report};
use hubgate_core::id::{HubName, NodeId, ShardAddress, ShardIndex};
use hubgate_core::question::Answer;
use hubgate_core::time::Millis;
use hubgate_core::{Directory, DirectoryChange, HashSeed, Order};

use crate::chance::Chance;

/// How long the world stands still between two looks.
const STEP: u64 = 10;
const TICK: u64 = 100;
const MAX_FRAME: usize = 4_096;
pub(crate) const NODE_TIMEOUT: u64 = 5_000;
pub(crate) const OUTAGE_GRACE: u64 = 60_000;
pub(crate) const RESEND_BYTES: usize = 64 << 10;
pub(crate) const RESEND_AGE: u64 = 30_000;

/// All of it. What happens depends on the seed alone.
pub(crate) struct World {
    pub(crate) chance: Chance,
    now: u64,
    machines: BTreeMap<u32, Machine>,
    /// Frames on their way, by the time at which they come.
    flying: BinaryHeap<Reverse<(u64, u64, u32, Flying)>>,
    frames: u64,
    pub(crate) carrier: Carrier,
    /// Of the nodes that are started from now on.
    pub(crate) node_timeout: u64,
    /// What was said so far between two nodes, in number.
    said: BTreeMap<(u32, u32), u32>,
    next_incarnation: u64,
    pub(crate) reports: Vec<(u32, Report)>,
    /// The nodes that were told that nothing goes on which was begun with another, and that one.
    pub(crate) broken: Vec<(u32, u32)>,
}

/// What becomes of frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Carrier {
    /// How long one flies at most, in milliseconds.
    pub(crate) delay: u64,
    /// Of a thousand frames, how many are lost, and how many come twice.
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Flying {
    from: u32,
    bytes: Vec<u8>,
}

struct Machine {
    id: NodeId,
    node: Node,
    directory: Arc<Directory>,
    is_connected: bool,
    /// When the last frame of each other node comes: none overtakes another.
    last_arrival: BTreeMap<u32, u64>,
    /// The others that its shards know.
    known: BTreeSet<u32>,
    /// The number that it heard last from each other one, and whether some may be missing after it.
    heard: BTreeMap<u32, (u32, Gap)>,
    next_tick: u64,
    /// Hubs of which it was told that the others know that it uses them.
    announced: Vec<HubName>,
    is_id_taken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    No,
    /// It was told that nothing goes on that was begun with the other one.
    Told,
}

impl World {
    pub(crate) fn new(seed: u64, carrier: Carrier) -> World {
        World {
            chance: Chance::new(seed),
            now: 0,
            machines: BTreeMap::new(),
            flying: BinaryHeap::new(),
            frames: 0,
            carrier,
            node_timeout: NODE_TIMEOUT,
            said: BTreeMap::new(),
            next_incarnation: 1,
            reports: Vec::new(),
            broken: Vec::new(),
        }
    }

    /// A node starts, connected.
    pub(crate) fn start(&mut self, id: u32) {
        self.start_like(id, id);
    }

    /// The same of one that has drawn the id `node`.
    pub(crate) fn start_like(&mut self, id: u32, node: u32) {
        let settings = NodeSettings {
            node: NodeId(node),
            incarnation: self.next_incarnation,
            shards: 2,
            version: "test".to_owned(),
            node_timeout: Millis(self.node_timeout),
            outage_grace: Millis(OUTAGE_GRACE),
            resend_buffer: RESEND_BYTES,
            resend_age: Millis(RESEND_AGE),
        };
        self.next_incarnation += 1;
        let directory = Arc::new(Directory::new(HashSeed::fixed()));
        let machine = Machine {
            id: NodeId(node),
            node: Node::new(settings, directory.clone()),
            directory,
            is_connected: false,
            last_arrival: BTreeMap::new(),
            known: BTreeSet::new(),
            heard: BTreeMap::new(),
            next_tick: self.now,
            announced: Vec::new(),
            is_id_taken: false,
        };
        self.machines.insert(id, machine);
        self.connect(id);
    }

    /// Its gateway serves, joined or not.
    pub(crate) fn serve(&mut self, id: u32) {
        self.feed(id, Input::Serves);
    }

    /// It stops without a word.
    pub(crate) fn crash(&mut self, id: u32) {
        self.machines.remove(&id);
    }

    pub(crate) fn leave(&mut self, id: u32) {
        self.feed(id, Input::Leave);
        self.machines.remove(&id);
    }

    pub(crate) fn disconnect(&mut self, id: u32) {
        if let Some(machine) = self.machines.get_mut(&id)
            && std::mem::replace(&mut machine.is_connected, false)
        {
            self.feed(id, Input::Disconnected);
        }
    }

    pub(crate) fn connect(&mut self, id: u32) {
        if let Some(machine) = self.machines.get_mut(&id)
            && !std::mem::replace(&mut machine.is_connected, true)
        {
            self.feed(id, Input::Connected { max_frame: MAX_FRAME });
        }
    }

    /// What carries frames goes away for all.
    pub(crate) fn disconnect_all(&mut self) {
        self.ids().into_iter().for_each(|id| self.disconnect(id));
    }

    pub(crate) fn connect_all(&mut self) {
        self.ids().into_iter().for_each(|id| self.connect(id));
    }

    pub(crate) fn ids(&self) -> Vec<u32> {
        self.machines.keys().copied().collect()
    }

    pub(crate) fn node(&self, id: u32) -> &Node {
        &self.machines[&id].node
    }

    /// The others that a node's shards know.
    pub(crate) fn known(&self, id: u32) -> Vec<u32> {
        self.machines[&id].known.iter().copied().collect()
    }

    /// The hubs that nodes use, as one of them knows it.
    pub(crate) fn used(&self, id: u32, by: u32) -> Vec<String> {
        let known = self.machines[&id].directory.snapshot_of(NodeId(by));
        known.into_iter().map(|(hub, _)| hub.as_str().to_owned()).collect()
    }

    pub(crate) fn announcements(&self, id: u32) -> usize {
        self.machines[&id].announced.len()
    }

    pub(crate) fn is_id_taken(&self, id: u32) -> bool {
        self.machines[&id].is_id_taken
    }

    /// A shard of a node begins to use a hub.
    pub(crate) fn use_hub(&mut self, id: u32, name: &str) {
        let (hub, shard) = (HubName::parse(name).expect("a name"), ShardIndex(0));
        let change = DirectoryChange::HubUsed(ShardAddress { node: NodeId(id), shard });
        self.machines[&id].directory.apply(&hub, false, change.clone());
        self.feed(id, Input::Announce(Announced { shard, hub, change }));
    }

    /// It goes on: whoever is reached has to know of it.
    fn announced(&mut self, id: u32, hub: &HubName) {
        let Machine { node, known, .. } = &self.machines[&id];
        if node.is_degraded() {
            return;
        }
        for other in known.iter().filter(|other| self.machines.contains_key(other)) {
            let is_known = self.used(*other, id).iter().any(|name| name == hub.as_str());
            // One that has given it up is told anew.
            let may_not = self.is_anything_lost() || !self.machines[other].known.contains(&id);
            assert!(is_known || may_not, "{other} does not know that {id} uses {hub}");
        }
        self.machines.get_mut(&id).expect("it is there").announced.push(hub.clone());
    }

    /// A shard of a node says the next number to all others that it knows, or to one of them. `padding`: how large the message is, about.
    pub(crate) fn say(&mut self, from: u32, to: Option<u32>, padding: usize) {
        let known = self.known(from);
        for to in known.into_iter().filter(|each| to.is_none_or(|to| to == *each)) {
            let number = self.said.entry((from, to)).or_default();
            *number += 1;
            let item = encoded(from, *number, padding);
            self.feed_unflushed(from, Input::Send { to: Receivers::One(NodeId(to)), item });
        }
        self.flush(from);
    }

    pub(crate) fn feed(&mut self, id: u32, input: Input) {
        self.feed_unflushed(id, input);
        self.flush(id);
    }

    fn feed_unflushed(&mut self, id: u32, input: Input) {
        let mut outputs = Vec::new();
        if let Some(machine) = self.machines.get_mut(&id) {
            machine.node.handle(input, Millis(self.now), &mut outputs);
        }
        self.carry_out(id, outputs);
    }

    fn flush(&mut self, id: u32) {
        let mut outputs = Vec::new();
        if let Some(machine) = self.machines.get_mut(&id) {
            machine.node.flush(Millis(self.now), &mut outputs);
        }
        self.carry_out(id, outputs);
    }

    fn carry_out(&mut self, id: u32, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::PublishToAll(frame) => {
                    for to in self.ids() {
                        self.publish(id, to, &frame);
                    }
                }
                Output::Publish { to, frame } => {
                    // Whoever has its id hears it.
                    let of_id = |machine: &Machine| machine.id == to;
                    let all: Vec<u32> =
                        self.machines.iter().filter(|(_, machine)| of_id(machine)).map(|(id, _)| *id).collect();
                    all.into_iter().for_each(|to| self.publish(id, to, &frame));
                }
                Output::Nodes(nodes) => {
                    let machine = self.machines.get_mut(&id).expect("it is there");
                    machine.known = nodes.iter().map(|node| node.id.0).collect();
                }
                Output::Broken(node) => {
                    let machine = self.machines.get_mut(&id).expect("it is there");
                    self.broken.push((id, node.0));
                    machine.known.remove(&node.0);
                    if let Some((_, gap)) = machine.heard.get_mut(&node.0) {
                        *gap = Gap::Told;
                    }
                }
                Output::Forget(node) => self.machines[&id].directory.node_lost(node),
                Output::Apply { hub, change } => self.machines[&id].directory.apply(&hub, false, change),
                Output::Deliver(envelope) => self.delivered(id, envelope),
                Output::Announced { hub, .. } => self.announced(id, &hub),
                Output::Tunnel(message) => panic!("nobody opens tunnels: {message:?}"),
                Output::IdTaken => self.machines.get_mut(&id).expect("it is there").is_id_taken = true,
                Output::Report(report) => self.reports.push((id, report)),
            }
        }
    }

    fn publish(&mut self, from: u32, to: u32, frame: &Bytes) {
        assert!(frame.len() <= MAX_FRAME, "a frame of {} bytes", frame.len());
        let is_carried = |world: &World, id| world.machines.get(&id).is_some_and(|machine| machine.is_connected);
        if !is_carried(self, from) || !is_carried(self, to) || self.chance.of_thousand(self.carrier.lost) {
            return;
        }
        let copies = 1 + u64::from(self.chance.of_thousand(self.carrier.doubled));
        for _ in 0..copies {
            let soonest = self.now + self.chance.below(self.carrier.delay + 1);
            let last = self.machines.get_mut(&to).expect("it is there").last_arrival.entry(from).or_default();
            *last = soonest.max(*last);
            let flying = Flying { from, bytes: frame.to_vec() };
            self.frames += 1;
            self.flying.push(Reverse((*last, self.frames, to, flying)));
        }
    }

    fn delivered(&mut self, id: u32, envelope: Envelope) {
        let from = envelope.from.node.0;
        let Order::Answer { number, .. } = envelope.order else {
            panic!("nobody said {:?}", envelope.order);
        };
        let machine = self.machines.get_mut(&id).expect("it is there");
        assert!(machine.known.contains(&from), "{id} hears {number} of {from}, of which its shards do not know");
        let (last, gap) = machine.heard.entry(from).or_insert((0, Gap::Told));
        let is_next = match gap {
            Gap::No => number == *last + 1,
            Gap::Told => number > *last,
        };
        assert!(is_next, "{id} hears {number} of {from} after {last} ({gap:?}) at {}", self.now);
        (*last, *gap) = (number, Gap::No);
    }

    /// Time passes.
    pub(crate) fn run(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        while self.now < end {
            self.now += STEP;
            while let Some(Reverse((at, ..))) = self.flying.peek()
                && *at <= self.now
            {
                let Some(Reverse((_, _, to, Flying { bytes, .. }))) = self.flying.pop() else {
                    break;
                };
                if self.machines.get(&to).is_some_and(|machine| machine.is_connected) {
                    self.feed(to, Input::Received(bytes.into()));
                }
            }
            for id in self.ids() {
                let machine = self.machines.get_mut(&id).expect("it is there");
                if machine.next_tick <= self.now {
                    machine.next_tick = self.now + TICK;
                    self.feed(id, Input::Tick { clients: 0, configuration: Default::default() });
                }
            }
        }
    }

    /// What was said last and not heard: who said it, who is to hear it, and the numbers said and heard.
    pub(crate) fn unheard(&self) -> Vec<(u32, u32, u32, u32)> {
        let said = self
            .said
            .iter()
            .filter(|((from, to), _)| self.machines.contains_key(from) && self.machines.contains_key(to));
        let heard = |from: &u32, to: &u32| self.machines[to].heard.get(from).map_or(0, |(number, _)| *number);
        let pairs = said.map(|((from, to), number)| (*from, *to, *number, heard(from, to)));
        pairs.filter(|(_, _, said, heard)| said != heard).collect()
    }

    /// Whether a node was told that something between it and another may be lost.
    pub(crate) fn is_anything_lost(&self) -> bool {
        self.reports.iter().any(|(_, report)| matches!(report, Report::MessagesLost { .. } | Report::NodeLost(_)))
    }
}

fn encoded(from: u32, number: u32, padding: usize) -> Bytes {
    let from = ShardAddress { node: NodeId(from), shard: ShardIndex(0) };
    let hub = HubName::parse(&format!("h{}", "x".repeat(padding.min(100)))).expect("a name");
    let order = Order::Answer { number, answer: Answer::Count(0) };
    Item::Envelope(Envelope { from, to: Shards::All, hub, order }).encode()
}
