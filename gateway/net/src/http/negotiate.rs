//! Negotiation, with a token and without one.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use hubgate_core::id::{ConnectionId, HubName, InvalidUserId, ShardAddress, is_short_enough};
use hubgate_core::{Negotiated, Reconnect};
use hubgate_wire::negotiate::{
    NegotiateAnswer, NegotiateError, NegotiateVersion, Redirect, Transport, asks_for_stateful_reconnect,
};
use hubgate_wire::token::{Claims, Resource};
use hubgate_wire::webhook;

use super::answer::{Answer, json};
use super::authorization::access_token;
use super::client_token::OwnToken;
use super::query::{Query, STRAIGHT};
use super::{Service, anonymous, authorizer, forwarded, host, identity_provider};
use crate::http_places::HttpPlace;
use crate::metrics::SignIn;
use crate::refusal::Refusal;
use crate::settings::{Negotiate, Settings};
use crate::verified_token::VerifiedToken;

/// Gives a client the ids of its connection-to-be.
pub(crate) async fn connection(service: &Rc<Service>, request: &Parts, hub: &HubName) -> Result<Answer, Refusal> {
    let token = access_token(request).ok_or(Refusal::NoToken)?;
    let transports = client_claims(service, &token, hub)?.transports().ok_or(Refusal::NoTransport)?;
    HttpPlace::of(&request.extensions).vouch();
    check_rate(service)?;
    let query = Query::of(&request.uri);
    let version = match NegotiateVersion::choose(query.get("negotiateVersion").as_deref()) {
        Ok(version) => version,
        Err(error) => return Ok(json(&NegotiateError { error: &error.to_string() })),
    };
    if let Some(answer) = straight_to_this_node(service, query, hub, &token) {
        return Ok(answer);
    }
    // Whatever connection its requests come over: a proxy asks for many clients over one.
    let owner = service.shard().neighbours().address_of(service.shared().loads.deal());
    let id = new_id(owner);
    // A version-0 client knows its connection by what opens it.
    let token = match version {
        NegotiateVersion::Zero => id,
        NegotiateVersion::One => new_id(owner),
    };
    let is_asked = asks_for_stateful_reconnect(query.get("useStatefulReconnect").as_deref());
    // What opens the connection again has to be a secret, and of version 0 it is the public id.
    let may_resume = version == NegotiateVersion::One && transports.contains(Transport::WebSockets);
    let reconnect = match is_asked && may_resume {
        true => service.shard().tokens().offered_reconnect(hub),
        false => Reconnect::No,
    };
    service.shard().tokens().negotiated(hub.clone(), Negotiated { id, token, reconnect }).await?;
    let answer = NegotiateAnswer::new(version, id.as_str(), token.as_str(), transports);
    Ok(match reconnect {
        Reconnect::Stateful => json(&answer.with_stateful_reconnect()),
        Reconnect::No => json(&answer),
    })
}

/// Sends a client on to the node's own endpoint, if it has one: there all requests of the client's connection come to the node where that
/// lives. None for a client that was sent on already, to whatever node: nobody is sent round in circles.
fn straight_to_this_node(service: &Service, query: Query<'_>, hub: &HubName, token: &str) -> Option<Answer> {
    let settings = service.shared().settings();
    let endpoint = settings.cluster.as_ref()?.node_endpoint.as_ref()?;
    if query.get(STRAIGHT).is_some() {
        return None;
    }
    let node = service.shard().neighbours().own().node.0;
    let rest = query.without(&["hub", "negotiateVersion"]);
    let separator = if rest.is_empty() { "" } else { "&" };
    let url = format!("{endpoint}/client/?hub={hub}&{STRAIGHT}={node:08x}{separator}{rest}");
    Some(json(&Redirect { url: &url, access_token: token, token_lifetime_seconds: None }))
}

/// Sends a client that has no host to ask on to the gateway's own endpoint, with a token, if it may come.
pub(crate) async fn without_host(
    service: &Rc<Service>,
    request: &Parts,
    hub: &HubName,
    remote: SocketAddr,
) -> Result<Answer, Refusal> {
    let token = own_token(service, request, hub, remote).await?;
    Ok(token.redirect(Query::of(&request.uri)))
}

/// A token for a client that has no host to ask, if it may come.
pub(super) async fn own_token(
    service: &Rc<Service>,
    request: &Parts,
    hub: &HubName,
    remote: SocketAddr,
) -> Result<OwnToken, Refusal> {
    // Kept by the answer: a reload meanwhile changes nothing for it.
    let settings = service.shared().settings().clone();
    let endpoint = forwarded::endpoint(&settings, remote.ip(), request).to_string();
    let is_anonymous = match &settings.hub(hub).negotiate {
        Negotiate::Nobody | Negotiate::Anybody => true,
        Negotiate::Authorizer(_) | Negotiate::IdentityProvider(_) => false,
    };
    if is_anonymous {
        anonymous::check_token(&settings, request, hub, &endpoint)?;
    }
    check_open(&settings, hub)?;
    // Nothing else holds back a page that has made its name point here.
    host::check(&settings, remote.ip(), request)?;
    check_rate(service)?;
    let place = (endpoint.as_str(), hub);
    let (by, token) = match &settings.hub(hub).negotiate {
        Negotiate::Nobody | Negotiate::Anybody => (SignIn::Anonymous, Ok(anonymous::let_in(&settings, place))),
        Negotiate::Authorizer(plugin) => {
            (SignIn::Authorizer, authorizer::ask(service, request, place, (plugin.clone(), remote)).await)
        }
        Negotiate::IdentityProvider(provider) => {
            (SignIn::IdentityProvider, identity_provider::check(service, &settings, request, place, provider).await)
        }
    };
    service.shared().metrics.sign_in(by, token.as_ref().err().map(Refusal::status));
    token
}

/// Whether clients may come in that bring no token of an application's.
pub(super) fn check_open(settings: &Settings, hub: &HubName) -> Result<(), Refusal> {
    match settings.hub(hub).negotiate {
        Negotiate::Nobody => Err(Refusal::NotAnonymous(hub.clone())),
        Negotiate::Anybody | Negotiate::Authorizer(_) | Negotiate::IdentityProvider(_) => Ok(()),
    }
}

pub(super) fn check_rate(service: &Service) -> Result<(), Refusal> {
    let limits = &service.shared().settings().limits;
    service.shared().admission.negotiate(limits, Instant::now()).map_err(|wait| Refusal::TooManyNegotiates { wait })
}

/// The claims of a client's token for `hub`, which say without doubt who the client is.
pub(crate) fn client_claims(service: &Service, token: &str, hub: &HubName) -> Result<Arc<VerifiedToken>, Refusal> {
    let claims = service.verify(token, Resource::Client { hub: hub.as_str() })?;
    check_user(&service.shared().settings(), &claims, hub)?;
    Ok(claims)
}

/// Whether claims say without doubt who a client of `hub` is, in a way that upstream can be told.
pub(super) fn check_user(settings: &Settings, claims: &Claims, hub: &HubName) -> Result<(), Refusal> {
    let user = claims.user_id()?;
    if user.is_some_and(|user| !is_short_enough(user)) {
        return Err(Refusal::bad_request(InvalidUserId.to_string()));
    }
    if let Some(user) = user
        && !webhook::is_header_value(user)
        && settings.core.tells_webhook(hub)
    {
        return Err(Refusal::UserForWebhook(hub.clone()));
    }
    Ok(())
}

/// A new id on a shard. It may be a secret, so its bits come from the operating system.
pub(crate) fn new_id(owner: ShardAddress) -> ConnectionId {
    let mut random = [0; 12];
    getrandom::fill(&mut random).expect("the operating system has random bytes");
    ConnectionId::new(owner, random)
}
