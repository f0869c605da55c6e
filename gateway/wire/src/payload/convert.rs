//! Between JSON and MessagePack.
//!
//! What one of them cannot say is said as .NET's serialisers say it: bytes are base64 text in JSON, points in time are
//! ISO 8601 text. What has no such form is `null`: numbers that are none, and extensions of applications.

use std::fmt;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::messagepack::{
    Head, Reader, write_array, write_boolean, write_float, write_integer, write_map, write_nil, write_text,
    write_unsigned,
};

/// The extension type of a point in time (MessagePack specification, "Timestamp extension type").
const TIMESTAMP: i8 = -1;

/// Appends the valid JSON text `json` in MessagePack: numbers without fraction and exponent as integers where 64 bits
/// hold them, others as 64-bit floats. Recurses as deep as the text nests, which whoever checked it has bounded.
pub(super) fn json_to_messagepack(json: &str, out: &mut Vec<u8>) {
    let mut reader = serde_json::Deserializer::from_str(json);
    if Value(out).deserialize(&mut reader).is_err() {
        unreachable!("the text was checked to be JSON of bounded depth");
    }
}

/// Appends the next JSON value in MessagePack.
struct Value<'o>(&'o mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        write_nil(self.0);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        write_boolean(value, self.0);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        write_unsigned(value, self.0);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        write_integer(value, self.0);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        write_float(value, self.0);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        write_text(value, self.0);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let start = begin(self.0);
        let mut count = 0;
        while elements.next_element_seed(Value(self.0))?.is_some() {
            count += 1;
        }
        end(start, count, write_array, self.0);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let start = begin(self.0);
        let mut count = 0;
        while entries.next_key_seed(Value(self.0))?.is_some() {
            entries.next_value_seed(Value(self.0))?;
            count += 1;
        }
        end(start, count, write_map, self.0);
        Ok(())
    }
}

/// Leaves room for the shortest beginning of an array or map, whose length is known only at its end.
fn begin(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len() - 1
}

fn end(start: usize, count: usize, write: fn(usize, &mut Vec<u8>), out: &mut Vec<u8>) {
    let mut head = Vec::with_capacity(5);
    write(count, &mut head);
    out.splice(start..=start, head);
}

/// Appends the MessagePack value `value` as JSON text. Recurses as deep as the value nests, which whoever checked it has
/// bounded.
pub(super) fn messagepack_to_json(value: &[u8], out: &mut Vec<u8>) {
    write_value(&mut Reader::new(value), out);
}

fn write_value(reader: &mut Reader<'_>, out: &mut Vec<u8>) {
    match head(reader) {
        Head::Nil => out.extend_from_slice(b"null"),
        Head::Boolean(value) => serialize(&value, out),
        Head::Integer(value) => serialize(&value, out),
        Head::Unsigned(value) => serialize(&value, out),
        // What is no number is `null`.
        Head::Float32(value) => serialize(&value, out),
        Head::Float64(value) => serialize(&value, out),
        Head::Text(length) => serialize(&String::from_utf8_lossy(take(reader, length)), out),
        Head::Binary(length) => write_base64(take(reader, length), out),
        Head::Extension { kind, length } => match (kind, take(reader, length)) {
            (TIMESTAMP, time) => write_time(time, out),
            _ => out.extend_from_slice(b"null"),
        },
        Head::Array(count) => write_list(b"[]", count, out, |out| write_value(reader, out)),
        Head::Map(count) => write_list(b"{}", count, out, |out| {
            write_key(reader, out);
            out.push(b':');
            write_value(reader, out);
        }),
    }
}

fn write_list(brackets: &[u8; 2], count: usize, out: &mut Vec<u8>, mut write: impl FnMut(&mut Vec<u8>)) {
    out.push(brackets[0]);
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        write(out);
    }
    out.push(brackets[1]);
}

/// A key that is no text becomes one: the JSON text of its value.
fn write_key(reader: &mut Reader<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    write_value(reader, out);
    if out[start] != b'"' {
        let text = String::from_utf8_lossy(&out[start..]).into_owned();
        out.truncate(start);
        serialize(&text, out);
    }
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("\"{}\"", Base64Display::new(bytes, &STANDARD)).as_bytes());
}

/// Seconds since 1970 in 32, 34 or 64 bits, with nanoseconds in the longer forms.
fn write_time(time: &[u8], out: &mut Vec<u8>) {
    let (seconds, nanoseconds) = match *time {
        [a, b, c, d] => (i64::from(u32::from_be_bytes([a, b, c, d])), 0),
        [a, b, c, d, e, f, g, h] => {
            let both = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            ((both & 0x3_ffff_ffff) as i64, (both >> 34) as u32)
        }
        [a, b, c, d, e, f, g, h, i, j, k, l] => {
            (i64::from_be_bytes([e, f, g, h, i, j, k, l]), u32::from_be_bytes([a, b, c, d]))
        }
        _ => return out.extend_from_slice(b"null"),
    };
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let Some((year, month, day)) = date(days) else {
        return out.extend_from_slice(b"null");
    };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = match nanoseconds {
        0 => String::new(),
        nanoseconds => format!(".{nanoseconds:09}").trim_end_matches('0').to_owned(),
    };
    let text = format!("\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z\"");
    out.extend_from_slice(text.as_bytes());
}

/// Year, month and day of a day since 1970, by the Gregorian calendar; `None` outside the years 1 to 9999.
fn date(days: i64) -> Option<(i64, i64, i64)> {
    if !(-719_162..=2_932_896).contains(&days) {
        return None;
    }
    // Counted in years that begin in March, so that the leap day is a year's last.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    Some((year_of_era + era * 400 + i64::from(month <= 2), month, day))
}

fn head(reader: &mut Reader<'_>) -> Head {
    reader.head().expect("the value was checked to be whole")
}

fn take<'a>(reader: &mut Reader<'a>, length: usize) -> &'a [u8] {
    reader.take(length).expect("the value was checked to be whole")
}

fn serialize(value: &(impl serde::Serialize + ?Sized), out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("numbers and texts are JSON");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(json: &str) -> Vec<u8> {
        let mut out = Vec::new();
        json_to_messagepack(json, &mut out);
        out
    }

    fn json(value: &[u8]) -> String {
        let mut out = Vec::new();
        messagepack_to_json(value, &mut out);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn what_both_can_say_comes_back() {
        let long = format!("[{}]", (0..70_000).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
        for text in [
            "null",
            "[true,false,0,-1,127,128,-32,-33,65536,-9223372036854775808,18446744073709551615]",
            "[1.5,-0.0,1e300]",
            r#"{"a":[],"b":{"c":"\u0000\"\\é😀"},"":"x"}"#,
            r#"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]]"#,
            &long,
        ] {
            assert_eq!(json(&packed(text)), text.replace("1e300", "1e+300"));
        }
    }

    #[test]
    fn numbers_keep_their_kind() {
        assert_eq!(packed("1"), [1]);
        assert_eq!(packed("1.0")[0], 0xcb);
        assert_eq!(json(&packed("1.0")), "1.0");
        assert_eq!(packed("1e2")[0], 0xcb);
        // To the last bit.
        assert_eq!(json(&packed("3.7453410837537595e-96")), "3.7453410837537595e-96");
        // More than 64 bits hold.
        assert_eq!(json(&packed("18446744073709551616")), "1.8446744073709552e+19");
    }

    #[test]
    fn what_json_cannot_say_is_said_as_dotnet_says_it() {
        assert_eq!(json(b"\xc4\x03\x01\x02\x03"), "\"AQID\"");
        assert_eq!(json(b"\xd6\xff\x58\xec\x1c\x80"), "\"2017-04-11T00:00:00Z\"");
        assert_eq!(json(b"\xd7\xff\x77\x35\x94\x00\x58\xec\x1c\x80"), "\"2017-04-11T00:00:00.5Z\"");
        assert_eq!(json(b"\xc7\x0c\xff\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"), "\"1969-12-31T23:59:59Z\"");
        assert_eq!(json(b"\xd6\xff\x38\xbb\xb4\xc0"), "\"2000-02-29T12:00:00Z\"");
        assert_eq!(json(b"\xd4\x05\x00"), "null", "an application's extension");
        assert_eq!(json(b"\xcb\x7f\xf8\0\0\0\0\0\0"), "null", "not a number");
        assert_eq!(json(b"\xca\x3f\x80\0\0"), "1.0");
        assert_eq!(json(b"\x82\x01\xa1a\xc0\x91\x02"), r#"{"1":"a","null":[2]}"#);
        assert_eq!(json(b"\xa2\xff\xfe"), "\"\u{fffd}\u{fffd}\"");
    }
}
