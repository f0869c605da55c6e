//! Why a peer is not read.

/// A reason for which no more of a peer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nobody has decided yet whether the client is let in, and it has said as much as may wait for that.
    Admission,
    /// Too many of the client's calls wait for upstream.
    Calls,
    /// Filters are taking a while over what the peer said.
    Inspection,
    /// The client's hub server is congested.
    Server,
    /// Too many of the hub server's acks wait for other shards.
    Acks,
    /// The client has said as many messages as one may in a second.
    Rate,
    /// The clients of its hub have, together.
    HubRate,
    /// The client moves to another hub server.
    Moving,
    /// Other nodes do not know yet that clients of its hub are here.
    Announcement,
    /// The client, of ASP.NET SignalR, has not said yet that it is ready.
    Start,
}

/// The reasons that apply now. Whoever removes one leaves the others as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ReadHolds(u16);

impl ReadHolds {
    /// Whether the peer is read.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn has(self, hold: Hold) -> bool {
        self.0 & hold.bit() != 0
    }

    /// Adds a reason. Gives whether it is the first one: the peer must not be read from now on.
    pub(crate) fn add(&mut self, hold: Hold) -> bool {
        let was_read = self.is_empty();
        self.0 |= hold.bit();
        was_read
    }

    /// Removes a reason. Gives whether it was the last one: the peer is read again.
    pub(crate) fn remove(&mut self, hold: Hold) -> bool {
        let had_it = self.has(hold);
        self.0 &= !hold.bit();
        had_it && self.is_empty()
    }
}

impl Hold {
    const LAST: Hold = Hold::Start;

    fn bit(self) -> u16 {
        1 << self as u8
    }
}

const _: () = assert!((Hold::LAST as u32) < u16::BITS, "each reason has a bit of its own");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_read_again_when_its_last_hold_is_removed() {
        let mut holds = ReadHolds::default();
        assert!(holds.add(Hold::Calls));
        assert!(!holds.add(Hold::Server) && !holds.add(Hold::Calls));
        assert!(!holds.remove(Hold::Calls));
        assert!(!holds.is_empty() && holds.has(Hold::Server));
        assert!(!holds.remove(Hold::Calls), "it is gone already");
        assert!(holds.remove(Hold::Server));
        assert!(holds.is_empty());
        assert!(!holds.remove(Hold::Server), "nothing changes");
    }
}
