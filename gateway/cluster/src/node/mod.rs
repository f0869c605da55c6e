//! One node of a cluster: which others there are, what it tells them, and what they tell it.
//!
//! It is fed with [`Input`]s, and what is to be done about them comes out as [`Output`]s, in order. It neither sends nor waits: whoever
//! drives it publishes frames, hands orders to shards, applies changes to the directory that these share, and tells it the time.

mod meeting;
mod streams;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use hubgate_core::id::NodeId;
use hubgate_core::time::Millis;
use hubgate_core::{Directory, DirectoryChange};

use crate::announcements::Announcements;
use crate::codec::Item;
use crate::door::{Announced, Counts, Input, NodeSettings, Other, Output, Receivers, Report};
use crate::frame::{Ack, Again, Beat, Configuration, Data, Frame, FrameError, FrameKind, Knows};
use crate::namesake::Namesake;
use crate::outgoing::ResendBuffer;
use crate::peer::Peer;
use crate::reach::{Heard, Outages, Patience, Transport};
use crate::strangers::Strangers;
use meeting::Gone;
use streams::Following;

/// How often a node says that it is there, at least.
const LONGEST_BEAT: Millis = Millis(1_000);
/// How long a node listens for others before it takes itself for the first.
const LISTENING: Millis = Millis(2_500);
/// A node. [`Node::handle`] is its only way in, and outputs are its only way out.
#[derive(Debug)]
pub struct Node {
    settings: NodeSettings,
    transport: Transport,
    standing: Standing,
    others: BTreeMap<NodeId, Peer>,
    /// Nodes that are gone, with their last streams, so that what comes late of these begins nothing.
    gone: BTreeMap<NodeId, Gone>,
    strangers: Strangers,
    /// That of the shards.
    directory: Arc<Directory>,
    announcements: Announcements,
    next_stream: u32,
    next_beat: Millis,
    /// When the node heard itself last.
    last_echo: Millis,
    /// Whether the gateway serves, joined or not.
    serves: bool,
    /// Another node with its id.
    namesake: Namesake,
    outages: Outages,
    /// What it says of itself now and then.
    beat: Beat,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Others may answer until then.
    Listening {
        until: Option<Millis>,
    },
    Joined,
    Left,
}

impl Node {
    /// A node that has not been connected yet. `directory` is the one that its shards share, of which the
    /// others are told.
    pub fn new(settings: NodeSettings, directory: Arc<Directory>) -> Node {
        Node {
            settings,
            transport: Transport::Absent,
            standing: Standing::Listening { until: None },
            others: BTreeMap::new(),
            gone: BTreeMap::new(),
            strangers: Strangers::default(),
            directory,
            announcements: Announcements::default(),
            next_stream: 1,
            next_beat: Millis::default(),
            last_echo: Millis::default(),
            serves: false,
            namesake: Namesake::default(),
            outages: Outages::default(),
            beat: Beat { clients: 0, configuration: Configuration::default() },
            counts: Counts::default(),
        }
    }

    /// Acts on an input; what is to be done is appended to `outputs`. After some inputs, and at the end of each turn, [`Node::flush`]
    /// follows.
    pub fn handle(&mut self, input: Input, now: Millis, outputs: &mut Vec<Output>) {
        match input {
            Input::Connected { max_frame } => self.connected(max_frame, now, outputs),
            Input::Disconnected => self.disconnected(outputs),
            Input::Received(frame) => self.received(frame, now, outputs),
            Input::Send { to, item } => self.send(&to, &item, now),
            Input::TooLarge { nodes } => self.counts.lost += nodes as u64,
            Input::Announce(announced) => self.announce(announced, now, outputs),
            Input::Tick { clients, configuration } => {
                self.beat = Beat { clients, configuration };
                self.tick(now, outputs);
            }
            Input::Serves => self.serves = true,
            Input::Leave => self.leave(outputs),
        }
    }

    /// Publishes what was sent in this turn: all that is for one node in as few frames as may be.
    pub fn flush(&mut self, now: Millis, outputs: &mut Vec<Output>) {
        self.flush_with(false, now, outputs);
    }

    fn flush_with(&mut self, is_tick: bool, now: Millis, outputs: &mut Vec<Output>) {
        if !self.transport.is_up() || self.standing == Standing::Left {
            return;
        }
        let (from, incarnation) = (self.settings.node, self.settings.incarnation);
        for (node, peer) in &mut self.others {
            let publish = |kind| Output::Publish { to: *node, frame: Frame { from, incarnation, kind }.encode() };
            if let Some((stream, received)) = peer.acknowledge(is_tick) {
                outputs.push(publish(FrameKind::Ack(Ack { stream, to: peer.incarnation, received })));
            }
            for data in peer.outgoing.publish(now) {
                let place = (data.stream, data.sequence);
                self.counts.resent += u64::from(place <= peer.published);
                peer.published = peer.published.max(place);
                outputs.push(publish(FrameKind::Data(data.clone())));
            }
        }
    }

    /// Whether it knows all that the others knew when it came, and is known to them.
    pub fn has_joined(&self) -> bool {
        self.standing == Standing::Joined
    }

    /// Whether other nodes may be there that it neither reaches nor hears.
    pub fn is_degraded(&self) -> bool {
        self.outages.is_one() || !self.transport.is_up()
    }

    /// Whether the other nodes have acknowledged all that this one had for them.
    pub fn is_settled(&self) -> bool {
        self.others.values().all(|peer| peer.outgoing.is_empty())
    }

    /// Whether so much waits for a node that is there that whoever causes more has to wait.
    pub fn is_congested(&self, now: Millis) -> bool {
        let is_there = |peer: &Peer| peer.last_heard + self.settings.node_timeout > now;
        let is_full = |peer: &Peer| peer.outgoing.kept_bytes() > self.settings.resend_buffer / 2;
        !self.is_degraded() && self.others.values().any(|peer| is_there(peer) && is_full(peer))
    }

    /// Nodes for which nothing is kept, because they are not reached: they are told anew when they are.
    pub fn given_up(&self) -> impl Iterator<Item = NodeId> {
        self.others.iter().filter(|(_, peer)| peer.is_waiting).map(|(node, _)| *node)
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The other nodes, in the order of their ids.
    pub fn others(&self, now: Millis) -> impl Iterator<Item = Other> {
        self.others.iter().map(move |(node, peer)| Other {
            node: *node,
            version: peer.hello.gateway.clone(),
            clients: peer.clients,
            configuration: peer.configuration,
            last_heard: peer.last_heard,
            lag: peer.outgoing.age(now),
        })
    }

    fn connected(&mut self, max_frame: usize, now: Millis, outputs: &mut Vec<Output>) {
        let had_larger = self.transport.max_frame().is_some_and(|before| before > max_frame);
        self.transport = Transport::Up { since: now, max_frame };
        if let Standing::Listening { until } = &mut self.standing {
            *until = Some(now + LISTENING);
            outputs.push(Output::PublishToAll(self.greeting(Knows::NotYet)));
        }
        (self.next_beat, self.last_echo) = (now, now);
        let nodes: Vec<NodeId> = self.others.keys().copied().collect();
        for node in nodes {
            let Some(peer) = self.others.get_mut(&node) else {
                continue;
            };
            peer.outgoing.send_all_again(now);
            if std::mem::take(&mut peer.is_waiting) {
                // What was begun with it meanwhile has not been told.
                outputs.extend([Output::Broken(node), self.nodes()]);
                self.tell_all_known(node, now);
            } else if had_larger {
                // What is kept is in frames that are too large now.
                self.reset(node, Following::Next, now, outputs);
            }
        }
    }

    fn disconnected(&mut self, outputs: &mut Vec<Output>) {
        if let Transport::Up { max_frame, .. } = self.transport {
            self.transport = Transport::Down { max_frame };
        }
        self.settle_announcements(outputs);
    }

    fn frame(&self, kind: FrameKind) -> Bytes {
        Frame { from: self.settings.node, incarnation: self.settings.incarnation, kind }.encode()
    }

    fn received(&mut self, bytes: Bytes, now: Millis, outputs: &mut Vec<Output>) {
        let Frame { from, incarnation, kind } = match Frame::decode(&bytes) {
            Ok(frame) => frame,
            Err(FrameError::UnknownKind { .. } | FrameError::NewerVersion { .. }) => return self.counts.unknown += 1,
            Err(FrameError::Malformed) => return self.counts.unreadable += 1,
        };
        if from == self.settings.node {
            return self.heard_own_id(incarnation, &kind, now, outputs);
        }
        if self.standing == Standing::Left || self.is_of_namesake(from, incarnation, now, outputs) {
            return;
        }
        if self.others.get(&from).is_some_and(|peer| peer.incarnation != incarnation) {
            // It has begun anew.
            self.remove(from, Report::NodeLost(from), outputs);
        }
        if let Some(peer) = self.others.get_mut(&from) {
            peer.last_heard = now;
        }
        match kind {
            FrameKind::Hello(hello) => self.greeted(from, incarnation, hello, now, outputs),
            FrameKind::Bye => {
                if self.others.contains_key(&from) {
                    self.remove(from, Report::NodeLeft(from), outputs);
                }
            }
            _ if !self.others.contains_key(&from) => self.greet_stranger(from, now, outputs),
            FrameKind::Beat(Beat { clients, configuration }) => {
                if let Some(peer) = self.others.get_mut(&from) {
                    (peer.clients, peer.configuration) = (clients, Some(configuration));
                }
            }
            FrameKind::Data(Data { to, .. }) | FrameKind::Ack(Ack { to, .. }) | FrameKind::Again(Again { to, .. })
                if to != self.settings.incarnation =>
            {
                // It is for a node that had this one's id before.
            }
            FrameKind::Data(data) => self.data(from, data, now, outputs),
            FrameKind::Ack(Ack { stream, received, .. }) => {
                if let Some(peer) = self.others.get_mut(&from)
                    && peer.outgoing.acknowledged(stream, received, now)
                {
                    self.settle_announcements(outputs);
                }
            }
            FrameKind::Again(Again { stream, from: sequence, .. }) => {
                if let Some(peer) = self.others.get_mut(&from) {
                    peer.outgoing.send_again(stream, sequence, now);
                }
            }
        }
    }

    /// Several of its beats may be late before others take it for gone.
    fn beat_period(&self) -> Millis {
        LONGEST_BEAT.min(Millis(self.settings.node_timeout.0 / 4))
    }

    /// A node that has not heard itself for so long does not judge others by their silence.
    fn missed(&self) -> Millis {
        Millis(self.beat_period().0 * 5 / 2)
    }

    fn heard_itself(&mut self, now: Millis) {
        let was_missed = self.last_echo + self.missed() <= now;
        self.last_echo = now;
        if let Transport::Up { since, .. } = &mut self.transport
            && was_missed
        {
            // What is between stood still. It goes on, and others have as much time to be heard as after a new connection.
            *since = now;
        }
    }

    fn send(&mut self, to: &Receivers, item: &Bytes, now: Millis) {
        let one;
        let nodes = match to {
            Receivers::One(node) => {
                one = [*node];
                &one[..]
            }
            Receivers::These(nodes) => nodes,
        };
        for node in nodes {
            match self.others.get_mut(node) {
                Some(peer) if peer.is_waiting => self.counts.lost += 1,
                Some(peer) => {
                    peer.outgoing.push_message(item.clone(), now);
                    self.counts.sent += 1;
                }
                None => {}
            }
        }
    }

    fn announce(&mut self, announcement: Announced, now: Millis, outputs: &mut Vec<Output>) {
        let Announced { shard, hub, change } = announcement;
        let is_waited_for = matches!(change, DirectoryChange::HubUsed(_));
        let item = Item::Change { hub: hub.clone(), change }.encode();
        let mut places = Vec::new();
        for (node, peer) in self.others.iter_mut().filter(|(_, peer)| !peer.is_waiting) {
            places.push((*node, peer.outgoing.push(item.clone(), now)));
            self.counts.sent += 1;
        }
        if is_waited_for {
            self.announcements.add(shard, hub, places);
            self.settle_announcements(outputs);
        }
    }

    /// Tells shards of what all others know by now. Nobody waits for nodes that are not reached.
    fn settle_announcements(&mut self, outputs: &mut Vec<Output>) {
        let is_reached = !self.is_degraded();
        let is_on_its_way =
            |node, place| is_reached && self.others.get(&node).is_some_and(|peer| !peer.outgoing.is_over(place));
        self.announcements.settle(is_on_its_way, |shard, hub| outputs.push(Output::Announced { shard, hub }));
    }

    fn tick(&mut self, now: Millis, outputs: &mut Vec<Output>) {
        if self.standing == Standing::Left {
            return;
        }
        if self.transport.is_up() && self.next_beat <= now {
            self.next_beat = now + self.beat_period();
            outputs.push(Output::PublishToAll(self.frame(FrameKind::Beat(self.beat.clone()))));
        }
        self.look_for_the_silent(now, outputs);
        let buffer = ResendBuffer { bytes: self.settings.resend_buffer, age: self.settings.resend_age };
        let is_up = self.transport.is_up();
        let is_full = |peer: &Peer| peer.outgoing.exceeds(buffer, is_up, now);
        let full: Vec<NodeId> = self.others.iter().filter(|(_, peer)| is_full(peer)).map(|(node, _)| *node).collect();
        full.into_iter().for_each(|node| self.reset(node, Following::Next, now, outputs));
        self.others.values_mut().for_each(|peer| peer.outgoing.tick(now));
        if let Standing::Listening { until: Some(until) } = self.standing
            && until <= now
            && self.others.values().all(|peer| peer.is_complete && peer.outgoing.is_empty())
        {
            self.standing = Standing::Joined;
            outputs.push(Output::Report(Report::Joined { others: self.others.len() }));
        }
        self.flush_with(true, now, outputs);
    }

    /// Tells nodes that are gone from those that are only not heard.
    fn look_for_the_silent(&mut self, now: Millis, outputs: &mut Vec<Output>) {
        let timeout = self.settings.node_timeout;
        let is_silent = |peer: &Peer| peer.last_heard + timeout <= now;
        let silent: Vec<NodeId> =
            self.others.iter().filter(|(_, peer)| is_silent(peer)).map(|(node, _)| *node).collect();
        let all_since_up = match self.transport {
            Transport::Up { since, .. } => self.others.values().all(|peer| peer.last_heard >= since),
            Transport::Absent | Transport::Down { .. } => false,
        };
        let heard = Heard {
            transport: self.transport,
            itself: self.last_echo,
            others: self.others.len(),
            silent: silent.len(),
            all_since_up,
        };
        let patience = Patience { timeout, missed: self.missed(), grace: self.settings.outage_grace };
        let (are_gone, report) = self.outages.look(heard, patience, now);
        if report == Some(Report::OutageBegan) {
            self.settle_announcements(outputs);
        }
        outputs.extend(report.map(Output::Report));
        if are_gone {
            silent.into_iter().for_each(|node| self.remove(node, Report::NodeLost(node), outputs));
        }
    }

    fn leave(&mut self, outputs: &mut Vec<Output>) {
        if self.standing != Standing::Left {
            self.standing = Standing::Left;
            outputs.push(Output::PublishToAll(self.frame(FrameKind::Bye)));
        }
    }
}
