//! Negotiation: what a client is told before it opens a transport.

use serde::Serialize;
use serde_json::value::RawValue;

/// A version of the client protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u16,
    minor: u16,
}

impl Version {
    const OLDEST: Version = Version { major: 1, minor: 2 };
    const NEWEST: Version = Version { major: 2, minor: 0 };
    const FIRST_WITH_START: Version = Version { major: 1, minor: 4 };

    /// The version that is spoken with a client that names this one: the same, within what is spoken. One that names none speaks the oldest.
    pub fn of(named: Option<&str>) -> Version {
        let read = |named: &str| {
            let (major, minor) = named.split_once('.').unwrap_or((named, "0"));
            Some(Version { major: major.parse().ok()?, minor: minor.split('.').next()?.parse().ok()? })
        };
        named.and_then(read).map_or(Version::OLDEST, |version| version.clamp(Version::OLDEST, Version::NEWEST))
    }

    /// Whether clients say by a request of their own that they are ready.
    pub fn has_start(self) -> bool {
        self >= Version::FIRST_WITH_START
    }
}

/// The answer to a negotiation. Its times are the same for all applications, as those of the service are.
#[derive(Debug, Clone)]
pub struct NegotiateAnswer<'a> {
    /// Where the client goes on: a path.
    pub url: &'a str,
    pub connection_token: &'a str,
    pub connection_id: &'a str,
    pub version: Version,
    pub try_web_sockets: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    url: &'a str,
    connection_token: &'a str,
    connection_id: &'a str,
    keep_alive_timeout: f64,
    disconnect_timeout: f64,
    connection_timeout: f64,
    try_web_sockets: bool,
    protocol_version: String,
    transport_connect_timeout: f64,
    long_poll_delay: f64,
}

impl NegotiateAnswer<'_> {
    pub fn to_json(&self) -> String {
        let Version { major, minor } = self.version;
        let answer = Answer {
            url: self.url,
            connection_token: self.connection_token,
            connection_id: self.connection_id,
            // The silence after which clients reconnect; they are told every 10 s at least that they are connected.
            keep_alive_timeout: 20.0,
            disconnect_timeout: 30.0,
            connection_timeout: 110.0,
            try_web_sockets: self.try_web_sockets,
            protocol_version: format!("{major}.{minor}"),
            transport_connect_timeout: 5.0,
            long_poll_delay: 0.0,
        };
        let json = serde_json::value::to_raw_value(&answer).map(|json: Box<RawValue>| json.get().to_owned());
        json.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_spoken_to_in_its_version_within_those_that_are_spoken() {
        for (named, spoken, has_start) in [
            (None, "1.2", false),
            (Some(""), "1.2", false),
            (Some("1.0"), "1.2", false),
            (Some("x"), "1.2", false),
            (Some("1.3"), "1.3", false),
            (Some("1.4"), "1.4", true),
            (Some("1.5"), "1.5", true),
            (Some("2.0"), "2.0", true),
            (Some("2.1"), "2.0", true),
            (Some("9"), "2.0", true),
            (Some("99999.0"), "1.2", false),
        ] {
            let version = Version::of(named);
            assert_eq!(format!("{}.{}", version.major, version.minor), spoken, "{named:?}");
            assert_eq!(version.has_start(), has_start, "{named:?}");
        }
    }

    #[test]
    fn the_answer_has_the_keys_that_clients_look_for() {
        let answer = NegotiateAnswer {
            url: "/aspnetclient",
            connection_token: "t\"",
            connection_id: "i",
            version: Version::NEWEST,
            try_web_sockets: true,
        };
        let expected = concat!(
            r#"{"Url":"/aspnetclient","ConnectionToken":"t\"","ConnectionId":"i","KeepAliveTimeout":20.0,"#,
            r#""DisconnectTimeout":30.0,"ConnectionTimeout":110.0,"TryWebSockets":true,"ProtocolVersion":"2.0","#,
            r#""TransportConnectTimeout":5.0,"LongPollDelay":0.0}"#
        );
        assert_eq!(answer.to_json(), expected);
    }
}
