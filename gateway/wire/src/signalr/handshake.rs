//! The hub handshake: the client's first message, JSON whatever protocol it asks for.
//!
//! Source: ASP.NET Core SignalR hub protocol, "Handshake"; texts as its .NET implementation writes them.

use serde_json::value::RawValue;

use super::json::{Object, ObjectError, TokenType, string};
use super::{HubProtocol, framing::RECORD_SEPARATOR};

/// The longest handshake request that is read, in bytes; a longer one counts as malformed.
pub const LONGEST_REQUEST: usize = 64 * 1024;

/// The newest version of the hub protocols that is spoken.
const VERSION: i64 = 2;

/// The answer to an accepted request.
pub const ACCEPTED: &[u8] = b"{}\x1e";

/// A well-formed handshake request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeRequest {
    pub protocol: String,
    pub version: i64,
}

/// Why a handshake request is malformed. The texts are for the log, and for clients only with detailed errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedHandshake {
    #[error("Error reading JSON.")]
    NotJson,
    #[error("Unexpected JSON Token Type '{0}'. Expected a JSON Object.")]
    NotAnObject(TokenType),
    #[error("Missing required property '{property}'. Message content: {content}")]
    Missing { property: &'static str, content: String },
    #[error("The property '{0}' is repeated.")]
    Repeated(&'static str),
    #[error("Expected '{property}' to be of type {expected}.")]
    WrongType { property: &'static str, expected: TokenType },
    #[error("The handshake request is longer than {LONGEST_REQUEST} bytes.")]
    TooLong,
}

/// Why a handshake is refused; the texts are those that clients get.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeRefusal {
    #[error("The protocol '{0}' is not supported.")]
    UnknownProtocol(String),
    #[error("The server does not support version {version} of the '{protocol}' protocol.")]
    UnknownVersion { protocol: String, version: i64 },
}

impl HandshakeRequest {
    /// Reads one message without its separator.
    pub fn parse(message: &[u8]) -> Result<HandshakeRequest, MalformedHandshake> {
        if message.len() > LONGEST_REQUEST {
            return Err(MalformedHandshake::TooLong);
        }
        let object = Object::parse(message, &["protocol", "version"], |_, _| Ok(())).map_err(|error| match error {
            ObjectError::NotAnObject(token) => MalformedHandshake::NotAnObject(token),
            ObjectError::Repeated(property) => MalformedHandshake::Repeated(property),
            ObjectError::Syntax | ObjectError::TooDeep | ObjectError::Property(()) => MalformedHandshake::NotJson,
        })?;
        let [protocol, version] = object;
        let missing =
            |property| MalformedHandshake::Missing { property, content: String::from_utf8_lossy(message).into_owned() };
        let protocol = protocol.map(|raw| string(raw).ok_or(wrong("protocol", TokenType::String))).transpose()?;
        let version = version.map(number).transpose()?;
        Ok(HandshakeRequest {
            protocol: protocol.ok_or_else(|| missing("protocol"))?.into_owned(),
            version: version.ok_or_else(|| missing("version"))?,
        })
    }

    /// The protocol that is asked for, if its messages can be told apart here. Names are compared without case.
    pub fn protocol(&self) -> Result<HubProtocol, HandshakeRefusal> {
        HubProtocol::named(&self.protocol).ok_or_else(|| HandshakeRefusal::UnknownProtocol(self.protocol.clone()))
    }

    /// The protocol to speak, if it and its version are spoken by the gateway itself.
    pub fn accept(&self) -> Result<HubProtocol, HandshakeRefusal> {
        let protocol = match self.protocol()? {
            HubProtocol::BlazorPack | HubProtocol::AspNet => {
                return Err(HandshakeRefusal::UnknownProtocol(self.protocol.clone()));
            }
            protocol @ (HubProtocol::Json | HubProtocol::MessagePack) => protocol,
        };
        match self.version <= VERSION {
            true => Ok(protocol),
            false => Err(HandshakeRefusal::UnknownVersion { protocol: self.protocol.clone(), version: self.version }),
        }
    }
}

fn wrong(property: &'static str, expected: TokenType) -> MalformedHandshake {
    MalformedHandshake::WrongType { property, expected }
}

fn number(raw: &RawValue) -> Result<i64, MalformedHandshake> {
    raw.get().parse().map_err(|_| wrong("version", TokenType::Number))
}

/// Whether the answer of a hub server, without its separator, refuses the client. What is no answer refuses it, too.
pub fn is_refusal(answer: &[u8]) -> bool {
    let error = Object::parse(answer, &["error"], |_, _| Ok::<(), ()>(()));
    !matches!(error, Ok([None]))
}

/// The answer to a refused request, with its separator; the transport is closed behind it without a Close message.
pub fn refused(error: &str) -> Vec<u8> {
    let mut answer = serde_json::to_vec(&serde_json::json!({ "error": error })).expect("a map of strings is JSON");
    answer.push(RECORD_SEPARATOR);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, expected: Result<(&str, i64), &str>) {
        let read = HandshakeRequest::parse(message.as_bytes());
        let read = read.as_ref().map(|r| (r.protocol.as_str(), r.version)).map_err(ToString::to_string);
        assert_eq!(read, expected.map_err(str::to_owned), "{message}");
    }

    #[test]
    fn requests_are_read_whatever_else_they_hold() {
        check(r#"{"protocol":"dummy","version":1}"#, Ok(("dummy", 1)));
        check(r#"{"version":10,"unknown":null,"protocol":""}"#, Ok(("", 10)));
    }

    #[test]
    fn malformed_requests_are_named_as_dotnet_names_them() {
        check("42", Err("Unexpected JSON Token Type 'Number'. Expected a JSON Object."));
        check("{}", Err("Missing required property 'protocol'. Message content: {}"));
        check(
            r#"{"protocol":"json"}"#,
            Err(r#"Missing required property 'version'. Message content: {"protocol":"json"}"#),
        );
        check(r#"{"version":"123"}"#, Err("Expected 'version' to be of type Number."));
        check(r#"{"protocol":null,"version":123}"#, Err("Expected 'protocol' to be of type String."));
        check(
            r#"{"protocol":"json","version":1,"protoco\u006c":"messagepack"}"#,
            Err("The property 'protocol' is repeated."),
        );
        check("{", Err("Error reading JSON."));
        check(&"{\"a\":".repeat(10_000), Err("Error reading JSON."));
    }

    #[test]
    fn only_protocols_and_versions_that_are_spoken_are_accepted() {
        let request = |protocol: &str, version| HandshakeRequest { protocol: protocol.into(), version };
        assert_eq!(request("JSON", 2).accept(), Ok(HubProtocol::Json));
        let refusal = |protocol, version| request(protocol, version).accept().unwrap_err().to_string();
        assert_eq!(refusal("xml", 1), "The protocol 'xml' is not supported.");
        assert_eq!(refusal("blazorpack", 1), "The protocol 'blazorpack' is not supported.");
        assert_eq!(request("BlazorPack", 1).protocol(), Ok(HubProtocol::BlazorPack));
        assert_eq!(refusal("json", 9), "The server does not support version 9 of the 'json' protocol.");
    }

    #[test]
    fn an_answer_with_an_error_or_none_at_all_refuses() {
        for (answer, refuses) in [
            ("{}", false),
            (r#"{"minorVersion":0}"#, false),
            (r#"{"error":"no"}"#, true),
            (r#"{"error":""}"#, true),
            ("", true),
            ("[]", true),
            (r#"{"error":"#, true),
        ] {
            assert_eq!(is_refusal(answer.as_bytes()), refuses, "{answer}");
        }
    }
}
