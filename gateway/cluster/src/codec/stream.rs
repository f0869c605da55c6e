//! Streams of clients.

use hubgate_core::stream::{Finish, Room, StreamCommand, StreamDeed, StreamError, Unsuited};

use crate::field::{choice, record};

record!(StreamCommand { stream, plugin, does });
choice!(StreamDeed {
    0 Push(items),
    1 Finish(finish),
});
choice!(Finish {
    0 Void,
    1 Value(value),
    2 Rejected(text),
    3 Failed(text),
});
record!(Room { items, bytes });
choice!(StreamError {
    0 NoSuchStream,
    1 Full(room),
    2 TooLarge,
    3 Invalid(unsuited),
});
choice!(Unsuited {
    0 Items,
    1 Value,
});
