//! Asks clients, and waits for what they answer.

use std::time::Duration;

use hubgate_plugin::contract::client_results;
use hubgate_plugin::{Arguments, Connection, Error, Payload, RawValue, Reply, hub, reply};

/// As long as the gateway lets it.
const AS_LONG_AS_MAY_BE: Duration = Duration::ZERO;

pub fn invoke(client: &Connection, method: &str, arguments: &Arguments) -> Option<Reply> {
    match method {
        "askMe" => Some(ask_me(client, arguments)),
        "askOther" => Some(ask_other(arguments)),
        "connectionId" => Some(reply(&client.id)),
        "askBetween" => Some(ask_between(client, arguments)),
        _ => None,
    }
}

fn ask_me(client: &Connection, arguments: &Arguments) -> Reply {
    let (method, x): (String, &RawValue) = arguments.parse()?;
    ask(&client.id, &method, x, 0)
}

fn ask_other(arguments: &Arguments) -> Reply {
    let (connection, method, x, milliseconds): (String, String, &RawValue, u32) = arguments.parse()?;
    ask(&connection, &method, x, milliseconds)
}

/// What the client answers as it is: `null` is a value.
fn ask(connection: &str, method: &str, x: &RawValue, milliseconds: u32) -> Reply {
    let arguments = Payload::Json(format!("[{x}]"));
    Ok(client_results::ask(connection, method, &arguments, milliseconds)?)
}

/// Says `before`, which it flushes, and `after`, and asks the caller between them; answers with its own version.
fn ask_between(client: &Connection, arguments: &Arguments) -> Reply {
    let (method,): (String,) = arguments.parse()?;
    hub::send_connection(&client.id, "said", &("before",))?;
    hub::flush();
    hub::send_connection(&client.id, "said", &("after",))?;
    client.ask::<()>(&method, &[(); 0], AS_LONG_AS_MAY_BE)?;
    reply(env!("PROBE_VERSION"))
}

/// Asks a user of this name before it is let in, and refuses it with what comes of it.
pub fn connected(client: &Connection) -> Result<(), Error> {
    match client.user_id.as_deref() {
        Some("asked-too-early") => Ok(client.ask("hello", &[(); 0], AS_LONG_AS_MAY_BE)?),
        _ => Ok(()),
    }
}
