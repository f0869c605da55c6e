//! A token that was verified: what it says, and what tells it from all others.

use std::ops::Deref;

use aws_lc_rs::digest::{SHA256, digest};
use hubgate_wire::token::Claims;

/// The SHA-256 digest of a token: whoever brings the same token brings the same digest, and nobody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenDigest([u8; 32]);

impl TokenDigest {
    pub(crate) fn of(token: &str) -> TokenDigest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        TokenDigest(bytes)
    }
}

/// The claims of a token, with its digest.
#[derive(Debug)]
pub(crate) struct VerifiedToken {
    claims: Claims,
    pub(crate) digest: TokenDigest,
}

impl VerifiedToken {
    /// `claims` are those of `token`.
    pub(crate) fn new(token: &str, claims: Claims) -> VerifiedToken {
        VerifiedToken { claims, digest: TokenDigest::of(token) }
    }
}

impl Deref for VerifiedToken {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        &self.claims
    }
}
