//! How values are written and read: in MessagePack, where what has parts is an array. A reader ignores elements at its end that it does
//! not know, so that newer nodes may add some.

use std::sync::Arc;

use bytes::Bytes;
use hubgate_wire::messagepack::{
    Reader, Unexpected, length_of_array, length_of_binary, length_of_integer, length_of_text, length_of_unsigned,
    write_array, write_binary, write_boolean, write_integer, write_nil, write_text, write_unsigned,
};

/// Why bytes cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// No node writes this.
    Malformed,
    /// One of several that only newer nodes know.
    Unknown { number: u64 },
}

impl From<Unexpected> for Unreadable {
    fn from(Unexpected: Unexpected) -> Unreadable {
        Unreadable::Malformed
    }
}

/// A value that passes between nodes.
pub(crate) trait Field: Sized {
    /// How many bytes it takes, written.
    fn length(&self) -> usize;

    fn write(&self, out: &mut Vec<u8>);

    fn read(source: &mut Source<'_>) -> Result<Self, Unreadable>;
}

/// Bytes that are read.
pub(crate) struct Source<'a> {
    whole: &'a Bytes,
    /// How long a part is, in bytes, that is shared.
    shared_from: usize,
    pub(crate) reader: Reader<'a>,
}

/// Shorter payloads of an item are copied, in bytes: one that waits for a slow peer keeps as much as it says, and not all of the frame
/// that it came in.
const SHARED_FROM: usize = 16 << 10;

impl<'a> Source<'a> {
    /// A frame, whose parts are items, and read at once.
    pub(crate) fn of_frame(whole: &'a Bytes) -> Source<'a> {
        Source { whole, shared_from: 0, reader: Reader::new(whole) }
    }

    /// An item, whose parts may wait for peers.
    pub(crate) fn of_item(whole: &'a Bytes) -> Source<'a> {
        Source { shared_from: SHARED_FROM, ..Source::of_frame(whole) }
    }

    /// A part of the bytes that was read.
    pub(crate) fn share(&self, part: &'a [u8]) -> Bytes {
        match part.len() >= self.shared_from {
            true => self.whole.slice_ref(part),
            false => Bytes::copy_from_slice(part),
        }
    }

    /// The elements of an array: those that `known` reads, `count` in number, and others that only newer nodes know.
    pub(crate) fn array<T>(
        &mut self,
        count: usize,
        known: impl FnOnce(&mut Source<'a>) -> Result<T, Unreadable>,
    ) -> Result<T, Unreadable> {
        let elements = self.reader.array()?;
        self.elements(elements, count, known)
    }

    /// The same of an array that has so many `elements` left.
    pub(crate) fn elements<T>(
        &mut self,
        elements: usize,
        count: usize,
        known: impl FnOnce(&mut Source<'a>) -> Result<T, Unreadable>,
    ) -> Result<T, Unreadable> {
        let newer = elements.checked_sub(count).ok_or(Unreadable::Malformed)?;
        let read = known(self)?;
        for _ in 0..newer {
            self.reader.value()?;
        }
        Ok(read)
    }

    /// Fails if something is left.
    pub(crate) fn end(self) -> Result<(), Unreadable> {
        match self.reader.rest().is_empty() {
            true => Ok(()),
            false => Err(Unreadable::Malformed),
        }
    }
}

/// Makes a struct an array of its fields, in the order that is given. `if`: what has to be true of one that is read.
macro_rules! record {
    ($name:ident { $($field:ident),+ $(,)? } $(if $holds:ident)?) => {
        impl $crate::field::Field for $name {
            fn length(&self) -> usize {
                let $name { $($field),+ } = self;
                ::hubgate_wire::messagepack::length_of_array($crate::field::count!($($field)+))
                    $(+ $crate::field::Field::length($field))+
            }

            fn write(&self, out: &mut Vec<u8>) {
                let $name { $($field),+ } = self;
                ::hubgate_wire::messagepack::write_array($crate::field::count!($($field)+), out);
                $($crate::field::Field::write($field, out);)+
            }

            fn read(source: &mut $crate::field::Source<'_>) -> Result<Self, $crate::field::Unreadable> {
                source.array($crate::field::count!($($field)+), |source| {
                    $(let $field = $crate::field::Field::read(source)?;)+
                    let record = $name { $($field),+ };
                    $(if !$holds(&record) {
                        return Err($crate::field::Unreadable::Malformed);
                    })?
                    Ok(record)
                })
            }
        }
    };
}

/// Makes each variant of an enum an array of its number and its fields.
macro_rules! choice {
    ($name:ident {
        $($number:literal $variant:ident $(($($part:ident),+))? $({ $($field:ident),+ $(,)? })?,)+
    }) => {
        impl $crate::field::Field for $name {
            fn length(&self) -> usize {
                match self {
                    $($name::$variant $(($($part),+))? $({ $($field),+ })? => {
                        ::hubgate_wire::messagepack::length_of_array(
                            1 + $crate::field::count!($($($part)+)? $($($field)+)?),
                        )
                            + ::hubgate_wire::messagepack::length_of_unsigned($number)
                            $($(+ $crate::field::Field::length($part))+)?
                            $($(+ $crate::field::Field::length($field))+)?
                    })+
                }
            }

            fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $($name::$variant $(($($part),+))? $({ $($field),+ })? => {
                        let count = 1 + $crate::field::count!($($($part)+)? $($($field)+)?);
                        ::hubgate_wire::messagepack::write_array(count, out);
                        ::hubgate_wire::messagepack::write_unsigned($number, out);
                        $($($crate::field::Field::write($part, out);)+)?
                        $($($crate::field::Field::write($field, out);)+)?
                    })+
                }
            }

            fn read(source: &mut $crate::field::Source<'_>) -> Result<Self, $crate::field::Unreadable> {
                let elements = source.reader.array()?.checked_sub(1).ok_or($crate::field::Unreadable::Malformed)?;
                match source.reader.unsigned()? {
                    $($number => {
                        source.elements(elements, $crate::field::count!($($($part)+)? $($($field)+)?), |_source| {
                            $($(let $part = $crate::field::Field::read(_source)?;)+)?
                            $($(let $field = $crate::field::Field::read(_source)?;)+)?
                            Ok($name::$variant $(($($part),+))? $({ $($field),+ })?)
                        })
                    })+
                    number => Err($crate::field::Unreadable::Unknown { number }),
                }
            }
        }
    };
}

/// How many names are given.
macro_rules! count {
    ($($name:ident)*) => { <[&str]>::len(&[$(stringify!($name)),*]) };
}

pub(crate) use {choice, count, record};

/// Unsigned integers, in as few bytes as they need.
macro_rules! integers {
    ($($type:ty)+) => {
        $(impl Field for $type {
            fn length(&self) -> usize {
                length_of_unsigned(*self as u64)
            }

            fn write(&self, out: &mut Vec<u8>) {
                write_unsigned(*self as u64, out);
            }

            fn read(source: &mut Source<'_>) -> Result<$type, Unreadable> {
                <$type>::try_from(source.reader.unsigned()?).map_err(|_| Unreadable::Malformed)
            }
        })+
    };
}

integers!(u16 u32 u64);

impl Field for bool {
    fn length(&self) -> usize {
        1
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_boolean(*self, out);
    }

    fn read(source: &mut Source<'_>) -> Result<bool, Unreadable> {
        Ok(source.reader.boolean()?)
    }
}

/// Numbers and sizes of what is in memory. More than 32 bits hold is as good as without end.
impl Field for usize {
    fn length(&self) -> usize {
        u32::try_from(*self).unwrap_or(u32::MAX).length()
    }

    fn write(&self, out: &mut Vec<u8>) {
        u32::try_from(*self).unwrap_or(u32::MAX).write(out);
    }

    fn read(source: &mut Source<'_>) -> Result<usize, Unreadable> {
        u32::read(source).map(|number| number as usize)
    }
}

/// An array of nothing.
impl Field for () {
    fn length(&self) -> usize {
        length_of_array(0)
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_array(0, out);
    }

    fn read(source: &mut Source<'_>) -> Result<(), Unreadable> {
        source.array(0, |_| Ok(()))
    }
}

impl Field for i64 {
    fn length(&self) -> usize {
        length_of_integer(*self)
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_integer(*self, out);
    }

    fn read(source: &mut Source<'_>) -> Result<i64, Unreadable> {
        Ok(source.reader.integer()?)
    }
}

/// Texts of whatever length.
macro_rules! texts {
    ($($type:ty)+) => {
        $(impl Field for $type {
            fn length(&self) -> usize {
                length_of_text(self.len())
            }

            fn write(&self, out: &mut Vec<u8>) {
                write_text(self, out);
            }

            fn read(source: &mut Source<'_>) -> Result<$type, Unreadable> {
                Ok(source.reader.text()?.into())
            }
        })+
    };
}

texts!(String Box<str>);

impl Field for Bytes {
    fn length(&self) -> usize {
        length_of_binary(self.len())
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_binary(self, out);
    }

    fn read(source: &mut Source<'_>) -> Result<Bytes, Unreadable> {
        let bytes = source.reader.binary()?;
        Ok(source.share(bytes))
    }
}

impl<T: Field> Field for Vec<T> {
    fn length(&self) -> usize {
        length_of_array(self.len()) + self.iter().map(T::length).sum::<usize>()
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_array(self.len(), out);
        self.iter().for_each(|each| each.write(out));
    }

    fn read(source: &mut Source<'_>) -> Result<Vec<T>, Unreadable> {
        let count = source.reader.array()?;
        // What is promised and not there takes no room.
        let mut all = Vec::with_capacity(count.min(source.reader.rest().len() / size_of::<T>()));
        for _ in 0..count {
            all.push(T::read(source)?);
        }
        Ok(all)
    }
}

/// Nil, or a value, none of which is written as nil.
impl<T: Field> Field for Option<T> {
    fn length(&self) -> usize {
        self.as_ref().map_or(1, T::length)
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_optional(self.as_ref(), out);
    }

    fn read(source: &mut Source<'_>) -> Result<Option<T>, Unreadable> {
        match source.reader.rest() {
            [NIL, ..] => source.reader.value().map(|_| None).map_err(Unreadable::from),
            _ => T::read(source).map(Some),
        }
    }
}

const NIL: u8 = 0xc0;

/// What an optional value is written as.
pub(crate) fn write_optional<T: Field>(value: Option<&T>, out: &mut Vec<u8>) {
    match value {
        Some(value) => value.write(out),
        None => write_nil(out),
    }
}

impl<T: Field, E: Field> Field for Result<T, E> {
    fn length(&self) -> usize {
        let value = self.as_ref().map_or_else(E::length, T::length);
        length_of_array(2) + u64::from(self.is_err()).length() + value
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_array(2, out);
        u64::from(self.is_err()).write(out);
        match self {
            Ok(value) => value.write(out),
            Err(error) => error.write(out),
        }
    }

    fn read(source: &mut Source<'_>) -> Result<Result<T, E>, Unreadable> {
        source.array(2, |source| match source.reader.unsigned()? {
            0 => T::read(source).map(Ok),
            1 => E::read(source).map(Err),
            number => Err(Unreadable::Unknown { number }),
        })
    }
}

/// What is kept in memory of its own.
macro_rules! allocated {
    ($($pointer:ident)+) => {
        $(impl<T: Field> Field for $pointer<T> {
            fn length(&self) -> usize {
                T::length(self)
            }

            fn write(&self, out: &mut Vec<u8>) {
                T::write(self, out);
            }

            fn read(source: &mut Source<'_>) -> Result<$pointer<T>, Unreadable> {
                T::read(source).map($pointer::new)
            }
        })+
    };
}

allocated!(Box Arc);

impl<A: Field, B: Field> Field for (A, B) {
    fn length(&self) -> usize {
        length_of_array(2) + self.0.length() + self.1.length()
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_array(2, out);
        self.0.write(out);
        self.1.write(out);
    }

    fn read(source: &mut Source<'_>) -> Result<(A, B), Unreadable> {
        source.array(2, |source| Ok((A::read(source)?, B::read(source)?)))
    }
}
