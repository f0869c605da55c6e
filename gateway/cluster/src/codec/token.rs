//! Connection tokens that one node has given out, and their clients bring to another.

use hubgate_core::question::TokenCommand;
use hubgate_core::{Claimed, Negotiated, TokenClaim, TokenRefusal, TooManyTokens};
use hubgate_wire::negotiate::Transport;

use crate::field::{Field, Source, Unreadable, choice, record};

choice!(TokenCommand {
    0 Keep(negotiated),
    1 Claim(claim),
});
record!(Negotiated { id, token, reconnect });
record!(TokenClaim { token, transport, holder, has_room });
choice!(Claimed {
    0 First { token, id, reconnect, early },
    1 Again { id },
});
choice!(TokenRefusal {
    0 Unknown,
    1 InUse(transport),
    2 NoRoom,
});
choice!(Transport {
    0 WebSockets,
    1 ServerSentEvents,
    2 LongPolling,
});

/// Nothing more is said of it: an array of nothing, to which newer nodes may add.
impl Field for TooManyTokens {
    fn length(&self) -> usize {
        ().length()
    }

    fn write(&self, out: &mut Vec<u8>) {
        ().write(out);
    }

    fn read(source: &mut Source<'_>) -> Result<TooManyTokens, Unreadable> {
        <()>::read(source).map(|()| TooManyTokens)
    }
}
