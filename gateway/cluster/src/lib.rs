//! Several gateways that serve as one: what their nodes say to each other, who is there, and that nothing between two of them is lost
//! unnoticed.
//!
//! It does no input or output and knows no clock and no random source: what has come, the time and new ids are arguments.

pub mod codec;
mod field;
pub mod frame;
