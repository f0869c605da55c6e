//! The last messages of a group, as values of `state`: a counter, and a place for each message that is kept.

use std::time::Duration;

use hubgate_plugin::{Error, RawValue, state};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::settings::Settings;

/// Longer names of groups are known by a digest, in bytes: keys have a bound.
const LONGEST_NAME: usize = 512;
/// Of a message's arguments, in bytes. Of a larger message only that it was sent is kept.
const LARGEST: usize = 64 << 10;
/// What `join` gives at most, in bytes: the last messages for which there is room.
const MOST_BYTES: usize = 1 << 20;
/// Below all ids that are given, and above what a counter that has begun at 0 can reach.
const LEAST_ID: u64 = 1 << 40;

/// A message as it is kept, and told.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept {
    pub id: u64,
    /// In milliseconds since 1970.
    pub at: u64,
    pub method: String,
    /// None if they were too large.
    pub arguments: Option<Box<RawValue>>,
}

/// Where the messages of a group are kept.
pub struct Ring {
    /// What its keys have in common.
    name: String,
    keep: u64,
    time: Duration,
}

impl Ring {
    pub fn of(settings: &Settings, hub: &str, group: &str) -> Ring {
        Ring { name: name(hub, group), keep: settings.keep, time: settings.time }
    }

    /// Keeps a message and gives its id, in place of the oldest one if there is no other place.
    pub fn add(&self, at: u64, method: &str, arguments: &str) -> Result<u64, Error> {
        let id = self.next_id(at)?;
        let arguments = match arguments.len() > LARGEST {
            true => None,
            false => Some(RawValue::from_string(arguments.to_owned()).map_err(not_json)?),
        };
        let kept = serde_json::to_vec(&Kept { id, at, method: method.to_owned(), arguments }).map_err(not_json)?;
        let key = self.place(id % self.keep);
        loop {
            let present = state::get_bytes(&key)?;
            // One that came later was faster.
            if present.as_deref().and_then(id_of).is_some_and(|present| present > id) {
                return Ok(id);
            }
            if state::compare_and_set(&key, present.as_deref(), Some(&kept), Some(self.time))? {
                return Ok(id);
            }
        }
    }

    /// All messages that are kept, by their ids.
    pub fn kept(&self) -> Result<Vec<Kept>, Error> {
        let mut all = Vec::new();
        for place in 0..self.keep {
            all.extend(state::get::<Kept>(&self.place(place))?);
        }
        all.sort_unstable_by_key(|kept| kept.id);
        Ok(all)
    }

    /// The id that was given last.
    pub fn last_id(&self) -> Result<Option<u64>, Error> {
        state::get(&self.counter())
    }

    /// An id that no other message of the group has, greater than all before it.
    fn next_id(&self, now: u64) -> Result<u64, Error> {
        let key = self.counter();
        // A counter ends with its time, in use or not, so that groups that nobody uses leave nothing.
        let lasts = Some((self.time * 2).max(Duration::from_secs(3_600)));
        loop {
            if state::get_bytes(&key)?.is_none() {
                let last = first(now, self.kept()?.last().map(|kept| kept.id), self.keep).to_string();
                state::compare_and_set(&key, None, Some(last.as_bytes()), lasts)?;
            }
            let id = state::increment(&key, 1, lasts)?;
            match u64::try_from(id).is_ok_and(|id| id > LEAST_ID) {
                true => return Ok(id.unsigned_abs()),
                // Its time was up in between, and it began at 0.
                false => state::compare_and_set(&key, Some(id.to_string().as_bytes()), None, None)?,
            };
        }
    }

    fn counter(&self) -> String {
        format!("c\n{}", self.name)
    }

    fn place(&self, place: u64) -> String {
        format!("m\n{}\n{place}", self.name)
    }
}

/// What a counter begins with: a time in microseconds, because no group has a message in each of them, so that ids go on growing when
/// a counter begins anew. The message after `last` gets the place after that of `last`.
fn first(now: u64, last: Option<u64>, keep: u64) -> u64 {
    let least = LEAST_ID.max(now.saturating_mul(1_000)).max(last.unwrap_or_default());
    match last {
        Some(last) => least + (keep + last % keep - least % keep) % keep,
        None => least,
    }
}

/// What a client is told that has had all messages up to `after`.
pub struct Since<'a> {
    /// The last ones, as many as there is room for.
    pub messages: &'a [Kept],
    /// Whether others that came after `after` are gone, or there is no room for them.
    pub missed: bool,
}

/// Of messages by their ids, what comes after an id; `last` is the id that was given last.
pub fn since(kept: &[Kept], last: Option<u64>, after: Option<u64>) -> Since<'_> {
    let later = &kept[kept.partition_point(|each| Some(each.id) <= after)..];
    let mut room = MOST_BYTES;
    let fits = |kept: &&Kept| {
        let bytes = kept.method.len() + kept.arguments.as_ref().map_or(0, |arguments| arguments.get().len());
        let left = room.checked_sub(bytes);
        room = left.unwrap_or_default();
        left.is_some()
    };
    let messages = &later[later.len() - later.iter().rev().take_while(fits).count()..];
    let is_missing = |after: u64| {
        let reaches_back = kept.first().is_some_and(|oldest| oldest.id <= after.saturating_add(1));
        last.is_none_or(|last| last > after) && (!reaches_back || messages.len() < later.len())
    };
    Since { messages, missed: after.is_some_and(is_missing) }
}

fn name(hub: &str, group: &str) -> String {
    // Hubs are compared without case.
    let name = format!("{}\n{group}", hub.to_lowercase());
    match name.len() > LONGEST_NAME {
        true => Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect(),
        false => name,
    }
}

fn id_of(kept: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Id {
        id: u64,
    }
    serde_json::from_slice::<Id>(kept).ok().map(|kept| kept.id)
}

fn not_json(error: serde_json::Error) -> Error {
    Error::Failed(format!("a message is not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(id: u64, arguments: &str) -> Kept {
        let arguments = Some(RawValue::from_string(arguments.to_owned()).unwrap());
        Kept { id, at: 0, method: "said".to_owned(), arguments }
    }

    fn ids(since: &Since<'_>) -> Vec<u64> {
        since.messages.iter().map(|kept| kept.id).collect()
    }

    #[test]
    fn ids_grow_whatever_becomes_of_a_counter() {
        let minute = 60_000_000;
        let now = 1_800_000_000_000;
        let last = first(now, None, 50) + 1_000;
        assert!(first(now + 60_000, None, 50) >= last + minute - 1_000, "of a counter that is gone");
        assert!(first(now - 60_000, Some(last), 50) >= last, "of a clock that was set back");
        assert!(first(0, None, 50) >= LEAST_ID, "of a clock that is wrong");
    }

    #[test]
    fn a_counter_that_begins_anew_goes_on_with_the_next_place() {
        for keep in [1, 3, 50, 1_000] {
            for last in [LEAST_ID, LEAST_ID + 1, LEAST_ID + 999_999] {
                let first = first(1_800_000_000_000, Some(last), keep);
                assert_eq!((first + 1) % keep, (last + 1) % keep, "{keep} {last}");
            }
        }
    }

    #[test]
    fn who_comes_back_gets_what_came_since() {
        let all = [kept(5, "[]"), kept(6, "[]"), kept(8, "[]")];
        for (after, expected, missed) in [
            (None, &[5, 6, 8][..], false),
            (Some(3), &[5, 6, 8], true),
            (Some(4), &[5, 6, 8], false),
            (Some(6), &[8], false),
            (Some(8), &[], false),
            (Some(u64::MAX), &[], false),
        ] {
            let since = since(&all, Some(8), after);
            assert_eq!((&ids(&since)[..], since.missed), (expected, missed), "{after:?}");
        }
    }

    #[test]
    fn who_comes_back_when_nothing_is_kept_is_told_whether_there_was_something() {
        for (last, after, missed) in
            [(Some(8), Some(8), false), (Some(9), Some(8), true), (None, Some(8), true), (None, None, false)]
        {
            assert_eq!(since(&[], last, after).missed, missed, "{last:?} {after:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_the_oldest_and_counts_as_missed() {
        let large = format!("[\"{}\"]", "x".repeat(MOST_BYTES / 2 - 100));
        let all = [kept(1, &large), kept(2, &large), kept(3, &large), kept(4, "[]")];
        for (after, expected, missed) in [
            (None, &[2, 3, 4][..], false),
            (Some(0), &[2, 3, 4], true),
            (Some(1), &[2, 3, 4], false),
            (Some(3), &[4], false),
        ] {
            let since = since(&all, Some(4), after);
            assert_eq!((&ids(&since)[..], since.missed), (expected, missed), "{after:?}");
        }
    }

    #[test]
    fn keys_are_short_and_each_group_has_its_own() {
        let long = |end: &str| name("chat", &("x".repeat(1_020) + end));
        let names = [name("chat", "a"), name("chat", "A"), name("other", "a"), long("a"), long("b")];
        for (index, name) in names.iter().enumerate() {
            assert!(name.len() <= LONGEST_NAME && !names[..index].contains(name), "{name}");
        }
        assert_eq!(name("Chat", "a"), name("chat", "a"), "hubs are compared without case");
    }

    #[test]
    fn a_message_is_kept_as_it_is_told() {
        let text = r#"{"id":7,"at":3,"method":"said","arguments":["hello",1.50]}"#;
        let kept: Kept = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&kept).unwrap(), text);
        assert_eq!(id_of(text.as_bytes()), Some(7));
        assert_eq!(id_of(b"else"), None);
    }
}
