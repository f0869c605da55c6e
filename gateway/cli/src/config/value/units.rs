//! Values with a unit, and addresses to listen on.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

use super::{Problems, Secrecy, Value, text, wrong};

/// A number of bytes, such as "64MiB".
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Size(pub(crate) usize);

pub(crate) const fn kib(number: usize) -> Size {
    Size(number << 10)
}

pub(crate) const fn mib(number: usize) -> Size {
    Size(number << 20)
}

impl Value for Size {
    fn read(found: &toml::Value) -> Result<Size, Problems> {
        let text = with_unit(found, "a size", "MiB")?;
        let size: ByteSize = text.parse().map_err(|_| wrong(format!("\"{text}\" is not a size such as \"64MiB\"")))?;
        let bytes = usize::try_from(size.as_u64());
        bytes.map(Size).map_err(|_| wrong(format!("\"{text}\" is not a size that fits into memory")))
    }

    /// In the largest unit that says it exactly.
    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        let exact = units.into_iter().find(|(shift, _)| self.0 > 0 && self.0.is_multiple_of(1 << shift));
        Some(exact.map_or(format!("{}B", self.0), |(shift, unit)| format!("{}{unit}", self.0 >> shift)).into())
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

impl Value for Span {
    fn read(found: &toml::Value) -> Result<Span, Problems> {
        let text = with_unit(found, "a time", "s")?;
        let time = humantime::parse_duration(text);
        let time = time.map_err(|_| wrong(format!("\"{text}\" is not a time such as \"10s\"")))?;
        Ok(Span(time.min(LONGEST_SPAN)))
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        Some(humantime::format_duration(self.0).to_string().into())
    }
}

/// A text that is more than a number.
fn with_unit<'a>(found: &'a toml::Value, what: &str, unit: &str) -> Result<&'a str, Problems> {
    let number = match found {
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::String(text) if text.parse::<f64>().is_ok() && text != "0" => text.clone(),
        toml::Value::String(text) => return Ok(text),
        _ => return Err(wrong(format!("must be {what} such as \"10{unit}\""))),
    };
    Err(wrong(format!("{number} has no unit: write {what} such as \"{number}{unit}\"")))
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
            format!("\"{text}\" is not an IP address with a port, such as {example}")
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
