//! Whether a node reaches the others, and which of those that are silent are gone.

use hubgate_core::time::Millis;

use crate::door::Report;

/// What carries frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// It was not there so far.
    Absent,
    Up {
        since: Millis,
        max_frame: usize,
    },
    Down {
        max_frame: usize,
    },
}

/// Times during which others are not heard because nobody is.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    current: Option<Outage>,
}

#[derive(Debug, Clone, Copy)]
struct Outage {
    since: Millis,
    is_over_grace: bool,
}

/// What a node has heard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard {
    pub(crate) transport: Transport,
    /// When it heard itself last.
    pub(crate) itself: Millis,
    pub(crate) others: usize,
    /// Others that were not heard for [`Patience::timeout`].
    pub(crate) silent: usize,
    /// Whether all others were heard since the transport came up.
    pub(crate) all_since_up: bool,
}

/// How long others are waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) timeout: Millis,
    /// A node that has not heard itself for so long does not take others for gone.
    pub(crate) missed: Millis,
    pub(crate) grace: Millis,
}

impl Transport {
    pub(crate) fn is_up(self) -> bool {
        matches!(self, Transport::Up { .. })
    }

    /// What a frame may take up, in bytes, if anybody has said it.
    pub(crate) fn max_frame(self) -> Option<usize> {
        match self {
            Transport::Absent => None,
            Transport::Up { max_frame, .. } | Transport::Down { max_frame } => Some(max_frame),
        }
    }
}

impl Outages {
    pub(crate) fn is_one(&self) -> bool {
        self.current.is_some()
    }

    /// Looks at what was heard. Gives whether those that are silent are gone, and what people are to hear.
    pub(crate) fn look(&mut self, heard: Heard, patience: Patience, now: Millis) -> (bool, Option<Report>) {
        let is_cut_off = heard.is_cut_off(self.is_one(), patience, now);
        let report = match (&mut self.current, is_cut_off) {
            (None, true) => {
                self.current = Some(Outage { since: now, is_over_grace: false });
                Some(Report::OutageBegan)
            }
            (Some(outage), false) => {
                let milliseconds = (now - outage.since).0;
                self.current = None;
                Some(Report::OutageEnded { milliseconds })
            }
            (Some(outage), true) if !outage.is_over_grace && outage.since + patience.grace <= now => {
                outage.is_over_grace = true;
                Some(Report::OutageGraceOver)
            }
            (None, false) | (Some(_), true) => None,
        };
        let are_gone = match (self.current, heard.transport) {
            (Some(outage), _) => outage.is_over_grace,
            // What keeps it from hearing itself keeps it from hearing them: they may have fallen silent a little before it did.
            (None, Transport::Up { since, .. }) => {
                since + patience.timeout <= now && heard.itself + patience.missed > now
            }
            (None, Transport::Absent | Transport::Down { .. }) => false,
        };
        (are_gone, report)
    }
}

impl Heard {
    /// Whether it is this node that hears nobody, rather than others that are gone.
    fn is_cut_off(&self, is_outage: bool, patience: Patience, now: Millis) -> bool {
        match self.transport {
            Transport::Absent => false,
            Transport::Down { .. } => true,
            // They may have had no time to be heard.
            Transport::Up { since, .. } if since + patience.timeout > now => is_outage && !self.all_since_up,
            // Of several at once it is more likely that they are not heard than that they are gone.
            Transport::Up { .. } => {
                self.itself + patience.timeout <= now || (self.silent > 1 && self.silent == self.others)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { timeout: Millis(5_000), missed: Millis(2_500), grace: Millis(60_000) };
    const UP: Transport = Transport::Up { since: Millis(0), max_frame: 1 };

    fn heard(transport: Transport, itself: u64, others: usize, silent: usize) -> Heard {
        Heard { transport, itself: Millis(itself), others, silent, all_since_up: false }
    }

    #[test]
    fn one_that_is_silent_while_others_are_heard_is_gone() {
        for (others, silent, are_gone) in [(2, 1, true), (3, 2, true), (1, 1, true), (2, 2, false), (3, 3, false)] {
            let mut outages = Outages::default();
            let (gone, report) = outages.look(heard(UP, 9_000, others, silent), PATIENCE, Millis(10_000));
            let outage = (!are_gone).then_some(Report::OutageBegan);
            assert_eq!((gone, report), (are_gone, outage), "{silent} of {others} are silent");
        }
    }

    #[test]
    fn a_node_that_does_not_hear_itself_gives_nobody_up_until_the_grace_is_over() {
        let mut outages = Outages::default();
        let mut look = |itself, now| outages.look(heard(UP, itself, 1, 1), PATIENCE, Millis(now));
        assert_eq!(look(4_000, 10_000), (false, Some(Report::OutageBegan)));
        assert_eq!(look(4_000, 69_999), (false, None));
        assert_eq!(look(4_000, 70_000), (true, Some(Report::OutageGraceOver)));
        assert_eq!(look(4_000, 70_100), (true, None));
        assert_eq!(look(71_000, 71_000), (true, Some(Report::OutageEnded { milliseconds: 61_000 })));
    }

    #[test]
    fn others_that_fell_silent_a_little_before_the_node_itself_are_not_gone() {
        let mut outages = Outages::default();
        let mut look = |itself, now| outages.look(heard(UP, itself, 2, 1), PATIENCE, Millis(now));
        assert_eq!(look(7_501, 10_000), (true, None));
        assert_eq!(look(7_500, 10_000), (false, None));
        assert_eq!(look(7_500, 12_500), (false, Some(Report::OutageBegan)));
    }

    #[test]
    fn others_have_time_to_be_heard_after_the_transport_has_come_back() {
        let mut outages = Outages::default();
        let (are_gone, _) = outages.look(heard(Transport::Down { max_frame: 1 }, 0, 1, 1), PATIENCE, Millis(20_000));
        assert!(!are_gone);
        let up = Transport::Up { since: Millis(30_000), max_frame: 1 };
        assert_eq!(outages.look(heard(up, 30_000, 1, 1), PATIENCE, Millis(34_998)), (false, None));
        let all = Heard { all_since_up: true, ..heard(up, 30_000, 1, 0) };
        let ended = Some(Report::OutageEnded { milliseconds: 14_999 });
        assert_eq!(outages.look(all, PATIENCE, Millis(34_999)), (false, ended));
    }
}
