//! Rooms: they are watched as long as they have a roster, from the first one who enters to the last one who leaves.
//!
//! A roster changes by what the gateway tells of joins and leaves, and by nothing else while the room is watched. Who joins and leaves
//! again between two of its calls is told neither way: so a look at who is there in between would know somebody whose end is never told.

use std::collections::BTreeSet;

use hubgate_plugin::hub::{self, Target};
use hubgate_plugin::presence::{self, Member, WatchError};
use hubgate_plugin::{Error, fail};

use crate::place::Place;
use crate::roster::Roster;
use crate::settings::Settings;

/// How often a roster is changed anew because somebody else was faster.
const ATTEMPTS: usize = 100;
/// Members that the gateway tells at a time.
const PAGE: u32 = 1_000;

/// The room has a roster when this returns, and what changes from then on is told.
pub fn begin(settings: &Settings, hub: &str, room: &str) -> Result<(), Error> {
    let place = Place::of(hub, room);
    let read = place.read()?;
    if read.roster.is_some() {
        return watch(settings, hub, room);
    }
    // Who is there before the watch begins is told as left later, and not as joined.
    let members = members(room)?;
    watch(settings, hub, room)?;
    let roster = Roster::of(room, members, settings.most);
    if place.replace(&read, Some(&roster))? {
        tell(settings, &Roster::default(), &roster)?;
    }
    Ok(())
}

/// Members have joined and left a room.
pub fn change(settings: &Settings, hub: &str, room: &str, joined: &[Member], left: &[Member]) -> Result<(), Error> {
    let place = Place::of(hub, room);
    for _ in 0..ATTEMPTS {
        let read = place.read()?;
        let before = read.roster.clone().unwrap_or_else(|| Roster::of(room, Vec::new(), settings.most));
        let mut after = before.clone();
        after.change(joined.to_vec(), left, settings.most);
        let kept = Some(&after).filter(|after| !after.is_empty());
        if place.replace(&read, kept)? {
            return match kept {
                Some(_) => tell(settings, &before, &after),
                None => give_up(settings, hub, room),
            };
        }
    }
    fail(format!("the room '{room}' changes too fast"))
}

/// Takes out who is gone without a word, as all are after a restart.
pub fn settle(settings: &Settings, hub: &str) -> Result<(), Error> {
    for place in Place::all(hub)? {
        let read = place.read()?;
        let Some(before) = &read.roster else { continue };
        let there: BTreeSet<String> = members(&before.room)?.into_iter().map(|member| member.connection).collect();
        let mut after = before.clone();
        after.retain(|connection| there.contains(connection));
        let kept = Some(&after).filter(|after| !after.is_empty());
        if !place.replace(&read, kept)? {
            // Somebody has changed it already, who knows better.
            continue;
        }
        match kept {
            Some(_) => {
                watch(settings, hub, &before.room)?;
                tell(settings, before, &after)?;
            }
            None => give_up(settings, hub, &before.room)?,
        }
    }
    Ok(())
}

/// Ends the watch of a room that has no roster any more. Whoever enters meanwhile sees by the count of ends that this has happened, or
/// is seen here.
fn give_up(settings: &Settings, hub: &str, room: &str) -> Result<(), Error> {
    presence::unwatch(room).map_err(refused)?;
    Place::of(hub, room).count_end()?;
    match is_empty(room)? {
        true => Ok(()),
        false => begin_anew(settings, hub, room),
    }
}

/// Watches a room, and puts into its roster who is there.
pub fn begin_anew(settings: &Settings, hub: &str, room: &str) -> Result<(), Error> {
    presence::watch(room).map_err(refused)?;
    change(settings, hub, room, &members(room)?, &[])
}

fn watch(settings: &Settings, hub: &str, room: &str) -> Result<(), Error> {
    match presence::watch(room) {
        Err(WatchError::TooMany) => {
            clear(settings, hub)?;
            presence::watch(room).map_err(refused)
        }
        watched => watched.map_err(refused),
    }
}

/// Gives up the rooms that nobody is in, although nobody was told to have left them: who was there, was there so shortly that the gateway
/// has not told of it at all.
fn clear(settings: &Settings, hub: &str) -> Result<(), Error> {
    for place in Place::all(hub)? {
        let read = place.read()?;
        let Some(Roster { room, .. }) = &read.roster else { continue };
        if is_empty(room)? && place.replace(&read, None)? {
            give_up(settings, hub, room)?;
        }
    }
    Ok(())
}

fn tell(settings: &Settings, before: &Roster, after: &Roster) -> Result<(), Error> {
    for (method, who) in [(&settings.entered, after.beyond(before)), (&settings.left, before.beyond(after))] {
        if !who.is_empty() {
            hub::send_group(&after.room, method, &(&after.room, who))?;
        }
    }
    Ok(())
}

fn is_empty(room: &str) -> Result<bool, Error> {
    Ok(presence::count(Target::Group(room.to_owned()))? == 0)
}

fn members(room: &str) -> Result<Vec<Member>, Error> {
    let mut members = Vec::<Member>::new();
    loop {
        let after = members.last().map(|last| last.connection.as_str());
        let page = presence::members(room, after, PAGE)?;
        if page.is_empty() {
            return Ok(members);
        }
        members.extend(page);
    }
}

fn refused(error: WatchError) -> Error {
    match error {
        WatchError::TooMany => Error::Rejected("Too many rooms are in use.".to_owned()),
        WatchError::Invalid(reason) => Error::Failed(reason),
    }
}
