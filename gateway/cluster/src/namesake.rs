//! Another node that goes by the id of one that serves: ids are drawn, and two may be the same.

use hubgate_core::time::Millis;

/// One that is heard for so long serves, too: one that comes hears that its id is taken, and draws anew.
const STAYS: Millis = Millis(10_000);

/// When it was heard first.
#[derive(Debug, Default)]
pub(crate) struct Namesake {
    since: Option<Millis>,
    /// People know of it.
    is_told: bool,
}

impl Namesake {
    /// It is heard. Gives whether people are to hear of it: so it is once.
    pub(crate) fn is_news(&mut self, now: Millis) -> bool {
        let since = *self.since.get_or_insert(now);
        since + STAYS <= now && !std::mem::replace(&mut self.is_told, true)
    }
}
