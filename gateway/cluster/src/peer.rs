//! Another node, as one sees it.

use bytes::Bytes;
use hubgate_core::time::Millis;

use crate::frame::{Configuration, Hello};
use crate::incoming::IncomingStream;
use crate::namesake::Namesake;
use crate::outgoing::OutgoingStream;

/// So many frames, or bytes, are acknowledged at once; fewer at the next tick.
const ACKNOWLEDGED_FRAMES: usize = 64;
const ACKNOWLEDGED_BYTES: usize = 256 << 10;

/// Another node that is there.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) incarnation: u64,
    pub(crate) hello: Hello,
    pub(crate) outgoing: OutgoingStream,
    /// More waited for it, or for longer, than may be kept while it was not reached: nothing is kept until it is reached, and then it is told
    /// everything anew.
    pub(crate) is_waiting: bool,
    /// The last frame that was published, by stream and sequence.
    pub(crate) published: (u32, u64),
    pub(crate) incoming: IncomingStream,
    /// Its next stream tells what is known of it already, and may no longer be so.
    pub(crate) tells_anew: bool,
    /// Whether all has come that it knew when its stream began.
    pub(crate) is_complete: bool,
    pub(crate) last_heard: Millis,
    /// Another node with its id.
    pub(crate) namesake: Namesake,
    /// How many clients it had when it said so last.
    pub(crate) clients: u64,
    /// What it said last of its configuration.
    pub(crate) configuration: Option<Configuration>,
    /// What has come since the last acknowledgement.
    unacknowledged: Unacknowledged,
}

#[derive(Debug, Default)]
struct Unacknowledged {
    frames: usize,
    bytes: usize,
    /// Somebody waits for it.
    is_urgent: bool,
}

impl Peer {
    pub(crate) fn new(
        (incarnation, hello): (u64, Hello),
        outgoing: OutgoingStream,
        incoming: IncomingStream,
        now: Millis,
    ) -> Peer {
        Peer {
            incarnation,
            hello,
            outgoing,
            is_waiting: false,
            published: (0, 0),
            incoming,
            tells_anew: false,
            is_complete: false,
            last_heard: now,
            namesake: Namesake::default(),
            clients: 0,
            configuration: None,
            unacknowledged: Unacknowledged::default(),
        }
    }

    /// Items have come.
    pub(crate) fn has_received(&mut self, items: &[Bytes]) {
        self.unacknowledged.frames += 1;
        self.unacknowledged.bytes += items.iter().map(Bytes::len).sum::<usize>();
    }

    /// What has come is to be acknowledged at the end of the turn.
    pub(crate) fn acknowledge_soon(&mut self) {
        self.unacknowledged.is_urgent = true;
    }

    /// What is to be acknowledged now: a stream, and a sequence. `is_tick`: all that is not acknowledged.
    pub(crate) fn acknowledge(&mut self, is_tick: bool) -> Option<(u32, u64)> {
        let Unacknowledged { frames, bytes, is_urgent } = self.unacknowledged;
        if !is_tick && !is_urgent && frames < ACKNOWLEDGED_FRAMES && bytes < ACKNOWLEDGED_BYTES {
            return None;
        }
        self.unacknowledged = Unacknowledged::default();
        self.incoming.acknowledge()
    }
}
