//! Asks clients, and waits for what they answer.

use std::time::Duration;

use hubgate_plugin::client_results::{AskError, ask};
use hubgate_plugin::{Arguments, Connection, Error, RawValue, Reply, hub, reply};

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
    answer(client.ask(&method, &(x,), AS_LONG_AS_MAY_BE))
}

fn ask_other(arguments: &Arguments) -> Reply {
    let (connection, method, x, milliseconds): (String, String, &RawValue, u64) = arguments.parse()?;
    answer(ask(&connection, &method, &(x,), Duration::from_millis(milliseconds)))
}

/// The value that the client answers, in its own words.
fn answer(answer: Result<Option<Box<RawValue>>, AskError>) -> Reply {
    match answer? {
        Some(value) => reply(&value),
        None => Ok(None),
    }
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
