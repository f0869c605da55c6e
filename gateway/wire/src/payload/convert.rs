//! Between JSON and MessagePack.
//!
//! What one of them cannot say is said as .NET's serialisers say it: bytes are base64 text in JSON, points in time are
//! ISO 8601 text. What has no such form is `null`: numbers that are none, and extensions of applications.

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;

use crate::messagepack::{
    Head, Reader, write_array, write_boolean, write_float, write_integer, write_map, write_nil, write_text,
    write_unsigned,
};

/// The extension type of a point in time (MessagePack specification, "Timestamp extension type").
const TIMESTAMP: i8 = -1;

/// Appends the valid JSON text `json` in MessagePack: numbers without fraction and exponent as integers where 64 bits
/// hold them, others as 64-bit floats. Valid JSON holds more than a reader of values takes: numbers that no float holds
/// become infinite, halves of surrogate pairs become U+FFFD, as in JavaScript. Recurses as deep as the text nests, which
/// whoever checked it has bounded.
pub(super) fn json_to_messagepack(json: &str, out: &mut Vec<u8>) {
    JsonReader { rest: json }.value(out);
}

/// What is left of a valid JSON text.
struct JsonReader<'a> {
    rest: &'a str,
}

impl<'a> JsonReader<'a> {
    fn value(&mut self, out: &mut Vec<u8>) {
        match self.peek() {
            Some(b'"') => self.text(out),
            Some(b'[') => self.list(b']', write_array, out, Self::value),
            Some(b'{') => self.list(b'}', write_map, out, |json, out| {
                json.text(out);
                json.skip(b':');
                json.value(out);
            }),
            _ => match self.word() {
                "true" => write_boolean(true, out),
                "false" => write_boolean(false, out),
                number => write_number(number, out),
            },
        }
    }

    fn list(
        &mut self,
        end: u8,
        write: fn(usize, &mut Vec<u8>),
        out: &mut Vec<u8>,
        mut element: impl FnMut(&mut Self, &mut Vec<u8>),
    ) {
        let start = begin(out);
        let mut count = 0;
        self.rest = &self.rest[1..];
        while self.peek().is_some_and(|next| next != end) {
            element(self, out);
            count += 1;
            self.skip(b',');
        }
        self.skip(end);
        self::end(start, count, write, out);
    }

    fn text(&mut self, out: &mut Vec<u8>) {
        self.skip(b'"');
        let content = self.rest;
        let mut end = 0;
        while let Some(at) = memchr::memchr2(b'"', b'\\', &content.as_bytes()[end..]) {
            end += at;
            if content.as_bytes()[end] == b'"' {
                break;
            }
            end += 2;
        }
        let (content, rest) = content.split_at_checked(end).unwrap_or((content, ""));
        self.rest = rest.strip_prefix('"').unwrap_or(rest);
        match content.contains('\\') {
            false => write_text(content, out),
            true => write_text(&unescaped(content), out),
        }
    }

    /// A number, or one of the words.
    fn word(&mut self) -> &'a str {
        let is_end = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
        let end = self.rest.as_bytes().iter().position(is_end).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.rest.bytes().next()
    }

    /// Goes on behind `byte`, if it is next.
    fn skip(&mut self, byte: u8) {
        if self.peek() == Some(byte) {
            self.rest = &self.rest[1..];
        }
    }
}

/// What is no number is nil: `null` among them.
fn write_number(number: &str, out: &mut Vec<u8>) {
    if let Ok(value) = number.parse() {
        write_integer(value, out);
    } else if let Ok(value) = number.parse() {
        write_unsigned(value, out);
    } else if let Ok(value) = number.parse() {
        write_float(value, out);
    } else {
        write_nil(out);
    }
}

/// A text without its escapes.
fn unescaped(text: &str) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let meant = match character {
            '\\' => match characters.next() {
                Some('u') => {
                    let digits = characters.as_str().get(..4).unwrap_or_default();
                    characters = characters.as_str().get(4..).unwrap_or_default().chars();
                    units.push(u16::from_str_radix(digits, 16).unwrap_or(0xfffd));
                    continue;
                }
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(itself) => itself,
                None => break,
            },
            itself => itself,
        };
        units.extend_from_slice(meant.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16_lossy(&units)
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
    // A part of a second and no more, as the specification demands.
    if nanoseconds >= 1_000_000_000 {
        return out.extend_from_slice(b"null");
    }
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
        // As whole numbers do that 64 bits do not hold.
        assert_eq!(json(&packed("18446744073709551616")), "1.8446744073709552e+19");
    }

    #[test]
    fn all_that_is_valid_json_has_a_form() {
        assert_eq!(packed("1e400"), [&[0xcb][..], &f64::INFINITY.to_be_bytes()].concat());
        assert_eq!(packed("-1e400"), [&[0xcb][..], &f64::NEG_INFINITY.to_be_bytes()].concat());
        let text = |json: &str| crate::messagepack::Reader::new(&packed(json)).text().map(str::to_owned);
        assert_eq!(text(r#""\ud800""#), Ok("\u{fffd}".to_owned()));
        assert_eq!(
            text(r#""\ud83d\ude00\udc00\"\\\/\b\f\n\r\t\u00e9ü""#),
            Ok("😀\u{fffd}\"\\/\u{8}\u{c}\n\r\téü".to_owned())
        );
        assert_eq!(json(&packed(" [ ] ")), "[]");
        assert_eq!(json(&packed("{ \"a\" : [ 1 , true ] , \"b\" : null }")), r#"{"a":[1,true],"b":null}"#);
    }

    #[test]
    fn what_json_cannot_say_is_said_as_dotnet_says_it() {
        assert_eq!(json(b"\xc4\x03\x01\x02\x03"), "\"AQID\"");
        assert_eq!(json(b"\xd6\xff\x58\xec\x1c\x80"), "\"2017-04-11T00:00:00Z\"");
        assert_eq!(json(b"\xd7\xff\x77\x35\x94\x00\x58\xec\x1c\x80"), "\"2017-04-11T00:00:00.5Z\"");
        assert_eq!(json(b"\xc7\x0c\xff\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"), "\"1969-12-31T23:59:59Z\"");
        assert_eq!(json(b"\xd6\xff\x38\xbb\xb4\xc0"), "\"2000-02-29T12:00:00Z\"");
        assert_eq!(json(b"\xd7\xff\xee\x6b\x27\xfc\0\0\0\0"), "\"1970-01-01T00:00:00.999999999Z\"");
        for no_time in [
            &b"\xd7\xff\xee\x6b\x28\0\0\0\0\0"[..],
            b"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xc7\x0c\xff\x3b\x9a\xca\0\0\0\0\0\0\0\0\0",
            b"\xc7\x0c\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0",
            b"\xd4\xff\0",
        ] {
            assert_eq!(json(no_time), "null", "{no_time:x?}");
        }
        assert_eq!(json(b"\xd4\x05\x00"), "null", "an application's extension");
        assert_eq!(json(b"\xcb\x7f\xf8\0\0\0\0\0\0"), "null", "not a number");
        assert_eq!(json(b"\xca\x3f\x80\0\0"), "1.0");
        assert_eq!(json(b"\x82\x01\xa1a\xc0\x91\x02"), r#"{"1":"a","null":[2]}"#);
        assert_eq!(json(b"\xa2\xff\xfe"), "\"\u{fffd}\u{fffd}\"");
    }
}
