//! Things that are found by a key which none of them shares with a later one.

use std::marker::PhantomData;
use std::ops::{Index, IndexMut, Range};

use slab::Slab;

/// A place in an arena, and which of those that have been there one after another.
pub(crate) trait Key: Copy {
    fn new(index: u32, generation: u32) -> Self;
    fn index(self) -> usize;
    fn generation(self) -> u32;
}

/// Defines a key.
macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name {
            /// Its place. Those of values that are gone are used again, so it is small.
            pub index: u32,
            /// Which of the values that have been there one after another.
            pub generation: u32,
        }

        impl $crate::arena::Key for $name {
            #[inline]
            fn new(index: u32, generation: u32) -> $name {
                $name { index, generation }
            }

            #[inline]
            fn index(self) -> usize {
                self.index as usize
            }

            #[inline]
            fn generation(self) -> u32 {
                self.generation
            }
        }

        impl std::hash::Hash for $name {
            #[inline]
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                state.write_u64(u64::from(self.generation) << 32 | u64::from(self.index));
            }
        }
    };
}
pub(crate) use key;

/// Values by their keys. A key whose value is gone finds nothing, also when its place has another value.
#[derive(Debug)]
pub(crate) struct Arena<K, T> {
    entries: Slab<(u32, T)>,
    /// Of the next value. It comes round after four billion of them.
    generation: u32,
    keys: PhantomData<K>,
}

impl<K: Key, T> Arena<K, T> {
    pub(crate) fn new() -> Arena<K, T> {
        Arena { entries: Slab::new(), generation: 0, keys: PhantomData }
    }

    /// The key of the value that is inserted next.
    pub(crate) fn next_key(&self) -> K {
        K::new(self.entries.vacant_key() as u32, self.generation)
    }

    pub(crate) fn insert(&mut self, value: T) -> K {
        let key = self.next_key();
        self.entries.insert((self.generation, value));
        self.generation = self.generation.wrapping_add(1);
        key
    }

    /// The key that was next is nobody's.
    pub(crate) fn skip_key(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<T> {
        self.get(key)?;
        Some(self.entries.remove(key.index()).1)
    }

    #[inline]
    pub(crate) fn get(&self, key: K) -> Option<&T> {
        match self.entries.get(key.index()) {
            Some((generation, value)) if *generation == key.generation() => Some(value),
            Some(_) | None => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        match self.entries.get_mut(key.index()) {
            Some((generation, value)) if *generation == key.generation() => Some(value),
            Some(_) | None => None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.entries.iter().map(|(index, (generation, value))| (K::new(index as u32, *generation), value))
    }

    /// How many places there are, those without a value among them.
    pub(crate) fn places(&self) -> usize {
        self.entries.capacity()
    }

    /// The values at some places.
    pub(crate) fn iter_places(&self, places: Range<usize>) -> impl Iterator<Item = &T> {
        places.filter_map(|index| self.entries.get(index)).map(|(_, value)| value)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = K> {
        self.entries.iter().map(|(index, (generation, _))| K::new(index as u32, *generation))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut T)> {
        self.entries.iter_mut().map(|(index, (generation, value))| (K::new(index as u32, *generation), value))
    }
}

/// For those who know that the value is there.
impl<K: Key, T> Index<K> for Arena<K, T> {
    type Output = T;

    #[inline]
    fn index(&self, key: K) -> &T {
        self.get(key).expect("the key's value is there")
    }
}

impl<K: Key, T> IndexMut<K> for Arena<K, T> {
    #[inline]
    fn index_mut(&mut self, key: K) -> &mut T {
        self.get_mut(key).expect("the key's value is there")
    }
}

/// What a part keeps for each value of somebody else's arena, for as long as that value is there.
#[derive(Debug)]
pub(crate) struct Beside<K, T> {
    values: Vec<T>,
    keys: PhantomData<K>,
}

impl<K: Key, T: Default> Beside<K, T> {
    pub(crate) fn new() -> Beside<K, T> {
        Beside { values: Vec::new(), keys: PhantomData }
    }

    /// The arena has one more value. What was kept at its place is over.
    pub(crate) fn begin(&mut self, key: K) {
        if self.values.len() <= key.index() {
            self.values.resize_with(key.index() + 1, T::default);
        }
        self.values[key.index()] = T::default();
    }
}

impl<K: Key, T> Index<K> for Beside<K, T> {
    type Output = T;

    #[inline]
    fn index(&self, key: K) -> &T {
        &self.values[key.index()]
    }
}

impl<K: Key, T> IndexMut<K> for Beside<K, T> {
    #[inline]
    fn index_mut(&mut self, key: K) -> &mut T {
        &mut self.values[key.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Slot as Name;

    #[test]
    fn a_key_whose_value_is_gone_finds_nothing_also_when_its_place_is_taken() {
        let mut arena: Arena<Name, &str> = Arena::new();
        let first = arena.insert("first");
        assert_eq!((arena.get(first).copied(), arena.remove(first)), (Some("first"), Some("first")));
        assert_eq!(arena.remove(first), None, "it is gone");
        let next = arena.next_key();
        assert_eq!((arena.insert("second"), next.index), (next, first.index), "the place is the same");
        assert_eq!((arena.get(first).copied(), arena.remove(first)), (None, None));
        assert!(arena.get_mut(first).is_none());
        assert_eq!((arena.get(next), arena.keys().collect::<Vec<_>>()), (Some(&"second"), vec![next]));
    }

    #[test]
    fn what_is_kept_beside_a_value_is_not_found_beside_the_next_one_at_its_place() {
        let (mut arena, mut beside) = (Arena::<Name, ()>::new(), Beside::<Name, u32>::new());
        let first = arena.insert(());
        beside.begin(first);
        beside[first] = 1;
        arena.remove(first);
        let second = arena.insert(());
        beside.begin(second);
        assert_eq!(beside[second], 0);
    }
}
