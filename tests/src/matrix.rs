//! What unmodified clients did against the gateway: `scripts/compatibility.py` makes the tables of `docs/compatibility.md` of
//! it.

use std::fs;

use crate::command::leavings;

/// Transports and hub protocols that go together.
pub const WAYS: [(&str, &str); 5] = [
    ("WebSockets", "json"),
    ("WebSockets", "messagepack"),
    ("ServerSentEvents", "json"),
    ("LongPolling", "json"),
    ("LongPolling", "messagepack"),
];

/// Notes that a client did something to its end: `feature` in the words of the table, on a transport and with a hub
/// protocol by the names that negotiation and handshake give them.
pub fn did(client: &str, transport: &str, protocol: &str, feature: &str) {
    let fact = [client, transport, protocol, feature].join(" | ").replace('/', "∕");
    fs::write(leavings("clients").join(fact), "").expect("the target directory can be written");
}
