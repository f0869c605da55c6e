//! Requests of hub servers for a connection to the gateway.
//!
//! Source: Azure SignalR SDK for .NET, "Service Protocol" (`specs/ServiceProtocol.md`).

use http::request::Parts;
use hubgate_core::NewServerConnection;
use hubgate_core::id::{HubName, ServerId, is_short_enough};
use hubgate_wire::token::{Claims, Resource};

use super::answer::Answer;
use super::authorization::access_token;
use super::negotiate::new_id;
use super::query::Query;
use super::upgrade::{Handshake, NoUpgrade};
use super::{Service, Upgrade, Upgraded};
use crate::refusal::Refusal;
use crate::settings::Settings;

/// How the server SDK introduces itself. Its sibling that only sends, the management SDK, has another name.
const SERVER_SDK: &str = "Microsoft.Azure.SignalR/";

/// Answers a request of `/server`; the connection that it made is left in `upgraded`.
pub(super) fn answer(service: &Service, request: &Parts, hub: &HubName, upgraded: &Upgrade) -> Result<Answer, Refusal> {
    let token = access_token(request).ok_or(Refusal::NoToken)?;
    let claims = service.verify(&token, Resource::Server { hub: hub.as_str() })?;
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
    // Of others the handshake tells whether clients are to be routed to them.
    if header("asrs-user-agent").is_some_and(|agent| agent.starts_with(SERVER_SDK)) {
        check_mode(&service.shared().settings(), hub)?;
    }
    let_in(service, request, hub, &claims, upgraded)
}

/// Makes a request with these claims a connection of a hub server.
pub(super) fn let_in(
    service: &Service,
    request: &Parts,
    hub: &HubName,
    claims: &Claims,
    upgraded: &Upgrade,
) -> Result<Answer, Refusal> {
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
    let handshake = Handshake::of(request).map_err(|no_upgrade| match no_upgrade {
        NoUpgrade::Wrong(why) => Refusal::bad_request(why),
        NoUpgrade::NotAsked => Refusal::bad_request("Hub servers connect by a WebSocket."),
    })?;
    let name = header("x-asrs-server-id").map_or_else(|| claims.user_id(), |name| Ok(Some(name)))?;
    let query = Query::of(&request.uri);
    let connection = query.get("cid");
    if [name, connection.as_deref()].into_iter().flatten().any(|name| !is_short_enough(name)) {
        return Err(Refusal::bad_request("Invalid server id. A server id has at most 1024 characters."));
    }
    let server = match name {
        Some(name) => ServerId::new(name),
        // One without a name is a server of its own.
        None => match connection {
            Some(connection) => ServerId::new(&*connection),
            None => ServerId::new(new_id(service.shard().neighbours().own()).as_str()),
        },
    };
    *upgraded.borrow_mut() = Some(Upgraded::Server(NewServerConnection { hub: hub.clone(), server }));
    Ok(handshake.answer())
}

/// Whether a hub takes servers that clients are routed to.
pub(super) fn check_mode(settings: &Settings, hub: &HubName) -> Result<(), Refusal> {
    match settings.core.hub(hub).mode.takes_hub_servers() {
        true => Ok(()),
        false => Err(Refusal::HubServerOfServerless(hub.clone())),
    }
}
