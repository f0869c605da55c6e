//! A value as the store has it: with its end, and with who has written it.
//!
//! A record begins with its version and the length of its head. A later version may add to the end of the head; one that is not to be
//! read by this one has another number.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The only version so far.
const VERSION: u8 = 1;
const HAS_VALUE: u8 = 1;
const HAS_END: u8 = 2;
/// Writers that a record names. Those before have had their answers long ago.
const MOST_WRITERS: usize = 16;
/// The longest head that is written, in bytes, with the version and the length before it.
pub(super) const LONGEST_HEAD: usize = 3 + 1 + 8 + 1 + MOST_WRITERS * 16;

/// A value, or the place of one that was removed.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) value: Option<Bytes>,
    pub(super) about: About,
}

/// What is known of a value beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct About {
    /// In milliseconds since 1970.
    pub(super) expires: Option<u64>,
    pub(super) writers: Writers,
}

/// Who has written a key: of each writer the last write, oldest first. Every write replaces a record that its writer knows, and goes on
/// with this list. So any later record tells whether a write took place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Writers(Vec<Write>);

/// A write: of which process, and the how many-eth of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) writer: u64,
    pub(super) number: u64,
}

/// The record is of a later version, or was written by something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

impl Record {
    pub(super) fn encode(&self) -> Bytes {
        let About { expires, writers } = &self.about;
        let flags = if self.value.is_some() { HAS_VALUE } else { 0 } | if expires.is_some() { HAS_END } else { 0 };
        let mut head = Vec::with_capacity(LONGEST_HEAD);
        head.put_u8(flags);
        expires.iter().for_each(|expires| head.put_u64(*expires));
        head.put_u8(writers.0.len() as u8);
        for Write { writer, number } in &writers.0 {
            head.put_u64(*writer);
            head.put_u64(*number);
        }
        let value = self.value.as_deref().unwrap_or_default();
        let mut record = BytesMut::with_capacity(3 + head.len() + value.len());
        record.put_u8(VERSION);
        record.put_u16(head.len() as u16);
        record.put_slice(&head);
        record.put_slice(value);
        record.freeze()
    }

    /// Nothing at all is what the store's own tools leave of a value that they remove.
    pub(super) fn decode(mut bytes: Bytes) -> Result<Record, Unreadable> {
        if bytes.is_empty() {
            return Ok(Record::default());
        }
        let version = bytes.try_get_u8().map_err(|_| Unreadable)?;
        let length = usize::from(bytes.try_get_u16().map_err(|_| Unreadable)?);
        if version != VERSION || length > bytes.len() {
            return Err(Unreadable);
        }
        let mut head = bytes.split_to(length);
        let flags = head.try_get_u8().map_err(|_| Unreadable)?;
        let expires = match flags & HAS_END {
            0 => None,
            _ => Some(head.try_get_u64().map_err(|_| Unreadable)?),
        };
        let writers = Writers::decode(&mut head)?;
        let value = (flags & HAS_VALUE != 0).then_some(bytes);
        Ok(Record { value, about: About { expires, writers } })
    }
}

impl Writers {
    /// With one more write.
    pub(super) fn and(&self, write: Write) -> Writers {
        let mut writers: Vec<Write> = self.0.iter().copied().filter(|each| each.writer != write.writer).collect();
        let surplus = (writers.len() + 1).saturating_sub(MOST_WRITERS);
        writers.drain(..surplus);
        writers.push(write);
        Writers(writers)
    }

    /// Whether this write took place, if it is its writer's last one to the key.
    pub(super) fn have(&self, write: Write) -> bool {
        self.0.contains(&write)
    }

    fn decode(head: &mut Bytes) -> Result<Writers, Unreadable> {
        let count = usize::from(head.try_get_u8().map_err(|_| Unreadable)?);
        if count > MOST_WRITERS || count * 16 > head.len() {
            return Err(Unreadable);
        }
        Ok(Writers((0..count).map(|_| Write { writer: head.get_u64(), number: head.get_u64() }).collect()))
    }
}

impl fmt::Debug for Record {
    /// Without the value: it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.value.as_ref().map(Bytes::len);
        f.debug_struct("Record").field("bytes", &bytes).field("about", &self.about).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: Option<&'static [u8]>, expires: Option<u64>, writers: u64) -> Record {
        let write = |writer| Write { writer, number: 7 * writer };
        let writers = (1..=writers).fold(Writers::default(), |writers, writer| writers.and(write(writer)));
        Record { value: value.map(Bytes::from_static), about: About { expires, writers } }
    }

    #[test]
    fn what_is_written_is_read() {
        for value in [None, Some(&b""[..]), Some(b"value")] {
            for expires in [None, Some(0), Some(u64::MAX)] {
                for writers in [0, 1, 16, 40] {
                    let record = record(value, expires, writers);
                    let bytes = record.encode();
                    assert!(bytes.len() <= LONGEST_HEAD + value.map_or(0, <[u8]>::len));
                    assert_eq!(Record::decode(bytes), Ok(record));
                }
            }
        }
    }

    #[test]
    fn what_was_cut_off_or_is_of_another_version_is_not_read_and_what_a_later_one_adds_is_passed_over() {
        let bytes = record(Some(b""), Some(5), 2).encode();
        assert_eq!(Record::decode(Bytes::new()), Ok(Record::default()));
        for length in 1..bytes.len() {
            assert_eq!(Record::decode(bytes.slice(..length)), Err(Unreadable), "{length} bytes");
        }
        let mut other = bytes.to_vec();
        other[0] = 2;
        assert_eq!(Record::decode(other.into()), Err(Unreadable));
        let mut later = bytes.to_vec();
        later[2] += 3;
        later.extend(b"newvalue");
        assert_eq!(Record::decode(later.into()), Ok(record(Some(b"value"), Some(5), 2)));
    }

    #[test]
    fn a_record_knows_the_last_write_of_each_of_its_last_writers() {
        let write = |writer, number| Write { writer, number };
        let writers = Writers::default().and(write(1, 1)).and(write(2, 9)).and(write(1, 3));
        assert!(writers.have(write(1, 3)) && writers.have(write(2, 9)));
        assert!(!writers.have(write(1, 4)) && !writers.have(write(3, 1)));
        let many = (10..25).fold(writers, |writers, writer| writers.and(write(writer, 1)));
        assert_eq!(many.0.len(), MOST_WRITERS);
        assert!(many.have(write(1, 3)) && !many.have(write(2, 9)), "the oldest has made room");
    }
}
