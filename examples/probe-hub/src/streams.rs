//! Streams to clients and from them.

use hubgate_plugin::{Arguments, Connection, Reply};

pub fn invoke(_: &Connection, _: &str, _: &Arguments) -> Option<Reply> {
    None
}
