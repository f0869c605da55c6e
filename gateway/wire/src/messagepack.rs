//! MessagePack, read value by value from borrowed bytes and written in its shortest form.
//!
//! Source: the MessagePack specification. Nothing in here recurses, and nothing is allocated by what a length promises.

/// How deep arrays and maps may nest in a value that is skipped as a whole.
pub const DEEPEST: usize = crate::depth::DEEPEST_PAYLOAD;

/// The next value is of another kind than is asked for, or is not there as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not the MessagePack value that is expected")]
pub struct Unexpected;

/// What the first byte of a value, and the length behind it, say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Head {
    Nil,
    Boolean(bool),
    Integer(i64),
    /// Above what an `i64` holds.
    Unsigned(u64),
    Float32(f32),
    Float64(f64),
    /// Bytes of text that follow.
    Text(usize),
    Binary(usize),
    /// Values that follow.
    Array(usize),
    /// Pairs of values that follow.
    Map(usize),
    Extension {
        kind: i8,
        length: usize,
    },
}

/// Reads values one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The number of elements of an array, which are read next.
    #[inline]
    pub fn array(&mut self) -> Result<usize, Unexpected> {
        // Most have few elements.
        if let [first @ 0x90..=0x9f, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok((first & 0x0f).into());
        }
        match self.head()? {
            Head::Array(count) => Ok(count),
            _ => Err(Unexpected),
        }
    }

    /// The number of pairs of a map, which are read next.
    pub fn map(&mut self) -> Result<usize, Unexpected> {
        match self.head()? {
            Head::Map(count) => Ok(count),
            _ => Err(Unexpected),
        }
    }

    /// An integer of any width that an `i64` holds.
    pub fn integer(&mut self) -> Result<i64, Unexpected> {
        match self.head()? {
            Head::Integer(value) => Ok(value),
            _ => Err(Unexpected),
        }
    }

    /// An integer that is not negative.
    #[inline]
    pub fn unsigned(&mut self) -> Result<u64, Unexpected> {
        // Most are small.
        if let [first @ 0..=0x7f, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok((*first).into());
        }
        match self.head()? {
            Head::Integer(value) => u64::try_from(value).map_err(|_| Unexpected),
            Head::Unsigned(value) => Ok(value),
            _ => Err(Unexpected),
        }
    }

    pub fn boolean(&mut self) -> Result<bool, Unexpected> {
        match self.head()? {
            Head::Boolean(value) => Ok(value),
            _ => Err(Unexpected),
        }
    }

    pub fn text(&mut self) -> Result<&'a str, Unexpected> {
        match self.head()? {
            Head::Text(length) => self.utf8(length),
            _ => Err(Unexpected),
        }
    }

    /// A text or nil.
    pub fn optional_text(&mut self) -> Result<Option<&'a str>, Unexpected> {
        match self.head()? {
            Head::Nil => Ok(None),
            Head::Text(length) => self.utf8(length).map(Some),
            _ => Err(Unexpected),
        }
    }

    /// The bytes of a text, whether they are UTF-8 or not; none of nil.
    pub fn text_bytes(&mut self) -> Result<&'a [u8], Unexpected> {
        match self.head()? {
            Head::Nil => Ok(&[]),
            Head::Text(length) => self.take(length),
            _ => Err(Unexpected),
        }
    }

    pub fn binary(&mut self) -> Result<&'a [u8], Unexpected> {
        match self.head()? {
            Head::Binary(length) => self.take(length),
            _ => Err(Unexpected),
        }
    }

    /// Whatever value comes next, with all that is in it, as its own bytes. One that nests deeper than [`DEEPEST`] is
    /// refused. The content of texts is not looked at.
    pub fn value(&mut self) -> Result<&'a [u8], Unexpected> {
        let start = self.rest;
        // How many values are still to come, at each depth.
        let mut open = [0usize; DEEPEST];
        let mut depth = 0;
        loop {
            let inside = match self.head()? {
                Head::Text(length) | Head::Binary(length) | Head::Extension { length, .. } => {
                    self.take(length)?;
                    None
                }
                Head::Array(count) => Some(count),
                Head::Map(count) => Some(count.checked_mul(2).ok_or(Unexpected)?),
                Head::Nil
                | Head::Boolean(_)
                | Head::Integer(_)
                | Head::Unsigned(_)
                | Head::Float32(_)
                | Head::Float64(_) => None,
            };
            if let Some(inside) = inside {
                // An empty one nests, too.
                let level = open.get_mut(depth).ok_or(Unexpected)?;
                if inside > 0 {
                    *level = inside;
                    depth += 1;
                    continue;
                }
            }
            loop {
                if depth == 0 {
                    return Ok(&start[..start.len() - self.rest.len()]);
                }
                open[depth - 1] -= 1;
                if open[depth - 1] > 0 {
                    break;
                }
                depth -= 1;
            }
        }
    }

    pub(crate) fn head(&mut self) -> Result<Head, Unexpected> {
        let [first] = self.bytes()?;
        Ok(match first {
            0x00..=0x7f => Head::Integer(first.into()),
            0x80..=0x8f => Head::Map((first & 0x0f).into()),
            0x90..=0x9f => Head::Array((first & 0x0f).into()),
            0xa0..=0xbf => Head::Text((first & 0x1f).into()),
            0xc0 => Head::Nil,
            0xc1 => return Err(Unexpected),
            0xc2 => Head::Boolean(false),
            0xc3 => Head::Boolean(true),
            0xc4 => Head::Binary(self.length8()?),
            0xc5 => Head::Binary(self.length16()?),
            0xc6 => Head::Binary(self.length32()?),
            0xc7 => self.extension(Self::length8)?,
            0xc8 => self.extension(Self::length16)?,
            0xc9 => self.extension(Self::length32)?,
            0xca => Head::Float32(f32::from_be_bytes(self.bytes()?)),
            0xcb => Head::Float64(f64::from_be_bytes(self.bytes()?)),
            0xcc => Head::Integer(u8::from_be_bytes(self.bytes()?).into()),
            0xcd => Head::Integer(u16::from_be_bytes(self.bytes()?).into()),
            0xce => Head::Integer(u32::from_be_bytes(self.bytes()?).into()),
            0xcf => {
                let value = u64::from_be_bytes(self.bytes()?);
                i64::try_from(value).map_or(Head::Unsigned(value), Head::Integer)
            }
            0xd0 => Head::Integer(i8::from_be_bytes(self.bytes()?).into()),
            0xd1 => Head::Integer(i16::from_be_bytes(self.bytes()?).into()),
            0xd2 => Head::Integer(i32::from_be_bytes(self.bytes()?).into()),
            0xd3 => Head::Integer(i64::from_be_bytes(self.bytes()?)),
            0xd4..=0xd8 => self.extension(|_| Ok(1 << (first - 0xd4)))?,
            0xd9 => Head::Text(self.length8()?),
            0xda => Head::Text(self.length16()?),
            0xdb => Head::Text(self.length32()?),
            0xdc => Head::Array(self.length16()?),
            0xdd => Head::Array(self.length32()?),
            0xde => Head::Map(self.length16()?),
            0xdf => Head::Map(self.length32()?),
            0xe0..=0xff => Head::Integer((first as i8).into()),
        })
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Unexpected> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Unexpected)?;
        self.rest = rest;
        Ok(taken)
    }

    fn utf8(&mut self, length: usize) -> Result<&'a str, Unexpected> {
        std::str::from_utf8(self.take(length)?).map_err(|_| Unexpected)
    }

    fn extension(&mut self, length: impl FnOnce(&mut Self) -> Result<usize, Unexpected>) -> Result<Head, Unexpected> {
        let length = length(self)?;
        let kind = i8::from_be_bytes(self.bytes()?);
        Ok(Head::Extension { kind, length })
    }

    fn length8(&mut self) -> Result<usize, Unexpected> {
        self.bytes().map(|bytes| u8::from_be_bytes(bytes).into())
    }

    fn length16(&mut self) -> Result<usize, Unexpected> {
        self.bytes().map(|bytes| u16::from_be_bytes(bytes).into())
    }

    fn length32(&mut self) -> Result<usize, Unexpected> {
        self.bytes().map(|bytes| u32::from_be_bytes(bytes) as usize)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Unexpected> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Unexpected)?;
        self.rest = rest;
        Ok(*bytes)
    }
}

pub fn write_nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

pub fn write_boolean(value: bool, out: &mut Vec<u8>) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

pub fn write_integer(value: i64, out: &mut Vec<u8>) {
    match value {
        0.. => write_unsigned(value.unsigned_abs(), out),
        -32..0 => out.push(value as u8),
        _ if let Ok(value) = i8::try_from(value) => write(0xd0, value.to_be_bytes(), out),
        _ if let Ok(value) = i16::try_from(value) => write(0xd1, value.to_be_bytes(), out),
        _ if let Ok(value) = i32::try_from(value) => write(0xd2, value.to_be_bytes(), out),
        _ => write(0xd3, value.to_be_bytes(), out),
    }
}

#[inline]
pub fn write_unsigned(value: u64, out: &mut Vec<u8>) {
    match value {
        0..0x80 => out.push(value as u8),
        _ if let Ok(value) = u8::try_from(value) => write(0xcc, value.to_be_bytes(), out),
        _ if let Ok(value) = u16::try_from(value) => write(0xcd, value.to_be_bytes(), out),
        _ if let Ok(value) = u32::try_from(value) => write(0xce, value.to_be_bytes(), out),
        _ => write(0xcf, value.to_be_bytes(), out),
    }
}

pub fn write_float(value: f64, out: &mut Vec<u8>) {
    write(0xcb, value.to_be_bytes(), out);
}

pub fn write_text(value: &str, out: &mut Vec<u8>) {
    write_text_bytes(value.as_bytes(), out);
}

/// A text that is UTF-8 if it has come as such.
pub(crate) fn write_text_bytes(value: &[u8], out: &mut Vec<u8>) {
    match value.len() {
        length @ 0..32 => out.push(0xa0 | length as u8),
        length @ 32..0x100 => out.extend_from_slice(&[0xd9, length as u8]),
        length => write_length(0xda, length, out),
    }
    out.extend_from_slice(value);
}

pub fn write_optional_text(value: Option<&str>, out: &mut Vec<u8>) {
    match value {
        Some(value) => write_text(value, out),
        None => write_nil(out),
    }
}

pub fn write_binary(value: &[u8], out: &mut Vec<u8>) {
    match value.len() {
        length @ 0..0x100 => out.extend_from_slice(&[0xc4, length as u8]),
        length => write_length(0xc5, length, out),
    }
    out.extend_from_slice(value);
}

/// What comes before the `count` elements of an array.
#[inline]
pub fn write_array(count: usize, out: &mut Vec<u8>) {
    match count {
        0..16 => out.push(0x90 | count as u8),
        _ => write_length(0xdc, count, out),
    }
}

/// What comes before the `count` pairs of a map.
pub fn write_map(count: usize, out: &mut Vec<u8>) {
    match count {
        0..16 => out.push(0x80 | count as u8),
        _ => write_length(0xde, count, out),
    }
}

/// How many bytes [`write_unsigned`] takes.
#[inline]
pub fn length_of_unsigned(value: u64) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

/// How many bytes [`write_integer`] takes.
pub fn length_of_integer(value: i64) -> usize {
    match value {
        0.. => length_of_unsigned(value.unsigned_abs()),
        -32..0 => 1,
        -0x80..-32 => 2,
        -0x8000..-0x80 => 3,
        -0x8000_0000..-0x8000 => 5,
        _ => 9,
    }
}

/// How many bytes [`write_text`] takes for a text of so many bytes.
#[inline]
pub fn length_of_text(bytes: usize) -> usize {
    match bytes {
        0..32 => 1 + bytes,
        _ => length_of_binary(bytes),
    }
}

/// How many bytes [`write_binary`] takes for so many bytes.
#[inline]
pub fn length_of_binary(bytes: usize) -> usize {
    match bytes {
        0..0x100 => 2 + bytes,
        0x100..0x1_0000 => 3 + bytes,
        _ => 5 + bytes,
    }
}

/// How many bytes [`write_array`] takes for so many elements.
#[inline]
pub fn length_of_array(count: usize) -> usize {
    match count {
        0..16 => 1,
        16..0x1_0000 => 3,
        _ => 5,
    }
}

/// A length in 16 bits behind `code`, or in 32 behind the code that follows it.
fn write_length(code: u8, length: usize, out: &mut Vec<u8>) {
    match u16::try_from(length) {
        Ok(length) => write(code, length.to_be_bytes(), out),
        Err(_) => {
            let length = u32::try_from(length).expect("messages are smaller than 4 GiB");
            write(code + 1, length.to_be_bytes(), out);
        }
    }
}

fn write<const N: usize>(code: u8, bytes: [u8; N], out: &mut Vec<u8>) {
    out.push(code);
    out.extend_from_slice(&bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back_from_their_shortest_form() {
        let values = [0, 1, 127, 128, 255, 256, 65_535, 65_536, i64::from(u32::MAX), 1 << 32, i64::MAX];
        for value in values.into_iter().chain(values.map(|value| -value)).chain([
            -32,
            -33,
            -128,
            -129,
            -32_768,
            -32_769,
            -1 << 31,
            (-1 << 31) - 1,
            i64::MIN,
        ]) {
            let mut out = Vec::new();
            write_integer(value, &mut out);
            assert_eq!(Reader::new(&out).integer(), Ok(value), "{out:x?}");
            assert_eq!(out.len(), length_of_integer(value), "{value}");
        }
        let written = |value| {
            let mut out = Vec::new();
            write_integer(value, &mut out);
            out.len()
        };
        assert_eq!([-33, -32, 127, 128, 256, 65_536, 1 << 32].map(written), [2, 1, 1, 2, 3, 5, 9]);
    }

    #[test]
    fn what_is_not_negative_comes_back_whatever_its_width() {
        let values = [0, 127, 128, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, i64::MAX as u64, u64::MAX];
        for value in values {
            let mut out = Vec::new();
            write_unsigned(value, &mut out);
            assert_eq!((Reader::new(&out).unsigned(), out.len()), (Ok(value), length_of_unsigned(value)));
        }
        for negative in [-1, -33, i64::MIN] {
            let mut out = Vec::new();
            write_integer(negative, &mut out);
            assert_eq!(Reader::new(&out).unsigned(), Err(Unexpected));
        }
    }

    #[test]
    fn lengths_take_as_many_bytes_as_they_need() {
        for length in [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
            let (mut text, mut binary, mut array) = (Vec::new(), Vec::new(), Vec::new());
            write_text(&"x".repeat(length), &mut text);
            assert_eq!(text.len(), length_of_text(length));
            assert_eq!(Reader::new(&text).text().map(str::len), Ok(length));
            write_binary(&vec![0; length], &mut binary);
            assert_eq!(binary.len(), length_of_binary(length));
            assert_eq!(Reader::new(&binary).binary().map(<[u8]>::len), Ok(length));
            write_array(length, &mut array);
            assert_eq!(array.len(), length_of_array(length));
            assert_eq!(Reader::new(&array).array(), Ok(length));
        }
    }

    #[test]
    fn a_value_is_skipped_with_all_that_is_in_it() {
        let skip = |bytes: &[u8]| Reader::new(bytes).value().map(<[u8]>::len);
        // {"a": [1, "b", nil], "c": timestamp}, and one byte of the next value
        let map = b"\x82\xa1a\x93\x01\xa1b\xc0\xa1c\xd6\xff\x58\xec\x1c\x80\xc3";
        assert_eq!(skip(map), Ok(map.len() - 1));
        assert_eq!(skip(b"\x92\x01"), Err(Unexpected), "cut off");
        assert_eq!(skip(b"\xdd\xff\xff\xff\xff"), Err(Unexpected), "promised, but not there");
        assert_eq!(skip(b"\xc1"), Err(Unexpected), "never used");
        let nested = |depth| [vec![0x91; depth], vec![0xc0]].concat();
        assert!(skip(&nested(DEEPEST)).is_ok());
        assert_eq!(skip(&nested(DEEPEST + 1)), Err(Unexpected));
        for empty in [0x90, 0x80] {
            let nested = |depth| [vec![0x91; depth - 1], vec![empty]].concat();
            assert!(skip(&nested(DEEPEST)).is_ok());
            assert_eq!(skip(&nested(DEEPEST + 1)), Err(Unexpected));
        }
        assert_eq!(skip(&nested(1_000_000)), Err(Unexpected));
    }
}
