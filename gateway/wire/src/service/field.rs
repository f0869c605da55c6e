//! What messages of the service protocol are made of.

use super::MalformedMessage;
use crate::messagepack::{
    Head, Reader, Unexpected, write_array, write_binary, write_boolean, write_integer, write_map, write_optional_text,
    write_text, write_text_bytes, write_unsigned,
};

/// Claims: a name may repeat.
pub type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// Headers of a client's request, each name once with all of its values.
pub type Headers<'a> = Vec<(&'a str, Vec<&'a str>)>;

/// Whole hub messages, with what frames them, by the name of the hub protocol.
pub type Payloads<'a> = Vec<(&'a str, &'a [u8])>;

/// An integer that is written in 32 bits, whatever it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FixedInteger(pub i32);

/// A point in time, since 1970 (MessagePack specification, "Timestamp extension type").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// The kind of extension that a timestamp is.
const TIMESTAMP: i8 = -1;

const NIL: &[u8] = &[0xc0];

/// A text that is not looked at, as its own bytes: whether they are UTF-8 is not checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AnyText<'a>(pub &'a [u8]);

/// The map that most messages carry ("Extension members").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extensions<'a> {
    /// For logs; copied to what follows from a message.
    pub tracing_id: Option<u64>,
    /// In seconds.
    pub ttl: Option<i64>,
    /// The name of a hub protocol.
    pub protocol: Option<&'a str>,
    /// An expression that selects receivers.
    pub filter: Option<&'a str>,
    /// What a payload is: 1 a handshake response, 2 an invocation, item or completion, 3 something else, 4 a Close.
    pub data_type: Option<i64>,
    /// More of the same payload follows.
    pub is_partial: bool,
}

/// One element of a message.
pub(super) trait Field<'a>: Sized + Default {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Unexpected>;

    fn write(&self, out: &mut Vec<u8>);

    /// Whether it is not written: only the last one of a message can be left out.
    fn is_left_out(&self) -> bool {
        false
    }
}

/// The elements of a message that are not read yet.
pub(super) struct Fields<'a> {
    reader: Reader<'a>,
    left: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(reader: Reader<'a>, left: usize) -> Fields<'a> {
        Fields { reader, left }
    }

    /// The next element, or its default where an older peer leaves it out.
    pub(super) fn next<T: Field<'a>>(&mut self) -> Result<T, MalformedMessage> {
        match self.left.checked_sub(1) {
            None => Ok(T::default()),
            Some(left) => {
                self.left = left;
                Ok(T::read(&mut self.reader)?)
            }
        }
    }

    /// All elements that are left, which are texts.
    pub(super) fn rest(&mut self) -> Result<Vec<&'a str>, MalformedMessage> {
        (0..self.left).map(|_| Ok(text(&mut self.reader)?)).collect()
    }
}

/// The number of elements of an array; nil is an empty one.
fn array(reader: &mut Reader<'_>) -> Result<usize, Unexpected> {
    match reader.head()? {
        Head::Array(count) => Ok(count),
        Head::Nil => Ok(0),
        _ => Err(Unexpected),
    }
}

/// The number of pairs of a map; nil is an empty one.
fn map(reader: &mut Reader<'_>) -> Result<usize, Unexpected> {
    match reader.head()? {
        Head::Map(count) => Ok(count),
        Head::Nil => Ok(0),
        _ => Err(Unexpected),
    }
}

/// A text; nil is an empty one.
fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Unexpected> {
    reader.optional_text().map(Option::unwrap_or_default)
}

impl<'a> Field<'a> for i64 {
    fn read(reader: &mut Reader<'a>) -> Result<i64, Unexpected> {
        reader.integer()
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_integer(*self, out);
    }
}

impl<'a> Field<'a> for Option<i64> {
    fn read(reader: &mut Reader<'a>) -> Result<Option<i64>, Unexpected> {
        match reader.head()? {
            Head::Nil => Ok(None),
            Head::Integer(value) => Ok(Some(value)),
            _ => Err(Unexpected),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => write_integer(*value, out),
            None => out.extend_from_slice(NIL),
        }
    }
}

impl<'a> Field<'a> for FixedInteger {
    fn read(reader: &mut Reader<'a>) -> Result<FixedInteger, Unexpected> {
        i32::try_from(reader.integer()?).map(FixedInteger).map_err(|_| Unexpected)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(0xd2);
        out.extend_from_slice(&self.0.to_be_bytes());
    }
}

/// A point in time, or none.
impl<'a> Field<'a> for Option<Timestamp> {
    fn read(reader: &mut Reader<'a>) -> Result<Option<Timestamp>, Unexpected> {
        let length = match reader.head()? {
            Head::Nil => return Ok(None),
            Head::Extension { kind: TIMESTAMP, length } => length,
            _ => return Err(Unexpected),
        };
        Timestamp::from_bytes(reader.take(length)?).map(Some)
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Some(time) => time.write(out),
            None => out.extend_from_slice(NIL),
        }
    }
}

impl Timestamp {
    /// The content of the extension, in one of its three forms.
    fn from_bytes(bytes: &[u8]) -> Result<Timestamp, Unexpected> {
        if let Ok(seconds) = <[u8; 4]>::try_from(bytes) {
            return Ok(Timestamp { seconds: u32::from_be_bytes(seconds).into(), nanoseconds: 0 });
        }
        if let Ok(both) = <[u8; 8]>::try_from(bytes).map(u64::from_be_bytes) {
            return Ok(Timestamp { seconds: (both & SECONDS_34_BITS) as i64, nanoseconds: (both >> 34) as u32 });
        }
        let (nanoseconds, seconds) = bytes.split_first_chunk().ok_or(Unexpected)?;
        let seconds = seconds.try_into().map_err(|_| Unexpected)?;
        Ok(Timestamp { seconds: i64::from_be_bytes(seconds), nanoseconds: u32::from_be_bytes(*nanoseconds) })
    }

    /// In the shortest form.
    fn write(self, out: &mut Vec<u8>) {
        let Timestamp { seconds, nanoseconds } = self;
        let kind = TIMESTAMP as u8;
        match u64::try_from(seconds) {
            Ok(seconds) if nanoseconds == 0 && seconds <= u64::from(u32::MAX) => {
                out.extend_from_slice(&[0xd6, kind]);
                out.extend_from_slice(&(seconds as u32).to_be_bytes());
            }
            Ok(seconds) if seconds <= SECONDS_34_BITS => {
                out.extend_from_slice(&[0xd7, kind]);
                out.extend_from_slice(&(u64::from(nanoseconds) << 34 | seconds).to_be_bytes());
            }
            _ => {
                out.extend_from_slice(&[0xc7, 12, kind]);
                out.extend_from_slice(&nanoseconds.to_be_bytes());
                out.extend_from_slice(&seconds.to_be_bytes());
            }
        }
    }
}

/// The seconds in a timestamp of eight bytes.
const SECONDS_34_BITS: u64 = (1 << 34) - 1;

impl<'a> Field<'a> for bool {
    fn read(reader: &mut Reader<'a>) -> Result<bool, Unexpected> {
        reader.boolean()
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_boolean(*self, out);
    }
}

impl<'a> Field<'a> for &'a str {
    fn read(reader: &mut Reader<'a>) -> Result<&'a str, Unexpected> {
        text(reader)
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_text(self, out);
    }
}

impl<'a> Field<'a> for AnyText<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<AnyText<'a>, Unexpected> {
        reader.text_bytes().map(AnyText)
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_text_bytes(self.0, out);
    }
}

impl<'a> Field<'a> for Option<&'a str> {
    fn read(reader: &mut Reader<'a>) -> Result<Option<&'a str>, Unexpected> {
        reader.optional_text()
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_optional_text(*self, out);
    }
}

impl<'a> Field<'a> for &'a [u8] {
    fn read(reader: &mut Reader<'a>) -> Result<&'a [u8], Unexpected> {
        reader.binary()
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_binary(self, out);
    }
}

/// Bytes at the end of a message, where there may be some.
impl<'a> Field<'a> for Option<&'a [u8]> {
    fn read(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Unexpected> {
        reader.binary().map(Some)
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_binary(self.unwrap_or_default(), out);
    }

    fn is_left_out(&self) -> bool {
        self.is_none()
    }
}

impl<'a> Field<'a> for Vec<&'a str> {
    fn read(reader: &mut Reader<'a>) -> Result<Vec<&'a str>, Unexpected> {
        (0..array(reader)?).map(|_| text(reader)).collect()
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_array(self.len(), out);
        self.iter().for_each(|each| write_text(each, out));
    }
}

impl<'a> Field<'a> for Pairs<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Pairs<'a>, Unexpected> {
        (0..map(reader)?).map(|_| Ok((text(reader)?, text(reader)?))).collect()
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_map(self.len(), out);
        for (name, value) in self {
            write_text(name, out);
            write_text(value, out);
        }
    }
}

impl<'a> Field<'a> for Headers<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Headers<'a>, Unexpected> {
        (0..map(reader)?).map(|_| Ok((text(reader)?, Field::read(reader)?))).collect()
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_map(self.len(), out);
        for (name, values) in self {
            write_text(name, out);
            values.write(out);
        }
    }
}

impl<'a> Field<'a> for Payloads<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Payloads<'a>, Unexpected> {
        (0..map(reader)?).map(|_| Ok((text(reader)?, reader.binary()?))).collect()
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_map(self.len(), out);
        for (protocol, message) in self {
            write_text(protocol, out);
            write_binary(message, out);
        }
    }
}

impl<'a> Field<'a> for Extensions<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Extensions<'a>, Unexpected> {
        let mut extensions = Extensions::default();
        for _ in 0..map(reader)? {
            match reader.integer()? {
                1 => {
                    extensions.tracing_id = match reader.head()? {
                        Head::Integer(id) => Some(u64::try_from(id).map_err(|_| Unexpected)?),
                        Head::Unsigned(id) => Some(id),
                        _ => return Err(Unexpected),
                    }
                }
                2 => extensions.ttl = Some(reader.integer()?),
                3 => extensions.protocol = reader.optional_text()?,
                4 => extensions.filter = reader.optional_text()?,
                5 => extensions.data_type = Some(reader.integer()?),
                6 => extensions.is_partial = reader.boolean()?,
                _ => drop(reader.value()?),
            }
        }
        Ok(extensions)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let Extensions { tracing_id, ttl, protocol, filter, data_type, is_partial } = *self;
        let is_there = [tracing_id.is_some(), ttl.is_some(), protocol.is_some(), filter.is_some(), data_type.is_some()];
        write_map(is_there.iter().filter(|each| **each).count() + usize::from(is_partial), out);
        let key = |key: i64, out: &mut Vec<u8>| write_integer(key, out);
        if let Some(id) = tracing_id {
            key(1, out);
            write_unsigned(id, out);
        }
        if let Some(seconds) = ttl {
            key(2, out);
            write_integer(seconds, out);
        }
        if let Some(name) = protocol {
            key(3, out);
            write_text(name, out);
        }
        if let Some(expression) = filter {
            key(4, out);
            write_text(expression, out);
        }
        if let Some(kind) = data_type {
            key(5, out);
            write_integer(kind, out);
        }
        if is_partial {
            key(6, out);
            write_boolean(true, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_time_come_back_from_their_shortest_form() {
        let the_last_one = Timestamp { seconds: 253_402_300_799, nanoseconds: 999_999_900 };
        for (time, length) in [
            (Timestamp { seconds: 0, nanoseconds: 0 }, 6),
            (Timestamp { seconds: u32::MAX.into(), nanoseconds: 0 }, 6),
            (Timestamp { seconds: 1, nanoseconds: 1 }, 10),
            (Timestamp { seconds: 1 << 32, nanoseconds: 999_999_999 }, 10),
            (Timestamp { seconds: (1 << 34) - 1, nanoseconds: 0 }, 10),
            (Timestamp { seconds: 1 << 34, nanoseconds: 0 }, 15),
            (the_last_one, 15),
            (Timestamp { seconds: -1, nanoseconds: 5 }, 15),
        ] {
            let mut out = Vec::new();
            Some(time).write(&mut out);
            assert_eq!(out.len(), length, "{time:?}");
            assert_eq!(Field::read(&mut Reader::new(&out)), Ok(Some(time)), "{out:x?}");
        }
    }

    #[test]
    fn what_is_no_point_in_time_is_refused_and_nil_is_none() {
        let read = |bytes: &[u8]| <Option<Timestamp> as Field>::read(&mut Reader::new(bytes));
        assert_eq!(read(NIL), Ok(None));
        for bytes in [&b"\x05"[..], b"\xd6\x01\0\0\0\0", b"\xd4\xff\0", b"\xc7\x0d\xff0123456789abc", b"\xd7\xff\0"] {
            assert_eq!(read(bytes), Err(Unexpected), "{bytes:x?}");
        }
    }
}
