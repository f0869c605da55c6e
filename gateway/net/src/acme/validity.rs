//! From when to when a certificate is valid (RFC 5280, section 4.1.2.5). The rest of it is no business of the gateway.

/// Seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) begin: u64,
    pub(super) end: u64,
}

// Tags of DER (X.690) that are on the way there.
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

impl Validity {
    /// That of a certificate in DER; `None` if it cannot be read.
    pub(super) fn of(certificate: &[u8]) -> Option<Validity> {
        let mut certificate = Reader(certificate).inner(SEQUENCE)?;
        let mut signed = certificate.inner(SEQUENCE)?;
        if signed.0.first() == Some(&VERSION) {
            signed.inner(VERSION)?;
        }
        signed.inner(INTEGER)?;
        let _signature_algorithm = signed.inner(SEQUENCE)?;
        let _issuer = signed.inner(SEQUENCE)?;
        let mut validity = signed.inner(SEQUENCE)?;
        let (begin, end) = (validity.time()?, validity.time()?);
        (begin < end).then_some(Validity { begin, end })
    }

    /// How long it is valid in all, in seconds.
    pub(super) fn length(self) -> u64 {
        self.end - self.begin
    }
}

/// What is left to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next value, and its tag.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // No certificate needs more than three bytes for a length.
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
                (bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The content of the next value, which must have this tag.
    fn inner(&mut self, tag: u8) -> Option<Reader<'a>> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, value)| Reader(value))
    }

    fn time(&mut self) -> Option<u64> {
        let (tag, text) = self.next()?;
        let digits = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
        let (year, digits) = match tag {
            // Two digits are a year from 1950 to 2049.
            UTC_TIME => {
                let year = number(digits.get(..2)?)?;
                (if year < 50 { 2000 + year } else { 1900 + year }, digits.get(2..)?)
            }
            GENERALIZED_TIME => (number(digits.get(..4)?)?, digits.get(4..)?),
            _ => return None,
        };
        if digits.len() != 10 {
            return None;
        }
        let mut parts = [0; 5];
        for (index, part) in parts.iter_mut().enumerate() {
            *part = number(digits.get(2 * index..2 * index + 2)?)?;
        }
        let [month, day, hour, minute, second] = parts;
        let is_time = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
        (is_time && hour < 24 && minute < 60 && second < 61)
            .then(|| ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
    }
}

fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Days since 1970 of a date in the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> u64 {
    // Years that begin in March have the day that is added to some at their end.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let of_years = year * 365 + year / 4 - year / 100 + year / 400;
    of_years + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(begin: (i32, u8, u8), end: (i32, u8, u8)) -> Vec<u8> {
        let mut params = CertificateParams::new(["a.example".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(begin.0, begin.1, begin.2);
        params.not_after = date_time_ymd(end.0, end.1, end.2);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn a_certificate_says_from_when_to_when_it_is_valid() {
        for (from, to, begin, end) in [
            ((1970, 1, 2), (2000, 2, 29), 86_400, 951_782_400),
            ((2024, 2, 29), (2024, 3, 1), 1_709_164_800, 1_709_251_200),
            ((2049, 12, 31), (2050, 1, 1), 2_524_521_600, 2_524_608_000),
            ((2026, 11, 30), (9999, 12, 31), 1_795_996_800, 253_402_214_400),
        ] {
            assert_eq!(Validity::of(&certificate(from, to)), Some(Validity { begin, end }), "{from:?}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_validity_and_breaks_nothing() {
        let whole = certificate((2026, 1, 1), (2026, 4, 1));
        let length = Validity::of(&whole).expect("it is a certificate").length();
        assert_eq!(length, 90 * 86_400);
        assert_eq!(Validity::of(&certificate((2026, 1, 1), (2026, 1, 1))), None, "it is never valid");
        for end in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..end]), None, "{end} bytes");
        }
        for at in 0..whole.len() {
            for byte in [0, 0x30, 0x7f, 0x80, 0x83, 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                if let Some(validity) = Validity::of(&changed) {
                    assert!(validity.begin < validity.end);
                }
            }
        }
    }
}
