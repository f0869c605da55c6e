//! What webhooks of serverless upstream are sent, and what they answer.
//!
//! Source: Azure SignalR Service, "Upstream endpoints"; the answers are those that Azure Functions' SignalR trigger gives.

use std::borrow::Cow;

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::payload::PayloadRef;
use crate::signalr::{CompletionOutcome, HubMessage, HubProtocol, Invocation};

/// The body that tells of a new connection.
pub const CONNECTED: &[u8] = b"{\"type\":10}";

/// What stands for itself in a URI component (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const PLACEHOLDERS: [&str; 3] = ["{hub}", "{category}", "{event}"];

/// A URL in which `{hub}`, `{category}` and `{event}` stand for what an event is about. Its host is literal: nothing that a
/// client says can send a request anywhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct UrlTemplate(Box<str>);

impl std::fmt::Debug for UrlTemplate {
    /// Without the query, which may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UrlTemplate({:?})", self.shown())
    }
}

/// Why a text is no [`UrlTemplate`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    #[error("must be an http or https URL such as \"https://app.example.com/api/{{hub}}/{{event}}\"")]
    NotHttp,
    #[error("must name its host as it is: {{hub}}, {{category}} and {{event}} may stand in path and query only")]
    ParameterInHost,
    #[error("has {0}, which is not a parameter: there are {{hub}}, {{category}} and {{event}}; a brace itself is %7B")]
    UnknownParameter(String),
    #[error("Key Vault references cannot be resolved here: write the secret itself")]
    KeyVault,
}

impl UrlTemplate {
    pub fn parse(text: &str) -> Result<UrlTemplate, InvalidTemplate> {
        if text.contains("{@Microsoft.KeyVault(") {
            return Err(InvalidTemplate::KeyVault);
        }
        let (_, rest) = text.split_once("://").ok_or(InvalidTemplate::NotHttp)?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('{') {
            return Err(InvalidTemplate::ParameterInHost);
        }
        let filled = PLACEHOLDERS.iter().fold(text.to_owned(), |text, name| text.replace(name, "x"));
        if let Some((_, from_brace)) = filled.split_once('{') {
            let name = from_brace.split_once('}').map_or(from_brace, |(name, _)| name);
            // Up to what may be a secret.
            let name = name.split(['?', '&', '=', '/']).next().unwrap_or_default();
            return Err(InvalidTemplate::UnknownParameter(format!("{{{name}}}")));
        }
        let uri: Uri = filled.parse().map_err(|_| InvalidTemplate::NotHttp)?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https")) && !authority.contains('@');
        match is_http && uri.host().is_some_and(|host| !host.is_empty()) {
            true => Ok(UrlTemplate(text.into())),
            false => Err(InvalidTemplate::NotHttp),
        }
    }

    /// The URL for one event, each value escaped as a URI component. None for an event whose name is a step to another
    /// path, `.` or `..`, which no escaping hides from all servers.
    pub fn expand(&self, hub: &str, category: &str, event: &str) -> Option<String> {
        if [".", ".."].contains(&event) {
            return None;
        }
        // One pass: what a value holds is no placeholder.
        let (mut url, mut rest) = (String::with_capacity(self.0.len() + event.len()), &*self.0);
        while let Some(start) = rest.find('{') {
            url.push_str(&rest[..start]);
            rest = &rest[start..];
            let found = PLACEHOLDERS.iter().zip([hub, category, event]).find(|(name, _)| rest.starts_with(**name));
            match found {
                Some((name, value)) => {
                    url.extend(utf8_percent_encode(value, RESERVED));
                    rest = &rest[name.len()..];
                }
                // `parse` leaves no other brace.
                None => {
                    url.push('{');
                    rest = &rest[1..];
                }
            }
        }
        url.push_str(rest);
        Some(url)
    }

    /// The template as it was written, without its query, which may be a secret.
    pub fn shown(&self) -> &str {
        self.0.split('?').next().unwrap_or_default()
    }

    /// The template as it was written.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The body that tells of a connection's end.
pub fn disconnected(error: Option<&str>) -> Vec<u8> {
    let body = match error {
        None => serde_json::json!({ "type": 11 }),
        Some(error) => serde_json::json!({ "type": 11, "error": error }),
    };
    serde_json::to_vec(&body).expect("a map of texts is JSON")
}

/// The body of a call, in the protocol of its client: a hub message without what frames it.
pub fn invocation(
    protocol: HubProtocol,
    invocation_id: Option<&str>,
    target: &str,
    arguments: PayloadRef<'_>,
    headers: Vec<(Cow<'_, str>, Cow<'_, str>)>,
) -> Vec<u8> {
    protocol.encode(&HubMessage::Invocation(call(invocation_id, target, arguments, headers)))
}

/// The same of a call that is answered by a stream.
pub fn stream_call(
    protocol: HubProtocol,
    invocation_id: &str,
    target: &str,
    arguments: PayloadRef<'_>,
    headers: Vec<(Cow<'_, str>, Cow<'_, str>)>,
) -> Vec<u8> {
    protocol.encode(&HubMessage::StreamInvocation(call(Some(invocation_id), target, arguments, headers)))
}

fn call<'a>(
    invocation_id: Option<&'a str>,
    target: &'a str,
    arguments: PayloadRef<'a>,
    headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
) -> Invocation<'a> {
    Invocation {
        headers,
        invocation_id: invocation_id.map(Cow::Borrowed),
        target: Cow::Borrowed(target),
        arguments,
        stream_ids: Vec::new(),
    }
}

/// The outcome in a webhook's answer: one Completion with what frames it, of the call with this id. `None` if it is anything
/// else.
pub fn completion<'a>(protocol: HubProtocol, body: &'a [u8], invocation_id: &str) -> Option<CompletionOutcome<'a>> {
    let mut rest = body;
    let message = protocol.split_message(&mut rest).ok()??;
    match protocol.parse(message).ok()? {
        HubMessage::Completion { invocation_id: id, outcome, .. } if id == invocation_id && rest.is_empty() => {
            Some(outcome)
        }
        _ => None,
    }
}

/// Whether a header can carry the text as it is: HTTP drops blanks at the ends of a value, and has no control characters in it
/// (RFC 9110, section 5.5).
pub fn is_header_value(text: &str) -> bool {
    let is_blank = |char| matches!(char, ' ' | '\t');
    !text.contains(|char: char| char.is_ascii_control()) && !text.starts_with(is_blank) && !text.ends_with(is_blank)
}

/// `name: value, name: value`. No claim adds another one at readers that split at commas: a comma inside becomes `%2C`. Control
/// characters, which no header can carry, are left out.
pub fn claims_header<N: AsRef<str>, V: AsRef<str>>(claims: impl Iterator<Item = (N, V)>) -> String {
    let mut text = String::new();
    let push = |text: &mut String, part: &str| {
        for char in part.chars().filter(|char| !char.is_ascii_control()) {
            match char {
                ',' => text.push_str("%2C"),
                char => text.push(char),
            }
        }
    };
    for (name, value) in claims {
        if !text.is_empty() {
            text.push_str(", ");
        }
        push(&mut text, name.as_ref());
        text.push_str(": ");
        push(&mut text, value.as_ref());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_filled_in_and_escaped() {
        for (template, event, url) in [
            ("http://app/api", "m", "http://app/api"),
            ("http://app:7071/{hub}/api/{category}/{event}", "m", "http://app:7071/chat/api/messages/m"),
            (
                "https://app/{event}?e={event}&h={hub}",
                "a/b?c&d=é{hub}",
                "https://app/a%2Fb%3Fc%26d%3D%C3%A9%7Bhub%7D?e=a%2Fb%3Fc%26d%3D%C3%A9%7Bhub%7D&h=chat",
            ),
            ("http://app/?x=%7Bother%7D", "m", "http://app/?x=%7Bother%7D"),
            ("http://app/{event}", "a\r\nb", "http://app/a%0D%0Ab"),
            ("http://app/{event}", "...", "http://app/..."),
        ] {
            let parsed = UrlTemplate::parse(template).expect(template);
            assert_eq!(parsed.expand("chat", "messages", event).as_deref(), Some(url), "{template}");
        }
        let template = UrlTemplate::parse("http://app/{event}/x").expect("a template");
        assert_eq!([".", ".."].map(|event| template.expand("chat", "messages", event)), [None, None]);
    }

    #[test]
    fn the_host_is_literal() {
        for (template, error) in [
            ("http://{hub}.example.com/", InvalidTemplate::ParameterInHost),
            ("http://example.com{event}", InvalidTemplate::ParameterInHost),
            ("http://example.com:{event}/", InvalidTemplate::ParameterInHost),
            ("http://user@example.com/", InvalidTemplate::NotHttp),
            ("ftp://example.com/", InvalidTemplate::NotHttp),
            ("/api/{event}", InvalidTemplate::NotHttp),
            ("{hub}://example.com/", InvalidTemplate::NotHttp),
            ("http://", InvalidTemplate::NotHttp),
            ("http://a/{@Microsoft.KeyVault(SecretUri=https://v/s)}", InvalidTemplate::KeyVault),
        ] {
            assert_eq!(UrlTemplate::parse(template), Err(error), "{template}");
        }
        for (template, name) in
            [("http://a/{Hub}", "{Hub}"), ("http://a/{user}/x", "{user}"), ("http://a/{?code=secret", "{}")]
        {
            let unknown = InvalidTemplate::UnknownParameter(name.to_owned());
            assert_eq!(UrlTemplate::parse(template), Err(unknown), "{template}");
        }
        let template = UrlTemplate::parse("http://a/b?code=secret").expect("a template");
        assert_eq!(template.shown(), "http://a/b");
    }

    #[test]
    fn bodies_are_hub_messages_without_their_frames() {
        let body = |protocol| invocation(protocol, Some("1"), "m", PayloadRef::Json("[1.0]"), Vec::new());
        assert_eq!(body(HubProtocol::Json), br#"{"type":1,"invocationId":"1","target":"m","arguments":[1.0]}"#);
        assert_eq!(body(HubProtocol::MessagePack)[..4], [0x96, 1, 0x80, 0xa1]);
        assert_eq!(disconnected(None), br#"{"type":11}"#);
        assert_eq!(disconnected(Some("a\"b")), br#"{"error":"a\"b","type":11}"#);
    }

    #[test]
    fn an_answer_is_one_completion_of_its_call() {
        let is_one = |body: &str| completion(HubProtocol::Json, body.as_bytes(), "1").is_some();
        assert!(is_one("{\"type\":3,\"invocationId\":\"1\",\"result\":7}\x1e"));
        assert!(is_one("{\"type\":3,\"invocationId\":\"1\",\"error\":\"no\"}\x1e"));
        for other in [
            "{\"type\":3,\"invocationId\":\"2\",\"result\":7}\x1e",
            "{\"type\":3,\"invocationId\":\"1\",\"result\":7}",
            "{\"type\":3,\"invocationId\":\"1\"}\x1e{\"type\":3,\"invocationId\":\"2\"}\x1e",
            "{\"type\":1,\"target\":\"m\",\"arguments\":[]}\x1e",
            "hello",
            "",
        ] {
            assert!(!is_one(other), "{other}");
        }
    }

    #[test]
    fn a_header_carries_any_text_without_control_characters_and_blanks_at_its_ends() {
        for text in ["", "ann", "jürgen", "ann smith", "%C3%A9", "größe/x"] {
            assert!(is_header_value(text), "{text:?}");
        }
        for text in [" ann", "ann\t", " ", "a\r\nb", "a\0", "\u{7f}"] {
            assert!(!is_header_value(text), "{text:?}");
        }
    }

    #[test]
    fn no_claim_adds_another_one_at_readers_that_split_at_commas() {
        let header = |claims: &[(&str, &str)]| claims_header(claims.iter().copied());
        assert_eq!(header(&[("role", "a"), ("role", "b")]), "role: a, role: b");
        assert_eq!(header(&[("name", "Bob, role: admin")]), "name: Bob%2C role: admin");
        assert_eq!(header(&[("a, role: x", "ü: ö\r\nx")]), "a%2C role: x: ü: öx");
        assert_eq!(header(&[]), "");
    }
}
