//! Items of streams as bytes: what shards of one node order shards of another, and what a node tells of itself.
//!
//! An item is a MessagePack array of its kind's number and what belongs to it, and so is everything in it that is one of several; what has
//! parts is an array of them. What is written is read as the same, except that nobody is told how many connections a message reaches
//! ([`hubgate_core::Outgoing::counted`]): that is known on the node that sends it.

mod action;
mod change;
mod client;
mod ids;
mod order;
mod payload;
mod question;
mod stream;
mod token;
mod tunnel;

use bytes::Bytes;
use hubgate_core::delivery::{Action, Except, Target};
use hubgate_core::id::{HubName, ShardAddress, ShardIndex};
use hubgate_core::{DirectoryChange, Order, Outgoing};

use crate::field::{Field, Source, Unreadable, choice, record};
pub use tunnel::{TunnelEnd, TunnelMessage, TunnelPart};

/// One thing that a node has for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A shard there has an order for shards here.
    Envelope(Envelope),
    /// Something has changed there in what all nodes know of a hub.
    Change { hub: HubName, change: DirectoryChange },
    /// All has been told that was known when the stream began.
    Complete,
    /// Something of a connection that passes through the cluster.
    Tunnel(TunnelMessage),
    /// As many envelopes as there are recipients, each with an order to send the same message. It passes once, because it may be large.
    Sends(Sends),
}

/// A message that a shard sends to several targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sends {
    pub from: ShardAddress,
    pub hub: HubName,
    pub message: Outgoing,
    pub to: Vec<Recipient>,
}

/// One of them, and the shards that have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    pub shards: Shards,
    pub target: Target,
}

/// An order on its way. Whether there are such shards is for its receiver to look at, and whether `from` is of the node that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub from: ShardAddress,
    pub to: Shards,
    pub hub: HubName,
    pub order: Order,
}

/// Shards of the node that an item is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shards {
    All,
    One(ShardIndex),
}

/// Why bytes are no item for this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    #[error("the bytes are no item of the protocol between nodes")]
    Malformed,
    /// Newer nodes say it. It is skipped.
    #[error("the item has something of kind {kind}, which this version of Hubgate does not know")]
    UnknownKind { kind: u64 },
}

choice!(Item {
    0 Envelope(envelope),
    1 Change { hub, change },
    2 Complete,
    3 Tunnel(message),
    4 Sends(sends),
});
record!(Sends { from, hub, message, to });
record!(Recipient { shards, target });
record!(Envelope { from, to, hub, order });
choice!(Shards {
    0 All,
    1 One(shard),
});

impl Item {
    /// How many bytes it takes, encoded.
    pub fn encoded_length(&self) -> usize {
        self.length()
    }

    /// The bytes of the item, in one allocation, for as many nodes as it is for.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.length());
        self.write(&mut out);
        out.into()
    }

    /// Reads what another node has encoded. Long payloads share the bytes, short ones are copied.
    pub fn decode(bytes: &Bytes) -> Result<Item, ItemError> {
        let mut source = Source::of_item(bytes);
        let item = Item::read(&mut source)?;
        source.end()?;
        Ok(item)
    }
}

impl Sends {
    /// The same in one envelope for each recipient, in their order.
    pub fn into_envelopes(self) -> impl Iterator<Item = Envelope> {
        let Sends { from, hub, message, to } = self;
        to.into_iter().map(move |Recipient { shards, target }| {
            let action = Action::Send { to: target, message: message.clone(), except: Except::default() };
            Envelope { from, to: shards, hub: hub.clone(), order: Order::Act(action) }
        })
    }
}

impl From<Unreadable> for ItemError {
    fn from(error: Unreadable) -> ItemError {
        match error {
            Unreadable::Malformed => ItemError::Malformed,
            Unreadable::Unknown { number } => ItemError::UnknownKind { kind: number },
        }
    }
}
