//! Who is in the hub of the event that is being handled, on all of the gateway's threads.
//!
//! A hub is asked, or it is told: [`Hub::presence_changed`](crate::Hub::presence_changed) hears of who joins and leaves the groups that
//! it [`watch`]es. Changes are told once, so [`members`] is the way to be sure, after a call that has failed for example.
//!
//! ```no_run
//! use hubgate_plugin::presence::Member;
//! use hubgate_plugin::{Arguments, Connection, Error, Handler, Hub, Reply, hub, presence, reply};
//!
//! struct Rooms;
//!
//! impl Handler for Rooms {
//!     fn invoke(client: Connection, _: &str, arguments: Arguments) -> Reply {
//!         let (room,): (String,) = arguments.parse()?;
//!         presence::watch(&room)?;
//!         hub::join(&client, &room)?;
//!         reply(&presence::count(hub::Target::Group(room))?)
//!     }
//! }
//!
//! impl Hub for Rooms {
//!     fn presence_changed(_: &str, room: &str, joined: Vec<Member>, left: Vec<Member>) -> Result<(), Error> {
//!         hub::send_group(room, "changed", &(joined.len(), left.len()))
//!     }
//! }
//!
//! hubgate_plugin::export_hub!(Rooms);
//! ```

use crate::Error;
use crate::bindings::hubgate::plugin::presence as contract;
use crate::hub::Target;

pub use crate::bindings::hubgate::plugin::presence::{Member, WatchError};

/// How many connections a target has.
pub fn count(target: Target) -> Result<u64, Error> {
    contract::count(&target).map_err(Error::Failed)
}

/// The members of a group by connection id, those after `after`: as many as `limit` says, and 1,000 at most. The next page begins after
/// the last one of this page; an empty page is the end.
pub fn members(group: &str, after: Option<&str>, limit: u32) -> Result<Vec<Member>, Error> {
    contract::members(group, after, limit).map_err(Error::Failed)
}

/// The ids of a user's connections, in pages as [`members`].
pub fn connections(user: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
    contract::connections(user, after, limit).map_err(Error::Failed)
}

/// From now on [`Hub::presence_changed`](crate::Hub::presence_changed) hears of who joins and leaves the group. It stays so, over swaps
/// too, until [`unwatch`], or until the gateway ends.
pub fn watch(group: &str) -> Result<(), WatchError> {
    contract::watch(group)
}

/// The end of a [`watch`]. A change that is not told yet is not told any more.
pub fn unwatch(group: &str) -> Result<(), WatchError> {
    contract::unwatch(group)
}

impl From<WatchError> for Error {
    fn from(error: WatchError) -> Error {
        Error::Failed(match error {
            WatchError::TooMany => "the plugin watches as many groups as `presence-groups` allows".to_owned(),
            WatchError::Invalid(reason) => reason,
        })
    }
}
