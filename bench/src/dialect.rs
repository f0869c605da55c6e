//! What clients and targets say to each other.

use std::io::{self, Write};

use clap::ValueEnum;

use crate::arguments::Scenario;
use crate::frame;

/// A protocol that the load speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// The SignalR hub protocol in JSON.
    Signalr,
    /// The SignalR hub protocol in MessagePack; receivers speak it beside others that speak JSON.
    #[value(skip)]
    SignalrMessagePack,
    /// socket.io's protocol, for servers of that kind to compare with.
    SocketIo,
}

impl Dialect {
    /// What a client begins with.
    pub(crate) fn greeting(self) -> &'static [u8] {
        match self {
            Dialect::Signalr => b"{\"protocol\":\"json\",\"version\":1}\x1e",
            Dialect::SignalrMessagePack => b"{\"protocol\":\"messagepack\",\"version\":1}\x1e",
            Dialect::SocketIo => b"40",
        }
    }

    pub(crate) fn is_welcome(self, message: &[u8]) -> bool {
        match self {
            Dialect::Signalr | Dialect::SignalrMessagePack => true,
            // What the transport says of itself comes before.
            Dialect::SocketIo => message.starts_with(b"40"),
        }
    }

    /// What a client ends with, if anything.
    pub(crate) fn goodbye(self) -> Option<&'static [u8]> {
        match self {
            Dialect::Signalr => Some(b"{\"type\":7}\x1e"),
            Dialect::SignalrMessagePack => Some(&[0x03, 0x92, 0x07, 0xc0]),
            Dialect::SocketIo => None,
        }
    }

    /// What a client says from time to time; with socket.io it is the server that does.
    pub(crate) fn ping(self) -> Option<&'static [u8]> {
        match self {
            Dialect::Signalr => Some(b"{\"type\":6}\x1e"),
            Dialect::SignalrMessagePack => Some(&[0x02, 0x91, 0x06]),
            Dialect::SocketIo => None,
        }
    }

    /// Whether each message ends with a separator, so that one WebSocket message may hold several.
    pub(crate) fn separates(self) -> bool {
        match self {
            Dialect::Signalr => true,
            // The gateway puts one hub message into each WebSocket message.
            Dialect::SignalrMessagePack | Dialect::SocketIo => false,
        }
    }

    /// Appends the frame in which a client says `payload`.
    pub(crate) fn push_frame(self, payload: &[u8], out: &mut Vec<u8>) {
        let opcode = match self {
            Dialect::Signalr | Dialect::SocketIo => frame::TEXT,
            Dialect::SignalrMessagePack => frame::BINARY,
        };
        frame::push(frame::From::Client, opcode, payload, out);
    }

    /// Appends a call with arguments in JSON; one with an id is answered.
    pub(crate) fn write_call(
        self,
        id: Option<u64>,
        method: &str,
        arguments: &str,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        match (self, id) {
            (Dialect::Signalr, Some(id)) => write!(
                out,
                "{{\"type\":1,\"invocationId\":\"{id}\",\"target\":\"{method}\",\"arguments\":[{arguments}]}}\x1e"
            ),
            (Dialect::Signalr, None) => {
                write!(out, "{{\"type\":1,\"target\":\"{method}\",\"arguments\":[{arguments}]}}\x1e")
            }
            (Dialect::SignalrMessagePack, _) => unreachable!("who speaks it only receives"),
            (Dialect::SocketIo, Some(id)) => write!(out, "42{id}[\"{method}\",{arguments}]"),
            (Dialect::SocketIo, None) => write!(out, "42[\"{method}\",{arguments}]"),
        }
    }

    /// What stands in each message that a scenario waits for, and in no other.
    pub(crate) fn sign(self, scenario: Scenario, receive: &str) -> String {
        match (scenario, self) {
            (Scenario::Echo, Dialect::Signalr | Dialect::SignalrMessagePack) => "\"result\"".to_owned(),
            (Scenario::Echo, Dialect::SocketIo) => "[".to_owned(),
            _ => format!("\"{receive}\""),
        }
    }

    /// Whether a message answers a call, with whatever it has to say.
    pub(crate) fn is_answer(self, message: &[u8]) -> bool {
        match self {
            Dialect::Signalr => memchr::memmem::find(message, b"\"invocationId\"").is_some(),
            Dialect::SignalrMessagePack => false,
            Dialect::SocketIo => message.starts_with(b"43"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(dialect: Dialect, id: Option<u64>) -> String {
        let mut out = Vec::new();
        dialect.write_call(id, "echo", "\"a\"", &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn calls_are_those_of_the_protocol() {
        let signalr = "{\"type\":1,\"invocationId\":\"7\",\"target\":\"echo\",\"arguments\":[\"a\"]}\x1e";
        assert_eq!(call(Dialect::Signalr, Some(7)), signalr);
        assert_eq!(call(Dialect::Signalr, None), signalr.replace("\"invocationId\":\"7\",", ""));
        assert_eq!(call(Dialect::SocketIo, Some(7)), "427[\"echo\",\"a\"]");
        assert_eq!(call(Dialect::SocketIo, None), "42[\"echo\",\"a\"]");
    }
}
