//! How hub servers wrap what they send to clients: as a message of the service protocol inside of one.

use crate::service::{self, ServiceMessage};

/// A payload is not wrapped as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the payload does not consist of whole messages for connections")]
pub struct Malformed;

/// The client messages in a payload, in order: each is that of a message for a connection, whose id does not matter.
pub fn unwrap(payload: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let mut rest = payload;
    let mut messages = Vec::with_capacity(1);
    while !rest.is_empty() {
        let body = service::split_message(&mut rest).ok().flatten().ok_or(Malformed)?;
        match service::parse(body) {
            Ok(ServiceMessage::ConnectionData(data)) => messages.push(data.payload),
            Ok(_) | Err(_) => return Err(Malformed),
        }
    }
    match messages.is_empty() {
        true => Err(Malformed),
        false => Ok(messages),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{AnyText, ConnectionData};

    fn wrapped(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let data = ConnectionData { connection_id: AnyText(b""), payload: text, ..ConnectionData::default() };
        service::write(&ServiceMessage::ConnectionData(data), &mut out);
        out
    }

    #[test]
    fn messages_come_out_in_order_and_nothing_else_does() {
        assert_eq!(unwrap(&wrapped(b"{}")), Ok(vec![&b"{}"[..]]));
        let both = [wrapped(b"a"), wrapped(b"b")].concat();
        assert_eq!(unwrap(&both), Ok(vec![&b"a"[..], b"b"]));
        let mut ping = Vec::new();
        service::write(&ServiceMessage::Ping(Vec::new()), &mut ping);
        for wrong in [&b""[..], b"{}", &both[..both.len() - 1], &[&both[..], b"\x05"].concat(), &ping, &[0xff; 9]] {
            assert_eq!(unwrap(wrong), Err(Malformed), "{wrong:x?}");
        }
    }
}
