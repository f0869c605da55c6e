//! Several gateways that serve as one: what their nodes say to each other, who is there, and that nothing between two of them is lost
//! unnoticed.
//!
//! It does no input or output and knows no clock and no random source: what has come, the time and new ids are arguments.

mod announcements;
pub mod codec;
mod door;
mod field;
pub mod frame;
mod incoming;
mod namesake;
mod node;
mod outgoing;
mod peer;
mod reach;
mod strangers;

pub use door::{Announced, Counts, Input, NodeSettings, Other, Output, Receivers, Report};
pub use frame::Configuration;
pub use incoming::{LARGEST_ITEM, LARGEST_MESSAGE};
pub use node::Node;
