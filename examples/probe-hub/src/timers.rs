//! Acts later, and when a version begins to serve a hub.

use hubgate_plugin::{Arguments, Connection, Reply, reply, state};

/// How often `started` has run.
const STARTED: &str = "started";

pub fn invoke(_: &Connection, method: &str, _: &Arguments) -> Option<Reply> {
    match method {
        "startedCount" => Some(started_count()),
        _ => None,
    }
}

fn started_count() -> Reply {
    reply(&state::increment(STARTED, 0, None)?)
}
