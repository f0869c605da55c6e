//! What is wrong with a token.

use std::time::{SystemTime, UNIX_EPOCH};

use hubgate_net::checks;
use hubgate_wire::token::Claims;

use super::place::{Kind, Place};
use super::{Case, Finding, Findings};
use crate::config::Config;

/// Looks at a token; where no URL says what it is meant to open, this is what it says itself.
pub(super) fn look_at(token: &str, case: &mut Case<'_>, findings: &mut Findings) {
    let token = bare(token);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = Claims::check_without_key(token, now);
    if let Ok(claims) = &claims {
        case.audience = claims.audiences().find_map(|audience| Place::parse(audience).ok());
    }
    let error = match case.config {
        Some(config) => opens(token, config, case, now),
        None => claims.err().map(|error| error.to_string()),
    };
    // The URL may have been found wrong for the same reason.
    let error = error.filter(|error| !findings.has_text(error));
    findings.extend(error.map(|error| Finding::error("--token", error)));
}

/// Without the scheme that it is sent with.
pub(super) fn bare(token: &str) -> &str {
    let token = token.trim();
    token.strip_prefix("Bearer ").unwrap_or(token).trim()
}

/// Why the token does not open what it is for.
fn opens(token: &str, config: &Config, case: &Case<'_>, now: u64) -> Option<String> {
    if let Err(error) = Claims::verify(token, &config.net.access_keys, now) {
        return Some(error.to_string());
    }
    let known = config.net.hubs.keys().next().map_or("hub", |hub| hub.as_str());
    let named = case.place.as_ref().filter(|place| place.kind != Kind::Base);
    match named.or(case.audience.as_ref()) {
        Some(place) => checks::token(&config.net, token, place.resource(known)).err(),
        None => Some("it has no `aud` claim that is a URL of a hub or of the REST API".to_owned()),
    }
}
