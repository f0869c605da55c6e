//! What a client speaks: what must come first, where its messages end, and how what is sent to it is written.

use bytes::BytesMut;
use hubgate_wire::negotiate::Transport;
use hubgate_wire::payload::Payload;
use hubgate_wire::signalr::framing;
pub(crate) use hubgate_wire::signalr::framing::TooLong;
use hubgate_wire::signalr::handshake::{self, HandshakeRequest, MalformedHandshake};
use hubgate_wire::signalr::{Exchange, HubMessage, HubProtocol, MalformedMessage};
use hubgate_wire::websocket::{DataKind, Frame};

use super::link_log::Said;
use crate::arrivals::{Family, Reconnect};
use crate::failure;
use crate::mode::ClientKind;
use crate::outgoing::Outgoing;

/// The longest message that a client may open with, in bytes.
pub(crate) const LONGEST_OPENING: usize = handshake::LONGEST_REQUEST;
const _: () = assert!(LONGEST_OPENING == crate::tokens::LONGEST_EARLY_POST);
/// The first version of the hub protocols that has Ack and Sequence messages.
const FIRST_WITH_RESUMES: i64 = 2;
/// No Close message is longer: older hub servers do not say which message is one, so short ones are looked at.
const LONGEST_CLOSE: usize = 4096;
/// How a Close begins in JSON.
const JSON_CLOSE: &[u8] = b"{\"type\":7";

/// What ends each message of a client that speaks text.
pub(crate) const END_OF_TEXT: u8 = framing::RECORD_SEPARATOR;

/// A family of protocols, and how one client speaks it. Nothing else knows how clients open, where their messages end, and
/// how they are told of their end.
#[derive(Debug, Clone, Copy, Eq)]
pub(crate) enum Dialect {
    /// ASP.NET Core SignalR, up to the handshake request that names a hub protocol. Until then all is JSON.
    CoreHandshake,
    /// ASP.NET Core SignalR in this hub protocol, or ASP.NET SignalR, which opens without a handshake.
    Hub(HubProtocol),
}

impl Dialect {
    pub(crate) const ASP_NET: Dialect = Dialect::Hub(HubProtocol::AspNet);
}

impl PartialEq for Dialect {
    /// In one comparison: each receiver of a message pays it.
    #[inline]
    fn eq(&self, other: &Dialect) -> bool {
        self.number() == other.number()
    }
}

/// What a hub server answers to the message that a client has opened with.
pub(crate) struct Answer<'a> {
    /// For the client.
    pub(crate) frame: Frame,
    pub(crate) is_refusal: bool,
    /// What the server says after it.
    pub(crate) rest: &'a [u8],
}

/// Opening.
impl Dialect {
    /// What a client of this family speaks first.
    pub(crate) fn of_new(family: &Family) -> Dialect {
        match family {
            Family::Core => Dialect::CoreHandshake,
            Family::AspNet { .. } => Dialect::ASP_NET,
        }
    }

    /// Whether it is ASP.NET SignalR.
    #[inline]
    pub(crate) fn is_asp_net(self) -> bool {
        self == Dialect::ASP_NET
    }

    /// What a client speaks from now on that opens with `request`, and whether it can resume then; or the error that it is told.
    pub(crate) fn open(
        self,
        request: &[u8],
        kind: ClientKind,
        transport: Transport,
        detailed_errors: bool,
    ) -> Result<(Dialect, Reconnect), String> {
        match self {
            Dialect::CoreHandshake => {
                let malformed = |malformed| failure::malformed_handshake(&malformed, detailed_errors);
                let request = HandshakeRequest::parse(request).map_err(malformed)?;
                let protocol = match kind {
                    ClientKind::Serverless | ClientKind::Unserved => request.accept(),
                    // Whether it speaks this version is the hub server's business.
                    ClientKind::Proxied => request.protocol(),
                };
                let protocol = protocol.map_err(|refusal| refusal.to_string())?;
                if protocol.data_kind() == DataKind::Binary && transport == Transport::ServerSentEvents {
                    return Err(failure::no_binary_transport(protocol));
                }
                let reconnect = match request.version >= FIRST_WITH_RESUMES {
                    true => Reconnect::Stateful,
                    false => Reconnect::No,
                };
                Ok((Dialect::Hub(protocol), reconnect))
            }
            Dialect::Hub(_) => Ok((self, Reconnect::No)),
        }
    }

    /// The error for a client that opens with more than [`LONGEST_OPENING`].
    pub(crate) fn opening_too_long(self, detailed_errors: bool) -> String {
        match self {
            Dialect::CoreHandshake | Dialect::Hub(_) => {
                failure::malformed_handshake(&MalformedHandshake::TooLong, detailed_errors)
            }
        }
    }

    /// The answer to a client that is let in.
    pub(crate) fn accepted(self) -> Frame {
        self.protocol().handshake_frame(handshake::ACCEPTED)
    }

    /// The answer to a client that is not let in; nothing follows it.
    pub(crate) fn refused(self, error: &str) -> Frame {
        if self.is_asp_net() {
            return self.closing(Some(error), false);
        }
        self.protocol().handshake_frame(&handshake::refused(error))
    }

    /// What a client has opened with, as a hub server gets it.
    pub(crate) fn framed_opening(self, request: &[u8]) -> Box<[u8]> {
        match self.is_asp_net() {
            false => [request, &[framing::RECORD_SEPARATOR]].concat().into(),
            true => Box::default(),
        }
    }

    /// Splits a hub server's answer off the front of what it says to the client; `None` if it is not there as a whole.
    pub(crate) fn split_answer(self, said: &[u8]) -> Option<Answer<'_>> {
        let mut rest = said;
        let answer = framing::split_message(&mut rest)?;
        let frame = self.protocol().handshake_frame(&said[..answer.len() + 1]);
        Some(Answer { frame, is_refusal: handshake::is_refusal(answer), rest })
    }
}

/// Messages of the client.
impl Dialect {
    /// Splits the first whole message off the front of `bytes`; `None` if it is not there as a whole.
    #[inline]
    pub(crate) fn split<'b>(self, bytes: &mut &'b [u8]) -> Result<Option<&'b [u8]>, TooLong> {
        match self {
            Dialect::CoreHandshake => Ok(framing::split_message(bytes)),
            Dialect::Hub(protocol) => protocol.split_message(bytes),
        }
    }

    /// Takes `unread`, which holds the beginning of a message, and so much of `bytes` as makes it one message. `None` if
    /// `bytes` does not hold the message's end: then what is left of `bytes` belongs after `unread`.
    pub(crate) fn complete(self, unread: &mut BytesMut, bytes: &mut &[u8]) -> Result<Option<BytesMut>, TooLong> {
        if self.protocol().data_kind() == DataKind::Text {
            // Only the new bytes are searched: what is unread holds no separator.
            return Ok(framing::split_message(bytes).map(|end| {
                let mut message = std::mem::take(unread);
                message.extend_from_slice(end);
                message
            }));
        }
        loop {
            let missing = match framing::length_prefix(unread)? {
                Some((length, prefix)) if unread.len() >= prefix + length => {
                    return Ok(Some(unread.split_to(prefix + length).split_off(prefix)));
                }
                Some((length, prefix)) => prefix + length - unread.len(),
                None => 1,
            };
            let Some((next, rest)) = bytes.split_at_checked(missing) else {
                return Ok(None);
            };
            unread.extend_from_slice(next);
            *bytes = rest;
        }
    }

    /// How long the message is that `unread` begins with, in bytes, as far as is known.
    pub(crate) fn length_begun(self, unread: &[u8]) -> usize {
        let told = match self.protocol().data_kind() {
            DataKind::Text => Ok(None),
            DataKind::Binary => framing::length_prefix(unread),
        };
        match told {
            Ok(Some((length, _))) => length,
            Ok(None) | Err(TooLong) => unread.len(),
        }
    }

    /// Reads one message without what frames it.
    #[inline]
    pub(crate) fn parse(self, message: &[u8]) -> Result<HubMessage<'_>, MalformedMessage> {
        self.protocol().parse(message)
    }

    /// What a message that is not read is to the client's log.
    pub(crate) fn said(self, message: &[u8]) -> Said {
        if self.is_asp_net() {
            return Said::Counted;
        }
        match self.protocol().kind_of(message) {
            1..=5 => Said::Counted,
            7..=9 => self.parse(message).map_or(Said::Uncounted, |message| Said::of(&message)),
            _ => Said::Uncounted,
        }
    }

    /// How many messages in a frame count for the logs of its receivers.
    pub(crate) fn counted(self, frame: &Frame) -> u64 {
        if self.is_asp_net() {
            return 1;
        }
        let payload = frame.payload();
        let (mut rest, mut count) = (&payload[..], 0);
        while let Ok(Some(message)) = self.split(&mut rest) {
            count += u64::from(self.said(message) == Said::Counted);
        }
        count
    }

    /// What follows messages that are passed on.
    pub(crate) fn exchange(self) -> Exchange {
        Exchange::new(self.protocol())
    }

    /// The name that hub servers know it by.
    pub(crate) fn name(self) -> &'static str {
        self.protocol().name()
    }

    #[inline]
    fn number(self) -> u8 {
        match self {
            Dialect::Hub(protocol) => protocol as u8,
            Dialect::CoreHandshake => HubProtocol::COUNT as u8,
        }
    }

    /// The hub protocol; JSON until the client names one.
    #[inline]
    pub(crate) fn protocol(self) -> HubProtocol {
        match self {
            Dialect::CoreHandshake => HubProtocol::Json,
            Dialect::Hub(protocol) => protocol,
        }
    }
}

/// Messages for the client.
impl Dialect {
    /// Appends a message with what frames it.
    pub(crate) fn write(self, message: &HubMessage<'_>, out: &mut Vec<u8>) {
        self.protocol().write(message, out);
    }

    /// Appends a message that is encoded already, with what frames it.
    pub(crate) fn write_encoded(self, message: &[u8], out: &mut Vec<u8>) {
        self.protocol().write_framed(message, out);
    }

    /// A message.
    pub(crate) fn frame(self, message: &HubMessage<'_>) -> Frame {
        self.protocol().frame(message)
    }

    /// A message that is encoded already.
    pub(crate) fn frame_encoded(self, message: &[u8]) -> Frame {
        Frame::data(self.protocol().data_kind(), |out| self.write_encoded(message, out))
    }

    /// Whole messages with what frames them.
    pub(crate) fn frame_framed(self, messages: &[u8]) -> Frame {
        Frame::of_payload(self.protocol().data_kind(), messages)
    }

    /// What is sent to many clients, as this one gets it; `None` if there is nothing for it.
    #[inline]
    pub(crate) fn frame_of(self, outgoing: &Outgoing) -> Option<&Frame> {
        outgoing.frame(self.protocol())
    }

    /// The completion of a call; without a result, a void one.
    pub(crate) fn result(self, invocation_id: &str, result: Option<&Payload>) -> Frame {
        self.protocol().result_frame(invocation_id, result.map(Payload::borrow))
    }

    /// The completion of a call that failed.
    pub(crate) fn error(self, invocation_id: &str, error: &str) -> Frame {
        self.protocol().error_frame(invocation_id, error)
    }

    /// So many messages that only count.
    pub(crate) fn placeholders(self, count: usize) -> Frame {
        // The shortest that all clients count: they know no message of the other kinds that come from a server.
        let message = self.result("0", None).payload();
        self.frame_framed(&message.repeat(count))
    }

    /// The last message of a client that was let in.
    pub(crate) fn closing(self, error: Option<&str>, allow_reconnect: bool) -> Frame {
        self.frame(&HubMessage::Close { error: error.map(Into::into), allow_reconnect })
    }

    /// Whether the last of so many whole messages is the client's last, as .NET writes one. Others are not decoded to find out.
    pub(crate) fn ends_with_closing(self, messages: &[u8], count: usize) -> bool {
        if messages.len() > LONGEST_CLOSE {
            return false;
        }
        let protocol = self.protocol();
        if count == 1 && protocol == HubProtocol::Json && !messages.starts_with(JSON_CLOSE) {
            // As a rule there is one, whose end need not be searched for again.
            return false;
        }
        let (mut rest, mut last) = (messages, &[][..]);
        while let Ok(Some(message)) = protocol.split_message(&mut rest) {
            last = message;
        }
        let may_be = match protocol {
            HubProtocol::Json => last.starts_with(JSON_CLOSE),
            HubProtocol::MessagePack | HubProtocol::BlazorPack => last.get(1) == Some(&7),
            HubProtocol::AspNet => false,
        };
        may_be && matches!(protocol.parse(last), Ok(HubMessage::Close { .. }))
    }
}

/// The pings of all dialects, each encoded once.
#[derive(Debug)]
pub(crate) struct Pings([Frame; HubProtocol::COUNT]);

impl Pings {
    pub(crate) fn new() -> Pings {
        Pings(HubProtocol::ALL.map(|protocol| protocol.frame(&HubMessage::Ping)))
    }

    pub(crate) fn of(&self, dialect: Dialect) -> Frame {
        self.0[dialect.protocol() as usize].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One message in each hub protocol, with what frames it.
    fn framed(dialect: Dialect, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        dialect.write_encoded(message, &mut out);
        if dialect.is_asp_net() {
            // Its transport says where it ends.
            out.push(framing::RECORD_SEPARATOR);
        }
        out
    }

    #[test]
    fn a_message_whose_bytes_come_one_by_one_is_whole_with_its_last_in_every_dialect() {
        for dialect in [Dialect::CoreHandshake].into_iter().chain(HubProtocol::ALL.map(Dialect::Hub)) {
            let message = [b'x'; 200];
            let said = framed(dialect, &message);
            let (last, before) = said.split_last().expect("a byte");
            let mut unread = BytesMut::new();
            for byte in before {
                let mut piece = &[*byte][..];
                assert_eq!(dialect.split(&mut &unread[..]), Ok(None), "{dialect:?}");
                assert_eq!(dialect.complete(&mut unread, &mut piece), Ok(None), "{dialect:?}");
                unread.extend_from_slice(piece);
            }
            let mut piece = &[*last, b'y'][..];
            let whole = dialect.complete(&mut unread, &mut piece).expect("it is short").expect("it is whole");
            assert_eq!((&whole[..], unread.len(), piece), (&message[..], 0, &b"y"[..]), "{dialect:?}");
            assert_eq!(dialect.split(&mut &said[..]), Ok(Some(&message[..])), "{dialect:?}");
        }
    }

    #[test]
    fn a_client_speaks_what_it_asks_for_if_whoever_answers_it_and_its_transport_can() {
        let open = |protocol: &str, kind, transport| {
            let request = format!(r#"{{"protocol":"{protocol}","version":1}}"#);
            Dialect::CoreHandshake.open(request.as_bytes(), kind, transport, false)
        };
        let (by_us, by_server) = (ClientKind::Serverless, ClientKind::Proxied);
        let speaks = |protocol| Ok((Dialect::Hub(protocol), Reconnect::No));
        assert_eq!(open("json", by_us, Transport::ServerSentEvents), speaks(HubProtocol::Json));
        assert_eq!(open("messagepack", by_us, Transport::WebSockets), speaks(HubProtocol::MessagePack));
        assert_eq!(open("blazorpack", by_server, Transport::LongPolling), speaks(HubProtocol::BlazorPack));
        let refused = open("blazorpack", by_us, Transport::WebSockets);
        assert_eq!(refused, Err("The protocol 'blazorpack' is not supported.".to_owned()));
        assert!(open("messagepack", by_server, Transport::ServerSentEvents).is_err(), "it carries text alone");
    }

    #[test]
    fn an_answer_of_a_hub_server_is_told_from_what_comes_after_it() {
        let dialect = Dialect::Hub(HubProtocol::MessagePack);
        assert!(dialect.split_answer(b"{").is_none());
        let answer = dialect.split_answer(b"{}\x1e\x02\x91\x06").expect("it is whole");
        assert_eq!(
            (&answer.frame.payload()[..], answer.is_refusal, answer.rest),
            (&b"{}\x1e"[..], false, &b"\x02\x91\x06"[..])
        );
        let refused = dialect.refused("no").payload();
        let refusal = dialect.split_answer(&refused).expect("it is whole");
        assert!(refusal.is_refusal && refusal.rest.is_empty());
    }
}
