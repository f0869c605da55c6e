//! Tunnels: connections that pass through the cluster. A request that comes to one node, for a connection that lives on another, is asked
//! of that one as if it had come there.
//!
//! Each direction of a tunnel has a window: no more is on its way, or waits to be read, than the other end has room for. What waits to be
//! read is on the account of all that waits for peers, and nothing is taken while it would only wait to leave.

mod end;
mod stream;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use hubgate_cluster::codec::{TunnelEnd, TunnelMessage, TunnelPart};
use hubgate_core::id::{NodeId, ShardAddress, ShardIndex};

use crate::cluster_link::ClusterLink;
use crate::outboxes::Receiver;
use crate::refusal::Refusal;
use crate::shared::Shared;
use end::End;
pub(crate) use end::Told;
pub(crate) use stream::{TunnelStream, TunnelWatch};

/// Tunnels that others may open to a shard at once.
const MAX_FAR: usize = 16 << 10;

/// The tunnels of one shard: those that it has opened, and those that others have opened to it.
#[derive(Debug)]
pub(crate) struct Tunnels {
    shared: Arc<Shared>,
    shard: ShardIndex,
    ends: RefCell<HashMap<Key, Rc<RefCell<End>>>>,
    /// Ends of others' tunnels, in number.
    far: Cell<usize>,
    next: Cell<u64>,
}

/// An end of a tunnel, on this shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    end: TunnelEnd,
    /// Where the other end is.
    other: ShardAddress,
    number: u64,
}

impl Tunnels {
    pub(crate) fn new(shared: Arc<Shared>, shard: ShardIndex) -> Tunnels {
        Tunnels { shared, shard, ends: RefCell::default(), far: Cell::default(), next: Cell::default() }
    }

    /// Opens a tunnel to a shard of another node, for a peer at `remote`.
    pub(crate) fn open(self: &Rc<Self>, to: ShardAddress, remote: SocketAddr) -> Result<TunnelStream, Refusal> {
        if self.shared.cluster.as_ref().is_none_or(|cluster| cluster.has_given_up(to.node)) {
            return Err(Refusal::NodeNotReached);
        }
        let number = self.next.get();
        self.next.set(number + 1);
        let key = Key { end: TunnelEnd::Near, other: to, number };
        let stream = self.add(key);
        self.say(key, TunnelPart::Opens { remote });
        Ok(stream)
    }

    fn add(self: &Rc<Self>, key: Key) -> TunnelStream {
        let end = Rc::new(RefCell::new(End::new(self.shared.outboxes.part(Receiver::Client))));
        self.ends.borrow_mut().insert(key, end.clone());
        if key.end == TunnelEnd::Far {
            self.far.set(self.far.get() + 1);
        }
        TunnelStream::new(self.clone(), key, end)
    }

    /// What another node says of a tunnel. Gives the end of one that it has opened, and the address of the peer that it is for.
    pub(crate) fn hear(self: &Rc<Self>, message: TunnelMessage) -> Option<(TunnelStream, SocketAddr)> {
        let TunnelMessage { from, end, number, part, .. } = message;
        // What one end says is for the other.
        let end = match end {
            TunnelEnd::Near => TunnelEnd::Far,
            TunnelEnd::Far => TunnelEnd::Near,
        };
        let key = Key { end, other: from, number };
        let known = self.ends.borrow().get(&key).cloned();
        match (known, part) {
            (None, TunnelPart::Opens { remote }) if end == TunnelEnd::Far && self.far.get() < MAX_FAR => {
                return Some((self.add(key), remote));
            }
            (None, TunnelPart::Opens { .. } | TunnelPart::Bytes(_)) => self.say(key, TunnelPart::BreaksOff),
            // It has broken off, and the other end does not know that yet.
            (None, TunnelPart::Taken(_) | TunnelPart::Ends | TunnelPart::BreaksOff | TunnelPart::Leaves) => {}
            (Some(end), part) => {
                if end.borrow_mut().hear(part).is_err() {
                    end.borrow_mut().break_off();
                    self.say(key, TunnelPart::BreaksOff);
                }
            }
        }
        None
    }

    /// What was begun with a node is over. If it is still there it may not know that of a tunnel that was opened meanwhile.
    pub(crate) fn node_lost(&self, node: NodeId) {
        for (key, end) in &*self.ends.borrow() {
            if key.other.node == node {
                end.borrow_mut().break_off();
                self.say(*key, TunnelPart::BreaksOff);
            }
        }
    }

    /// Whether nothing that came here passes to other nodes.
    pub(crate) fn have_arrived(&self) -> bool {
        self.ends.borrow().len() == self.far.get()
    }

    /// Whether bytes that are written leave soon.
    fn may_pass(&self) -> bool {
        let holds = |cluster: &ClusterLink| {
            let holds = cluster.holds_tunnels();
            if holds {
                cluster.is_waited_for();
            }
            holds
        };
        !self.shared.cluster.as_ref().is_some_and(holds)
    }

    /// Lets what waits be written when it may pass again, again and again.
    pub(crate) async fn hear_of_easing(self: Rc<Self>) {
        let Some(mut easing) = self.shared.cluster.as_ref().map(ClusterLink::easing) else {
            return;
        };
        while easing.changed().await.is_ok() {
            self.ends.borrow().values().for_each(|end| end.borrow_mut().wake_writer());
        }
    }

    fn say(&self, key: Key, part: TunnelPart) {
        let Some(cluster) = self.shared.cluster.as_ref().filter(|cluster| !cluster.has_given_up(key.other.node)) else {
            return;
        };
        let from = ShardAddress { node: cluster.node(), shard: self.shard };
        let Key { end, other, number } = key;
        cluster.send_through_tunnel(other.node, TunnelMessage { from, to: other.shard, end, number, part });
    }

    /// An end is used no longer.
    fn remove(&self, key: Key) {
        if self.ends.borrow_mut().remove(&key).is_some() && key.end == TunnelEnd::Far {
            self.far.set(self.far.get() - 1);
        }
    }
}
