//! Whether numbered messages arrive once and in order.

use std::collections::HashSet;

/// What one receiver got of the numbers 0, 1, 2 …
#[derive(Debug, Default)]
pub(crate) struct Account {
    next: u64,
    missing: HashSet<u64>,
    doubled: u64,
    out_of_order: u64,
}

/// Whether a message is one that was still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    First,
    Again,
}

/// What was wrong, in messages.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) out_of_order: u64,
    /// Never sent, or sent to somebody else.
    pub(crate) stray: u64,
}

impl Account {
    /// Takes in a number that was sent.
    pub(crate) fn received(&mut self, number: u64) -> Arrival {
        if number < self.next {
            if self.missing.remove(&number) {
                self.out_of_order += 1;
                return Arrival::First;
            }
            self.doubled += 1;
            return Arrival::Again;
        }
        self.missing.extend(self.next..number);
        self.next = number + 1;
        Arrival::First
    }

    /// The faults, if `sent` numbers were sent.
    pub(crate) fn close(&self, sent: u64) -> Faults {
        let lost = self.missing.len() as u64 + sent.saturating_sub(self.next);
        Faults { lost, doubled: self.doubled, out_of_order: self.out_of_order, stray: 0 }
    }
}

impl Faults {
    pub(crate) fn add(&mut self, other: Faults) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.out_of_order += other.out_of_order;
        self.stray += other.stray;
    }

    pub(crate) fn any(self) -> bool {
        self != Faults::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(numbers: &[u64], sent: u64, lost: u64, doubled: u64, out_of_order: u64) {
        let mut account = Account::default();
        let first = numbers.iter().filter(|number| account.received(**number) == Arrival::First).count() as u64;
        assert_eq!(account.close(sent), Faults { lost, doubled, out_of_order, stray: 0 }, "{numbers:?} of {sent}");
        assert_eq!(first, sent - lost, "{numbers:?} of {sent}");
    }

    #[test]
    fn lost_doubled_and_disordered_messages_are_told_apart() {
        check(&[], 0, 0, 0, 0);
        check(&[], 3, 3, 0, 0);
        check(&[0, 1, 2], 3, 0, 0, 0);
        check(&[0, 2], 4, 2, 0, 0);
        check(&[0, 0, 1, 1], 2, 0, 2, 0);
        check(&[0, 2, 1, 3], 4, 0, 0, 1);
        check(&[0, 2, 1, 1], 3, 0, 1, 1);
    }
}
