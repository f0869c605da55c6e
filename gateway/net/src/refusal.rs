//! Why requests are refused, and what a peer is told then.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use http::StatusCode;
use http::header::{ALLOW, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hubgate_core::refresh::RefreshRefusal;
use hubgate_core::{MembershipRefusal, ResumeRefusal};
use hubgate_wire::token::TokenError;
use hubgate_wire::token::identity::IdentityError;

use crate::admission::NoRoom;
use crate::network_rules::{RequestKind, rule_key};
use crate::retries;

/// Why a request is refused. The name counts it in `hubgate_requests_refused_total`.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("The request has no access token: send it as `Authorization: Bearer …` or as `access_token` in the query.")]
    NoToken,
    /// Of a REST caller: nobody looks for it elsewhere.
    #[error("The request has no access token: send it as `Authorization: Bearer …`.")]
    NoRestToken,
    #[error("The access token is refused: {0}.")]
    BadToken(#[from] TokenError),
    /// One of an identity provider's.
    #[error("The access token is refused: {0}.")]
    BadIdentity(IdentityError),
    #[error("The keys of the hub's identity provider have not come yet; try again later.")]
    NoProviderKeys,
    #[error("The gateway has not joined its cluster yet; try again later.")]
    Joining,
    #[error("The query needs exactly one `hub`.")]
    NotOneHub,
    #[error(transparent)]
    BadHub(#[from] hubgate_core::id::InvalidHubName),
    #[error("{0}")]
    BadRequest(Cow<'static, str>),
    #[error("The body is longer than the {limit} bytes that `server.limits.post` allows.")]
    BodyTooLarge { limit: usize },
    #[error("The head of the request is longer than the {limit} bytes that `server.limits.headers` allows.")]
    HeadTooLarge { limit: usize },
    #[error("The request has more than 100 headers.")]
    TooManyHeaders,
    #[error(
        "The token's claims, the query and the headers take {kept} bytes: more than the {limit} that are kept of a client while \
         it is connected."
    )]
    IdentityTooLarge { kept: usize, limit: usize },
    #[error("The token has more than {limit} values of claims by which `server.limits.connections-per-claim` counts.")]
    TooManyCountedClaims { limit: usize },
    #[error("The body took longer than `server.timeouts.http-body` allows.")]
    BodyTooSlow,
    #[error("The body must be `application/json`, `application/x-msgpack` or `application/octet-stream`.")]
    UnsupportedMediaType,
    /// An operation of the service that this gateway does not have. The text says what to use in its place.
    #[error("{0}")]
    NotImplemented(&'static str),
    #[error("{}", .0.text())]
    Absent(Absent),
    #[error("No Connection with that ID")]
    UnknownConnection,
    #[error("Another request has this connection already.")]
    ConnectionInUse,
    #[error(
        "Too many requests of this connection wait for their turn, or this one has waited for too long: send one at a time."
    )]
    PostsWait,
    /// A client that lives was to go on by another WebSocket.
    #[error("The access token is of another user than the connection is.")]
    OtherUser,
    #[error("This connection has gone on by another WebSocket too often of late; try again later.")]
    ResumesTooOften,
    #[error(
        "The request does not say which connection it is for: send its connection token as `X-SignalR-Connection-Token`, or as \
         `id` in the query."
    )]
    NoConnectionToken,
    /// A connection was to go on with a newer token.
    #[error(transparent)]
    NotRefreshed(#[from] RefreshRefusal),
    #[error("Cannot change transports mid-connection")]
    OtherTransport,
    #[error("POST requests are not allowed for WebSocket connections.")]
    PostToWebSocket,
    #[error("Cannot terminate this connection using the DELETE endpoint.")]
    NotToBeDeleted,
    #[error("{0} transport not supported by this end point type")]
    UnknownTransport(&'static str),
    #[error(
        "The token's `asrs.s.htt` claim allows no transport that exists: 1 is WebSockets, 2 Server-Sent Events, 4 long \
         polling."
    )]
    NoTransport,
    #[error("The gateway holds as many connections as `server.limits.{}` allows; try again later.", .full.rule())]
    NoRoom { full: NoRoom, wait: Duration },
    #[error("More negotiations in a second than `server.limits.negotiates-per-second` allows; try again later.")]
    TooManyNegotiates { wait: Duration },
    #[error("As many negotiated connections as the gateway keeps wait for their clients; try again later.")]
    TooManyNegotiated,
    #[error("A worker thread of the gateway does not answer; try again later.")]
    NoAnswer,
    /// The connection lives on another one.
    #[error("The node of the cluster on which this connection lives is not reached; try again later.")]
    NodeNotReached,
    #[error(
        "Hub '{0}' is not open to everybody: let clients negotiate with your application, which gives them a token, or set \
         `hubs.{0}.negotiate = {{ anonymous = true }}`."
    )]
    NotAnonymous(hubgate_core::id::HubName),
    /// Its authorizer does not know who it is. The text is the plugin's.
    #[error("{}", or_else(.0, "The authorizer of the hub does not know who you are."))]
    NotSignedIn(String),
    /// Its authorizer does not let it in. The text is the plugin's.
    #[error("{}", or_else(.0, "The authorizer of the hub does not let you in."))]
    NotLetIn(String),
    /// The text is how the sentence ends.
    #[error("The authorizer of the hub failed{0}")]
    AuthorizerFailed(String),
    /// The text is what it does.
    #[error("The authorizer of the hub {0}; try again later.")]
    AuthorizerUnavailable(String),
    /// The token is an application's own: what negotiation gives out goes to the URL that it gives out.
    #[error(
        "Nobody looks at a token here: this path lets clients in without one. Clients that have a token connect at \
         {endpoint}/client/?hub={hub}, and those that have none send none."
    )]
    TokenOfNoUse { hub: hubgate_core::id::HubName, endpoint: String },
    #[error(
        "The token's user id cannot be passed to the webhook of hub '{0}': no header can carry control characters, or a blank at \
         its beginning or end."
    )]
    UserForWebhook(hubgate_core::id::HubName),
    #[error("'{0}' is not this gateway's host: list its URL in `server.endpoints` if clients are to use it.")]
    ForeignHost(String),
    /// Of a gateway for trying things out, which has no other names than its machine's.
    #[error(
        "'{0}' is not this gateway's host: `hubgate dev` answers only under the names of its own machine. Another name needs \
         `hubgate serve`, with its URL in `server.endpoints`."
    )]
    ForeignHostOfDev(String),
    /// Its text does not tell the address: behind a proxy that is not trusted it is one of the network's own.
    #[error("`{}` does not allow {} requests from your address.", rule_key(*.rule), .kind.name())]
    DeniedByRule { rule: usize, kind: RequestKind, address: IpAddr },
    #[error("Hub '{0}' is in serverless mode: it does not accept hub servers.")]
    HubServerOfServerless(hubgate_core::id::HubName),
    #[error("Hub '{0}' is in serverless mode: clients of ASP.NET SignalR need a hub server.")]
    AspNetClientOfServerless(hubgate_core::id::HubName),
    /// Filters would not see what it says.
    #[error(
        "Hub '{hub}' has filters, which cannot see messages of ASP.NET SignalR: clients of its application are not let in. Take \
         `hubs.{hub}.filters` away, or serve them by ASP.NET Core SignalR.", hub = .0.configured()
    )]
    AspNetClientOfFiltered(hubgate_core::id::HubName),
    #[error(
        "A WebSocket of ASP.NET SignalR goes to the node of the cluster that it was negotiated with. Other transports go to any node."
    )]
    AspNetWebSocketElsewhere,
    #[error("No hub server of the application '{0}' is connected; try again later.")]
    NoAspNetServer(String),
    #[error("{}", no_membership(.0))]
    NoMembership(MembershipRefusal),
    #[error("{0}")]
    NotFound(Cow<'static, str>),
    #[error("This path accepts only {0}.")]
    MethodNotAllowed(Cow<'static, str>),
}

/// What a REST caller asks for and is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    Connection,
    /// One that a group should get.
    ConnectionToAdd,
    Group,
    User,
    UserInGroup,
}

impl Absent {
    /// The value of `x-ms-error-code`, by which the .NET management SDK tells "no" from a failure.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Absent::Connection => "Warning.Connection.NotExisted",
            Absent::ConnectionToAdd => "Error.Connection.NotExisted",
            Absent::Group => "Warning.Group.NotExisted",
            Absent::User => "Warning.User.NotExisted",
            Absent::UserInGroup => "Info.User.NotInGroup",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Absent::Connection | Absent::ConnectionToAdd => "The hub has no connection with this id.",
            Absent::Group => "The group has no connections.",
            Absent::User => "The user has no connections.",
            Absent::UserInGroup => "The user is not in the group.",
        }
    }
}

impl Refusal {
    pub(crate) fn bad_request(text: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::BadRequest(text.into())
    }

    /// `allowed` are the methods that the path has, as the header `Allow` lists them.
    pub(crate) const fn method_not_allowed(allowed: &'static str) -> Refusal {
        Refusal::MethodNotAllowed(Cow::Borrowed(allowed))
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Refusal::BadToken(TokenError::TooLong) | Refusal::BadIdentity(IdentityError::TooLong) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Refusal::NoToken
            | Refusal::NoRestToken
            | Refusal::BadToken(_)
            | Refusal::BadIdentity(_)
            | Refusal::NotSignedIn(_) => StatusCode::UNAUTHORIZED,
            Refusal::BodyTooLarge { .. } | Refusal::NotRefreshed(RefreshRefusal::TooLarge) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Refusal::HeadTooLarge { .. }
            | Refusal::TooManyHeaders
            | Refusal::IdentityTooLarge { .. }
            | Refusal::TooManyCountedClaims { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Refusal::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
            Refusal::NotOneHub
            | Refusal::BadHub(_)
            | Refusal::BadRequest(_)
            | Refusal::NoConnectionToken
            | Refusal::TokenOfNoUse { .. }
            | Refusal::UserForWebhook(_) => StatusCode::BAD_REQUEST,
            Refusal::UnknownConnection
            | Refusal::NotRefreshed(RefreshRefusal::NoSuchConnection)
            | Refusal::UnknownTransport(_)
            | Refusal::AspNetClientOfServerless(_)
            | Refusal::NotFound(_)
            | Refusal::Absent(_) => StatusCode::NOT_FOUND,
            Refusal::ConnectionInUse => StatusCode::CONFLICT,
            Refusal::ForeignHost(_) | Refusal::ForeignHostOfDev(_) => StatusCode::MISDIRECTED_REQUEST,
            Refusal::TooManyNegotiated
            | Refusal::NoAnswer
            | Refusal::NodeNotReached
            | Refusal::AuthorizerUnavailable(_)
            | Refusal::NoProviderKeys
            | Refusal::NoAspNetServer(_)
            | Refusal::Joining
            | Refusal::NoRoom { full: NoRoom::Connections, .. } => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::NoRoom {
                full:
                    NoRoom::ConnectionsPerIp
                    | NoRoom::ConnectionsPerUser
                    | NoRoom::ConnectionsPerToken
                    | NoRoom::ConnectionsPerClaim(_),
                ..
            }
            | Refusal::TooManyNegotiates { .. }
            | Refusal::PostsWait
            | Refusal::ResumesTooOften
            | Refusal::NoMembership(MembershipRefusal::HubFull | MembershipRefusal::PluginFull(_)) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Refusal::NoMembership(MembershipRefusal::UserFull) => StatusCode::BAD_REQUEST,
            Refusal::NotAnonymous(_)
            | Refusal::HubServerOfServerless(_)
            | Refusal::AspNetClientOfFiltered(_)
            | Refusal::NotLetIn(_)
            | Refusal::OtherUser
            | Refusal::NotRefreshed(RefreshRefusal::AnotherUser)
            | Refusal::DeniedByRule { .. } => StatusCode::FORBIDDEN,
            Refusal::AuthorizerFailed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Refusal::OtherTransport
            | Refusal::AspNetWebSocketElsewhere
            | Refusal::NotToBeDeleted
            | Refusal::NoTransport => StatusCode::BAD_REQUEST,
            Refusal::MethodNotAllowed(_) | Refusal::PostToWebSocket => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// Adds what tells a peer how to go on.
    pub(crate) fn add_headers(&self, headers: &mut HeaderMap) {
        match self {
            Refusal::NoToken | Refusal::NoRestToken | Refusal::NotSignedIn(_) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Refusal::BadToken(_) | Refusal::BadIdentity(_) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
            }
            Refusal::NoRoom { wait, .. } | Refusal::TooManyNegotiates { wait } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(retries::seconds(*wait)));
            }
            Refusal::PostsWait
            | Refusal::ResumesTooOften
            | Refusal::TooManyNegotiated
            | Refusal::NoAnswer
            | Refusal::NodeNotReached
            | Refusal::AuthorizerUnavailable(_)
            | Refusal::NoProviderKeys
            | Refusal::NoAspNetServer(_)
            | Refusal::Joining => {
                headers.insert(RETRY_AFTER, HeaderValue::from(retries::seconds(Duration::ZERO)));
            }
            Refusal::MethodNotAllowed(allowed) => {
                headers.insert(ALLOW, HeaderValue::from_str(allowed).expect("methods are ASCII"));
            }
            Refusal::PostToWebSocket => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, OPTIONS"));
            }
            _ => {}
        }
    }

    /// Whether it is likely that somebody who set the gateway, an application or a page up has to mend something.
    pub(crate) fn is_to_be_mended(&self) -> bool {
        matches!(self.reason(), "token" | "hub" | "anonymous" | "host" | "hub-server" | "network-rules")
            || matches!(self, Refusal::NoTransport)
    }

    /// The label of its metric.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Refusal::NoToken
            | Refusal::NoRestToken
            | Refusal::BadToken(_)
            | Refusal::BadIdentity(_)
            | Refusal::TokenOfNoUse { .. }
            | Refusal::UserForWebhook(_)
            | Refusal::OtherUser
            | Refusal::NotRefreshed(RefreshRefusal::AnotherUser) => "token",
            Refusal::NoProviderKeys => "provider-keys",
            Refusal::Joining => "joining",
            Refusal::NotOneHub | Refusal::BadHub(_) => "hub",
            Refusal::BadRequest(_)
            | Refusal::MethodNotAllowed(_)
            | Refusal::UnsupportedMediaType
            | Refusal::NotImplemented(_) => "request",
            Refusal::BodyTooLarge { .. } => "post",
            Refusal::HeadTooLarge { .. }
            | Refusal::TooManyHeaders
            | Refusal::IdentityTooLarge { .. }
            | Refusal::NotRefreshed(RefreshRefusal::TooLarge)
            | Refusal::TooManyCountedClaims { .. } => "headers",
            Refusal::BodyTooSlow => "http-body",
            Refusal::PostsWait => "posts",
            Refusal::ResumesTooOften => "resumes",
            Refusal::Absent(_) => "absent",
            Refusal::UnknownConnection
            | Refusal::NoConnectionToken
            | Refusal::NotRefreshed(RefreshRefusal::NoSuchConnection)
            | Refusal::ConnectionInUse
            | Refusal::OtherTransport
            | Refusal::PostToWebSocket
            | Refusal::NotToBeDeleted => "connection",
            Refusal::UnknownTransport(_) | Refusal::AspNetWebSocketElsewhere | Refusal::NoTransport => "transport",
            Refusal::NoRoom { full, .. } => full.key(),
            Refusal::TooManyNegotiates { .. } => "negotiates-per-second",
            Refusal::TooManyNegotiated => "negotiated",
            Refusal::NoAnswer => "no-answer",
            Refusal::NodeNotReached => "node",
            Refusal::NoMembership(_) => "user-memberships",
            Refusal::NotAnonymous(_) => "anonymous",
            Refusal::NotSignedIn(_) | Refusal::NotLetIn(_) => "authorizer",
            Refusal::AuthorizerFailed(_) | Refusal::AuthorizerUnavailable(_) => "authorizer-failed",
            Refusal::HubServerOfServerless(_)
            | Refusal::AspNetClientOfServerless(_)
            | Refusal::AspNetClientOfFiltered(_)
            | Refusal::NoAspNetServer(_) => "hub-server",
            Refusal::DeniedByRule { .. } => "network-rules",
            Refusal::NotFound(_) => "path",
            Refusal::ForeignHost(_) | Refusal::ForeignHostOfDev(_) => "host",
        }
    }
}

fn or_else<'a>(text: &'a str, general: &'a str) -> &'a str {
    if text.is_empty() { general } else { text }
}

/// What is answered where nobody may go on with a client that is here, or was.
pub(crate) fn no_resume(refusal: ResumeRefusal) -> Refusal {
    match refusal {
        ResumeRefusal::Unknown => Refusal::UnknownConnection,
        ResumeRefusal::NotStateful => Refusal::ConnectionInUse,
        ResumeRefusal::OtherUser => Refusal::OtherUser,
        ResumeRefusal::TooOften => Refusal::ResumesTooOften,
    }
}

/// Why a user is not put into a group.
pub(crate) fn no_membership(refusal: &MembershipRefusal) -> String {
    match refusal {
        MembershipRefusal::UserFull => {
            "The user has as many memberships as `server.limits.groups-per-connection` allows.".to_owned()
        }
        MembershipRefusal::HubFull => {
            "The hub has as many memberships of users as `server.limits.user-memberships` allows.".to_owned()
        }
        MembershipRefusal::PluginFull(plugin) => format!(
            "Plugin '{plugin}' has made half of the memberships of users that `server.limits.user-memberships` allows in a \
             hub, which is all that one plugin may make."
        ),
    }
}
