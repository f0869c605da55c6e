//! Tokens, good and bad.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// A token to be signed.
#[derive(Debug, Clone)]
pub struct Token {
    claims: Map<String, Value>,
    key: String,
    algorithm: Algorithm,
}

impl Token {
    /// For an hour, signed with HS256.
    pub fn new(audience: &str, key: &str) -> Token {
        let token = Token { claims: Map::new(), key: key.to_owned(), algorithm: Algorithm::HS256 };
        token.claim("aud", audience).expires_in(3600)
    }

    pub fn user(self, id: &str) -> Token {
        self.claim("asrs.s.uid", id)
    }

    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Token {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    pub fn without_claim(mut self, name: &str) -> Token {
        self.claims.remove(name);
        self
    }

    pub fn audience(self, audience: &str) -> Token {
        self.claim("aud", audience)
    }

    /// Negative: so long ago.
    pub fn expires_in(self, seconds: i64) -> Token {
        self.claim("exp", now() + seconds)
    }

    pub fn valid_after(self, seconds: i64) -> Token {
        self.claim("nbf", now() + seconds)
    }

    pub fn key(mut self, key: &str) -> Token {
        self.key = key.to_owned();
        self
    }

    pub fn algorithm(mut self, algorithm: Algorithm) -> Token {
        self.algorithm = algorithm;
        self
    }

    pub fn sign(&self) -> String {
        let key = EncodingKey::from_secret(self.key.as_bytes());
        jsonwebtoken::encode(&Header::new(self.algorithm), &self.claims, &key).expect("claims are JSON")
    }

    /// Signed with more claims, as they are written in JSON.
    pub fn sign_with_json(&self, members: &str) -> String {
        let claims = Value::Object(self.claims.clone()).to_string();
        let claims = claims.strip_suffix('}').expect("an object ends with a brace");
        let claims = RawValue::from_string(format!("{claims},{members}}}")).expect("claims are JSON");
        let key = EncodingKey::from_secret(self.key.as_bytes());
        jsonwebtoken::encode(&Header::new(self.algorithm), &claims, &key).expect("claims are JSON")
    }

    /// With a header that says `alg`, followed by `signature` as it is.
    pub fn forge(&self, alg: &str, signature: &str) -> String {
        let header = part(&json!({ "alg": alg, "typ": "JWT" }));
        format!("{header}.{}.{signature}", part(&Value::Object(self.claims.clone())))
    }

    /// Signed, and then given other claims.
    pub fn tamper(&self, name: &str, value: impl Into<Value>) -> String {
        let signed = self.sign();
        let (header, rest) = signed.split_once('.').expect("a token has three parts");
        let (_, signature) = rest.split_once('.').expect("a token has three parts");
        let claims = self.clone().claim(name, value).claims;
        format!("{header}.{}.{signature}", part(&Value::Object(claims)))
    }
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// In seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    i64::try_from(since.as_secs()).expect("seconds fit")
}
