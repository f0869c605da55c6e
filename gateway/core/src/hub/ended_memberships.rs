//! Memberships of users that have ended, for as long as a node may not have heard of that: what such a node says of them is older.

use std::collections::{BTreeMap, VecDeque};

use crate::directory_change::{DirectoryChange, Stamp};
use crate::id::{GroupName, HubName, UserId};
use crate::time::Millis;

/// They are remembered for so long.
const MEMORY: Millis = Millis(600_000);
/// But no more of them than this; the oldest goes.
const MAX_REMEMBERED: usize = 10_000;

/// A membership, or all of a user in a hub.
type Place = (HubName, UserId, Option<GroupName>);

#[derive(Debug, Default)]
pub(super) struct EndedMemberships {
    /// When each has ended, and until when that is remembered.
    places: BTreeMap<Place, (Stamp, Millis)>,
    in_order: VecDeque<(Millis, Place)>,
}

impl EndedMemberships {
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn add(&mut self, place: Place, stamp: Stamp, now: Millis) {
        let until = now + MEMORY;
        let stamp = self.places.get(&place).map_or(stamp, |(known, _)| stamp.max(*known));
        self.places.insert(place.clone(), (stamp, until));
        self.in_order.push_back((until, place));
        while self.in_order.len() > MAX_REMEMBERED {
            self.forget_oldest();
        }
    }

    /// Whether a membership that began then has ended since.
    pub(super) fn has_ended_since(&self, (hub, user, group): (&HubName, &UserId, &GroupName), began: Stamp) -> bool {
        let has_ended = |group: Option<&GroupName>| {
            let ended = self.places.get(&(hub.clone(), user.clone(), group.cloned()));
            ended.is_some_and(|(ended, _)| *ended >= began)
        };
        has_ended(Some(group)) || has_ended(None)
    }

    pub(super) fn sweep(&mut self, now: Millis) {
        while self.in_order.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((until, place)) = self.in_order.pop_front() else {
            return;
        };
        // It may have ended once more.
        if self.places.get(&place).is_some_and(|(_, last)| *last == until) {
            self.places.remove(&place);
        }
    }

    pub(super) fn snapshot(&self) -> impl Iterator<Item = (HubName, DirectoryChange)> {
        self.places.iter().map(|((hub, user, group), (stamp, _))| {
            let (user, group) = (user.clone(), group.clone());
            (hub.clone(), DirectoryChange::MembershipEnds { user, group, stamp: *stamp })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;

    #[test]
    fn what_has_ended_is_remembered_for_a_while_and_no_more_of_it_than_a_bound_allows() {
        let (hub, user) = (HubName::parse("chat").expect("a name"), UserId::new("ann"));
        let group = |number: usize| GroupName::new(number.to_string());
        let at = |time| Stamp { time, node: NodeId(1) };
        let mut ended = EndedMemberships::default();
        ended.add((hub.clone(), user.clone(), Some(group(0))), at(5), Millis(0));
        ended.add((hub.clone(), user.clone(), Some(group(0))), at(7), Millis(10));
        let since = |ended: &EndedMemberships, of, began| ended.has_ended_since((&hub, &user, &group(of)), at(began));
        assert!(since(&ended, 0, 7) && !since(&ended, 0, 8) && !since(&ended, 1, 1));
        ended.sweep(MEMORY);
        assert!(since(&ended, 0, 7), "it has ended once more");
        ended.sweep(MEMORY + Millis(10));
        assert!(ended.is_empty() && ended.in_order.is_empty());
        (0..=MAX_REMEMBERED)
            .for_each(|number| ended.add((hub.clone(), user.clone(), Some(group(number))), at(9), Millis(0)));
        assert!(!since(&ended, 0, 1) && since(&ended, 1, 1) && ended.places.len() == MAX_REMEMBERED);
        ended.add((hub.clone(), user.clone(), None), at(11), Millis(0));
        assert!(since(&ended, MAX_REMEMBERED + 1, 11), "all of the user have");
    }
}
