//! Tokens that were verified, so that one that comes again costs no signature.

use std::collections::HashMap;
use std::sync::Arc;

use hubgate_wire::token::{Claims, Resource, TokenError};

use crate::settings::Settings;
use crate::verified_token::VerifiedToken;

/// How many are remembered; a full memory begins anew. Clients come twice with theirs, callers of the REST API for as long
/// as they keep one.
const MOST: usize = 1024;

/// The verified tokens of one shard. To be forgotten when keys or endpoints change.
#[derive(Debug, Default)]
pub(crate) struct VerifiedTokens(HashMap<Box<str>, Verified, foldhash::fast::RandomState>);

#[derive(Debug)]
struct Verified {
    token: Arc<VerifiedToken>,
    /// What it was last good for.
    path: Box<str>,
    hub: Option<Box<str>>,
}

impl Verified {
    fn opens(&self, resource: Resource<'_>) -> bool {
        *self.path == *resource.path() && self.hub.as_deref() == resource.hub()
    }
}

impl VerifiedTokens {
    /// The claims of a token that is signed with one of the gateway's keys, is valid at `now` (in seconds since 1970), and
    /// opens `resource`, as [`Claims::verify`] and [`Claims::check_audience`] say.
    pub(crate) fn verify(
        &mut self,
        token: &str,
        resource: Resource<'_>,
        settings: &Settings,
        now: u64,
    ) -> Result<Arc<VerifiedToken>, TokenError> {
        let known = self.0.get_mut(token).filter(|known| known.token.expiry() > now);
        let verified = match &known {
            Some(known) if known.opens(resource) => return Ok(known.token.clone()),
            Some(known) => known.token.clone(),
            None => Arc::new(VerifiedToken::new(token, Claims::verify(token, &settings.access_keys, now)?)),
        };
        verified.check_audience(&settings.endpoints, resource)?;
        let (path, hub) = (resource.path().into(), resource.hub().map(Box::from));
        let remembered = Verified { token: verified.clone(), path, hub };
        match known {
            Some(known) => *known = remembered,
            None => {
                if self.0.len() >= MOST {
                    self.0.clear();
                }
                self.0.insert(token.into(), remembered);
            }
        }
        Ok(verified)
    }

    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use hubgate_wire::endpoint::Endpoint;
    use hubgate_wire::token::AccessKey;

    use super::*;
    use crate::settings::tests::settings;

    const NOW: u64 = 1_800_000_000;
    const KEY: &str = "a-key-of-these-tests";
    const A: Resource<'static> = Resource::Rest { path: "/a" };

    fn settings_with(key: &str) -> Settings {
        let endpoint = Endpoint::parse("http://localhost").expect("a URL");
        Settings { access_keys: vec![AccessKey::new(key)], endpoints: vec![endpoint], ..settings() }
    }

    fn token(number: usize) -> String {
        let claims = serde_json::json!({ "aud": "http://localhost/a", "exp": NOW + 10, "n": number });
        AccessKey::new(KEY).sign(claims.as_object().expect("an object"))
    }

    #[test]
    fn a_remembered_token_expires_like_any_other() {
        let (mut tokens, settings, token) = (VerifiedTokens::default(), settings_with(KEY), token(0));
        for now in [NOW, NOW + 9] {
            assert!(tokens.verify(&token, A, &settings, now).is_ok());
        }
        let expired = tokens.verify(&token, A, &settings, NOW + 10);
        assert_eq!(expired.expect_err("expired"), TokenError::Expired);
    }

    #[test]
    fn a_remembered_token_opens_nothing_else() {
        let (mut tokens, settings, token) = (VerifiedTokens::default(), settings_with(KEY), token(0));
        for _ in 0..2 {
            assert!(tokens.verify(&token, A, &settings, NOW).is_ok());
            assert!(tokens.verify(&token, Resource::Rest { path: "/b" }, &settings, NOW).is_err());
        }
    }

    #[test]
    fn a_refused_token_is_not_remembered_and_a_forgotten_one_is_verified_anew() {
        let (mut tokens, token) = (VerifiedTokens::default(), token(0));
        let (right, wrong) = (settings_with(KEY), settings_with("another key"));
        assert!(tokens.verify(&token, A, &wrong, NOW).is_err());
        assert!(tokens.verify(&token, A, &right, NOW).is_ok());
        tokens.forget();
        let forgotten = tokens.verify(&token, A, &wrong, NOW);
        assert_eq!(forgotten.expect_err("the key is gone"), TokenError::WrongKey);
    }

    #[test]
    fn no_more_than_a_number_of_tokens_is_kept() {
        let (mut tokens, settings) = (VerifiedTokens::default(), settings_with(KEY));
        for number in 0..MOST + 5 {
            tokens.verify(&token(number), A, &settings, NOW).expect("valid");
        }
        assert_eq!(tokens.0.len(), 5);
    }
}
