//! Tokens that the gateway itself gives to clients, and where it sends them with these.
//!
//! Source for the claims by which a connection ends with its token: Azure SignalR SDK for .NET, "CloseOnAuthenticationExpire".

use hubgate_core::id::{GroupName, HubName};
use hubgate_wire::negotiate::{Redirect, RefreshAnswer};
use hubgate_wire::token::{Claims, GROUPS, LONGEST_TOKEN};
use serde_json::Value;

use super::answer::{Answer, json};
use super::query::Query;
use crate::settings::{CloseOnExpiry, Settings};

/// How long the tokens live at most that the gateway gives out itself, in seconds.
pub(crate) const LONGEST_LIFETIME: u64 = 3600;

/// Names that claims of a client cannot have: each of them says something else in a token.
const RESERVED: [&str; 9] = [
    "aud",
    "exp",
    "iat",
    "iss",
    "jti",
    "nbf",
    "nameid",
    "sub",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier",
];
const RESERVED_BEGINNINGS: [&str; 2] = ["asrs.", "hubgate."];

/// By these a connection ends when its token does.
pub(super) const CLOSES: &str = "asrs.s.coae";
pub(super) const CLOSES_AT: &str = "asrs.s.aeo";

/// Who is let in.
#[derive(Debug, Default)]
pub(crate) struct SignedIn<'a> {
    pub(crate) user: Option<&'a str>,
    /// A repeated name is one claim with several values.
    pub(crate) claims: &'a [(String, String)],
    pub(crate) groups: &'a [GroupName],
    /// In seconds; the longest there is if it is not said.
    pub(crate) lifetime: Option<u64>,
}

/// Why nobody can be let in like this; a text for whoever said so.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("a claim has no name")]
    NamelessClaim,
    #[error("no claim can be called `{0}`: {why}", why = why_reserved(.0))]
    ReservedClaim(String),
    #[error("{groups} groups are more than the {limit} that `server.limits.groups-per-connection` allows")]
    TooManyGroups { groups: usize, limit: usize },
    #[error("a token that is valid for 0 seconds opens nothing")]
    NoLifetime,
    #[error("user id, claims and groups make a token of {0} characters, and none may have more than {LONGEST_TOKEN}")]
    TooLong(usize),
}

/// Checks a name for a claim that clients of the gateway's own tokens are to have.
pub fn check_claim_name(name: &str) -> Result<(), String> {
    check_name(name).map_err(|unfit| unfit.to_string())
}

fn check_name(name: &str) -> Result<(), Unfit> {
    let is_reserved = RESERVED.contains(&name) || RESERVED_BEGINNINGS.iter().any(|start| name.starts_with(start));
    match name {
        "" => Err(Unfit::NamelessClaim),
        name if is_reserved => Err(Unfit::ReservedClaim(name.chars().take(100).collect())),
        _ => Ok(()),
    }
}

fn why_reserved(name: &str) -> &'static str {
    match name {
        "nameid" | "sub" | "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier" => {
            "it would name the user, which has a place of its own"
        }
        _ => "the gateway writes it itself, or takes its orders from it",
    }
}

/// A token that the gateway has signed for a client of a hub.
pub(crate) struct OwnToken {
    text: String,
    /// Its audience: where the client connects with it.
    url: String,
    /// In seconds.
    lifetime: u64,
}

impl OwnToken {
    /// Signs one that lasts from `now`, in seconds since 1970, and opens a hub at `endpoint`, the gateway's own.
    pub(crate) fn sign(
        settings: &Settings,
        (endpoint, hub): (&str, &HubName),
        signed_in: &SignedIn<'_>,
        now: u64,
    ) -> Result<OwnToken, Unfit> {
        let url = format!("{endpoint}/client/?hub={hub}");
        let lifetime = signed_in.lifetime.unwrap_or(LONGEST_LIFETIME).min(LONGEST_LIFETIME);
        let text = token(settings, (&url, hub), signed_in, (now, lifetime))?;
        Ok(OwnToken { text, url, lifetime })
    }

    /// Sends a client on with it.
    pub(crate) fn redirect(&self, query: Query<'_>) -> Answer {
        // The client's own query goes with it, as it does through an application's negotiate.
        let query = query.without(&["hub", "negotiateVersion"]);
        let url = if query.is_empty() { self.url.clone() } else { format!("{}&{query}", self.url) };
        json(&Redirect { url: &url, access_token: &self.text, token_lifetime_seconds: Some(self.lifetime) })
    }

    /// Gives it to a client that goes on.
    pub(crate) fn refreshed(&self) -> Answer {
        json(&RefreshAnswer { access_token: &self.text, token_lifetime_seconds: self.lifetime })
    }

    /// Its claims, as they are read when a client connects with it.
    pub(crate) fn claims(&self) -> Claims {
        Claims::check_without_key(&self.text, 0).expect("it was signed here")
    }
}

/// A token for clients of a hub at `endpoint` that an application asks for. It lasts as long as that says, from `now`: in seconds, and in
/// seconds since 1970.
pub(crate) fn asked_for(
    settings: &Settings,
    (endpoint, hub): (&str, &HubName),
    user: Option<&str>,
    lifetime: u64,
    now: u64,
) -> Result<String, Unfit> {
    let url = format!("{endpoint}/client/?hub={hub}");
    token(settings, (&url, hub), &SignedIn { user, ..SignedIn::default() }, (now, lifetime))
}

fn token(
    settings: &Settings,
    (audience, hub): (&str, &HubName),
    signed_in: &SignedIn<'_>,
    (now, lifetime): (u64, u64),
) -> Result<String, Unfit> {
    let SignedIn { user, claims: given, groups, lifetime: _ } = signed_in;
    let limit = settings.core.limits.groups_per_connection;
    if lifetime == 0 {
        return Err(Unfit::NoLifetime);
    }
    if groups.len() > limit {
        return Err(Unfit::TooManyGroups { groups: groups.len(), limit });
    }
    let mut claims = serde_json::Map::new();
    claims.insert("aud".into(), audience.into());
    claims.insert("iat".into(), now.into());
    claims.insert("exp".into(), (now + lifetime).into());
    if settings.hub(hub).close_on_expiry == CloseOnExpiry::Yes {
        claims.insert(CLOSES.into(), "true".into());
        claims.insert(CLOSES_AT.into(), (now + lifetime).to_string().into());
    }
    if let Some(user) = user {
        claims.insert("asrs.s.uid".into(), (*user).into());
    }
    if !groups.is_empty() {
        claims.insert(GROUPS.into(), groups.iter().map(GroupName::as_str).collect::<Vec<_>>().into());
    }
    for (name, value) in *given {
        check_name(name)?;
        match claims.entry(name) {
            serde_json::map::Entry::Vacant(entry) => drop(entry.insert(value.as_str().into())),
            serde_json::map::Entry::Occupied(mut entry) => match entry.get_mut() {
                Value::Array(values) => values.push(value.as_str().into()),
                first => *first = vec![first.take(), value.as_str().into()].into(),
            },
        }
    }
    let token = settings.access_keys[0].sign(&claims);
    match token.len() {
        0..=LONGEST_TOKEN => Ok(token),
        length => Err(Unfit::TooLong(length)),
    }
}

/// Whether a token is one that leads from here to the same hub, whatever it says else. `@microsoft/signalr` brings the one that it was
/// given when it connects again, however old it is and whatever key has signed it.
pub(crate) fn is_for_clients_of(token: &str, hub: &HubName) -> bool {
    own_claims(token, hub).is_some()
}

/// Its claims, which prove nothing.
pub(crate) fn own_claims(token: &str, hub: &HubName) -> Option<Claims> {
    let claims = Claims::check_without_key(token, 0).ok()?;
    let audience = format!("/client/?hub={hub}");
    let is_ours = claims.audiences().any(|given| given.ends_with(&audience));
    is_ours.then_some(claims)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::settings::tests::settings;
    use hubgate_wire::token::AccessKey;

    const AUDIENCE: &str = "http://localhost/client/?hub=chat";
    const NOW: u64 = 1_800_000_000;

    fn with_key() -> Settings {
        let mut settings = Settings { access_keys: vec![AccessKey::new("a-key-of-these-tests")], ..settings() };
        Arc::make_mut(&mut settings.core).limits.groups_per_connection = 3;
        settings
    }

    fn hub(name: &str) -> HubName {
        HubName::parse(name).expect("a name")
    }

    fn claims(signed_in: &SignedIn<'_>) -> Result<Vec<(String, String)>, Unfit> {
        claims_under(&with_key(), signed_in)
    }

    fn claims_under(settings: &Settings, signed_in: &SignedIn<'_>) -> Result<Vec<(String, String)>, Unfit> {
        let token = OwnToken::sign(settings, ("http://localhost", &hub("chat")), signed_in, NOW)?;
        let claims = Claims::verify(&token.text, &settings.access_keys, NOW).expect("it is ours");
        Ok(claims.flatten().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_token_has_the_claims_that_were_granted_and_its_groups_are_none_of_them() {
        let granted = [pair("role", "admin"), pair("team", "x"), pair("role", "chief")];
        let groups = [GroupName::new("room")];
        let signed_in = SignedIn { user: Some("ann"), claims: &granted, groups: &groups, lifetime: Some(60) };
        let mut found = claims(&signed_in).expect("it fits");
        found.sort();
        let end = (NOW + 60).to_string();
        let mut expected = vec![
            pair("asrs.s.uid", "ann"),
            pair("aud", AUDIENCE),
            pair("exp", &end),
            pair("iat", &NOW.to_string()),
            pair("role", "admin"),
            pair("role", "chief"),
            pair("team", "x"),
        ];
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_token_lasts_no_longer_than_the_gateways_own_do() {
        let end = |lifetime| {
            let found = claims(&SignedIn { lifetime, ..SignedIn::default() }).expect("it fits");
            found.into_iter().find_map(|(name, value)| (name == "exp").then_some(value)).expect("it ends")
        };
        for (lifetime, seconds) in [(None, 3600), (Some(1), 1), (Some(3600), 3600), (Some(u64::MAX), 3600)] {
            assert_eq!(end(lifetime), (NOW + seconds).to_string(), "{lifetime:?}");
        }
        assert_eq!(claims(&SignedIn { lifetime: Some(0), ..SignedIn::default() }), Err(Unfit::NoLifetime));
    }

    #[test]
    fn a_token_that_an_application_asks_for_lasts_as_long_as_it_says() {
        let (settings, hub) = (with_key(), hub("chat"));
        for (lifetime, end) in [(60, NOW + 60), (86_400 * 365, NOW + 86_400 * 365)] {
            let token = asked_for(&settings, ("http://localhost", &hub), Some("ann"), lifetime, NOW).expect("it fits");
            let claims = Claims::verify(&token, &settings.access_keys, NOW).expect("it is ours");
            let mut found: Vec<_> = claims.flatten().map(|(name, value)| pair(name, value)).collect();
            found.sort();
            let times = [pair("exp", &end.to_string()), pair("iat", &NOW.to_string())];
            let expected = [&[pair("asrs.s.uid", "ann"), pair("aud", AUDIENCE)][..], &times].concat();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn claims_that_say_something_to_the_gateway_are_refused_by_name() {
        for name in RESERVED.into_iter().chain(["asrs.s.htt", "asrs.s.uid", "hubgate.groups"]) {
            let granted = [pair("role", "x"), pair(name, "x")];
            let refused = claims(&SignedIn { claims: &granted, ..SignedIn::default() });
            assert_eq!(refused, Err(Unfit::ReservedClaim(name.to_owned())));
            assert!(refused.unwrap_err().to_string().contains(name));
        }
        let nameless = [pair("", "x")];
        assert_eq!(claims(&SignedIn { claims: &nameless, ..SignedIn::default() }), Err(Unfit::NamelessClaim));
    }

    #[test]
    fn what_no_token_can_carry_is_refused() {
        let long = [pair("text", &"x".repeat(LONGEST_TOKEN))];
        let refused = claims(&SignedIn { claims: &long, ..SignedIn::default() });
        assert!(matches!(refused, Err(Unfit::TooLong(length)) if length > LONGEST_TOKEN), "{refused:?}");
        let limit = with_key().core.limits.groups_per_connection;
        let groups: Vec<GroupName> = (0..=limit).map(|number| GroupName::new(number.to_string())).collect();
        let refused = claims(&SignedIn { groups: &groups, ..SignedIn::default() });
        assert_eq!(refused, Err(Unfit::TooManyGroups { groups: limit + 1, limit }));
    }

    #[test]
    fn a_connection_ends_with_its_token_where_the_hub_is_set_so() {
        let mut settings = with_key();
        let end = |settings: &Settings| {
            let signed_in = SignedIn { lifetime: Some(60), ..SignedIn::default() };
            let token = OwnToken::sign(settings, ("http://localhost", &hub("chat")), &signed_in, NOW).expect("it fits");
            token.claims().connection_end()
        };
        assert_eq!(end(&settings), None);
        settings.other_hubs.close_on_expiry = CloseOnExpiry::Yes;
        assert_eq!(end(&settings), Some(NOW + 60));
    }

    #[test]
    fn a_token_of_ours_is_known_for_its_own_hub_alone() {
        let place = ("http://localhost", &hub("chat"));
        let token = OwnToken::sign(&with_key(), place, &SignedIn::default(), NOW).expect("it fits").text;
        assert!(is_for_clients_of(&token, &hub("chat")));
        assert!(!is_for_clients_of(&token, &hub("other")) && !is_for_clients_of("a.b.c", &hub("chat")));
    }
}
