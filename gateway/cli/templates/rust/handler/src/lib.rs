//! The handler: what clients call, answered.

use hubgate_plugin::{Arguments, Connection, Error, Handler, Reply, reject, reply, state};

struct Plugin;

impl Handler for Plugin {
    /// `reject(text)` refuses the client.
    fn connected(_: Connection) -> Result<(), Error> {
        Ok(())
    }

    fn invoke(_: Connection, method: &str, arguments: Arguments) -> Reply {
        match method {
            "hello" => {
                let (name,): (String,) = arguments.parse()?;
                reply(&greet(&name))
            }
            // The gateway keeps the number: variables of a plugin may vanish between two calls.
            "count" => reply(&state::increment("count", 1, None)?),
            unknown => reject(format!("there is no method '{unknown}'; 'hello' and 'count' are")),
        }
    }
}

fn greet(name: &str) -> String {
    format!("Hello, {name}!")
}

hubgate_plugin::export!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_has_the_name() {
        assert_eq!(greet("ann"), "Hello, ann!");
    }
}
