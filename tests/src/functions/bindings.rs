//! What functions ask of a gateway: the bindings `SignalR` and `SignalRConnectionInfo`, with the transport `Transient`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::App;
use crate::http::Request;
use crate::token::{Token, now};

/// The version that the Management SDK below the extension names.
const VERSION: &str = "api-version=2024-12-01";
/// Claims of an app that would be taken for those of the token have this before their names.
const PREFIX: &str = "asrs.u.";

/// Sends to clients, and manages groups.
#[derive(Debug, Clone)]
pub struct SignalR {
    app: Arc<App>,
}

/// Whom a message is for.
#[derive(Debug, Clone, Copy)]
pub enum To<'a> {
    All,
    Connection(&'a str),
    User(&'a str),
    Group(&'a str),
}

/// Whom a change of a group is about.
#[derive(Debug, Clone, Copy)]
pub enum Member<'a> {
    Connection(&'a str),
    User(&'a str),
}

/// What happens to a group.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    Add(&'a str),
    /// The user's connections of now, and those of this time.
    AddFor(&'a str, Duration),
    Remove(&'a str),
    RemoveFromAll,
}

impl SignalR {
    pub(super) fn of(app: Arc<App>) -> SignalR {
        SignalR { app }
    }

    /// A message; what is no success is thrown.
    pub async fn send(&self, to: To<'_>, target: &str, arguments: Value) -> Result<(), String> {
        let path = match to {
            To::All => "/:send".to_owned(),
            To::Connection(id) => format!("/connections/{}/:send", escape(id)),
            To::User(user) => format!("/users/{}/:send", escape(user)),
            To::Group(group) => format!("/groups/{}/:send", escape(group)),
        };
        self.ask(Method::POST, &path, "", Some(json!({ "Target": target, "Arguments": arguments }))).await
    }

    /// A change of a group; what is no success is thrown.
    pub async fn change(&self, member: Member<'_>, change: Change<'_>) -> Result<(), String> {
        let (kind, name) = match member {
            Member::Connection(id) => ("connections", escape(id)),
            Member::User(user) => ("users", escape(user)),
        };
        let (method, group, query) = match change {
            Change::Add(group) => (Method::PUT, Some(group), String::new()),
            Change::AddFor(group, time) => (Method::PUT, Some(group), format!("&ttl={}", time.as_secs())),
            Change::Remove(group) => (Method::DELETE, Some(group), String::new()),
            Change::RemoveFromAll => (Method::DELETE, None, String::new()),
        };
        let path = match (member, group.map(escape)) {
            (_, None) => format!("/{kind}/{name}/groups"),
            (Member::Connection(_), Some(group)) => format!("/groups/{group}/{kind}/{name}"),
            (Member::User(_), Some(group)) => format!("/{kind}/{name}/groups/{group}"),
        };
        self.ask(method, &path, &query, None).await
    }

    /// What a client's negotiation is answered with.
    pub fn connection_info(&self, user: Option<&str>, claims: &[(&str, &str)]) -> Value {
        let settings = self.app.settings();
        let path = format!("/client/?hub={}", self.app.hub.to_lowercase());
        let mut token = Token::new(&format!("{}{path}", without_port(&settings.endpoint)), &settings.access_key);
        if let Some(user) = user {
            token = token.user(user);
        }
        for (name, value) in claims {
            let is_the_tokens_own = ["aud", "exp", "iat", "nbf"].contains(name);
            let prefix = if is_the_tokens_own { PREFIX } else { "" };
            token = token.claim(&format!("{prefix}{name}"), *value);
        }
        let token = token.claim("nbf", now()).claim("iat", now()).sign();
        json!({ "url": format!("{}{path}", settings.endpoint), "accessToken": token })
    }

    async fn ask(&self, method: Method, path: &str, query: &str, body: Option<Value>) -> Result<(), String> {
        let settings = self.app.settings();
        let path = format!("/api/hubs/{}{path}?{VERSION}", self.app.hub.to_lowercase());
        // What is special to the operation is not in the audience.
        let audience = format!("{}{path}", without_port(&settings.endpoint));
        let token = Token::new(&audience, &settings.access_key).claim("nbf", now()).claim("iat", now()).sign();
        let address: SocketAddr = host(&settings.endpoint).parse().expect("the gateways of tests have addresses");
        let mut request = Request::new(method, address, &format!("{path}{query}")).bearer(&token);
        if let Some(body) = body {
            request = request.body("application/json; charset=utf-8", body.to_string());
        }
        let answer = request.send().await;
        match answer.status {
            200..300 => Ok(()),
            status => Err(format!("{status}: {}", answer.body)),
        }
    }
}

fn host(endpoint: &str) -> &str {
    endpoint.strip_prefix("http://").expect("the gateways of functions have no TLS")
}

fn without_port(endpoint: &str) -> &str {
    endpoint.rsplit_once(':').map_or(endpoint, |(before, _)| before)
}

/// A name as one segment of a path.
fn escape(name: &str) -> String {
    let escaped = name.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    });
    escaped.collect()
}
