//! The tokens of clients, hub servers and REST callers: JSON Web Tokens signed with an access key.
//!
//! Source: Azure SignalR Service, "Authenticate via Azure SignalR Service AccessKey"; RFC 7515 and 7519. The key is the
//! UTF-8 text of the access key, the algorithms are HS256 and HS512. Of the header only `alg` counts: a token cannot
//! choose its key (`kid`, `jwk`, `jku`, `x5u`), and `iss` and `iat` are not looked at either.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::endpoint::{Endpoint, Resource};
use crate::negotiate::Transports;

/// The longest token that is read, in characters.
pub const LONGEST_TOKEN: usize = 4096;

/// The last time that a claim may name, in seconds since 1970: the end of the year 9999, as far as .NET's dates go. What
/// is later is a mistake, such as milliseconds, that would make a token valid for ever.
const LATEST: u64 = 253_402_300_799;

/// How far a token's `nbf` may lie in the future, in seconds: the clock of who signed it may be ahead of ours.
const NOT_BEFORE_LEEWAY: u64 = 300;

/// One access key: signs and checks tokens.
#[derive(Clone)]
pub struct AccessKey {
    text: Box<str>,
    verifying: DecodingKey,
}

impl AccessKey {
    pub fn new(text: &str) -> AccessKey {
        AccessKey { text: text.into(), verifying: DecodingKey::from_secret(text.as_bytes()) }
    }

    /// The key itself: for a connection string, where it is the result that is asked for.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Signs `claims` with HS256.
    pub fn sign(&self, claims: &serde_json::Map<String, Value>) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(self.text.as_bytes()))
            .expect("a secret signs with HS256 and a map is JSON")
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKey(…)")
    }
}

/// Why a token opens nothing. No text holds a part of the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token is longer than {LONGEST_TOKEN} characters")]
    TooLong,
    #[error("the token is no JSON Web Token signed with HS256 or HS512")]
    Malformed,
    #[error("the token's header demands extensions (`crit`), of which none is known")]
    Critical,
    #[error("the token is not signed with an access key of this gateway")]
    WrongKey,
    #[error("the token's claims are no JSON object with unique names")]
    BadClaims,
    #[error("the token has no `exp` claim that is a time, in seconds since 1970")]
    NoExpiry,
    #[error("the token has expired")]
    Expired,
    #[error("the token's `nbf` claim is no time, in seconds since 1970")]
    BadNotBefore,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the token is for another audience; expected {expected}")]
    WrongAudience { expected: String },
}

/// The claims of a token whose signature and times hold, in their order.
#[derive(Debug)]
pub struct Claims(UniqueMembers);

impl Claims {
    /// Checks the signature of `token` with each of `keys`, and its times against `now`, in seconds since 1970. The
    /// audience is left to [`Claims::check_audience`].
    pub fn verify(token: &str, keys: &[AccessKey], now: u64) -> Result<Claims, TokenError> {
        if token.len() > LONGEST_TOKEN {
            return Err(TokenError::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let algorithm = algorithm(header)?;
        let signed = keys.iter().any(|key| {
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.verifying, algorithm).unwrap_or(false)
        });
        if !signed {
            return Err(TokenError::WrongKey);
        }
        Claims(decode(claims).ok_or(TokenError::BadClaims)?).check_times(now)
    }

    fn check_times(self, now: u64) -> Result<Claims, TokenError> {
        let expiry = self.get("exp").and_then(seconds).ok_or(TokenError::NoExpiry)?;
        if expiry <= now {
            return Err(TokenError::Expired);
        }
        if let Some(not_before) = self.get("nbf") {
            let not_before = seconds(not_before).ok_or(TokenError::BadNotBefore)?;
            if not_before > now.saturating_add(NOT_BEFORE_LEEWAY) {
                return Err(TokenError::NotYetValid);
            }
        }
        Ok(self)
    }

    /// The token must be for `resource` at one of `endpoints`; where an audience names a hub in its query, for that hub.
    pub fn check_audience(&self, endpoints: &[Endpoint], resource: Resource<'_>) -> Result<(), TokenError> {
        let audiences = match self.get("aud") {
            Some(Value::String(audience)) => vec![audience.as_str()],
            Some(Value::Array(audiences)) => audiences.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let matches =
            audiences.iter().any(|audience| endpoints.iter().any(|endpoint| endpoint.is_audience(audience, resource)));
        match matches {
            true => Ok(()),
            false => {
                let path = resource.path();
                let expected: Vec<String> = endpoints.iter().map(|endpoint| format!("{endpoint}{path}")).collect();
                Err(TokenError::WrongAudience { expected: expected.join(" or ") })
            }
        }
    }

    /// The user of the token: `asrs.s.uid`, else the name identifier in its short or long form, else `sub`.
    pub fn user_id(&self) -> Option<&str> {
        const NAMES: [&str; 4] =
            ["asrs.s.uid", "nameid", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier", "sub"];
        NAMES.iter().find_map(|name| match self.get(name) {
            Some(Value::String(user)) => Some(user.as_str()),
            Some(Value::Array(users)) => users.first().and_then(Value::as_str),
            _ => None,
        })
    }

    /// The transports that the token allows: its claim `asrs.s.htt`.
    pub fn transports(&self) -> Transports {
        self.number("asrs.s.htt").map_or(Transports::ALL, |bits| Transports::from_bits(bits as u8))
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
        let closes = match self.get("asrs.s.coae")? {
            Value::Bool(closes) => *closes,
            Value::String(text) => text.eq_ignore_ascii_case("true"),
            _ => false,
        };
        closes.then(|| self.number("asrs.s.aeo").unwrap_or_else(|| self.expiry()))
    }

    /// A claim that is a whole number, or the text of one.
    fn number(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::String(text) => text.parse().ok(),
            value => value.as_u64(),
        }
    }

    /// Seconds since 1970 at which the token expires.
    pub fn expiry(&self) -> u64 {
        self.get("exp").and_then(seconds).expect("`verify` demands it")
    }

    /// Each claim as text: one entry per element of an array, other values than texts as JSON.
    pub fn flatten(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.0.iter().flat_map(|(name, value)| {
            let values = match value {
                Value::Array(values) => values.as_slice(),
                value => std::slice::from_ref(value),
            };
            values.iter().map(move |value| match value {
                Value::String(text) => (name.as_str(), text.clone()),
                value => (name.as_str(), value.to_string()),
            })
        })
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

/// The algorithm that a token's header names.
fn algorithm(header: &str) -> Result<Algorithm, TokenError> {
    let header = decode(header).ok_or(TokenError::Malformed)?;
    // RFC 7515, section 4.1.11: who does not understand what is critical, or finds nothing named there, must refuse.
    if header.get("crit").is_some() {
        return Err(TokenError::Critical);
    }
    match header.get("alg").and_then(Value::as_str) {
        Some("HS256") => Ok(Algorithm::HS256),
        Some("HS512") => Ok(Algorithm::HS512),
        _ => Err(TokenError::Malformed),
    }
}

fn decode(part: &str) -> Option<UniqueMembers> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn seconds(value: &Value) -> Option<u64> {
    let seconds = match value.as_u64() {
        Some(seconds) => seconds,
        // RFC 7519 allows fractions.
        None => value.as_f64().filter(|seconds| *seconds >= 0.0)? as u64,
    };
    (seconds <= LATEST).then_some(seconds)
}

/// The members of a JSON object, in their order, each name once.
#[derive(Debug)]
struct UniqueMembers(Vec<(String, Value)>);

impl UniqueMembers {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find_map(|(each, value)| (each == name).then_some(value))
    }
}

impl<'de> Deserialize<'de> for UniqueMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<UniqueMembers, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = UniqueMembers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<UniqueMembers, M::Error> {
                let mut members: Vec<(String, Value)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    // Two readers could take one of them each, so a repeated name makes the token mean two things.
                    if members.iter().any(|(each, _)| *each == name) {
                        return Err(serde::de::Error::custom("a name is repeated"));
                    }
                    members.push((name, value));
                }
                Ok(UniqueMembers(members))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn keys() -> Vec<AccessKey> {
        vec![AccessKey::new("first-key-of-the-gateway"), AccessKey::new("second-key-of-the-gateway")]
    }

    fn sign(algorithm: Algorithm, claims: Value) -> String {
        let key = EncodingKey::from_secret(b"second-key-of-the-gateway");
        jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).expect("signs")
    }

    fn verify(claims: Value) -> Result<Claims, TokenError> {
        Claims::verify(&sign(Algorithm::HS256, claims), &keys(), NOW)
    }

    #[test]
    fn both_keys_and_both_algorithms_are_accepted() {
        for algorithm in [Algorithm::HS256, Algorithm::HS512] {
            assert!(Claims::verify(&sign(algorithm, json!({"exp": NOW + 1})), &keys(), NOW).is_ok());
        }
        let refused = Claims::verify(&sign(Algorithm::HS384, json!({"exp": NOW + 1})), &keys(), NOW);
        assert_eq!(refused.unwrap_err(), TokenError::Malformed);
    }

    #[test]
    fn what_is_not_signed_with_a_key_of_the_gateway_is_refused() {
        let none = "eyJhbGciOiJub25lIn0.eyJleHAiOjE5MDAwMDAwMDB9.";
        assert_eq!(Claims::verify(none, &keys(), NOW).unwrap_err(), TokenError::Malformed);
        let other = AccessKey::new("other").sign(json!({"exp": NOW + 1}).as_object().expect("an object"));
        assert_eq!(Claims::verify(&other, &keys(), NOW).unwrap_err(), TokenError::WrongKey);
        for malformed in ["", "a.b.c", "…"] {
            assert_eq!(Claims::verify(malformed, &keys(), NOW).unwrap_err(), TokenError::Malformed, "{malformed}");
        }
        assert_eq!(Claims::verify(&"a".repeat(4097), &keys(), NOW).unwrap_err(), TokenError::TooLong);
    }

    #[test]
    fn times_are_checked_against_the_callers_clock() {
        assert_eq!(verify(json!({})).unwrap_err(), TokenError::NoExpiry);
        assert_eq!(verify(json!({"exp": "tomorrow"})).unwrap_err(), TokenError::NoExpiry);
        assert_eq!(verify(json!({"exp": NOW})).unwrap_err(), TokenError::Expired);
        assert_eq!(verify(json!({"exp": NOW + 9, "nbf": NOW + 301})).unwrap_err(), TokenError::NotYetValid);
        assert_eq!(verify(json!({"exp": NOW + 9, "nbf": "now"})).unwrap_err(), TokenError::BadNotBefore);
        assert!(verify(json!({"exp": NOW as f64 + 1.5, "nbf": NOW + 300})).is_ok());
    }

    #[test]
    fn a_time_is_a_number_of_seconds_up_to_the_year_9999() {
        for no_time in
            [json!(-1), json!(LATEST + 1), json!(u64::MAX), json!(1e300), json!(NOW * 1000), json!([NOW + 9])]
        {
            assert_eq!(verify(json!({"exp": no_time})).unwrap_err(), TokenError::NoExpiry, "{no_time}");
            let not_before = verify(json!({"exp": NOW + 9, "nbf": no_time}));
            assert_eq!(not_before.unwrap_err(), TokenError::BadNotBefore, "{no_time}");
        }
        assert!(verify(json!({"exp": LATEST, "nbf": 0})).is_ok());
    }

    #[test]
    fn of_the_header_nothing_counts_but_alg_and_crit_demands_too_much() {
        let signed = |header: &str| {
            let message =
                format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(r#"{"exp":1900000000}"#));
            let key = EncodingKey::from_secret(b"second-key-of-the-gateway");
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("signs");
            Claims::verify(&format!("{message}.{signature}"), &keys(), NOW).map(|claims| claims.expiry())
        };
        assert_eq!(signed(r#"{"alg":"HS256","kid":"../../dev/null","jku":"http://a","b":{}}"#), Ok(1_900_000_000));
        for critical in [r#"["exp"]"#, "[]", "null"] {
            assert_eq!(signed(&format!(r#"{{"alg":"HS256","crit":{critical}}}"#)), Err(TokenError::Critical));
        }
        for malformed in ["{}", "[]", r#"{"alg":null}"#, r#"{"alg":["HS256"]}"#, r#"{"alg":"HS256","alg":"HS256"}"#] {
            assert_eq!(signed(malformed), Err(TokenError::Malformed), "{malformed}");
        }
    }

    #[test]
    fn a_repeated_claim_is_refused() {
        let text = format!(r#"{{"exp":{},"aud":"a","aud":"b"}}"#, NOW + 9);
        let raw: Box<serde_json::value::RawValue> = serde_json::from_str(&text).expect("JSON");
        let key = EncodingKey::from_secret(b"second-key-of-the-gateway");
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &raw, &key).expect("signs");
        assert_eq!(Claims::verify(&token, &keys(), NOW).unwrap_err(), TokenError::BadClaims);
    }

    #[test]
    fn the_audience_is_one_of_our_endpoints_with_or_without_its_port() {
        let endpoints = [
            Endpoint::parse("http://localhost:8888/").expect("a URL"),
            Endpoint::parse("https://Gate.example.com/base").expect("a URL"),
        ];
        let check = |audience: Value| {
            let claims = verify(json!({"exp": NOW + 9, "aud": audience})).expect("valid");
            claims.check_audience(&endpoints, Resource::Client { hub: "chat" })
        };
        for good in [
            json!("http://localhost:8888/client/?hub=chat"),
            json!("http://localhost/client?hub=CHAT"),
            json!("http://127.0.0.1:8888/client"),
            json!("http://[::1]/cl%69ent/"),
            json!("HTTPS://gate.example.com/base/client/?hub=chat&x=y"),
            json!("https://gate.example.com/BASE/Client"),
            json!("https://gate.example.com/client/?hub=chat"),
            json!(["http://other/client/", "http://localhost/client/"]),
        ] {
            assert_eq!(check(good.clone()), Ok(()), "{good}");
        }
        for bad in [
            json!("http://localhost:8889/client/"),
            json!("http://localhost:8888.example.com/client/"),
            json!("http://user@localhost:8888/client/"),
            json!("http://localhost:+8888/client/"),
            json!("https://localhost/client/"),
            json!("http://localhost/server/"),
            json!("http://localhost/client/?hub=other"),
            json!("http://localhost/base/client/"),
            json!("http://localhost//client/"),
            json!("http://localhost/cli%65nt%2F"),
            json!("http://localhost:/client/"),
            json!("http://localhost:8888 /client/"),
            json!("http:/localhost/client/"),
            json!("localhost"),
            json!(7),
            Value::Null,
        ] {
            assert!(check(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_audience_of_the_rest_api_is_compared_segment_by_segment() {
        let endpoints = [Endpoint::parse("http://localhost:8888").expect("a URL")];
        let check = |audience: &str, path| {
            let claims = verify(json!({"exp": NOW + 9, "aud": format!("http://localhost{audience}")})).expect("valid");
            claims.check_audience(&endpoints, Resource::Rest { path })
        };
        let escaped = "/api/hubs/chat/users/ann%20smith%2F%23/:send";
        for good in [escaped, "/api/hubs/chat/users/ann smith%2f#/%3Asend/?api-version=2022-06-01"] {
            assert_eq!(check(good, escaped), Ok(()), "{good}");
        }
        for bad in [
            "/api/hubs/chat/users/ann smith/#/:send",
            "/api/hubs/chat/users/Ann%20smith%2F%23/:send",
            "/api/hubs/chat/users/ann%2520smith%2F%23/:send",
            "/api/hubs/chat/users/ann+smith%2F%23/:send",
            "/api/hubs/chat/users/ann smith%2F%23/:send?hub=chat",
        ] {
            assert!(check(bad, escaped).is_err(), "{bad}");
        }
        let member = "/api/hubs/chat/groups/g/users/u";
        assert!(check(member, "/api/hubs/chat/groups/g%2Fusers%2Fu").is_err(), "that is another group");
    }

    #[test]
    fn the_user_is_the_services_claim_or_the_name_identifier() {
        let user = |claims: Value| verify(claims).expect("valid").user_id().map(str::to_owned);
        assert_eq!(user(json!({"exp": NOW + 9, "nameid": "n", "asrs.s.uid": "u"})).as_deref(), Some("u"));
        assert_eq!(user(json!({"exp": NOW + 9, "sub": ["s", "t"], "nameid": "n"})).as_deref(), Some("n"));
        assert_eq!(user(json!({"exp": NOW + 9, "sub": ["s", "t"]})).as_deref(), Some("s"));
        assert_eq!(user(json!({"exp": NOW + 9})), None);
    }
}
