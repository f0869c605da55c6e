//! Says who may come: whoever the header `x-user` names, with the role of `x-role`, but not `nobody`.

use hubgate_plugin::authorizer::{Grant, Refusal, Request};

pub(crate) fn authorize(request: &Request) -> Result<Grant, Refusal> {
    match request.header("x-user") {
        None => Err(Refusal::unauthorized("Who are you?")),
        Some("nobody") => Err(Refusal::forbidden("Nobody may not come.")),
        Some(user) => Ok(match request.header("x-role") {
            Some(role) => Grant::user(user).claim("role", role),
            None => Grant::user(user),
        }),
    }
}
