//! Hash maps whose order is the same in each run that is given the same seed.

#![allow(clippy::disallowed_types, reason = "the maps of the core are named here, with hashers that have a seed")]

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use foldhash::fast::{FixedState, FoldHasher, SeedableRandomState};

/// Where hashes begin. Names come from outside, so a gateway takes one that nobody can guess; whoever repeats what a shard did
/// gives it the same one. It has no default.
#[derive(Debug, Clone)]
pub struct HashSeed(SeedableRandomState);

/// By names from outside.
pub(crate) type SeededMap<K, V> = HashMap<K, V, HashSeed>;
pub(crate) type SeededSet<K> = HashSet<K, HashSeed>;
/// By numbers and ids that the gateway makes itself.
pub(crate) type FixedMap<K, V> = HashMap<K, V, FixedState>;

impl HashSeed {
    /// One that nobody can guess, for the life of a gateway. Not for the core itself, which knows no random source.
    pub fn random() -> HashSeed {
        HashSeed(SeedableRandomState::random())
    }

    /// Always the same one: for tests, and for inputs from a recording.
    pub fn fixed() -> HashSeed {
        HashSeed(SeedableRandomState::fixed())
    }
}

impl BuildHasher for HashSeed {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> FoldHasher<'static> {
        self.0.build_hasher()
    }
}
