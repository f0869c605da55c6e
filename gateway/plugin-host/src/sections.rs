//! The sections of a component's file, and what its build has noted in one of them.

/// The id of sections that mean nothing to a compiler.
const CUSTOM: u8 = 0;
/// The section that marks a component whose language has no integers of 64 bits: its id, its size, and its name's length before
/// the name and the content.
const DOUBLES: &[u8] = b"\0\x16\x0fhubgate:numbersdouble";

/// How the language of a guest keeps numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// All that the contract has.
    Exact,
    /// As floating-point numbers of 64 bits, which lose digits of integers beyond 2^53.
    Doubles,
}

impl Numbers {
    pub(crate) fn of(component: &[u8]) -> Numbers {
        let is_mark = |section: Section<'_>| section.id == CUSTOM && section.content == &DOUBLES[2..];
        match sections(component).map_while(Result::ok).any(is_mark) {
            true => Numbers::Doubles,
            false => Numbers::Exact,
        }
    }

    /// Whether the guest gets this integer, and no other.
    pub(crate) fn hold(self, integer: i64) -> bool {
        const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;
        self == Numbers::Exact || integer.unsigned_abs() <= MAX_SAFE_INTEGER
    }
}

/// Notes in a component that its language keeps numbers as JavaScript does: `increment` refuses sums then that would lose digits.
pub fn mark_numbers_as_doubles(component: &mut Vec<u8>) {
    component.extend_from_slice(DOUBLES);
}

/// The bytes before the first section.
pub(crate) const PREAMBLE_BYTES: usize = 8;

pub(crate) struct Section<'a> {
    id: u8,
    content: &'a [u8],
}

/// The last section ends so many bytes after the end of the file.
pub(crate) struct Truncated(pub(crate) u64);

/// The sections, each an id, a size in LEB128, and as many bytes. An error is the last item.
pub(crate) fn sections(component: &[u8]) -> impl Iterator<Item = Result<Section<'_>, Truncated>> {
    let mut rest = component.get(PREAMBLE_BYTES..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (&id, after_id) = std::mem::take(&mut rest).split_first()?;
        let Some((size, content)) = read_size(after_id) else { return Some(Err(Truncated(1))) };
        let Some((content, after)) = content.split_at_checked(size as usize) else {
            return Some(Err(Truncated(u64::from(size) - content.len() as u64)));
        };
        rest = after;
        Some(Ok(Section { id, content }))
    })
}

fn read_size(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut size = 0;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        size |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((size, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_that_is_marked_gets_integers_that_a_double_holds() {
        let mut component = b"\0asm\x0d\0\x01\0\x00\x03abc".to_vec();
        assert_eq!(Numbers::of(&component), Numbers::Exact);
        mark_numbers_as_doubles(&mut component);
        assert_eq!(Numbers::of(&component), Numbers::Doubles);
        component.extend_from_slice(b"\x00\x03abc");
        assert_eq!(Numbers::of(&component), Numbers::Doubles, "wherever the mark is");
        assert!(sections(&component).all(|section| section.is_ok()));
        let largest = (1 << 53) - 1;
        assert!(Numbers::Doubles.hold(largest) && Numbers::Doubles.hold(-largest));
        assert!(!Numbers::Doubles.hold(largest + 1) && !Numbers::Doubles.hold(i64::MIN));
        assert!(Numbers::Exact.hold(i64::MIN));
    }
}
