//! A stand-in for the .NET Management SDK: it makes the requests and messages that `Microsoft.Azure.SignalR.Management` 1.34 makes, and throws where it
//! throws. What it does is taken from recordings and descriptions of that package, which is not at hand.

mod persistent;
mod rest;

use http::Method;
use hubgate_wire::service;
use hubgate_wire::signalr::HubProtocol;
use serde_json::{Value, json};

use crate::gateway::{Gateway, KEY};
use crate::http::escaped;
use crate::token::Token;
use persistent::Persistent;
use rest::{Body, Rest};

/// The `ServiceHubContext` of a hub.
#[derive(Debug)]
pub struct Management {
    rest: Rest,
    persistent: Option<Persistent>,
    protocols: Protocols,
}

/// The hub protocols that the application has added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocols {
    /// None: what it says is JSON.
    Default,
    JsonAndMessagePack,
}

/// What the SDK throws.
#[derive(Debug, PartialEq)]
pub enum Thrown {
    /// With the body of the answer.
    InvalidArgument(String),
    Unauthorized,
    /// With the status and the body of the answer.
    Runtime(u16, String),
    /// What it calls a time-out: no ack in time, or one that says so.
    TimedOut,
    /// An ack whose status it does not know.
    UndefinedStatus(i64),
    /// What a client that was invoked has answered with, or that it could not be invoked.
    Hub(String),
}

/// `Clients.…`
#[derive(Debug, Clone, Copy)]
pub enum To<'a> {
    All,
    AllExcept(&'a [&'a str]),
    Client(&'a str),
    Clients(&'a [&'a str]),
    Group(&'a str),
    GroupExcept(&'a str, &'a [&'a str]),
    Groups(&'a [&'a str]),
    User(&'a str),
    Users(&'a [&'a str]),
}

/// `Groups.…`, `UserGroups.…` and `ClientManager.CloseConnectionAsync`. The time to live is in seconds.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    AddToGroup { connection: &'a str, group: &'a str },
    RemoveFromGroup { connection: &'a str, group: &'a str },
    RemoveFromAllGroups { connection: &'a str },
    AddUserToGroup { user: &'a str, group: &'a str, ttl: Option<i64> },
    RemoveUserFromGroup { user: &'a str, group: &'a str },
    RemoveUserFromAllGroups { user: &'a str },
    CloseConnection { connection: &'a str, reason: &'a str },
}

/// `ClientManager.…ExistsAsync` and `UserGroups.IsUserInGroup`.
#[derive(Debug, Clone, Copy)]
pub enum Question<'a> {
    ConnectionExists(&'a str),
    UserExists(&'a str),
    GroupExists(&'a str),
    UserIsInGroup { user: &'a str, group: &'a str },
}

/// A connection of a group, and its user.
pub type Member = (String, Option<String>);

/// What `NegotiateAsync` gives an application for its client.
#[derive(Debug)]
pub struct Negotiated {
    pub url: String,
    pub access_token: String,
}

impl Management {
    /// With `ServiceTransportType.Transient`: each call is a request of the REST API. Names of hubs are lower case on the wire.
    pub fn transient(gateway: &Gateway, application: Option<&str>, hub: &str) -> Management {
        Management::signing_with(KEY, gateway, application, hub)
    }

    /// The same with another key in its connection string.
    pub fn signing_with(key: &str, gateway: &Gateway, application: Option<&str>, hub: &str) -> Management {
        let rest = Rest::new(gateway, key, application, hub);
        Management { rest, persistent: None, protocols: Protocols::Default }
    }

    /// With `ServiceTransportType.Persistent`: calls are messages on one connection.
    pub async fn persistent(gateway: &Gateway, application: Option<&str>, hub: &str) -> Management {
        let management = Management::transient(gateway, application, hub);
        let persistent = Some(Persistent::open(&management.rest).await);
        Management { persistent, ..management }
    }

    /// With `WithHubProtocols` or `AddHubProtocol`.
    pub fn with_protocols(self, protocols: Protocols) -> Management {
        Management { protocols, ..self }
    }

    pub fn is_persistent(&self) -> bool {
        self.persistent.is_some()
    }

    /// `SendCoreAsync`
    pub async fn send(&mut self, to: To<'_>, method: &str, arguments: Value) -> Result<(), Thrown> {
        let payloads = self.payloads(&json!({ "type": 1, "target": method, "arguments": arguments }));
        match &mut self.persistent {
            Some(persistent) => {
                persistent.send(to, &payloads).await;
                Ok(())
            }
            None => {
                let body = match self.protocols {
                    Protocols::Default => Body::Json { method, arguments },
                    Protocols::JsonAndMessagePack => Body::Payloads(&payloads),
                };
                self.rest.send(to, body).await
            }
        }
    }

    pub async fn change(&mut self, change: Change<'_>) -> Result<(), Thrown> {
        match &mut self.persistent {
            Some(persistent) => persistent.change(change).await,
            None => self.rest.change(change).await,
        }
    }

    pub async fn ask(&mut self, question: Question<'_>) -> Result<bool, Thrown> {
        match &mut self.persistent {
            Some(persistent) => persistent.ask(question).await,
            None => self.rest.ask(question).await,
        }
    }

    /// `Groups.ListConnectionsInGroup`, to its end.
    pub async fn connections_in_group(
        &mut self,
        group: &str,
        top: Option<i64>,
        page_size: Option<i64>,
    ) -> Result<Vec<Member>, Thrown> {
        match &mut self.persistent {
            Some(persistent) => persistent.connections_in_group(group, top, page_size).await,
            None => self.rest.connections_in_group(group, top, page_size).await,
        }
    }

    /// `Clients.Client(…).InvokeCoreAsync`
    pub async fn invoke(&mut self, connection: &str, method: &str, arguments: Value) -> Result<Value, Thrown> {
        let Some(persistent) = &mut self.persistent else {
            return self.rest.invoke(connection, Body::Json { method, arguments }).await;
        };
        let id = persistent.next_invocation(connection);
        let call = json!({ "type": 1, "invocationId": id, "target": method, "arguments": arguments });
        persistent.invoke(connection, &id, &payloads(self.protocols, &call)).await
    }

    /// `IsServiceHealthy`
    pub async fn is_service_healthy(&self) -> Result<bool, Thrown> {
        self.rest.is_service_healthy().await
    }

    /// `NegotiateAsync`
    pub fn negotiate(&self, user: Option<&str>) -> Negotiated {
        let path = format!("/client/?hub={}", self.rest.full_hub());
        let token = Token::new(&self.rest.audience(&path), self.rest.key());
        let token = user.into_iter().fold(token, |token, user| token.user(user));
        Negotiated { url: format!("{}{path}", self.rest.endpoint()), access_token: token.sign() }
    }

    /// What the gateway has told it in events, which the SDK writes to its log.
    pub fn events(&self) -> &[String] {
        self.persistent.as_ref().map_or(&[], |persistent| persistent.events())
    }

    fn payloads(&self, message: &Value) -> Payloads {
        payloads(self.protocols, message)
    }
}

/// What a hub server says to send an event, in the service protocol.
pub fn sending(to: To<'_>, method: &str, arguments: &Value) -> Vec<u8> {
    let event = json!({ "type": 1, "target": method, "arguments": arguments });
    let payloads = payloads(Protocols::Default, &event);
    let mut bytes = Vec::new();
    service::write(&persistent::sending(to, &payloads), &mut bytes);
    bytes
}

/// Whole hub messages by the name of their protocol.
type Payloads = Vec<(&'static str, Vec<u8>)>;

fn payloads(protocols: Protocols, message: &Value) -> Payloads {
    let json = message.to_string();
    let mut payloads = vec![("json", format!("{json}\u{1e}").into_bytes())];
    if protocols == Protocols::JsonAndMessagePack {
        let message = HubProtocol::Json.parse(json.as_bytes()).expect("it is a hub message");
        payloads.push(("messagepack", HubProtocol::MessagePack.frame(&message).payload().to_vec()));
    }
    payloads
}

impl Change<'_> {
    /// Its request: the method, what follows the hub, and what is in the query beside the rest.
    fn request(&self) -> (Method, String, Vec<(&'static str, String)>) {
        let none = Vec::new();
        match *self {
            Change::AddToGroup { connection, group } => {
                (Method::PUT, format!("/groups/{}/connections/{}", escaped(group), escaped(connection)), none)
            }
            Change::RemoveFromGroup { connection, group } => {
                (Method::DELETE, format!("/groups/{}/connections/{}", escaped(group), escaped(connection)), none)
            }
            Change::RemoveFromAllGroups { connection } => {
                (Method::DELETE, format!("/connections/{}/groups", escaped(connection)), none)
            }
            Change::AddUserToGroup { user, group, ttl } => {
                let ttl = ttl.map(|seconds| ("ttl", seconds.to_string()));
                let path = format!("/users/{}/groups/{}", escaped(user), escaped(group));
                (Method::PUT, path, ttl.into_iter().collect())
            }
            Change::RemoveUserFromGroup { user, group } => {
                (Method::DELETE, format!("/users/{}/groups/{}", escaped(user), escaped(group)), none)
            }
            Change::RemoveUserFromAllGroups { user } => {
                (Method::DELETE, format!("/users/{}/groups", escaped(user)), none)
            }
            Change::CloseConnection { connection, reason } => {
                let reason = vec![("reason", reason.to_owned())];
                (Method::DELETE, format!("/connections/{}", escaped(connection)), reason)
            }
        }
    }

    /// The code of a 404 that it does not throw for.
    fn absent(&self) -> Option<&'static str> {
        match self {
            Change::AddToGroup { .. } => Some("Error.Connection.NotExisted"),
            Change::CloseConnection { .. } => Some("Warning.Connection.NotExisted"),
            _ => None,
        }
    }
}

impl Question<'_> {
    fn request(&self) -> (Method, String) {
        match *self {
            Question::ConnectionExists(connection) => (Method::HEAD, format!("/connections/{}", escaped(connection))),
            Question::UserExists(user) => (Method::HEAD, format!("/users/{}", escaped(user))),
            Question::GroupExists(group) => (Method::HEAD, format!("/groups/{}", escaped(group))),
            Question::UserIsInGroup { user, group } => {
                (Method::GET, format!("/users/{}/groups/{}", escaped(user), escaped(group)))
            }
        }
    }

    /// The code of a 404 that means no.
    fn absent(&self) -> &'static str {
        match self {
            Question::ConnectionExists(_) => "Warning.Connection.NotExisted",
            Question::UserExists(_) => "Warning.User.NotExisted",
            Question::GroupExists(_) => "Warning.Group.NotExisted",
            Question::UserIsInGroup { .. } => "Info.User.NotInGroup",
        }
    }
}
