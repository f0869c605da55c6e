//! Connections that pass through the cluster: a request that came to one node, for a connection of another.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use hubgate_core::id::{ShardAddress, ShardIndex};
use hubgate_wire::messagepack::length_of_binary;

use crate::field::{Field, Source, Unreadable, choice, record};

/// A part of what passes through a tunnel, or of what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelMessage {
    pub from: ShardAddress,
    /// Of the node that it is for.
    pub to: ShardIndex,
    pub end: TunnelEnd,
    /// The shard that opens a tunnel gives it a number that no other one of its own has.
    pub number: u64,
    pub part: TunnelPart,
}

/// Which end of the tunnel says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TunnelEnd {
    /// That which was opened first.
    Near,
    Far,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TunnelPart {
    /// A tunnel for a peer at this address is opened.
    Opens {
        remote: SocketAddr,
    },
    Bytes(Bytes),
    /// So many bytes of the other end were taken: as many more may come.
    Taken(u32),
    /// This end says no more.
    Ends,
    /// Nothing passes any longer, in either direction.
    BreaksOff,
    /// The node of this end stops: what is said through the tunnel is to come to its end.
    Leaves,
}

record!(TunnelMessage { from, to, end, number, part });
choice!(TunnelEnd {
    0 Near,
    1 Far,
});
choice!(TunnelPart {
    0 Opens { remote },
    1 Bytes(bytes),
    2 Taken(bytes),
    3 Ends,
    4 BreaksOff,
    5 Leaves,
});

/// The 4 or 16 bytes of the address, and the 2 of the port, in network order.
impl Field for SocketAddr {
    fn length(&self) -> usize {
        length_of_binary(if self.is_ipv4() { 6 } else { 18 })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut bytes = match self.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        bytes.extend(self.port().to_be_bytes());
        Bytes::from(bytes).write(out);
    }

    fn read(source: &mut Source<'_>) -> Result<SocketAddr, Unreadable> {
        let (ip, port) = source.reader.binary()?.split_last_chunk::<2>().ok_or(Unreadable::Malformed)?;
        let ip = match ip.len() {
            4 => <[u8; 4]>::try_from(ip).map(IpAddr::from),
            _ => <[u8; 16]>::try_from(ip).map(IpAddr::from),
        };
        Ok(SocketAddr::new(ip.map_err(|_| Unreadable::Malformed)?, u16::from_be_bytes(*port)))
    }
}
