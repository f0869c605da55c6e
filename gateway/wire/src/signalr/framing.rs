//! Where one hub message ends: JSON ones at the record separator, which JSON text cannot hold; others after the length
//! that stands before them.
//!
//! Source: ASP.NET Core SignalR hub protocol, "JSON Encoding" and "MessagePack (MsgPack) encoding".

/// Ends every JSON hub message and both handshake messages.
pub const RECORD_SEPARATOR: u8 = 0x1E;

/// Splits the first whole message, without its separator, off the front of `input`; `None` if there is no separator yet.
pub fn split_message<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = memchr::memchr(RECORD_SEPARATOR, input)?;
    let message = &input[..end];
    *input = &input[end + 1..];
    Some(message)
}

/// A length of more than 31 bits; the text is .NET's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Messages over 2GB in size are not supported.")]
pub struct TooLong;

/// The length of the message at the front of `input`, and that of the prefix that tells it; `None` if the prefix is not
/// there as a whole. The length is a little-endian number in groups of 7 bits, of at most 31.
pub fn length_prefix(input: &[u8]) -> Result<Option<(usize, usize)>, TooLong> {
    let mut length = 0;
    for (index, byte) in input.iter().enumerate().take(5) {
        length |= usize::from(byte & 0x7f) << (7 * index);
        match byte & 0x80 {
            _ if index == 4 && *byte > 7 => return Err(TooLong),
            0 => return Ok(Some((length, index + 1))),
            _ => {}
        }
    }
    Ok(None)
}

/// Splits the first whole message, without its length, off the front of `input`; `None` if it is not there as a whole.
pub fn split_binary_message<'a>(input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, TooLong> {
    let Some((length, prefix)) = length_prefix(input)? else {
        return Ok(None);
    };
    let Some((message, rest)) = input[prefix..].split_at_checked(length) else {
        return Ok(None);
    };
    *input = rest;
    Ok(Some(message))
}

/// Appends the message that `write` appends, with its length before it.
pub fn write_binary_message(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    // As a rule one byte is enough; where it is not, the message moves.
    let start = out.len();
    out.push(0);
    write(out);
    let mut length = out.len() - start - 1;
    assert!(length < 1 << 31, "a message is shorter than 2 GiB");
    let mut prefix = [0; 5];
    let mut count = 0;
    loop {
        prefix[count] = (length & 0x7f) as u8;
        length >>= 7;
        count += 1;
        if length == 0 {
            break;
        }
        prefix[count - 1] |= 0x80;
    }
    if count > 1 {
        let end = out.len();
        out.resize(end + count - 1, 0);
        out.copy_within(start + 1..end, start + count);
    }
    out[start..start + count].copy_from_slice(&prefix[..count]);
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

    #[test]
    fn binary_messages_are_as_long_as_they_say() {
        let mut input: &[u8] = b"\x00\x03ABC\x80\x01";
        assert_eq!(split_binary_message(&mut input), Ok(Some(&b""[..])));
        assert_eq!(split_binary_message(&mut input), Ok(Some(&b"ABC"[..])));
        assert_eq!(split_binary_message(&mut input), Ok(None));
        assert_eq!(input, b"\x80\x01");
        for cut in [&b""[..], b"\x04\xab\xcd\xef", b"\xff\xff\xff\xff\x07", b"\x80"] {
            assert_eq!(split_binary_message(&mut &*cut), Ok(None), "{cut:x?}");
        }
        for long in [&b"\xff\xff\xff\xff\xff"[..], b"\x80\x80\x80\x80\x08", b"\xff\xff\xff\xff\xff\xff"] {
            assert_eq!(split_binary_message(&mut &*long), Err(TooLong), "{long:x?}");
        }
    }

    #[test]
    fn a_written_message_comes_back_whatever_its_length() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 2_097_152] {
            let mut out = b"before".to_vec();
            write_binary_message(&mut out, |out| out.resize(out.len() + length, 7));
            let mut input = &out[6..];
            assert_eq!(split_binary_message(&mut input).map(|message| message.map(<[u8]>::len)), Ok(Some(length)));
            assert!(input.is_empty());
        }
    }
}
