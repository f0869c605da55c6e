//! Negotiation of a hub whose clients bring the tokens of an identity provider.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use http::request::Parts;
use hubgate_core::id::{HubName, InvalidUserId, is_short_enough};
use hubgate_wire::token::identity::{Identified, IdentityError, KeySet, identify};

use super::authorization::bearer_token;
use super::client_token::{OwnToken, SignedIn, is_for_clients_of};
use super::query::Query;
use super::{Service, anonymous};
use crate::http_places::HttpPlace;
use crate::refusal::Refusal;
use crate::settings::{IdentityProvider, KeySource, Settings};
use crate::shared::unix_seconds;

/// The token that a request brings.
enum Brought<'a> {
    Nothing,
    /// One that clients of the hub are given here, and bring when they connect again.
    Ours(Cow<'a, str>),
    Theirs(Cow<'a, str>),
}

/// A token for `place`, the gateway's own endpoint, for a client whose token the provider has signed.
pub(crate) async fn check(
    service: &Rc<Service>,
    settings: &Settings,
    request: &Parts,
    place: (&str, &HubName),
    provider: &IdentityProvider,
) -> Result<OwnToken, Refusal> {
    let token = match brought(request, place.1) {
        Brought::Theirs(token) => token,
        Brought::Ours(token) if provider.anonymous && anonymous::is_given_out_here(settings, &token, place.1) => {
            return Ok(anonymous::let_in(settings, place));
        }
        Brought::Nothing if provider.anonymous => return Ok(anonymous::let_in(settings, place)),
        Brought::Nothing | Brought::Ours(_) => return Err(Refusal::NoToken),
    };
    let now = unix_seconds();
    let identified = look_up(service, &token, provider, now).await?;
    if !is_short_enough(&identified.user) {
        return Err(Refusal::bad_request(InvalidUserId.to_string()));
    }
    let signed_in = SignedIn {
        user: Some(&identified.user),
        claims: &identified.claims,
        groups: &[],
        lifetime: Some(identified.expiry.saturating_sub(now)),
    };
    let token = OwnToken::sign(settings, place, &signed_in, now);
    let token = token.map_err(|unfit| Refusal::bad_request(format!("The client cannot be let in: {unfit}.")))?;
    HttpPlace::of(&request.extensions).vouch();
    Ok(token)
}

/// The first token that is not ours, else one that is.
fn brought<'a>(request: &'a Parts, hub: &HubName) -> Brought<'a> {
    let header = bearer_token(&request.headers).map(Cow::Borrowed);
    let tokens = header.into_iter().chain(Query::of(&request.uri).get("access_token"));
    let mut brought = Brought::Nothing;
    for token in tokens.filter(|token| !token.is_empty()) {
        match is_for_clients_of(&token, hub) {
            true => brought = Brought::Ours(token),
            false => return Brought::Theirs(token),
        }
    }
    brought
}

async fn look_up(service: &Service, token: &str, provider: &IdentityProvider, now: u64) -> Result<Identified, Refusal> {
    let check = |keys: &KeySet| identify(token, keys, &provider.rules, now);
    let checked = match &provider.keys {
        KeySource::Known(keys) => check(keys),
        KeySource::At(url) => {
            let source = service.shared().provider_keys.at(url).ok_or(Refusal::NoProviderKeys)?;
            let keys: Arc<KeySet> = source.keys().await.ok_or(Refusal::NoProviderKeys)?;
            match check(&keys) {
                // The provider may have a new one.
                Err(IdentityError::UnknownKey) => match source.newer_keys(&keys).await {
                    Some(newer) => check(&newer),
                    None => Err(IdentityError::UnknownKey),
                },
                checked => checked,
            }
        }
    };
    checked.map_err(|error| {
        match &error {
            IdentityError::WrongIssuer { found } => tracing::debug!(found, "a token has another issuer"),
            IdentityError::WrongAudience { found } => tracing::debug!(found, "a token has another audience"),
            _ => {}
        }
        Refusal::BadIdentity(error)
    })
}
