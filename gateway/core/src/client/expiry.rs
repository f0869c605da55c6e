//! When a connection ends with its token.

use crate::time::Millis;

/// Tokens tell their ends in seconds of another clock: the end of one and the same may be read as so much later.
const SAME_TOKEN: Millis = Millis(1_000);

/// When a connection ends that ends with its token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expiry {
    /// None for one that outlives its token.
    end: Option<Millis>,
    /// The latest end before a refresh that has given it another one: tokens up to that move it no more.
    superseded: Option<Millis>,
}

impl Expiry {
    pub(super) fn new(end: Option<Millis>) -> Expiry {
        Expiry { end, superseded: None }
    }

    #[inline]
    pub(super) fn end(&self) -> Option<Millis> {
        self.end
    }

    /// It ends then, whatever the tokens say that have come so far. A connection that outlives its token goes on doing so.
    pub(super) fn refresh(&mut self, end: Millis) {
        if let Some(before) = &mut self.end {
            self.superseded = self.superseded.max(Some(*before));
            *before = end;
        }
    }

    /// The client has come with a token that ends then. The latest counts, but none from before a refresh.
    pub(super) fn token_came(&mut self, end: Millis) {
        if self.superseded.is_none_or(|superseded| end > superseded + SAME_TOKEN) {
            // It is looked at when it would have ended before.
            self.end = self.end.map(|before| before.max(end));
        }
    }
}
