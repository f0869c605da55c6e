//! Refreshed tokens: other claims, and another end, for a connection that goes on.
//!
//! Source: Azure SignalR SDK for .NET, `RefreshAuthMessage` and `GetConnectionClaimsMessage`; ASP.NET Core SignalR, "Authentication
//! refresh".

use std::sync::Arc;

use hubgate_wire::service::{Timestamp, long_name, short_name};

use crate::event::ConnectionFacts;
use crate::id::{ConnectionId, UserId};
use crate::pairs::Pairs;

/// What a claim takes up beside its own bytes.
const CLAIM_OVERHEAD: usize = 8;
/// What the refreshed claims of a connection may take up, in bytes: as much as is kept of a client that connects.
const MAX_CLAIMS: usize = 8 << 10;

/// What a token says of itself, and not of its client.
const OF_THE_TOKEN: [&str; 6] = ["aud", "exp", "iat", "iss", "jti", "nbf"];
/// Claims that instruct the service.
const INSTRUCTIONS: &str = "asrs.s.";

/// What a connection is to go on with.
#[derive(Debug, Clone)]
pub struct Refresh {
    /// What opens the connection's transports: its id, which others know, refreshes nothing.
    pub token: ConnectionId,
    /// The claims of its user; none: those that it has. Names may be long or short.
    pub claims: Pairs,
    pub end: NewEnd,
}

/// When a connection ends that ends with its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewEnd {
    AsBefore,
    /// In milliseconds since 1970.
    At(u64),
}

/// What came of a [`Refresh`]: what is known of the connection from now on.
pub type Refreshed = Result<Arc<ConnectionFacts>, RefreshRefusal>;

/// Why a connection stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefreshRefusal {
    #[error("No connection of the hub has this connection token.")]
    NoSuchConnection,
    #[error("The claims are those of another user than the connection's.")]
    AnotherUser,
    #[error("The claims take more than the {MAX_CLAIMS} bytes that are kept of them while the client is connected.")]
    TooLarge,
}

/// The last second that .NET knows, since 1970.
const LAST_SECOND: i64 = 253_402_300_799;

impl From<Option<Timestamp>> for NewEnd {
    /// Who names .NET's last moment knows of no end.
    fn from(expiry: Option<Timestamp>) -> NewEnd {
        match expiry {
            Some(Timestamp { seconds, nanoseconds }) if seconds < LAST_SECOND => {
                let milliseconds = u64::try_from(seconds).map_or(0, |seconds| seconds * 1_000);
                NewEnd::At(milliseconds + u64::from(nanoseconds / 1_000_000))
            }
            Some(_) | None => NewEnd::AsBefore,
        }
    }
}

impl Refresh {
    /// The claims that it carries, in bytes.
    pub(crate) fn weight(&self) -> usize {
        weight(&self.claims)
    }
}

fn weight(claims: &Pairs) -> usize {
    claims.iter().map(|(name, value)| name.len() + value.len() + CLAIM_OVERHEAD).sum()
}

/// Whether claims are no more than is kept of a client.
pub(crate) fn is_kept(claims: &Pairs) -> bool {
    weight(claims) <= MAX_CLAIMS
}

/// The claims of a connection that goes on with `given` for its user: they have the names that tokens give them, and what
/// instructs the service stays.
pub(crate) fn refreshed_claims(facts: &ConnectionFacts, given: &Pairs) -> Result<Pairs, RefreshRefusal> {
    if !is_kept(given) {
        return Err(RefreshRefusal::TooLarge);
    }
    if !is_of_same_user(facts, given) {
        return Err(RefreshRefusal::AnotherUser);
    }
    let before = &facts.claims;
    let name = |name| if before.get(name).is_some() { name } else { short_name(name) };
    let stays = |name: &str| name.starts_with(INSTRUCTIONS) && given.get(name).is_none();
    let stay = before.iter().filter(|(name, _)| stays(name));
    Ok(given.iter().map(|(each, value)| (name(each), value)).chain(stay).collect())
}

/// Whether claims say something else of the client than those before.
pub(crate) fn is_change(before: &Pairs, after: &Pairs) -> bool {
    let of_client = |claims: &Pairs| {
        let claims = claims.iter().filter(|(name, _)| !name.starts_with(INSTRUCTIONS) && !OF_THE_TOKEN.contains(name));
        let mut claims: Vec<(String, String)> =
            claims.map(|(name, value)| (long_name(name).into_owned(), value.to_owned())).collect();
        claims.sort_unstable();
        claims
    };
    of_client(before) != of_client(after)
}

/// Whether claims are those of the connection's user: who is named to the service is its user, or else the name identifier is the
/// one that it had, or its user. Without a name, nobody had one.
fn is_of_same_user(facts: &ConnectionFacts, given: &Pairs) -> bool {
    let user = facts.user_id.as_ref().map(UserId::as_str);
    if let Some(named) = given.get("asrs.s.uid") {
        return Some(named) == user;
    }
    match (name_identifier(given), name_identifier(&facts.claims)) {
        (Ok(given), Ok(before)) if given == before => true,
        (Ok(Some(given)), _) => Some(given) == user,
        (Ok(None) | Err(Ambiguous), _) => false,
    }
}

/// Claims name several users.
#[derive(Debug, PartialEq, Eq)]
struct Ambiguous;

/// Whom claims name, by the name identifier in its short or long form, else by `sub`.
fn name_identifier(claims: &Pairs) -> Result<Option<&str>, Ambiguous> {
    let named = |short: &'static str| {
        let mut values = claims.iter().filter(move |(name, _)| short_name(name) == short).map(|(_, value)| value);
        let first = values.next();
        match values.all(|other| Some(other) == first) {
            true => Ok(first),
            false => Err(Ambiguous),
        }
    };
    Ok(named("nameid")?.or(named("sub")?))
}

#[cfg(test)]
mod tests {
    use hubgate_wire::signalr::HubProtocol;

    use super::*;
    use crate::id::{HubName, ShardIndex};

    const LONG: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";

    fn facts(user: Option<&str>, claims: &[(&str, &str)]) -> ConnectionFacts {
        ConnectionFacts {
            hub: HubName::parse("chat").expect("a name"),
            id: ConnectionId::new(ShardIndex(0).into(), [1; 12]),
            user_id: user.map(UserId::new),
            protocol: HubProtocol::Json,
            claims: claims.iter().copied().collect(),
            query: "".into(),
            headers: Pairs::default(),
            remote_address: "192.0.2.1".into(),
        }
    }

    fn refreshed(before: &ConnectionFacts, given: &[(&str, &str)]) -> Result<Vec<(String, String)>, RefreshRefusal> {
        let claims = refreshed_claims(before, &given.iter().copied().collect())?;
        Ok(claims.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn the_claims_of_another_user_are_refused() {
        let by_uid = facts(Some("ann"), &[("asrs.s.uid", "ann")]);
        let by_name = facts(Some("ann"), &[("nameid", "ann")]);
        let by_sub = facts(Some("ann"), &[("sub", "ann")]);
        // The application calls its users by something else than their name identifier.
        let by_mail = facts(Some("a@x"), &[("asrs.s.uid", "a@x"), ("nameid", "ann")]);
        let nobody = facts(None, &[("role", "guest")]);
        for (before, given, is_same) in [
            (&by_uid, &[("asrs.s.uid", "ann")][..], true),
            (&by_uid, &[("nameid", "ann")], true),
            (&by_uid, &[("role", "x")], true),
            (&by_uid, &[("nameid", "eve")], false),
            (&by_uid, &[("asrs.s.uid", "eve"), ("nameid", "ann")], false),
            (&by_name, &[(LONG, "ann")], true),
            (&by_name, &[("sub", "ann")], true),
            (&by_name, &[("sub", "eve"), ("nameid", "ann")], true),
            (&by_name, &[("nameid", "ann"), (LONG, "eve")], false),
            (&by_name, &[(LONG, "eve")], false),
            (&by_name, &[("role", "x")], false),
            (&by_sub, &[(LONG, "ann")], true),
            (&by_mail, &[(LONG, "ann")], true),
            (&by_mail, &[(LONG, "a@x")], true),
            (&by_mail, &[(LONG, "eve")], false),
            (&by_mail, &[("role", "x")], false),
            (&nobody, &[("role", "x")], true),
            (&nobody, &[("nameid", "eve")], false),
            (&nobody, &[("asrs.s.uid", "eve")], false),
        ] {
            let refused = refreshed(before, given).err();
            assert_eq!(refused, (!is_same).then_some(RefreshRefusal::AnotherUser), "{:?} {given:?}", before.claims);
        }
    }

    #[test]
    fn claims_are_called_as_in_tokens_and_instructions_stay() {
        let before = facts(Some("ann"), &[("nameid", "ann"), ("level", "1"), ("exp", "5"), ("asrs.s.aut", "Cookie")]);
        let role = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            refreshed(&before, &[(LONG, "ann"), (role, "a"), (role, "b"), ("level", "2")]),
            Ok(vec![
                pair("nameid", "ann"),
                pair("role", "a"),
                pair("role", "b"),
                pair("level", "2"),
                pair("asrs.s.aut", "Cookie")
            ])
        );
        let given = [("nameid", "ann"), ("asrs.s.aut", "Bearer")];
        assert_eq!(refreshed(&before, &given), Ok(vec![pair("nameid", "ann"), pair("asrs.s.aut", "Bearer")]));
    }

    #[test]
    fn what_only_the_token_says_of_itself_is_no_change() {
        let claims = |claims: &[(&str, &str)]| claims.iter().copied().collect::<Pairs>();
        let before = claims(&[("aud", "x"), ("exp", "5"), ("nameid", "ann"), ("level", "1"), ("asrs.s.uid", "ann")]);
        for (after, is_other) in [
            (&[("level", "1"), (LONG, "ann")][..], false),
            (&[("level", "2"), (LONG, "ann")], true),
            (&[("level", "1"), ("level", "1"), ("nameid", "ann")], true),
            (&[("nameid", "ann")], true),
        ] {
            assert_eq!(is_change(&before, &claims(after)), is_other, "{after:?}");
        }
    }

    #[test]
    fn more_claims_than_are_kept_of_a_client_are_refused() {
        let long = "x".repeat(MAX_CLAIMS - CLAIM_OVERHEAD);
        let refused = |name| refreshed(&facts(None, &[]), &[(name, &long)]).err();
        assert_eq!((refused(""), refused("a")), (None, Some(RefreshRefusal::TooLarge)));
    }
}
