//! The tokens of clients, hub servers and REST callers: JSON Web Tokens signed with an access key.
//!
//! Source: Azure SignalR Service, "Authenticate via Azure SignalR Service AccessKey"; RFC 7515 and 7519. The key is the
//! UTF-8 text of the access key, the algorithms are HS256 and HS512. Of the header only `alg` counts: a token cannot
//! choose its key (`kid`, `jwk`, `jku`, `x5u`), and `iss` and `iat` are not looked at either.

mod audience;
mod claims;
pub mod identity;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::depth::DEEPEST_MESSAGE;
use crate::endpoint::Endpoint;
pub use audience::Resource;
pub use claims::GROUPS;
use value::{ClaimValue, UniqueMembers};

/// The longest token that is read, in characters.
pub const LONGEST_TOKEN: usize = 4096;

/// How far a token's `nbf` may lie in the future, in seconds: the clock of who signed it may be ahead of ours.
const NOT_BEFORE_LEEWAY: u64 = 300;

/// What is repeated of the audiences of a refused token: so many of them, and so many characters of each.
const MOST_SHOWN_AUDIENCES: usize = 3;
const LONGEST_SHOWN_AUDIENCE: usize = 200;

/// The header of the tokens that are signed here.
const HEADER: &str = r#"{"typ":"JWT","alg":"HS256"}"#;

/// One access key: signs and checks tokens.
#[derive(Clone)]
pub struct AccessKey {
    text: Box<str>,
    signing: Arc<Signing>,
    /// What it would be if it stood for bytes in base64. It opens nothing, but signers often take it for that.
    decoded: Option<Arc<Signing>>,
}

/// A secret, made ready for both algorithms: some kilobytes.
struct Signing {
    hs256: hmac::Key,
    hs512: hmac::Key,
}

#[derive(Clone, Copy)]
enum Algorithm {
    Hs256,
    Hs512,
}

impl Signing {
    fn new(secret: &[u8]) -> Signing {
        Signing { hs256: hmac::Key::new(hmac::HMAC_SHA256, secret), hs512: hmac::Key::new(hmac::HMAC_SHA512, secret) }
    }

    /// Compares in constant time.
    fn has_signed(&self, message: &str, signature: &[u8], algorithm: Algorithm) -> bool {
        let key = match algorithm {
            Algorithm::Hs256 => &self.hs256,
            Algorithm::Hs512 => &self.hs512,
        };
        hmac::verify(key, message.as_bytes(), signature).is_ok()
    }
}

impl AccessKey {
    pub fn new(text: &str) -> AccessKey {
        AccessKey {
            text: text.into(),
            signing: Arc::new(Signing::new(text.as_bytes())),
            decoded: BASE64_STANDARD.decode(text).ok().map(|secret| Arc::new(Signing::new(&secret))),
        }
    }

    /// The key itself: for a connection string, where it is the result that is asked for.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What applications that use the gateway at `endpoint` are configured with; a secret, like the key. The SDKs of hub servers put what
    /// they ask for right after the URLs. They take the slash at the end of `Endpoint` away before, but not that of the other two, so
    /// that these have it where there is a path.
    pub fn connection_string(&self, endpoint: &Endpoint) -> String {
        let others = match endpoint.base_path().is_empty() {
            true => String::new(),
            false => format!("ClientEndpoint={endpoint}/;ServerEndpoint={endpoint}/;"),
        };
        format!("Endpoint={endpoint};AccessKey={};Version=1.0;{others}", self.expose())
    }

    /// Seals bytes that are no token (HMAC-SHA256). They have to begin in a way that no token does.
    pub(crate) fn seal(&self, bytes: &[u8]) -> impl AsRef<[u8]> + use<> {
        hmac::sign(&self.signing.hs256, bytes)
    }

    /// Whether it has sealed these bytes so. Compares in constant time.
    pub(crate) fn has_sealed(&self, bytes: &[u8], seal: &[u8]) -> bool {
        hmac::verify(&self.signing.hs256, bytes, seal).is_ok()
    }

    /// Signs `claims` with HS256.
    pub fn sign(&self, claims: &serde_json::Map<String, Value>) -> String {
        let claims = serde_json::to_vec(claims).expect("a map is JSON");
        let mut token = format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(HEADER), BASE64_URL_SAFE_NO_PAD.encode(claims));
        let signature = hmac::sign(&self.signing.hs256, token.as_bytes());
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKey(…)")
    }
}

/// Why a token opens nothing. No text holds a part of the token but the beginning of its audiences.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token is longer than {LONGEST_TOKEN} characters")]
    TooLong,
    #[error("the token is not a JSON Web Token signed with HS256 or HS512")]
    Malformed,
    #[error("the token's header demands extensions (`crit`), of which none is known")]
    Critical,
    #[error("the token is not signed with an access key of this gateway")]
    WrongKey,
    #[error(
        "the token is signed with the bytes that an access key of this gateway stands for in base64: sign with its text as it is, \
         in UTF-8"
    )]
    DecodedKey,
    #[error("the token's claims are no JSON object with unique names, nested at most {DEEPEST_MESSAGE} deep")]
    BadClaims,
    #[error("the token's `{claim}` claim names no user: it must be one text, number or boolean")]
    BadUser { claim: &'static str },
    #[error("the token has no `exp` claim that is a time, in seconds since 1970")]
    NoExpiry,
    #[error("the token has expired")]
    Expired,
    #[error("the token's `nbf` claim is not a time, in seconds since 1970")]
    BadNotBefore,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the token is for another audience: it has {found}, expected is {expected}")]
    WrongAudience { found: String, expected: String },
}

/// The claims of a token whose signature and times hold, in their order.
#[derive(Debug)]
pub struct Claims(UniqueMembers);

impl Claims {
    /// Checks the signature of `token` with each of `keys`, and its times against `now`, in seconds since 1970. The
    /// audience is left to [`Claims::check_audience`].
    pub fn verify(token: &str, keys: &[AccessKey], now: u64) -> Result<Claims, TokenError> {
        let check = |signature: &[u8], message: &str, algorithm| {
            let signs = |key: &Signing| key.has_signed(message, signature, algorithm);
            let is_decoded = || keys.iter().filter_map(|key| key.decoded.as_deref()).any(signs);
            match keys.iter().any(|key| signs(&key.signing)) {
                true => Ok(()),
                false if is_decoded() => Err(TokenError::DecodedKey),
                false => Err(TokenError::WrongKey),
            }
        };
        Claims::read(token, check)?.check_times(now)
    }

    /// The same but for the signature, so that the claims prove nothing: for whoever wants to know what is wrong with a token and
    /// does not have the key.
    pub fn check_without_key(token: &str, now: u64) -> Result<Claims, TokenError> {
        Claims::read(token, |_, _, _| Ok(()))?.check_times(now)
    }

    fn read(
        token: &str,
        check_signature: impl FnOnce(&[u8], &str, Algorithm) -> Result<(), TokenError>,
    ) -> Result<Claims, TokenError> {
        if token.len() > LONGEST_TOKEN {
            return Err(TokenError::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let algorithm = algorithm(header)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::WrongKey)?;
        check_signature(&signature, message, algorithm)?;
        Ok(Claims(UniqueMembers::decode(claims).ok_or(TokenError::BadClaims)?))
    }

    fn check_times(self, now: u64) -> Result<Claims, TokenError> {
        let expiry = self.get("exp").and_then(ClaimValue::as_time).ok_or(TokenError::NoExpiry)?;
        if expiry <= now {
            return Err(TokenError::Expired);
        }
        if let Some(not_before) = self.get("nbf") {
            let not_before = not_before.as_time().ok_or(TokenError::BadNotBefore)?;
            if not_before > now.saturating_add(NOT_BEFORE_LEEWAY) {
                return Err(TokenError::NotYetValid);
            }
        }
        Ok(self)
    }

    /// The token must be for `resource` at one of `endpoints`; where an audience names a hub in its query, for that hub.
    pub fn check_audience(&self, endpoints: &[Endpoint], resource: Resource<'_>) -> Result<(), TokenError> {
        let is_ours = |audience| endpoints.iter().any(|endpoint| resource.is_opened_by(audience, endpoint));
        match self.audiences().any(is_ours) {
            true => Ok(()),
            false => {
                let (path, query) =
                    (resource.path(), resource.hub().map(|hub| format!("/?hub={hub}")).unwrap_or_default());
                let expected = endpoints.iter().map(|endpoint| format!("{endpoint}{path}{query}")).collect::<Vec<_>>();
                Err(TokenError::WrongAudience { found: self.shown_audiences(), expected: expected.join(" or ") })
            }
        }
    }

    /// What the token is for.
    pub fn audiences(&self) -> impl Iterator<Item = &str> {
        self.get("aud").map_or(&[][..], ClaimValue::elements).iter().filter_map(ClaimValue::as_text)
    }

    /// The audiences for whoever has to find out why none is right.
    fn shown_audiences(&self) -> String {
        let beginning =
            |audience: &str| format!("{:?}", audience.chars().take(LONGEST_SHOWN_AUDIENCE).collect::<String>());
        let shown: Vec<String> = self.audiences().take(MOST_SHOWN_AUDIENCES).map(beginning).collect();
        match shown.is_empty() {
            true => "no text".to_owned(),
            false => shown.join(" and "),
        }
    }

    /// Seconds since 1970 at which the token expires.
    pub fn expiry(&self) -> u64 {
        self.get("exp").and_then(ClaimValue::as_time).expect("`verify` demands it")
    }

    fn get(&self, name: &str) -> Option<&ClaimValue> {
        self.0.get(name)
    }
}

/// The algorithm that a token's header names.
fn algorithm(header: &str) -> Result<Algorithm, TokenError> {
    let header = UniqueMembers::decode(header).ok_or(TokenError::Malformed)?;
    // RFC 7515, section 4.1.11: who does not understand what is critical, or finds nothing named there, must refuse.
    if header.get("crit").is_some() {
        return Err(TokenError::Critical);
    }
    match header.get("alg").and_then(ClaimValue::as_text) {
        Some("HS256") => Ok(Algorithm::Hs256),
        Some("HS512") => Ok(Algorithm::Hs512),
        _ => Err(TokenError::Malformed),
    }
}
