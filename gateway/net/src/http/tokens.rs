//! Tokens that were verified, so that one that comes again costs no signature.

use std::collections::HashMap;
use std::rc::Rc;

use hubgate_wire::token::{AccessKey, Claims, TokenError};

/// How many are remembered; a full memory begins anew. Clients come twice with theirs, callers of the REST API for as long
/// as they keep one.
const MOST: usize = 1024;

/// The verified tokens of one shard. To be forgotten when the keys change.
#[derive(Debug, Default)]
pub(crate) struct VerifiedTokens(HashMap<Box<str>, Rc<Claims>, foldhash::fast::RandomState>);

impl VerifiedTokens {
    /// What [`Claims::verify`] gives, which is done once for a token.
    pub(crate) fn verify(&mut self, token: &str, keys: &[AccessKey], now: u64) -> Result<Rc<Claims>, TokenError> {
        if let Some(claims) = self.0.get(token).filter(|claims| claims.expiry() > now) {
            return Ok(claims.clone());
        }
        let claims = Rc::new(Claims::verify(token, keys, now)?);
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(token.into(), claims.clone());
        Ok(claims)
    }

    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn token(key: &AccessKey, number: usize) -> String {
        key.sign(serde_json::json!({ "exp": NOW + 10, "n": number }).as_object().expect("an object"))
    }

    #[test]
    fn a_remembered_token_expires_like_any_other() {
        let keys = [AccessKey::new("a-key-of-these-tests")];
        let (mut tokens, token) = (VerifiedTokens::default(), token(&keys[0], 0));
        assert!(tokens.verify(&token, &keys, NOW).is_ok());
        assert!(tokens.verify(&token, &keys, NOW + 9).is_ok());
        assert_eq!(tokens.verify(&token, &keys, NOW + 10).expect_err("expired"), TokenError::Expired);
    }

    #[test]
    fn a_refused_token_is_not_remembered_and_a_forgotten_one_is_verified_anew() {
        let (right, wrong) = ([AccessKey::new("a-key-of-these-tests")], [AccessKey::new("another-key")]);
        let (mut tokens, token) = (VerifiedTokens::default(), token(&right[0], 0));
        assert!(tokens.verify(&token, &wrong, NOW).is_err());
        assert!(tokens.verify(&token, &right, NOW).is_ok());
        tokens.forget();
        assert_eq!(tokens.verify(&token, &wrong, NOW).expect_err("the key is gone"), TokenError::WrongKey);
    }

    #[test]
    fn no_more_than_a_number_of_tokens_is_kept() {
        let keys = [AccessKey::new("a-key-of-these-tests")];
        let mut tokens = VerifiedTokens::default();
        for number in 0..MOST + 5 {
            tokens.verify(&token(&keys[0], number), &keys, NOW).expect("valid");
        }
        assert_eq!(tokens.0.len(), 5);
    }
}
