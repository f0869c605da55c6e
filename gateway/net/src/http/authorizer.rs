//! Negotiation of a hub whose plugin says who may come.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use http::header::AUTHORIZATION;
use http::request::Parts;
use hubgate_core::event::UpstreamFailure;
use hubgate_core::filter::Origin;
use hubgate_core::id::{ConnectionId, HubName, PluginName};
use hubgate_core::pairs::Pairs;
use hubgate_plugin_host::{AuthorizeCall, Grant, Refused};

use super::authorization::{CONNECTION_TOKEN, CONNECTION_TOKEN_ITEM, bearer_token};
use super::client_token::{OwnToken, SignedIn, Unfit, is_for_clients_of};
use super::query::Query;
use super::{Service, forwarded};
use crate::http_places::HttpPlace;
use crate::questions::HubAccess;
use crate::refusal::Refusal;
use crate::shared::unix_seconds;

/// What the query of a request may hold that an authorizer is to be asked about, in items.
const MAX_QUERY_ITEMS: usize = 256;
const TOKEN: &str = "access_token";

/// Asks the plugin; a client that it lets in gets a token for `endpoint`.
pub(crate) async fn ask(
    service: &Rc<Service>,
    request: &Parts,
    (endpoint, hub): (&str, &HubName),
    (plugin, remote): (PluginName, SocketAddr),
) -> Result<OwnToken, Refusal> {
    let call = call(service, request, hub, (plugin.clone(), remote))?;
    // The future is large.
    let authorization = Box::pin(service.shard().authorize(call)).await;
    let detailed = service.shared().settings().core.detailed_errors;
    let granted = authorization.result.map_err(|refused| refusal(refused, detailed))?;
    let token = let_in(service, (endpoint, hub), &granted).map_err(|unfit| {
        note_unfit(service, hub, &plugin, &unfit);
        failed(&unfit.to_string(), detailed)
    })?;
    HttpPlace::of(&request.extensions).vouch();
    if !authorization.actions.is_empty() {
        HubAccess::new(service.shard(), hub).submit(Origin::Plugin(plugin), authorization.actions).await?;
    }
    Ok(token)
}

/// What the plugin is told of a request: all of it, but for the token that the client was given here, and brings because it connects
/// again, and what opens a connection's transports.
fn call(
    service: &Service,
    request: &Parts,
    hub: &HubName,
    (plugin, remote): (PluginName, SocketAddr),
) -> Result<AuthorizeCall, Refusal> {
    let settings = service.shared().settings();
    let is_ours = |token: &str| is_for_clients_of(token, hub);
    let has_own_token = bearer_token(&request.headers).is_some_and(is_ours);
    let headers = forwarded::seen_headers(&settings, remote.ip(), &request.headers);
    let headers = headers.filter(|(name, _)| !(has_own_token && **name == AUTHORIZATION));
    let headers = headers.filter(|(name, _)| **name != CONNECTION_TOKEN);
    let items = Query::of(&request.uri).items();
    if items.clone().nth(MAX_QUERY_ITEMS).is_some() {
        return Err(Refusal::bad_request(format!("The query has more than {MAX_QUERY_ITEMS} items.")));
    }
    let is_secret = |name: &str, value: &str| match name {
        name if name.eq_ignore_ascii_case(TOKEN) => is_ours(value),
        name => name.eq_ignore_ascii_case(CONNECTION_TOKEN_ITEM) && ConnectionId::parse(value).is_some(),
    };
    let items = items.filter(|(name, value)| !is_secret(name, value));
    Ok(AuthorizeCall {
        plugin,
        hub: hub.clone(),
        headers: headers.map(|(name, value)| (name.as_str(), value)).collect::<Pairs>(),
        query: items.collect(),
        remote_address: forwarded::client_address(&settings, remote.ip(), &request.headers).to_string().into(),
    })
}

fn let_in(service: &Service, place: (&str, &HubName), granted: &Grant) -> Result<OwnToken, Unfit> {
    let signed_in = SignedIn {
        user: granted.user_id.as_ref().map(|user| user.as_str()),
        claims: &granted.claims,
        groups: &granted.groups,
        lifetime: granted.lifetime_seconds.map(u64::from),
    };
    OwnToken::sign(&service.shared().settings(), place, &signed_in, unix_seconds())
}

fn note_unfit(service: &Service, hub: &HubName, plugin: &PluginName, unfit: &Unfit) {
    let cause = format!("{hub} {plugin} {unfit}");
    if let Some(due) = service.shared().refusal_log.note("authorizer-failed", &cause, Instant::now()) {
        let more = due.untold;
        tracing::warn!(%hub, %plugin, more, "the grant of an authorizer cannot be given: {unfit}");
    }
}

fn refusal(refused: Refused, detailed: bool) -> Refusal {
    let unavailable = |why: &str| Refusal::AuthorizerUnavailable(why.to_owned());
    match refused {
        Refused::Unauthorized(text) => Refusal::NotSignedIn(text),
        Refused::Forbidden(text) => Refusal::NotLetIn(text),
        Refused::Failed(failure) => match failure {
            UpstreamFailure::Rejected(text) | UpstreamFailure::Failed(text) | UpstreamFailure::Unavailable(text) => {
                failed(&text, detailed)
            }
            UpstreamFailure::Trapped(reason) if detailed => unavailable(&format!("broke off: {reason}")),
            UpstreamFailure::Trapped(_) => unavailable("broke off"),
            UpstreamFailure::TimedOut => unavailable("took too long and was stopped"),
            UpstreamFailure::OutOfCpuTime { .. } => unavailable("used too much processor time and was stopped"),
            UpstreamFailure::OutOfMemory => unavailable("ran out of memory and was stopped"),
            UpstreamFailure::Busy => unavailable("is busy"),
            UpstreamFailure::NotServing => unavailable("is not available: its component cannot serve"),
        },
    }
}

fn failed(reason: &str, detailed: bool) -> Refusal {
    Refusal::AuthorizerFailed(if detailed { format!(": {reason}") } else { ".".to_owned() })
}
