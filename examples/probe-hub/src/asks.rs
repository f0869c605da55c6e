//! Asks clients, and waits for what they answer.

use hubgate_plugin::{Arguments, Connection, Reply};

pub fn invoke(_: &Connection, _: &str, _: &Arguments) -> Option<Reply> {
    None
}
