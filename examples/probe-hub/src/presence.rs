//! Who is there.

use hubgate_plugin::{Arguments, Connection, Reply, done, hub};

pub fn invoke(client: &Connection, method: &str, arguments: &Arguments) -> Option<Reply> {
    match method {
        "join" => Some(join(client, arguments)),
        "leave" => Some(leave(client, arguments)),
        _ => None,
    }
}

fn join(client: &Connection, arguments: &Arguments) -> Reply {
    let (group,): (String,) = arguments.parse()?;
    hub::join(&client.id, &group)?;
    done()
}

fn leave(client: &Connection, arguments: &Arguments) -> Reply {
    let (group,): (String,) = arguments.parse()?;
    hub::leave(&client.id, &group)?;
    done()
}
