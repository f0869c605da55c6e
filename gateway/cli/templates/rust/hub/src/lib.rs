//! The hub: what clients call and stream, and what it does by itself.

use std::time::Duration;

use hubgate_plugin::streams::Opening;
use hubgate_plugin::timers::Lifetime;
use hubgate_plugin::{Arguments, Connection, Error, Handler, Hub, Reply, done, hub, reject, reply, state, timers};

struct Plugin;

impl Handler for Plugin {
    fn invoke(client: Connection, method: &str, arguments: Arguments) -> Reply {
        match method {
            "hello" => {
                let (name,): (String,) = arguments.parse()?;
                reply(&greet(&name))
            }
            // The gateway keeps the number: variables of a plugin may vanish between two calls.
            "count" => reply(&state::increment("count", 1, None)?),
            // The caller hears `reminded` with the text, so many milliseconds later. The timer's name says who it is.
            "remind" => {
                let (ms, text): (u64, String) = arguments.parse()?;
                timers::after(&client.id, Duration::from_millis(ms), text, Lifetime::Process)?;
                done()
            }
            unknown => reject(format!("there is no method '{unknown}'; 'hello', 'count' and 'remind' are")),
        }
    }
}

impl Hub for Plugin {
    fn begin(_: Connection, method: &str, arguments: Arguments, opening: Opening) -> Result<(), Error> {
        match method {
            "countdown" => {
                let (from,): (u8,) = arguments.parse()?;
                opening.stream.push_all((1..=from).rev())?;
                Ok(opening.stream.finish()?)
            }
            unknown => reject(format!("there is no stream '{unknown}'; 'countdown' is")),
        }
    }

    fn fired(_: &str, timer: &str, payload: Vec<u8>) -> Result<(), Error> {
        hub::send_connection(timer, "reminded", &(String::from_utf8_lossy(&payload),))
    }
}

fn greet(name: &str) -> String {
    format!("Hello, {name}!")
}

hubgate_plugin::export_hub!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_has_the_name() {
        assert_eq!(greet("ann"), "Hello, ann!");
    }
}
