//! Negotiation: how a client learns its connection's ids, or where to go instead.
//!
//! Source: ASP.NET Core SignalR, "Transport Protocols", "POST [endpoint-base]/negotiate".

use std::num::IntErrorKind;

use serde::Serialize;

/// The newest version of the answer that is spoken.
const NEWEST_VERSION: i64 = 1;

/// A way to carry hub messages, with the name that negotiation gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Transport {
    WebSockets,
    ServerSentEvents,
    LongPolling,
}

impl Transport {
    /// All of them, the one that clients should prefer first.
    pub const ALL: [Transport; 3] = [Transport::WebSockets, Transport::ServerSentEvents, Transport::LongPolling];

    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The name in negotiation.
    pub fn name(self) -> &'static str {
        match self {
            Transport::WebSockets => "WebSockets",
            Transport::ServerSentEvents => "ServerSentEvents",
            Transport::LongPolling => "LongPolling",
        }
    }

    fn transfer_formats(self) -> &'static [&'static str] {
        match self {
            Transport::WebSockets | Transport::LongPolling => &["Text", "Binary"],
            Transport::ServerSentEvents => &["Text"],
        }
    }
}

/// A set of transports: those that a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transports(u8);

impl Transports {
    pub const ALL: Transports = Transports(0b111);

    /// The set whose bits are 1 for WebSockets, 2 for Server-Sent Events and 4 for long polling (ASP.NET Core's
    /// `HttpTransportType`, Azure SignalR Service's claim `asrs.s.htt`). Other bits are ignored; `None` if no bit is left.
    pub fn from_bits(bits: u64) -> Option<Transports> {
        match (bits & u64::from(Self::ALL.0)) as u8 {
            0 => None,
            known => Some(Transports(known)),
        }
    }

    pub fn contains(self, transport: Transport) -> bool {
        self.0 & (1 << transport as u8) != 0
    }
}

/// The answer that names the transports of a new connection.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NegotiateAnswer<'a> {
    negotiate_version: u32,
    connection_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_token: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    use_stateful_reconnect: bool,
    available_transports: Vec<AvailableTransport>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AvailableTransport {
    transport: Transport,
    transfer_formats: &'static [&'static str],
}

/// The answer that sends the client elsewhere, with the token to use there.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Redirect<'a> {
    pub url: &'a str,
    pub access_token: &'a str,
    /// How long that token is valid. Clients that can refresh it do so before. None for the token that the client has come with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_lifetime_seconds: Option<u64>,
}

/// The answer to a client that goes on with a newer token: the one to use from now on.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefreshAnswer<'a> {
    pub access_token: &'a str,
    pub token_lifetime_seconds: u64,
}

/// Why a client may not go on with a newer token: a name that its application can compare, and a text for people.
#[derive(Debug, Serialize)]
pub struct RefreshError<'a> {
    pub error: &'static str,
    pub message: &'a str,
}

/// An answer that makes the client's start fail with this text.
#[derive(Debug, Serialize)]
pub struct NegotiateError<'a> {
    pub error: &'a str,
}

/// The version of the answer that a client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NegotiateVersion {
    /// The connection id is public and also opens transports.
    Zero,
    /// A secret connection token opens transports.
    One,
}

/// The client's `negotiateVersion` is no number; the text is the one that it gets.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("The client requested a non-integer protocol version.")]
pub struct NotAVersion;

impl NegotiateVersion {
    /// The version for what a client asked for, if it did: the newest where it asks for a newer one.
    pub fn choose(asked: Option<&str>) -> Result<NegotiateVersion, NotAVersion> {
        match asked.map_or(Ok(0), str::parse::<i64>) {
            Ok(version) if version >= NEWEST_VERSION => Ok(NegotiateVersion::One),
            Ok(_) => Ok(NegotiateVersion::Zero),
            Err(error) => match error.kind() {
                IntErrorKind::PosOverflow => Ok(NegotiateVersion::One),
                IntErrorKind::NegOverflow => Ok(NegotiateVersion::Zero),
                _ => Err(NotAVersion),
            },
        }
    }
}

impl<'a> NegotiateAnswer<'a> {
    /// `token` opens the connection's transports; a version-0 client gets it as its connection id.
    pub fn new(version: NegotiateVersion, id: &'a str, token: &'a str, transports: Transports) -> NegotiateAnswer<'a> {
        let (negotiate_version, connection_id, connection_token) = match version {
            NegotiateVersion::Zero => (0, token, None),
            NegotiateVersion::One => (1, id, Some(token)),
        };
        NegotiateAnswer {
            negotiate_version,
            connection_id,
            connection_token,
            use_stateful_reconnect: false,
            available_transports: Transport::ALL
                .into_iter()
                .filter(|transport| transports.contains(*transport))
                .map(|transport| AvailableTransport { transport, transfer_formats: transport.transfer_formats() })
                .collect(),
        }
    }

    /// The connection may go on with another WebSocket. To be said only to a client that has [asked](asks_for_stateful_reconnect): others
    /// take the answer for a mistake.
    pub fn with_stateful_reconnect(self) -> NegotiateAnswer<'a> {
        NegotiateAnswer { use_stateful_reconnect: true, ..self }
    }
}

/// Whether a client's `useStatefulReconnect`, if it has one, asks for it. Read as .NET reads a Boolean.
pub fn asks_for_stateful_reconnect(asked: Option<&str>) -> bool {
    asked.is_some_and(|asked| asked.trim().eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_versions_get_the_newest_that_is_spoken() {
        assert_eq!(NegotiateVersion::choose(None), Ok(NegotiateVersion::Zero));
        assert_eq!(NegotiateVersion::choose(Some("0")), Ok(NegotiateVersion::Zero));
        assert_eq!(NegotiateVersion::choose(Some("1")), Ok(NegotiateVersion::One));
        assert_eq!(NegotiateVersion::choose(Some("2")), Ok(NegotiateVersion::One));
        assert_eq!(NegotiateVersion::choose(Some("18446744073709551616")), Ok(NegotiateVersion::One));
        assert_eq!(NegotiateVersion::choose(Some("-18446744073709551616")), Ok(NegotiateVersion::Zero));
        for no_number in ["one", "", "1.0"] {
            assert_eq!(NegotiateVersion::choose(Some(no_number)), Err(NotAVersion), "{no_number}");
        }
    }

    #[test]
    fn bits_that_stand_for_no_transport_are_ignored() {
        let names = |bits| {
            let transports = Transports::from_bits(bits)?;
            Some(Transport::ALL.into_iter().filter(|each| transports.contains(*each)).map(Transport::name).collect())
        };
        assert_eq!(names(0b111), Some(vec!["WebSockets", "ServerSentEvents", "LongPolling"]));
        assert_eq!(names(256 + 2), Some(vec!["ServerSentEvents"]));
        assert_eq!(names(u64::MAX), names(0b111));
        for none in [0, 8, 256, 1 << 63] {
            assert_eq!(names(none), None, "{none}");
        }
    }

    #[test]
    fn stateful_reconnect_is_asked_for_by_a_boolean_as_dotnet_writes_it() {
        for (asked, asks) in
            [(Some("true"), true), (Some(" True"), true), (Some("false"), false), (Some("1"), false), (None, false)]
        {
            assert_eq!(asks_for_stateful_reconnect(asked), asks, "{asked:?}");
        }
    }

    #[test]
    fn an_offer_of_stateful_reconnect_is_named_as_clients_read_it() {
        let transports = Transports::from_bits(0b1).expect("known bits");
        let answer = NegotiateAnswer::new(NegotiateVersion::One, "id", "token", transports).with_stateful_reconnect();
        assert_eq!(
            serde_json::to_string(&answer).expect("JSON"),
            r#"{"negotiateVersion":1,"connectionId":"id","connectionToken":"token","useStatefulReconnect":true,"availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}"#
        );
    }

    #[test]
    fn the_answer_has_the_names_that_clients_read() {
        let answer = |version| {
            serde_json::to_string(&NegotiateAnswer::new(
                version,
                "id",
                "token",
                Transports::from_bits(0b11).expect("known bits"),
            ))
            .expect("JSON")
        };
        assert_eq!(
            answer(NegotiateVersion::One),
            r#"{"negotiateVersion":1,"connectionId":"id","connectionToken":"token","availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]},{"transport":"ServerSentEvents","transferFormats":["Text"]}]}"#
        );
        assert_eq!(
            answer(NegotiateVersion::Zero),
            r#"{"negotiateVersion":0,"connectionId":"token","availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]},{"transport":"ServerSentEvents","transferFormats":["Text"]}]}"#
        );
    }
}
