//! Act on the hub of the event that is being handled.
//!
//! What is asked for is queued and done in order, before the caller is answered, when the handler returns `Ok`. It is
//! thrown away when the handler fails.
//!
//! ```no_run
//! use hubgate_plugin::{Connection, Error, hub};
//!
//! # fn handle(client: Connection) -> Result<(), Error> {
//! hub::join(&client, "tea")?;
//! hub::join(hub::user("ann"), "tea")?;
//! hub::send_group("tea", "said", &("the house", "Tea is ready."))?;
//! hub::send(hub::Target::All, "joined", &(&client.id,), vec![client.id.clone()])?;
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use serde::Serialize;

use crate::bindings::hubgate::plugin::hub::{self as contract, Invalid};
use crate::{Connection, Error, call_arguments};

pub use crate::bindings::hubgate::plugin::hub::{Action, Closing, Membership, Message, flush};
pub use crate::bindings::hubgate::plugin::types::{Member, Target};

/// Calls `method` on all clients of the hub. `arguments` is a tuple, a `Vec` or a slice; `&()` is none.
pub fn send_all(method: &str, arguments: &impl Serialize) -> Result<(), Error> {
    send(Target::All, method, arguments, Vec::new())
}

/// Calls `method` on the clients of a group.
pub fn send_group(group: &str, method: &str, arguments: &impl Serialize) -> Result<(), Error> {
    send(Target::Group(group.to_owned()), method, arguments, Vec::new())
}

/// Calls `method` on all connections of a user.
pub fn send_user(user: &str, method: &str, arguments: &impl Serialize) -> Result<(), Error> {
    send(Target::User(user.to_owned()), method, arguments, Vec::new())
}

/// Calls `method` on one connection.
pub fn send_connection(id: &str, method: &str, arguments: &impl Serialize) -> Result<(), Error> {
    send(Target::Connection(id.to_owned()), method, arguments, Vec::new())
}

/// Calls `method` on the clients of a target but for the connections in `except`.
pub fn send(to: Target, method: &str, arguments: &impl Serialize, except: Vec<String>) -> Result<(), Error> {
    let arguments = call_arguments(arguments)?;
    act(Action::Send(Message { to, method: method.to_owned(), arguments, except }))
}

/// Puts a member into a group: a connection (its id), or a [`user`] with all connections, present and to come.
pub fn join(member: impl Into<Member>, group: &str) -> Result<(), Error> {
    act(Action::Join(Membership { member: member.into(), group: group.to_owned(), ttl_seconds: None }))
}

/// Puts a member into a group for some time, in whole seconds.
pub fn join_for(member: impl Into<Member>, group: &str, time: Duration) -> Result<(), Error> {
    let ttl_seconds = Some(u32::try_from(time.as_secs()).unwrap_or(u32::MAX));
    act(Action::Join(Membership { member: member.into(), group: group.to_owned(), ttl_seconds }))
}

/// Takes a member out of a group.
pub fn leave(member: impl Into<Member>, group: &str) -> Result<(), Error> {
    act(Action::Leave((member.into(), group.to_owned())))
}

/// Takes a member out of all groups.
pub fn leave_all(member: impl Into<Member>) -> Result<(), Error> {
    act(Action::LeaveAll(member.into()))
}

/// Closes a connection, which is told the reason.
pub fn close(connection: &str, reason: &str, allow_reconnect: bool) -> Result<(), Error> {
    act(Action::Close(Closing {
        target: Target::Connection(connection.to_owned()),
        except: Vec::new(),
        reason: Some(reason.to_owned()),
        allow_reconnect,
    }))
}

/// Whether there is anybody: a connection of the id or of the user, a member of the group, a client at all.
pub fn exists(target: &Target) -> Result<bool, Error> {
    contract::exists(target).map_err(Error::Failed)
}

/// Queues any action.
pub fn act(action: Action) -> Result<(), Error> {
    contract::submit(&[action])
        .map_err(|Invalid { reason, .. }| Error::Failed(format!("an action is invalid: {reason}")))
}

/// A user as a member of groups.
pub fn user(id: &str) -> Member {
    Member::User(id.to_owned())
}

impl From<&Connection> for Member {
    fn from(connection: &Connection) -> Member {
        Member::Connection(connection.id.clone())
    }
}

/// The id of a connection.
impl From<&str> for Member {
    fn from(id: &str) -> Member {
        Member::Connection(id.to_owned())
    }
}

/// The id of a connection.
impl From<&String> for Member {
    fn from(id: &String) -> Member {
        Member::Connection(id.clone())
    }
}
