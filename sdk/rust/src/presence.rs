//! Who is in the hub of the event that is being handled. [`contract::presence`](crate::contract::presence) has the
//! questions; [`Hub::presence_changed`](crate::Hub::presence_changed) is told of the groups that are watched.

pub use crate::bindings::hubgate::plugin::presence::Member;
