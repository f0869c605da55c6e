//! Who has not answered a question yet.

use crate::id::{NodeId, ShardAddress};
use crate::order::Addressees;
use crate::turn::Turn;

/// The shards that have not answered, in number.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// On this node.
    here: usize,
    /// On others; each that has any.
    nodes: Vec<(NodeId, usize)>,
}

impl Owed {
    pub(super) fn is_nothing(&self) -> bool {
        self.here == 0 && self.nodes.is_empty()
    }

    /// All of these have to answer.
    pub(super) fn add(&mut self, turn: &Turn<'_>, to: &Addressees) {
        match to {
            Addressees::AllOthers => self.here += usize::from(turn.neighbours.shards()) - 1,
            Addressees::One(shard) if shard.node == turn.here().node => self.here += 1,
            Addressees::One(shard) => self.nodes.push((shard.node, 1)),
            Addressees::Nodes(nodes) => {
                let there = nodes.iter().filter_map(|node| turn.neighbours.nodes().find(*node));
                self.nodes.extend(there.map(|node| (node.id, usize::from(node.shards))));
            }
        }
    }

    /// A shard has answered. Gives whether it had to.
    pub(super) fn answered(&mut self, turn: &Turn<'_>, from: ShardAddress) -> bool {
        if from.node == turn.here().node {
            let was_owed = self.here > 0;
            self.here -= usize::from(was_owed);
            return was_owed;
        }
        let Some(index) = self.nodes.iter().position(|(node, _)| *node == from.node) else {
            return false;
        };
        self.nodes[index].1 -= 1;
        if self.nodes[index].1 == 0 {
            self.nodes.swap_remove(index);
        }
        true
    }

    /// No shard has to answer any more.
    pub(super) fn forgive_all(&mut self) {
        *self = Owed::default();
    }

    /// Nobody else of this node has to answer.
    pub(super) fn forgive_here(&mut self) {
        self.here = 0;
    }

    /// A node does not have to answer. Gives whether it had to.
    pub(super) fn forgive(&mut self, node: NodeId) -> bool {
        let before = self.nodes.len();
        self.nodes.retain(|(each, _)| *each != node);
        self.nodes.len() < before
    }
}
