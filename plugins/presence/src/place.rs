//! Where rosters are kept: in `state`, by hub and room.

use std::time::Duration;

use hubgate_plugin::{Error, state};
use sha2::{Digest, Sha256};

use crate::roster::Roster;

/// Longer names are known by a digest, in bytes: keys have a bound.
const LONGEST_NAME: usize = 256;
/// Keys that are asked for at a time.
const PAGE: u32 = 1_000;

/// For how long ends are counted.
const COUNTED: Duration = Duration::from_secs(3_600);

/// A roster's place.
pub struct Place(String);

/// What is at a place, to be changed if nobody else has changed it.
pub struct Read {
    bytes: Option<Vec<u8>>,
    pub roster: Option<Roster>,
}

impl Place {
    pub fn of(hub: &str, room: &str) -> Place {
        Place(prefix(hub) + &short(room.to_owned()))
    }

    /// All places of a hub with a roster.
    pub fn all(hub: &str) -> Result<Vec<Place>, Error> {
        let prefix = prefix(hub);
        let mut keys = Vec::<String>::new();
        loop {
            let page = state::keys(&prefix, keys.last().map(String::as_str), PAGE)?;
            if page.is_empty() {
                return Ok(keys.into_iter().map(Place).collect());
            }
            keys.extend(page);
        }
    }

    /// How often the room's watch has ended. It says no more than that it has, if it is another number than before.
    pub fn ends(&self) -> Result<Option<u64>, Error> {
        state::get(&self.counter())
    }

    pub fn count_end(&self) -> Result<(), Error> {
        state::increment(&self.counter(), 1, Some(COUNTED)).map(drop)
    }

    fn counter(&self) -> String {
        format!("e{}", self.0)
    }

    pub fn read(&self) -> Result<Read, Error> {
        let bytes = state::get_bytes(&self.0)?;
        let roster = bytes.as_deref().map(serde_json::from_slice).transpose().map_err(not_json)?;
        Ok(Read { bytes, roster })
    }

    /// Keeps another roster, or none, if what was read is there still; says whether it was.
    pub fn replace(&self, read: &Read, next: Option<&Roster>) -> Result<bool, Error> {
        let next = next.map(serde_json::to_vec).transpose().map_err(not_json)?;
        state::compare_and_set(&self.0, read.bytes.as_deref(), next.as_deref(), None)
    }
}

fn prefix(hub: &str) -> String {
    // Hubs are compared without case.
    format!("r\n{}\n", short(hub.to_lowercase()))
}

/// A name as a part of a key.
fn short(name: String) -> String {
    match name.len() > LONGEST_NAME {
        true => Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect(),
        false => name,
    }
}

fn not_json(error: serde_json::Error) -> Error {
    Error::Failed(format!("a roster is not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_each_room_has_its_own() {
        let long = |end: &str| "x".repeat(1_020) + end;
        let rooms = ["a".to_owned(), "A".to_owned(), long("a"), long("b")];
        let keys: Vec<String> = rooms.iter().map(|room| Place::of("chat", room).0).collect();
        for (index, key) in keys.iter().enumerate() {
            assert!(key.len() < 600 && !keys[..index].contains(key), "{key}");
        }
        assert_eq!(Place::of("Chat", "a").0, keys[0], "hubs are compared without case");
        assert!(!Place::of("chat", "a").0.starts_with(&prefix("cha")));
    }
}
