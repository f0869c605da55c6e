//! Refusals as operators see them: counted, and in the log where somebody has to mend something.

use std::net::SocketAddr;
use std::time::Instant;

use http::Method;
use http::header::{ORIGIN, SEC_WEBSOCKET_KEY};
use http::request::Parts;
use hubgate_core::id::HubName;

use super::{Service, cors, forwarded};
use crate::refusal::Refusal;
use crate::settings::{CorsOrigins, Settings};
use crate::shared::Shared;

/// What is repeated of an origin, in characters.
const LONGEST_SHOWN: usize = 200;

/// Notes that a request is refused. `hub` is the one that it is for, if that is known.
pub(super) fn note(service: &Service, request: &Parts, hub: Option<&HubName>, refusal: &Refusal) {
    note_refusal(service.shared(), request.uri.path(), hub, refusal);
}

/// The same on any listener.
pub(crate) fn note_refusal(shared: &Shared, path: &str, hub: Option<&HubName>, refusal: &Refusal) {
    let reason = refusal.reason();
    shared.metrics.refused(reason);
    let mut address = None;
    if let Refusal::DeniedByRule { kind, address: denied, .. } = refusal {
        shared.metrics.denied(*kind);
        address = Some(tracing::field::display(denied));
    }
    let cause = || cause(&shared.settings(), hub, refusal);
    let hub = hub.map_or("", HubName::as_str);
    let due = match refusal.is_to_be_mended() {
        true => shared.refusal_log.note(reason, &cause(), Instant::now()),
        false => None,
    };
    match due {
        Some(due) => {
            let (more, note) = (due.untold, due.for_others);
            tracing::warn!(
                hub, path, reason, address, %refusal, more, note,
                "a request is refused; the same cause is told once a minute"
            );
        }
        None => tracing::debug!(hub, path, reason, address, %refusal, "a request is refused"),
    }
}

/// What tells a cause from others. Whoever asks can name any hub: those that the configuration does not name are one.
fn cause(settings: &Settings, hub: Option<&HubName>, refusal: &Refusal) -> String {
    let is_named = |hub: &&HubName| settings.core.names(hub);
    match (hub.filter(is_named), refusal) {
        (Some(hub), refusal) => format!("{hub} {refusal}"),
        (None, Refusal::NotAnonymous(_)) => "a hub that the configuration does not name is not open".to_owned(),
        (None, Refusal::TokenOfNoUse { .. }) => {
            "a token came to negotiate where clients come in without one".to_owned()
        }
        (None, refusal) => refusal.to_string(),
    }
}

/// Notes a page that a browser will not let read the answer to its request.
pub(super) fn note_origin(
    service: &Service,
    request: &Parts,
    hub: Option<&HubName>,
    origins: &CorsOrigins,
    remote: SocketAddr,
) {
    let Some(origin) = request.headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()) else {
        return;
    };
    // Browsers let pages read what comes over WebSockets, wherever they are from.
    let is_websocket = request.headers.contains_key(SEC_WEBSOCKET_KEY) || request.method == Method::CONNECT;
    if is_websocket
        || cors::is_allowed(origins, origin)
        || is_own(&service.shared().settings(), origin, request, remote)
    {
        return;
    }
    let (origin, hub) = (origin.chars().take(LONGEST_SHOWN).collect::<String>(), hub.map_or("*", HubName::as_str));
    match service.shared().refusal_log.note("origin", &format!("{hub} origin {origin}"), Instant::now()) {
        Some(due) => {
            tracing::warn!(
                hub,
                origin,
                more = due.untold,
                note = due.for_others,
                "pages of this origin are refused: `hubs.NAME.cors-origins` does not list it"
            );
        }
        None => tracing::debug!(hub, origin, "a page's origin is refused"),
    }
}

/// Whether the page is the gateway's own.
fn is_own(settings: &Settings, origin: &str, request: &Parts, remote: SocketAddr) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    forwarded::host(settings, remote.ip(), request).is_some_and(|host| host.eq_ignore_ascii_case(authority))
        || settings.endpoints.iter().any(|endpoint| endpoint.is_at(scheme, authority))
}
