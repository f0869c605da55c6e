//! What nodes say to each other: who is there, and streams of items from each node to each other one.
//!
//! A frame is one message of NATS: a MessagePack array of the version of the protocol, the node that sends it, that node's incarnation,
//! and the frame's kind with what belongs to it.

use bytes::Bytes;
use hubgate_core::id::NodeId;
use hubgate_wire::messagepack::{length_of_array, write_array};

use crate::field::{Field, Source, Unreadable, choice, record};

/// A message from one node to another, or to all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The node that sends it.
    pub from: NodeId,
    /// That node's, which it draws when it starts: nothing that was said to the one before is meant for it.
    pub incarnation: u64,
    pub kind: FrameKind,
}

/// What a frame is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameKind {
    /// To all, by a node that joins; to one node, as the answer.
    Hello(Hello),
    /// To all, now and then: the node is there.
    Beat(Beat),
    /// To all: the node leaves.
    Bye,
    /// To one node: items, in their order.
    Data(Data),
    /// To the sender of a stream: what has come.
    Ack(Ack),
    /// To the sender of a stream: what has not.
    Again(Again),
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// How many shards it has, 1 at least.
    pub shards: u16,
    /// The versions of this protocol that it speaks.
    pub versions: Versions,
    /// Which gateway it is, for operators: at most [`LONGEST_GATEWAY`] bytes.
    pub gateway: String,
    pub knows: Knows,
}

/// Whether a node knows the one that it greets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knows {
    /// It may have known it before, and has forgotten all about it.
    NotYet,
    Already,
}

/// The longest [`Hello::gateway`], in bytes.
pub const LONGEST_GATEWAY: usize = 256;

/// Versions of the protocol between nodes, `oldest` not above `newest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    pub oldest: u16,
    pub newest: u16,
}

/// A node's sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// How many clients it has.
    pub clients: u64,
    pub configuration: Configuration,
}

/// Digests of what has to be alike on all nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The access keys.
    pub keys: u64,
    /// The hubs: their modes, and what answers their clients.
    pub hubs: u64,
    /// The versions of plugins that serve.
    pub plugins: u64,
}

/// A piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// Which stream to this node it belongs to: a later one begins anew.
    pub stream: u32,
    /// The incarnation of the node that it is for.
    pub to: u64,
    /// Its place in the stream.
    pub sequence: u64,
    /// What the addressee sends in its streams up to this one is not heard: if that is the one that it sends, it has to begin another.
    pub ignores: u32,
    /// Whether the first of the items goes on with the last one of the frame before.
    pub continues: bool,
    /// Whether the last of the items goes on in the next frame.
    pub is_cut: bool,
    /// None of them is empty. They share the bytes of the frame that they were read from.
    pub items: Vec<Bytes>,
}

/// All of a stream has come up to here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    pub stream: u32,
    /// The incarnation of the stream's sender, which this is for.
    pub to: u64,
    /// The last sequence that has come with all before it.
    pub received: u64,
}

/// A stream has a gap: all from here on is to be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    pub stream: u32,
    /// The incarnation of the stream's sender, which this is for.
    pub to: u64,
    /// The first sequence that is missing.
    pub from: u64,
}

/// Why bytes are no frame for this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the bytes are no message of the protocol between nodes")]
    Malformed,
    /// Newer nodes say it. It is skipped.
    #[error("node {:08x} says something of kind {kind}, which this version of Hubgate does not know", from.0)]
    UnknownKind { from: NodeId, kind: u64 },
    /// It is written as nodes of this version do not read it.
    #[error("node {:08x} speaks version {version} of the protocol between nodes; this one speaks {} to {}", from.0, Versions::OWN.oldest, Versions::OWN.newest)]
    NewerVersion { from: NodeId, version: u16 },
}

record!(Hello { shards, versions, gateway, knows });
record!(Versions { oldest, newest });
record!(Beat { clients, configuration });
record!(Configuration { keys, hubs, plugins });
record!(Data { stream, to, sequence, ignores, continues, is_cut, items });
record!(Ack { stream, to, received });
record!(Again { stream, to, from });
choice!(Knows {
    0 NotYet,
    1 Already,
});
choice!(FrameKind {
    1 Hello(hello),
    2 Beat(beat),
    3 Bye,
    4 Data(data),
    5 Ack(ack),
    6 Again(again),
});

/// The elements of a frame: the version, and the fields of [`Frame`].
const ELEMENTS: usize = 4;
/// Those before the kind.
const HEAD: usize = 3;

impl Versions {
    /// Those that this version of Hubgate speaks.
    pub const OWN: Versions = Versions { oldest: 1, newest: 1 };

    /// The newest version that both sides speak. `None`: they cannot work together.
    pub fn common(self, other: Versions) -> Option<u16> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

impl Data {
    /// How many bytes a frame without items takes, at most.
    pub const LONGEST_HEAD: usize = 64;

    /// How many bytes an item takes in a frame beside its own, at most.
    pub const ITEM_HEAD: usize = 5;

    /// Whether no node sends this.
    fn is_malformed(&self) -> bool {
        self.items.iter().any(Bytes::is_empty) || (self.items.is_empty() && (self.continues || self.is_cut))
    }
}

impl Hello {
    /// Whether no node sends this.
    fn is_malformed(&self) -> bool {
        self.shards == 0 || self.gateway.len() > LONGEST_GATEWAY || self.versions.oldest > self.versions.newest
    }
}

impl Frame {
    /// How many bytes it takes, encoded.
    pub fn encoded_length(&self) -> usize {
        let Frame { from, incarnation, kind } = self;
        length_of_array(ELEMENTS) + Versions::OWN.newest.length() + from.length() + incarnation.length() + kind.length()
    }

    /// The bytes that pass over the network, in one allocation.
    pub fn encode(&self) -> Bytes {
        let Frame { from, incarnation, kind } = self;
        let mut out = Vec::with_capacity(self.encoded_length());
        write_array(ELEMENTS, &mut out);
        Versions::OWN.newest.write(&mut out);
        from.write(&mut out);
        incarnation.write(&mut out);
        kind.write(&mut out);
        out.into()
    }

    /// Reads what another node has encoded. Items share the bytes. Who is there and who leaves is read whatever the version, so that a
    /// node that cannot be talked to is known by its name.
    pub fn decode(bytes: &Bytes) -> Result<Frame, FrameError> {
        let mut source = Source::of_frame(bytes);
        let elements = source.reader.array().map_err(Unreadable::from)?;
        let (version, from, incarnation) =
            (u16::read(&mut source)?, NodeId::read(&mut source)?, u64::read(&mut source)?);
        let is_newer = version > Versions::OWN.newest;
        let kind = match source.elements(elements.saturating_sub(HEAD), ELEMENTS - HEAD, FrameKind::read) {
            Ok(kind) => kind,
            Err(Unreadable::Unknown { number }) => return Err(FrameError::UnknownKind { from, kind: number }),
            Err(Unreadable::Malformed) if is_newer => return Err(FrameError::NewerVersion { from, version }),
            Err(Unreadable::Malformed) => return Err(FrameError::Malformed),
        };
        source.end()?;
        match kind.is_malformed() {
            true => Err(FrameError::Malformed),
            false if is_newer && !kind.is_of_any_version() => Err(FrameError::NewerVersion { from, version }),
            false => Ok(Frame { from, incarnation, kind }),
        }
    }
}

impl FrameKind {
    /// Whether no node sends this.
    fn is_malformed(&self) -> bool {
        match self {
            FrameKind::Hello(hello) => hello.is_malformed(),
            FrameKind::Data(data) => data.is_malformed(),
            FrameKind::Beat(_) | FrameKind::Bye | FrameKind::Ack(_) | FrameKind::Again(_) => false,
        }
    }

    /// Whether all versions write it alike, but for what newer ones add.
    fn is_of_any_version(&self) -> bool {
        match self {
            FrameKind::Hello(_) | FrameKind::Beat(_) | FrameKind::Bye => true,
            FrameKind::Data(_) | FrameKind::Ack(_) | FrameKind::Again(_) => false,
        }
    }
}

impl From<Unreadable> for FrameError {
    fn from(error: Unreadable) -> FrameError {
        match error {
            Unreadable::Malformed | Unreadable::Unknown { .. } => FrameError::Malformed,
        }
    }
}
