//! WebSocket frames, as plain as they come (RFC 6455, section 5.2).

use anyhow::{Result, bail};

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
/// Ends each hub message.
pub(crate) const SEPARATOR: u8 = 0x1E;
const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Longer payloads are not believed.
const LONGEST_PAYLOAD: usize = 64 << 20;

/// Who sends a frame: what clients send is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Client,
    Server,
}

/// Appends a frame. A client's mask is zero: it is there, and the payload stays readable.
pub(crate) fn push(from: From, opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(FIN | opcode);
    let masked = if from == From::Client { MASKED } else { 0 };
    match payload.len() {
        0..126 => out.push(masked | payload.len() as u8),
        126..65_536 => {
            out.push(masked | 126);
            out.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
        length => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    if from == From::Client {
        out.extend_from_slice(&[0; 4]);
    }
    out.extend_from_slice(payload);
}

/// A text message of a client.
pub(crate) fn client_text(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 14);
    push(From::Client, TEXT, payload, &mut out);
    out
}

/// The frame at the beginning of the input, unmasked in place.
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    /// Whether it ends its message.
    pub(crate) is_final: bool,
    pub(crate) payload: &'a mut [u8],
    /// Of the whole frame, in bytes.
    pub(crate) length: usize,
}

/// Takes the first frame off; `None`: its end is yet to come.
pub(crate) fn first(input: &mut [u8]) -> Result<Option<Frame<'_>>> {
    let [opcode, second, rest @ ..] = &*input else {
        return Ok(None);
    };
    let (opcode, is_final, masked) = (opcode & 0x0F, opcode & FIN != 0, second & MASKED != 0);
    let extended = match second & 0x7F {
        126 => rest.first_chunk().map(|bytes| (u64::from(u16::from_be_bytes(*bytes)), 4)),
        127 => rest.first_chunk().map(|bytes| (u64::from_be_bytes(*bytes), 10)),
        short => Some((u64::from(short), 2)),
    };
    let Some((payload, header)) = extended else {
        return Ok(None);
    };
    let payload = usize::try_from(payload).unwrap_or(usize::MAX);
    if payload > LONGEST_PAYLOAD {
        bail!("a frame of {payload} bytes");
    }
    let start = header + if masked { 4 } else { 0 };
    if input.len() < start + payload {
        return Ok(None);
    }
    let (header, rest) = input.split_at_mut(start);
    let payload = &mut rest[..payload];
    if masked {
        let mask = &header[start - 4..];
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    }
    let length = start + payload.len();
    Ok(Some(Frame { opcode, is_final, payload, length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_taken_off_whole_and_not_before() {
        for from in [From::Client, From::Server] {
            for length in [0, 1, 125, 126, 65_535, 65_536] {
                let payload = vec![b'x'; length];
                let mut bytes = Vec::new();
                push(from, TEXT, &payload, &mut bytes);
                let whole = bytes.len();
                assert!(first(&mut bytes[..whole - 1]).unwrap().is_none(), "{length}");
                bytes.push(0x81);
                let frame = first(&mut bytes).unwrap().unwrap();
                assert_eq!((frame.opcode, &*frame.payload, frame.length), (TEXT, &payload[..], whole));
            }
        }
    }

    #[test]
    fn a_mask_is_taken_off() {
        // RFC 6455, section 5.7: a masked "Hello".
        let mut bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(first(&mut bytes).unwrap().unwrap().payload, b"Hello");
    }

    #[test]
    fn an_absurd_length_is_refused() {
        assert!(first(&mut [0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    }
}
