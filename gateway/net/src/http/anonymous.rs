//! Negotiation of clients that come without a token.

use http::request::Parts;
use hubgate_core::id::HubName;

use super::authorization::access_token;
use super::client_token::{CLOSES, CLOSES_AT, OwnToken, SignedIn, own_claims};
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::shared::unix_seconds;

/// A token is of no use where clients come in without one, unless it is one that was given out here.
pub(super) fn check_token(settings: &Settings, request: &Parts, hub: &HubName, endpoint: &str) -> Result<(), Refusal> {
    let is_of_no_use = |token: &str| !token.is_empty() && !is_given_out_here(settings, token, hub);
    match access_token(request).is_some_and(|token| is_of_no_use(&token)) {
        // Its client would be anonymous without noticing.
        true => Err(Refusal::TokenOfNoUse { hub: hub.clone(), endpoint: endpoint.to_owned() }),
        false => Ok(()),
    }
}

/// Lets a client in at `place`, the gateway's own endpoint, as nobody in particular.
pub(super) fn let_in(settings: &Settings, place: (&str, &HubName)) -> OwnToken {
    let signed_in = SignedIn { user: settings.anonymous_user.as_deref(), ..SignedIn::default() };
    let token = OwnToken::sign(settings, place, &signed_in, unix_seconds());
    token.expect("the token of an anonymous client is short")
}

/// Whether a token says no more than those that such negotiation gives out.
pub(super) fn is_given_out_here(settings: &Settings, token: &str, hub: &HubName) -> bool {
    own_claims(token, hub).is_some_and(|claims| {
        claims.groups().next().is_none()
            && claims.flatten().all(|(name, value)| match name {
                "aud" | "iat" | "exp" | CLOSES | CLOSES_AT => true,
                "asrs.s.uid" => Some(value) == settings.anonymous_user.as_deref(),
                _ => false,
            })
    })
}
