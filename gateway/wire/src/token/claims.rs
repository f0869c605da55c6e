//! What the claims of a client's token say.
//!
//! Source: Azure SignalR Service SDK, `Constants.ClaimType`: claims that begin with `asrs.s.` instruct the service.

use super::value::{ClaimValue, whole_number};
use super::{Claims, TokenError};
use crate::negotiate::Transports;

/// The claim that names the groups that a client is in from its start: a text, or a list of them.
pub const GROUPS: &str = "hubgate.groups";

impl Claims {
    /// The user of the token: `asrs.s.uid`, else the name identifier in its short or long form, else `sub`. Numbers and
    /// booleans are their JSON text, as the claims of .NET are. A claim that is there without naming exactly one user is an
    /// error: who was meant to be somebody is never let in as nobody.
    pub fn user_id(&self) -> Result<Option<&str>, TokenError> {
        const NAMES: [&str; 4] =
            ["asrs.s.uid", "nameid", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier", "sub"];
        for claim in NAMES {
            let mut values = self.values(claim);
            match (values.next(), values.next()) {
                (None, _) => {}
                (Some(ClaimValue::Nested(_)), _) | (Some(_), Some(_)) => return Err(TokenError::BadUser { claim }),
                (Some(user), None) => return Ok(user.as_claim()),
            }
        }
        Ok(None)
    }

    /// The transports that the token allows, by its claim `asrs.s.htt`; `None` if it allows no transport that exists.
    pub fn transports(&self) -> Option<Transports> {
        self.number("asrs.s.htt").map_or(Some(Transports::ALL), Transports::from_bits)
    }

    /// How long a client that polls may be without a poll, in seconds from 1 to 300: the claim `asrs.s.ttl`.
    pub fn poll_interval(&self) -> Option<u64> {
        self.number("asrs.s.ttl").filter(|seconds| (1..=300).contains(seconds))
    }

    /// How long the client's hub handshake may take, in seconds from 1 to 30: the claim `asrs.s.cht`.
    pub fn handshake_timeout(&self) -> Option<u64> {
        self.number("asrs.s.cht").filter(|seconds| (1..=30).contains(seconds))
    }

    /// When the connection is to end, in seconds since 1970: the claim `asrs.s.aeo`, where `asrs.s.coae` says so.
    pub fn connection_end(&self) -> Option<u64> {
        let closes = self.single("asrs.s.coae").is_some_and(|closes| closes.eq_ignore_ascii_case("true"));
        closes.then(|| self.number("asrs.s.aeo").unwrap_or_else(|| self.expiry()))
    }

    /// The groups that the client is in from its start, by its claim [`GROUPS`].
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.values(GROUPS).filter_map(ClaimValue::as_claim)
    }

    /// Each claim as the texts that .NET makes of it: one for each element of an array, none for `null`. [`GROUPS`] is none of them.
    pub fn flatten(&self) -> impl Iterator<Item = (&str, &str)> {
        let claims = self.0.iter().filter(|(name, _)| *name != GROUPS);
        let claims = claims.flat_map(|(name, value)| value.elements().iter().map(move |value| (name, value)));
        claims.filter_map(|(name, value)| Some((name, value.as_claim()?)))
    }

    /// The value, or the values in a list, of a claim; `null` is none.
    fn values(&self, name: &str) -> impl Iterator<Item = &ClaimValue> {
        let values = self.get(name).map_or(&[][..], ClaimValue::elements);
        values.iter().filter(|value| **value != ClaimValue::Null)
    }

    /// The only value of a claim, as text.
    fn single(&self, name: &str) -> Option<&str> {
        let mut values = self.values(name);
        let first = values.next()?.as_claim()?;
        values.next().is_none().then_some(first)
    }

    /// A claim that is a number, or the text of one.
    fn number(&self, name: &str) -> Option<u64> {
        self.single(name).and_then(whole_number)
    }
}
