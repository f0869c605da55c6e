//! What a component is known by.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};

/// The SHA-256 of a component, or of what was made of one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u8; Digest::BYTES]);

impl Digest {
    pub(crate) const BYTES: usize = 32;

    pub(crate) fn of(bytes: &[u8]) -> Digest {
        Digest(digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Reads what its `Display` writes.
    pub(crate) fn parse(text: &str) -> Option<Digest> {
        let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 2 * Digest::BYTES)?;
        let byte = |index: usize| u8::from_str_radix(digits.get(2 * index..2 * index + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..Digest::BYTES).map(byte).collect();
        Some(Digest(bytes?.try_into().ok()?))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; Digest::BYTES] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
