//! The tokens of identity providers: JSON Web Tokens that are signed with a key of the provider's own, and checked with its public one.
//!
//! Source: RFC 7519, and RFC 8725 for what is to be refused. A token cannot choose its key but by the name of one that is known (`kid`).

mod algorithm;
mod keys;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use self::algorithm::Algorithm;
pub use self::keys::{KeySet, KeySetError, LONGEST_KEY_SET, UnusableKey};
use super::value::{ClaimValue, UniqueMembers};

/// The longest token of a provider that is read, in characters.
pub const LONGEST_IDENTITY_TOKEN: usize = 16 << 10;
/// How far a token's `nbf` may lie in the future, in seconds: the provider's clock may be ahead of ours.
const NOT_BEFORE_LEEWAY: u64 = 60;
/// What is repeated of a refused token's own claims, in characters.
const LONGEST_SHOWN: usize = 200;

/// What must hold of a token, beside its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Its `iss`, to the letter.
    pub issuer: String,
    /// One of its `aud`, to the letter.
    pub audience: String,
    /// The claim that names the user.
    pub user: String,
    /// The names of our claims and of theirs, whose values they have.
    pub claims: Vec<(String, String)>,
}

/// Whom a token that was checked is about.
#[derive(Debug, PartialEq, Eq)]
pub struct Identified {
    pub user: String,
    /// By our names; a name has an entry for each value.
    pub claims: Vec<(String, String)>,
    /// When the token ends, in seconds since 1970.
    pub expiry: u64,
}

/// Why a token identifies nobody. No text holds a part of the token, but the name of an algorithm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("the token is longer than {LONGEST_IDENTITY_TOKEN} characters")]
    TooLong,
    #[error("the token is not a signed JSON Web Token")]
    Malformed,
    #[error("the token's header demands extensions (`crit`), of which none is known")]
    Critical,
    #[error(
        "the token is signed with an algorithm that is not taken: RS256 to RS512, PS256 to PS512, ES256 to ES512 and EdDSA are"
    )]
    Algorithm,
    /// The keys may be older than the token.
    #[error("the token is signed with a key that its issuer has not published")]
    UnknownKey,
    #[error("the token is not signed with a key of its issuer")]
    WrongKey,
    #[error("the token's claims are no JSON object with unique names")]
    BadClaims,
    #[error("the token is from another issuer than `hubs.NAME.jwt.issuer`")]
    WrongIssuer { found: String },
    #[error("the token is for another audience than `hubs.NAME.jwt.audience`")]
    WrongAudience { found: String },
    #[error("the token has no `exp` claim that is a time, in seconds since 1970")]
    NoExpiry,
    #[error("the token has expired")]
    Expired,
    #[error("the token's `nbf` claim is not a time, in seconds since 1970")]
    BadNotBefore,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the token's claim `{0}` names no user: it must be one text or number")]
    NoUser(String),
}

/// Checks a token at `now`, in seconds since 1970.
pub fn identify(token: &str, keys: &KeySet, rules: &Rules, now: u64) -> Result<Identified, IdentityError> {
    if token.len() > LONGEST_IDENTITY_TOKEN {
        return Err(IdentityError::TooLong);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(IdentityError::Malformed)?;
    let (header, claims) = message.split_once('.').ok_or(IdentityError::Malformed)?;
    let header = UniqueMembers::decode(header).ok_or(IdentityError::Malformed)?;
    // RFC 7515, section 4.1.11.
    if header.get("crit").is_some() {
        return Err(IdentityError::Critical);
    }
    let algorithm = header.get("alg").and_then(ClaimValue::as_text).ok_or(IdentityError::Malformed)?;
    let algorithm = Algorithm::of(algorithm).ok_or(IdentityError::Algorithm)?;
    let id = match header.get("kid") {
        None => None,
        Some(id) => Some(id.as_text().ok_or(IdentityError::Malformed)?),
    };
    if id.is_some_and(|id| !keys.has(id)) {
        return Err(IdentityError::UnknownKey);
    }
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| IdentityError::Malformed)?;
    if !keys.have_signed(id, algorithm, (message.as_bytes(), &signature)) {
        return Err(IdentityError::WrongKey);
    }
    let claims = UniqueMembers::decode(claims).ok_or(IdentityError::BadClaims)?;
    let expiry = check(&claims, rules, now)?;
    let user = user(&claims, &rules.user).ok_or_else(|| IdentityError::NoUser(rules.user.clone()))?;
    let mapped = rules
        .claims
        .iter()
        .flat_map(|(ours, theirs)| values(&claims, theirs).into_iter().map(move |value| (ours.clone(), value)));
    Ok(Identified { user, claims: mapped.collect(), expiry })
}

/// Checks for whom the claims are and when; gives when they end.
fn check(claims: &UniqueMembers, rules: &Rules, now: u64) -> Result<u64, IdentityError> {
    let issuer = claims.get("iss").and_then(ClaimValue::as_text);
    if issuer != Some(&*rules.issuer) {
        return Err(IdentityError::WrongIssuer { found: shown(issuer) });
    }
    let audiences = claims.get("aud").map_or(&[][..], ClaimValue::elements);
    if !audiences.iter().any(|audience| audience.as_text() == Some(&*rules.audience)) {
        return Err(IdentityError::WrongAudience { found: shown(audiences.iter().find_map(ClaimValue::as_text)) });
    }
    // To the second: no token of ours may last longer.
    let expiry = claims.get("exp").and_then(ClaimValue::as_time).ok_or(IdentityError::NoExpiry)?;
    if expiry <= now {
        return Err(IdentityError::Expired);
    }
    if let Some(not_before) = claims.get("nbf") {
        let not_before = not_before.as_time().ok_or(IdentityError::BadNotBefore)?;
        if not_before > now.saturating_add(NOT_BEFORE_LEEWAY) {
            return Err(IdentityError::NotYetValid);
        }
    }
    Ok(expiry)
}

fn user(claims: &UniqueMembers, name: &str) -> Option<String> {
    let found = find(claims, name)?;
    match &*found {
        ClaimValue::Text(_) | ClaimValue::Literal(_) => {
            found.as_claim().filter(|user| !user.is_empty()).map(str::to_owned)
        }
        ClaimValue::Null | ClaimValue::List(_) | ClaimValue::Nested(_) => None,
    }
}

/// The values of a claim: one for each element of a list.
fn values(claims: &UniqueMembers, name: &str) -> Vec<String> {
    let Some(found) = find(claims, name) else { return Vec::new() };
    found.elements().iter().filter_map(|value| value.as_claim().map(str::to_owned)).collect()
}

/// A claim of this name, or where there is none, one in an object: `realm_access.roles`.
fn find<'c>(claims: &'c UniqueMembers, name: &str) -> Option<Cow<'c, ClaimValue>> {
    if let Some(found) = claims.get(name) {
        return Some(Cow::Borrowed(found));
    }
    let dots = name.match_indices('.');
    dots.filter_map(|(dot, _)| {
        let ClaimValue::Nested(json) = claims.get(&name[..dot])? else { return None };
        let inner: UniqueMembers = serde_json::from_str(json).ok()?;
        find(&inner, &name[dot + 1..]).map(|found| Cow::Owned(found.into_owned()))
    })
    .next()
}

fn shown(text: Option<&str>) -> String {
    text.unwrap_or("none").chars().filter(|character| !character.is_control()).take(LONGEST_SHOWN).collect()
}
