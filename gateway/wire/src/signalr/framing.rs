//! Where one hub message of the JSON protocol ends: at the record separator, which JSON text cannot hold.
//!
//! Source: ASP.NET Core SignalR hub protocol, "JSON Encoding".

/// Ends every JSON hub message and both handshake messages.
pub const RECORD_SEPARATOR: u8 = 0x1E;

/// Splits the first whole message, without its separator, off the front of `input`; `None` if there is no separator yet.
pub fn split_message<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = memchr::memchr(RECORD_SEPARATOR, input)?;
    let message = &input[..end];
    *input = &input[end + 1..];
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_end_at_the_separator_and_the_rest_waits() {
        let mut input: &[u8] = b"ABC\x1eXYZ\x1e123";
        assert_eq!(split_message(&mut input), Some(&b"ABC"[..]));
        assert_eq!(split_message(&mut input), Some(&b"XYZ"[..]));
        assert_eq!(split_message(&mut input), None);
        assert_eq!(input, b"123");
    }
}
