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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// What opens the connection's transports: its id, which others know, refreshes nothing.
    pub token: ConnectionId,
    /// The claims of its user; none: those that it has.
    pub claims: Pairs,
    pub user: NewUser,
    pub end: NewEnd,
}

/// Whose claims a connection is to go on with. They have to be those of its own user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewUser {
    /// The claims say it, as an application writes them: names may be long or short, and what instructs the service may be missing.
    InClaims,
    /// The one that a token names; the claims are all of the token's.
    OfToken(Option<UserId>),
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
    /// Whether it says something of the user. A token always does.
    pub(crate) fn has_claims(&self) -> bool {
        self.user != NewUser::InClaims || self.claims != Pairs::default()
    }

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

/// The claims of a connection that goes on with `given` for its user. Those of an application get the names that tokens give them, and
/// what instructs the service stays.
pub(crate) fn refreshed_claims(
    (own, before): (Option<&UserId>, &Pairs),
    user: &NewUser,
    given: &Pairs,
) -> Result<Pairs, RefreshRefusal> {
    if !is_kept(given) {
        return Err(RefreshRefusal::TooLarge);
    }
    let is_same = match user {
        NewUser::InClaims => is_of_same_user((own.map(UserId::as_str), before), given),
        NewUser::OfToken(user) => user.as_ref() == own,
    };
    if !is_same {
        return Err(RefreshRefusal::AnotherUser);
    }
    if *user != NewUser::InClaims {
        return Ok(given.clone());
    }
    let name = |name| if before.get(name).is_some() { name } else { short_name(name) };
    let stays = |name: &str| name.starts_with(INSTRUCTIONS) && given.get(name).is_none();
    let stay = before.iter().filter(|(name, _)| stays(name));
    Ok(given.iter().map(|(each, value)| (name(each), value)).chain(stay).collect())
}

/// The claims of a connection that a next token of its client may have: what the one before has said of itself is not among them.
pub fn claims_for_next_token(facts: &ConnectionFacts) -> impl Iterator<Item = (&str, &str)> {
    facts.claims.iter().filter(|(name, _)| !OF_THE_TOKEN.contains(name))
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
fn is_of_same_user((user, before): (Option<&str>, &Pairs), given: &Pairs) -> bool {
    if let Some(named) = given.get("asrs.s.uid") {
        return Some(named) == user;
    }
    match (name_identifier(given), name_identifier(before)) {
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
    use super::*;

    const LONG: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";

    /// A connection's user and claims.
    type Known = (Option<UserId>, Pairs);

    fn known(user: Option<&str>, claims: &[(&str, &str)]) -> Known {
        (user.map(UserId::new), claims.iter().copied().collect())
    }

    fn refreshed((own, before): &Known, given: &[(&str, &str)]) -> Result<Vec<(String, String)>, RefreshRefusal> {
        let given = given.iter().copied().collect();
        let claims = refreshed_claims((own.as_ref(), before), &NewUser::InClaims, &given)?;
        Ok(claims.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn the_claims_of_another_user_are_refused() {
        let by_uid = known(Some("ann"), &[("asrs.s.uid", "ann")]);
        let by_name = known(Some("ann"), &[("nameid", "ann")]);
        let by_sub = known(Some("ann"), &[("sub", "ann")]);
        // The application calls its users by something else than their name identifier.
        let by_mail = known(Some("a@x"), &[("asrs.s.uid", "a@x"), ("nameid", "ann")]);
        let nobody = known(None, &[("role", "guest")]);
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
            assert_eq!(refused, (!is_same).then_some(RefreshRefusal::AnotherUser), "{:?} {given:?}", before.1);
        }
    }

    #[test]
    fn a_token_names_its_user_whatever_its_claims_say() {
        let refreshed = |before: Option<&str>, user: Option<&str>| {
            let (own, before) = known(before, &[("nameid", "ann"), ("asrs.s.coae", "true")]);
            let given: Pairs = [("nameid", "ann"), ("level", "2")].into_iter().collect();
            let user = NewUser::OfToken(user.map(UserId::new));
            refreshed_claims((own.as_ref(), &before), &user, &given).map(|claims| claims == given)
        };
        assert_eq!(refreshed(Some("ann"), Some("ann")), Ok(true), "they are all of the token's");
        assert_eq!(refreshed(None, None), Ok(true));
        for (before, user) in [(Some("ann"), None), (None, Some("ann")), (Some("ann"), Some("Ann"))] {
            assert_eq!(refreshed(before, user), Err(RefreshRefusal::AnotherUser), "{before:?} {user:?}");
        }
    }

    #[test]
    fn claims_are_called_as_in_tokens_and_instructions_stay() {
        let before = known(Some("ann"), &[("nameid", "ann"), ("level", "1"), ("exp", "5"), ("asrs.s.aut", "Cookie")]);
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
        let refused = |name| refreshed(&known(None, &[]), &[(name, &long)]).err();
        assert_eq!((refused(""), refused("a")), (None, Some(RefreshRefusal::TooLarge)));
    }
}
