//! What becomes of bytes on their way, or in bad hands.

use proptest::prelude::*;

/// A small change of bytes.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Flip { at: usize, bit: u8 },
    Put { at: usize, byte: u8 },
    Insert { at: usize, byte: u8 },
    Cut { at: usize },
    Repeat { from: usize, length: usize },
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match *self {
            Change::Flip { at, bit } => {
                let at = at % bytes.len().max(1);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
            }
            Change::Put { at, byte } => {
                let at = at % bytes.len().max(1);
                bytes.iter_mut().skip(at).take(1).for_each(|each| *each = byte);
            }
            Change::Insert { at, byte } => bytes.insert(at % (bytes.len() + 1), byte),
            Change::Cut { at } => bytes.truncate(at % (bytes.len() + 1)),
            Change::Repeat { from, length } => {
                let from = from % (bytes.len() + 1);
                let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
                bytes.splice(from..from, piece);
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    // What begins arrays, texts, binary values and long integers, and promises much.
    let telling = prop_oneof![any::<u8>(), proptest::sample::select(&b"\xdd\xdc\xdb\xc6\xc0\xcf\xff\x90\x9f\x01"[..])];
    prop_oneof![
        (any::<usize>(), 0..8u8).prop_map(|(at, bit)| Change::Flip { at, bit }),
        (any::<usize>(), telling.clone()).prop_map(|(at, byte)| Change::Put { at, byte }),
        (any::<usize>(), telling).prop_map(|(at, byte)| Change::Insert { at, byte }),
        any::<usize>().prop_map(|at| Change::Cut { at }),
        (any::<usize>(), 1..40usize).prop_map(|(from, length)| Change::Repeat { from, length }),
    ]
}

/// A few changes.
pub(crate) fn changes() -> impl Strategy<Value = Vec<Change>> {
    proptest::collection::vec(change(), 1..4)
}

/// The bytes with all of the changes.
pub(crate) fn changed(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    changes.iter().for_each(|change| change.apply(&mut bytes));
    bytes
}
