//! Tells who is in a room, and who enters and leaves it: each user once, however many connections it has.
//!
//! What a room was told is its roster, which is kept in `state`. Who enters is given the roster, after becoming a member: so what is
//! told later fits to it.

mod place;
mod rooms;
mod roster;
mod settings;

use std::cell::OnceCell;

use hubgate_plugin::hub::{self, Target};
use hubgate_plugin::presence::{self, Member};
use hubgate_plugin::{Arguments, Connection, Error, Handler, Hub, Reply, connections, done, fail, reject, reply};

use crate::place::Place;
use crate::settings::Settings;

thread_local! {
    static SETTINGS: OnceCell<Settings> = const { OnceCell::new() };
}

struct Presence;

impl Handler for Presence {
    fn init() -> Result<(), String> {
        let settings = Settings::read(hubgate_plugin::config::get)?;
        SETTINGS.with(|cell| cell.set(settings)).map_err(|_| "the instance was made before".to_owned())
    }

    fn invoke(client: Connection, method: &str, arguments: Arguments) -> Reply {
        with_settings(|settings| match method {
            _ if method == settings.enter => enter(settings, &client, &arguments),
            _ if method == settings.leave => leave(&client, &arguments),
            unknown => reject(format!("There is no method '{unknown}'.")),
        })
    }
}

impl Hub for Presence {
    fn presence_changed(hub: &str, room: &str, joined: Vec<Member>, left: Vec<Member>) -> Result<(), Error> {
        with_settings(|settings| rooms::change(settings, hub, room, &joined, &left))
    }

    fn started(hub: &str) -> Result<(), Error> {
        with_settings(|settings| rooms::settle(settings, hub))
    }
}

fn enter(settings: &Settings, client: &Connection, arguments: &Arguments) -> Reply {
    let (room,): (String,) = arguments.parse()?;
    admit(settings, client, &room)?;
    let place = Place::of(&client.hub, &room);
    let ends = place.ends()?;
    rooms::begin(settings, &client.hub, &room)?;
    hub::join(client, &room)?;
    hub::flush();
    let mut roster = place.read()?.roster;
    if roster.is_none() || place.ends()? != ends {
        // The last one has left in between, and the room may not be watched any more.
        rooms::begin_anew(settings, &client.hub, &room)?;
        roster = place.read()?.roster;
    }
    let Some(mut roster) = roster else { return fail(format!("the room '{room}' changes too fast")) };
    let caller = Member { connection: client.id.clone(), user_id: client.user_id.clone() };
    roster.change(vec![caller], &[], usize::MAX);
    reply(&roster.listed())
}

fn leave(client: &Connection, arguments: &Arguments) -> Reply {
    let (room,): (String,) = arguments.parse()?;
    hub::leave(client, &room)?;
    done()
}

/// Lets a client into a room, if it is one, the client's token names it where it has to, and there is a place.
fn admit(settings: &Settings, client: &Connection, room: &str) -> Result<(), Error> {
    let is_named = |claim: &String| {
        let claims = connections::claims(&client.id).unwrap_or_default();
        claims.iter().any(|pair| pair.name == *claim && pair.value == room)
    };
    if !settings.is_room(room) || !settings.claim.as_ref().is_none_or(is_named) {
        return reject(format!("The room '{room}' is not open to you."));
    }
    match presence::count(Target::Group(room.to_owned()))? < settings.most as u64 {
        true => Ok(()),
        false => reject(format!("The room '{room}' is full.")),
    }
}

fn with_settings<T>(action: impl FnOnce(&Settings) -> Result<T, Error>) -> Result<T, Error> {
    SETTINGS.with(|cell| match cell.get() {
        Some(settings) => action(settings),
        None => fail("the instance has not begun"),
    })
}

hubgate_plugin::export_hub!(Presence);
