//! Name-value lists that live as long as a connection does, in one allocation.

/// An ordered list of names and values; a name may repeat. Headers, claims and the like of every connection are kept in
/// it, so it is one block of memory and not two strings per entry.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Pairs(Box<[u8]>);

/// What a short entry takes up, in bytes.
const SHORT_ENTRY: usize = 32;

impl Pairs {
    /// The entries in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            Some((take(&mut rest), take(&mut rest)))
        })
    }

    /// The first value of `name`, compared with case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(each, value)| (each == name).then_some(value))
    }
}

fn take<'a>(rest: &mut &'a [u8]) -> &'a str {
    let (length, tail) = rest.split_first_chunk().expect("written by `collect`");
    let (text, tail) = tail.split_at(u32::from_le_bytes(*length) as usize);
    *rest = tail;
    std::str::from_utf8(text).expect("written from a str")
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Pairs {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Pairs {
        let entries = entries.into_iter();
        let mut bytes = Vec::with_capacity(entries.size_hint().0 * SHORT_ENTRY);
        for (name, value) in entries {
            for text in [name.as_ref(), value.as_ref()] {
                bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
        Pairs(bytes.into())
    }
}

impl std::fmt::Debug for Pairs {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}
