//! What a client and whoever answers it say to each other, passed on and not decoded: where messages end, and which calls wait.

use super::HubProtocol;
use super::glance::Glance;
use super::stream::MessageStream;

/// Both directions of one client's hub messages, whose bytes come cut anywhere.
///
/// The calls that wait for their completions are counted and not told apart: a call that is completed twice hides another one
/// that waits.
#[derive(Debug)]
pub struct Exchange {
    from_client: Glance,
    from_server: Glance,
    waiting: usize,
    /// Streams that were begun since nothing waited.
    streams: usize,
}

/// What a piece of a stream held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    /// Messages that ended in it, in number.
    pub messages: usize,
    /// Where the last of them ended; 0 if none did.
    pub whole: usize,
}

impl Exchange {
    pub fn new(protocol: HubProtocol) -> Exchange {
        Exchange { from_client: Glance::new(protocol), from_server: Glance::new(protocol), waiting: 0, streams: 0 }
    }

    /// The client's next bytes.
    pub fn client_says(&mut self, bytes: &[u8]) -> Followed {
        let seen = self.from_client.follow(bytes);
        self.waiting += seen.begun;
        self.streams += seen.streams;
        Followed { messages: seen.messages, whole: seen.whole }
    }

    /// The next bytes of whoever answers it.
    pub fn server_says(&mut self, bytes: &[u8]) -> Followed {
        let seen = self.from_server.follow(bytes);
        self.waiting = self.waiting.saturating_sub(seen.ended);
        if self.waiting == 0 {
            self.streams = 0;
        }
        Followed { messages: seen.messages, whole: seen.whole }
    }

    /// Where the client is among its messages.
    pub fn from_client(&self) -> MessageStream {
        self.from_client.stream()
    }

    /// How many wait for their completions.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many of them want one result, at least: streams may have no end.
    pub fn waiting_for_results(&self) -> usize {
        self.waiting.saturating_sub(self.streams)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::framing::write_binary_message;
    use super::super::{CompletionOutcome, HubMessage, Invocation};
    use super::*;
    use crate::payload::PayloadRef;

    /// How many calls wait once all of this was said, in pieces of so many bytes.
    #[track_caller]
    fn waiting(protocol: HubProtocol, client: &[u8], server: &[u8], expected: [usize; 2]) {
        for cut in [1, 2, 3, 7, 50, 10_000] {
            let mut calls = Exchange::new(protocol);
            for piece in client.chunks(cut) {
                calls.client_says(piece);
            }
            assert_eq!(calls.waiting(), expected[0], "begun, in pieces of {cut}");
            for piece in server.chunks(cut) {
                calls.server_says(piece);
            }
            assert_eq!(calls.waiting(), expected[1], "left, in pieces of {cut}");
        }
    }

    #[test]
    fn messages_end_where_they_end_however_their_bytes_are_cut() {
        let mut packed = Vec::new();
        for length in [0, 1, 127, 128, 300, 20_000] {
            write_binary_message(&mut packed, |out| out.resize(out.len() + length, 0x1e));
        }
        packed.extend_from_slice(b"\x05abc");
        let text = b"{}\x1e\x1e{\"a\":1}\x1e{";
        for (protocol, bytes, messages, rest) in
            [(HubProtocol::MessagePack, &packed[..], 6, 4), (HubProtocol::Json, text, 3, 1)]
        {
            for cut in [1, 2, 3, 7, 100, 1_000, bytes.len()] {
                let mut exchange = Exchange::new(protocol);
                let (mut ended, mut last, mut position) = (0, 0, 0);
                for piece in bytes.chunks(cut) {
                    let followed = exchange.client_says(piece);
                    assert_eq!(exchange.server_says(piece), followed, "both directions are followed alike");
                    ended += followed.messages;
                    last = if followed.messages > 0 { position + followed.whole } else { last };
                    position += piece.len();
                }
                assert_eq!((ended, bytes.len() - last), (messages, rest), "{protocol:?} in pieces of {cut}");
                assert!(!exchange.from_client().is_between_messages());
            }
        }
    }

    #[test]
    fn calls_in_json_wait_until_they_are_completed_whatever_order_their_members_have() {
        let client = [
            r#"{"type":1,"invocationId":"1","target":"m","arguments":[]}"#,
            r#"{ "arguments" : [{"type":6,"invocationId":null},"\"}"], "invocationId" : "2" , "target":"m","type" : 1 }"#,
            r#"{"streamIds":["9"],"type":4,"invocationId":"3","target":"m","arguments":["\\"]}"#,
            // Nobody waits for the answers of these.
            r#"{"type":1,"target":"m","arguments":["invocationId",{"invocationId":"x"}]}"#,
            r#"{"invocationId":null,"type":1,"target":"invocationId","arguments":[]}"#,
            r#"{"type":11,"invocationId":"4"}"#,
            r#"{"type":2,"invocationId":"9","item":{"type":1}}"#,
            r#"{"type":3,"invocationId":"9"}"#,
            r#"{"type":6}"#,
            "nonsense\"",
            "",
        ];
        let server = [
            r#"{"type":3,"invocationId":"1","result":{"type":3}}"#,
            r#"{"type":2,"invocationId":"3","item":{"type":3}}"#,
            r#"{"type":1,"target":"type","arguments":[3,{"type":3}]}"#,
            r#"{"invocationId":"3","error":"type\":3","type":3}"#,
        ];
        let text = |messages: &[&str]| messages.iter().map(|message| format!("{message}\x1e")).collect::<String>();
        waiting(HubProtocol::Json, text(&client).as_bytes(), text(&server).as_bytes(), [3, 1]);
    }

    #[test]
    fn calls_in_messagepack_wait_until_they_are_completed() {
        let arguments = PayloadRef::MessagePack(b"\x91\xa1x");
        let call = |id: Option<&'static str>, headers: usize| Invocation {
            headers: (0..headers).map(|_| (Cow::from("a name of a header"), Cow::from("value"))).collect(),
            invocation_id: id.map(Into::into),
            target: "method".into(),
            arguments,
            stream_ids: Vec::new(),
        };
        let long = "an id that is longer than what is kept of a message";
        let id = || Cow::from("1");
        let client = [
            HubMessage::Invocation(call(Some("1"), 0)),
            HubMessage::Invocation(call(Some(long), 0)),
            HubMessage::StreamInvocation(call(Some("2"), 0)),
            HubMessage::Invocation(call(None, 0)),
            HubMessage::Ping,
            HubMessage::StreamItem { headers: Vec::new(), invocation_id: id(), item: arguments },
        ];
        let server = [
            HubMessage::Completion { headers: Vec::new(), invocation_id: id(), outcome: CompletionOutcome::Void },
            HubMessage::Invocation(call(None, 0)),
            HubMessage::Ping,
        ];
        for protocol in [HubProtocol::MessagePack, HubProtocol::BlazorPack] {
            let bytes = |messages: &[HubMessage<'_>]| {
                let mut out = Vec::new();
                messages.iter().for_each(|message| protocol.write(message, &mut out));
                out
            };
            waiting(protocol, &bytes(&client), &bytes(&server), [3, 2]);
        }
    }

    #[test]
    fn calls_in_messagepack_are_found_after_headers_of_any_length() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let call = |id: Option<&'static str>, headers: &[(&'static str, &str)]| {
            HubMessage::Invocation(Invocation {
                headers: headers.iter().map(|(name, value)| (Cow::from(*name), Cow::from(value.to_string()))).collect(),
                invocation_id: id.map(Into::into),
                target: "method".into(),
                arguments: PayloadRef::MessagePack(b"\x90"),
                stream_ids: Vec::new(),
            })
        };
        let (state, many) = ("x".repeat(70_000), [("a", ""); 1].repeat(40));
        let headers: [&[(&str, &str)]; 4] = [
            &[("traceparent", trace)],
            &[("traceparent", trace), ("tracestate", "")],
            &[("tracestate", &state), ("traceparent", trace)],
            &many,
        ];
        for protocol in [HubProtocol::MessagePack, HubProtocol::BlazorPack] {
            for headers in headers {
                let mut bytes = Vec::new();
                [None, Some("1"), None].iter().for_each(|id| protocol.write(&call(*id, headers), &mut bytes));
                waiting(protocol, &bytes, b"", [1, 1]);
            }
        }
    }

    #[test]
    fn messages_that_are_not_clear_do_not_wait() {
        let call = |end: &[u8]| [&[5 + end.len() as u8, 0x96, 0x01][..], end, &[0xa1, b'1', 0x90]].concat();
        assert_eq!(call(b"\x80")[0], 6);
        waiting(HubProtocol::MessagePack, &call(b"\x80"), b"", [1, 1]);
        for unclear in [
            // Headers that are none, whose names or values are none, and that promise more than there is.
            &b"\x90"[..],
            b"\xc1",
            b"\x81\xa1a\x01",
            b"\x81\x91\xa1a\xa1b",
            b"\xdf\xff\xff\xff\xff",
            b"\x81\xa1a\xdb\xff\xff\xff\xff",
        ] {
            // What comes after such a message is read as always.
            let bytes = [call(unclear), call(b"\x80")].concat();
            waiting(HubProtocol::MessagePack, &bytes, b"", [1, 1]);
        }
        // No more of them than a kind, and less.
        waiting(HubProtocol::MessagePack, b"\x00\x01\x96\x02\x96\x01\x03\x96\x01\x80", b"", [0, 0]);
        waiting(HubProtocol::MessagePack, &call(b"\x80\xc0"), b"", [0, 0]);
    }

    #[test]
    fn streams_are_no_results_that_are_waited_for() {
        let mut calls = Exchange::new(HubProtocol::Json);
        calls.client_says(b"{\"type\":4,\"invocationId\":\"1\"}\x1e");
        assert_eq!((calls.waiting(), calls.waiting_for_results()), (1, 0));
        calls.client_says(b"{\"type\":1,\"invocationId\":\"2\"}\x1e");
        assert_eq!((calls.waiting(), calls.waiting_for_results()), (2, 1));
        calls.server_says(b"{\"type\":3,\"invocationId\":\"2\"}\x1e");
        assert_eq!((calls.waiting(), calls.waiting_for_results()), (1, 0));
        calls.server_says(b"{\"type\":3,\"invocationId\":\"1\"}\x1e");
        calls.client_says(b"{\"type\":1,\"invocationId\":\"3\"}\x1e");
        assert_eq!((calls.waiting(), calls.waiting_for_results()), (1, 1));
    }

    #[test]
    fn no_completion_is_counted_for_a_call_that_never_was() {
        let mut calls = Exchange::new(HubProtocol::Json);
        calls.server_says(b"{\"type\":3,\"invocationId\":\"1\"}\x1e");
        calls.client_says(b"{\"type\":1,\"invocationId\":\"1\"}\x1e");
        assert_eq!(calls.waiting(), 1);
    }
}
