//! A chat: people with names talk in rooms.

use hubgate_plugin::{Arguments, Connection, Error, Handler, Reply, done, hub, reject, reply, state};

/// What everybody hears who joins a room. Change it, build again, and join: no page is reloaded, nobody disconnected.
const GREETING: &str = "Welcome";

struct Chat;

impl Handler for Chat {
    fn invoke(client: Connection, method: &str, arguments: Arguments) -> Reply {
        match method {
            "join" => {
                let (room, name): (String, String) = arguments.parse()?;
                if room.trim().is_empty() || name.trim().is_empty() {
                    return reject("A room and a name are needed.");
                }
                seats::take(&client, &room, &name)?;
                hub::join(&client.id, &room)?;
                to_others(&client, &room, "joined", &name)?;
                reply(&format!("{GREETING} to {room}, {name}!"))
            }
            "say" => {
                let (room, text): (String, String) = arguments.parse()?;
                let Some(name) = seats::name(&client, &room)? else {
                    return reject(format!("Join {room} first."));
                };
                hub::send_group(&room, "said", &(&room, name, text))?;
                done()
            }
            "leave" => {
                let (room,): (String,) = arguments.parse()?;
                leave(&client, &room)?;
                done()
            }
            "rooms" => reply(&seats::rooms(&client)?),
            unknown => reject(format!("There is no method '{unknown}'.")),
        }
    }

    fn disconnected(client: Connection, _: Option<String>) -> Result<(), Error> {
        for room in seats::rooms(&client)? {
            leave(&client, &room)?;
        }
        Ok(())
    }
}

fn leave(client: &Connection, room: &str) -> Result<(), Error> {
    if let Some(name) = seats::name(client, room)? {
        seats::free(client, room)?;
        hub::leave(&client.id, room)?;
        to_others(client, room, "left", &name)?;
    }
    Ok(())
}

fn to_others(client: &Connection, room: &str, method: &str, name: &str) -> Result<(), Error> {
    hub::send(hub::Target::Group(room.to_owned()), method, &(room, name), vec![client.id.clone()])
}

/// Who is in which room under which name, kept by the gateway: a client's next call may meet another instance.
mod seats {
    use super::*;

    fn key(client: &Connection, room: &str) -> String {
        format!("seat/{}/{room}", client.id)
    }

    pub(super) fn take(client: &Connection, room: &str, name: &str) -> Result<(), Error> {
        state::set_bytes(&key(client, room), name, None)
    }

    pub(super) fn name(client: &Connection, room: &str) -> Result<Option<String>, Error> {
        let name = state::get_bytes(&key(client, room))?;
        Ok(name.map(|name| String::from_utf8_lossy(&name).into_owned()))
    }

    pub(super) fn free(client: &Connection, room: &str) -> Result<(), Error> {
        state::delete(&key(client, room))
    }

    pub(super) fn rooms(client: &Connection) -> Result<Vec<String>, Error> {
        let prefix = key(client, "");
        let keys = state::keys(&prefix, None, 1000)?;
        Ok(keys.iter().filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned).collect())
    }
}

hubgate_plugin::export!(Chat);
