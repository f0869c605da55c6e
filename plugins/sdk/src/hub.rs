//! Act on the hub of the event that is being handled.
//!
//! What is asked for is queued and done in order, before the caller is answered, when the handler returns `Ok`. It is
//! thrown away when the handler fails.

use serde::Serialize;

use crate::bindings::hubgate::plugin::hub::{Invalid, submit};
use crate::{Error, json};

pub use crate::bindings::hubgate::plugin::hub::{Action, Closing, Membership, Message, exists, flush};
pub use crate::bindings::hubgate::plugin::types::{Member, Target};

/// Calls `method` on all clients of the hub. `arguments` is a tuple, a `Vec` or a slice.
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
    let arguments = json(arguments)?;
    act(Action::Send(Message { to, method: method.to_owned(), arguments, except }))
}

/// Puts a connection into a group.
pub fn join(connection: &str, group: &str) -> Result<(), Error> {
    let member = Member::Connection(connection.to_owned());
    act(Action::Join(Membership { member, group: group.to_owned(), ttl_seconds: None }))
}

/// Takes a connection out of a group.
pub fn leave(connection: &str, group: &str) -> Result<(), Error> {
    act(Action::Leave((Member::Connection(connection.to_owned()), group.to_owned())))
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

/// Queues any action.
pub fn act(action: Action) -> Result<(), Error> {
    submit(&[action]).map_err(|Invalid { reason, .. }| Error::Failed(format!("an action is invalid: {reason}")))
}
