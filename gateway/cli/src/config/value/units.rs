//! Values with a unit, and addresses to listen on.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use serde_json::json;

use super::{Problems, Secrecy, Value, not, text, wrong};

/// A number of bytes, such as "64MiB".
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Size(pub(crate) usize);

pub(crate) const fn kib(number: usize) -> Size {
    Size(number << 10)
}

pub(crate) const fn mib(number: usize) -> Size {
    Size(number << 20)
}

/// Units of sizes, with the bytes of each.
const SIZES: [Unit; 7] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let bytes = match quantities(text, &SIZES).as_deref() {
            Ok([bytes]) => Ok(*bytes),
            Ok([]) | Ok([_, _, ..]) => Err(None),
            Err(unit) => Err(unit.clone()),
        };
        let bytes = bytes.map_err(|unit| not_one(text, "is not a size such as \"64MiB\"", unit, &SIZES))?;
        usize::try_from(bytes).map(Size).map_err(|_| format!("\"{text}\" is not a size that fits into memory"))
    }
}

impl fmt::Display for Size {
    /// In the largest unit that says it exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.into_iter().find(|(shift, _)| self.0 > 0 && self.0.is_multiple_of(1 << shift)) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl Value for Size {
    fn schema() -> serde_json::Value {
        json!({ "type": "string", "pattern": format!("^({})$", pattern(&SIZES)) })
    }

    fn read(found: &toml::Value) -> Result<Size, Problems> {
        with_unit(found, "a size such as \"64MiB\"", meant_size)?.parse().map_err(wrong)
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

/// What a number without a unit may have meant: from 1,024 on, bytes.
fn meant_size(number: &str) -> Vec<String> {
    match number.parse() {
        Ok(bytes @ 1024..) => {
            let mut meant = vec![Size(bytes).to_string(), format!("{bytes}B")];
            meant.dedup();
            meant
        }
        _ => vec![format!("{number}MiB")],
    }
}

/// The longest time. The clocks count some multiples of it.
pub(crate) const LONGEST_SPAN: Duration = Duration::from_secs(31_557_600);

/// A time, such as "10s". What is longer than a year is a year.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Span(pub(crate) Duration);

pub(crate) const fn millis(number: u64) -> Span {
    Span(Duration::from_millis(number))
}

pub(crate) const fn seconds(number: u64) -> Span {
    Span(Duration::from_secs(number))
}

/// Units of times, with the milliseconds of each.
const TIMES: [Unit; 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl FromStr for Span {
    type Err = String;

    /// Of a text of several times, their sum.
    fn from_str(text: &str) -> Result<Span, String> {
        if is_number(text) {
            return Err(without_unit(text, &meant_time(text)));
        }
        match quantities(text, &TIMES) {
            Ok(times) if times.is_empty() => Err(not_one(text, "is not a time such as \"10s\"", None, &TIMES)),
            Ok(times) => Ok(Span(Duration::from_millis(times.into_iter().fold(0, u64::saturating_add)))),
            Err(unit) => Err(not_one(text, "is not a time such as \"10s\"", unit, &TIMES)),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return write!(f, "0s");
        }
        let mut separator = "";
        for (unit, millis) in TIMES {
            if rest >= millis {
                write!(f, "{separator}{}{unit}", rest / millis)?;
                separator = " ";
            }
            rest %= millis;
        }
        Ok(())
    }
}

impl Value for Span {
    fn schema() -> serde_json::Value {
        json!({ "type": "string", "pattern": format!("^({})+$", pattern(&TIMES)) })
    }

    fn read(found: &toml::Value) -> Result<Span, Problems> {
        let span: Span = with_unit(found, "a time such as \"10s\"", meant_time)?.parse().map_err(wrong)?;
        Ok(Span(span.0.min(LONGEST_SPAN)))
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

/// A part of a whole: 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Ratio(pub(crate) f64);

impl Value for Ratio {
    fn schema() -> serde_json::Value {
        json!({ "type": "number", "minimum": 0, "maximum": 1 })
    }

    fn read(found: &toml::Value) -> Result<Ratio, Problems> {
        let number = found.as_float().or_else(|| found.as_integer().map(|number| number as f64));
        match number {
            Some(number) if (0.0..=1.0).contains(&number) => Ok(Ratio(number)),
            _ => Err(not(found, "a number from 0 to 1")),
        }
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        Some(self.0.into())
    }
}

fn meant_time(number: &str) -> Vec<String> {
    vec![format!("{number}s"), format!("{number}ms")]
}

/// A unit, and how many of the smallest one it has.
type Unit = (&'static str, u64);

/// A number with one of the units, or zero, as a regular expression.
fn pattern(units: &[Unit]) -> String {
    let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
    format!(r"\s*([0-9]+(\.[0-9]*)?|\.[0-9]+)\s*({})\s*|\s*0+(\.0*)?\s*", names.join("|"))
}

/// The numbers with units that a text consists of, in the smallest unit; blanks do not count. Otherwise the unit that there is none of,
/// if that is what is wrong. What is too large is the largest number.
fn quantities(text: &str, units: &[Unit]) -> Result<Vec<u64>, Option<String>> {
    let (mut rest, mut found) = (text.trim(), Vec::new());
    while !rest.is_empty() {
        let (number, after) = split(rest, |char| char.is_ascii_digit() || char == '.');
        let (unit, after) = split(after.trim_start(), char::is_alphabetic);
        let number: f64 = number.parse().map_err(|_| None)?;
        if unit.is_empty() {
            match number {
                0.0 => found.push(0),
                _ => return Err(None),
            }
        } else {
            let size = units.iter().find(|(name, _)| *name == unit).ok_or_else(|| Some(unit.to_owned()))?.1;
            // Saturates.
            found.push((number * size as f64).round() as u64);
        }
        rest = after.trim_start();
    }
    Ok(found)
}

/// The beginning of a text whose characters are such, and the rest.
fn split(text: &str, is_such: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|char| !is_such(char)).unwrap_or(text.len()))
}

/// That a text is no such thing, with the units that there are.
fn not_one(text: &str, what: &str, unknown: Option<String>, units: &[Unit]) -> String {
    let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
    let unknown = unknown.map(|unit| format!(" \"{unit}\" is not a unit;")).unwrap_or_default();
    format!("\"{text}\" {what}:{unknown} the units are {}", names.join(", "))
}

/// Zero is that in each unit.
fn is_number(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok_and(|number| number != 0.0)
}

fn without_unit(number: &str, meant: &[String]) -> String {
    let meant: Vec<String> = meant.iter().map(|text| format!("\"{text}\"")).collect();
    format!("{number} has no unit: write {}", meant.join(" or "))
}

/// A text that is more than a number; `meant` are those that a number may have stood for.
fn with_unit<'a>(found: &'a toml::Value, what: &str, meant: fn(&str) -> Vec<String>) -> Result<&'a str, Problems> {
    let number = match found {
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::String(text) if is_number(text) => text.clone(),
        toml::Value::String(text) => return Ok(text),
        _ => return Err(wrong(format!("must be {what}"))),
    };
    Err(wrong(without_unit(&number, &meant(&number))))
}

/// An address to listen on: an IP address and a port, or `localhost` and a port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listen(pub(crate) SocketAddr);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        let text = text.trim();
        let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        local.as_deref().unwrap_or(text).parse().map(Listen).map_err(|_| {
            let example = match text.strip_prefix(':').or(text.parse::<u16>().is_ok().then_some(text)) {
                Some(port) => format!("\"127.0.0.1:{port}\", or \"0.0.0.0:{port}\" for other machines"),
                None => "\"127.0.0.1:8888\", \"localhost:8888\" or \"0.0.0.0:8888\"".to_owned(),
            };
            format!("\"{text}\" is not an IP address or `localhost` with a port, such as {example}")
        })
    }
}

impl Value for Listen {
    fn read(found: &toml::Value) -> Result<Listen, Problems> {
        text(found)?.parse().map_err(wrong)
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        Some(self.0.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Result<u128, String> {
        text.parse().map(|Span(time)| time.as_millis())
    }

    fn size(text: &str) -> Result<usize, String> {
        text.parse().map(|Size(bytes)| bytes)
    }

    #[test]
    fn times_and_sizes_have_the_units_that_are_documented_and_no_others() {
        for (text, millis) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("1m 30s", 90_000),
            ("1h30m", 5_400_000),
            ("2 d", 172_800_000),
            ("1.5s", 1_500),
            ("0", 0),
        ] {
            assert_eq!(time(text), Ok(millis), "{text}");
        }
        for bad in ["1M", "1months", "1us", "2 days", "10S", "5min", "s", "", "-1s", "1s,2s", "1e3s", "1.2.3s", "60"] {
            let error = time(bad).expect_err(bad);
            assert!(
                error.contains(if bad == "60" { "write \"60s\" or \"60ms\"" } else { "d, h, m, s, ms" }),
                "{error}"
            );
        }
        assert!(time("1M").expect_err("a month").contains("\"M\" is not a unit"));
        for (text, bytes) in
            [("64MiB", 64 << 20), ("1.5KiB", 1536), ("2 kB", 2000), ("1GB", 1_000_000_000), ("7B", 7), ("0", 0)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["64M", "64mib", "64Mb", "1TiB", "1MiB 1KiB", "MiB", "", "-1B"] {
            assert!(size(bad).expect_err(bad).contains("B, KiB, MiB, GiB, kB, MB, GB"), "{bad}");
        }
    }

    #[test]
    fn a_value_is_written_as_it_is_read() {
        for text in ["250ms", "1m 30s", "365d 6h", "1h 1ms", "0s"] {
            assert_eq!(text.parse::<Span>().expect("a time").to_string(), text);
        }
        for text in ["64KiB", "1025B", "3GiB", "0B"] {
            assert_eq!(text.parse::<Size>().expect("a size").to_string(), text);
        }
    }
}
