//! What [`Hub::authorize`](crate::Hub::authorize) is asked, and what it answers.

pub use crate::bindings::authorizer::exports::hubgate::plugin::authorizer::{Grant, Refusal, Request};
