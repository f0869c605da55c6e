//! The way of a request to its door.

use std::net::SocketAddr;
use std::rc::Rc;

use http::request::Parts;
use http::{Method, Request, StatusCode};
use hubgate_core::id::HubName;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

use super::answer::{Answer, refuse, text};
use super::body::RequestBody;
use super::cors::Credentials;
use super::doors::{Door, HubIn};
use super::forwarded::path_below;
use super::query::Query;
use super::{
    Service, Upgrade, asp_net, cors, doors, head, host, negotiate, network, pages, refresh, refused, rest, server,
    told, transport,
};
use crate::network_rules::RequestKind;
use crate::refusal::Refusal;
use crate::settings::{CorsOrigins, Settings};
use crate::vitals::Readiness;

/// Answers one request; a client that it made is left in `upgraded`.
pub(crate) async fn route(
    service: &Rc<Service>,
    request: Request<Incoming>,
    remote: SocketAddr,
    upgraded: &Upgrade,
) -> Answer {
    let (request, incoming) = request.into_parts();
    let mut body = RequestBody::new(incoming, &request.headers);
    let told = told::Told::begin(service, &request);
    let answer = answer(service, &request, &mut body, remote, upgraded).await;
    body.discard(service);
    if let Some(told) = told {
        told.answered(service, &request, remote, answer.status());
    }
    answer
}

async fn answer(
    service: &Rc<Service>,
    request: &Parts,
    body: &mut RequestBody,
    remote: SocketAddr,
    upgraded: &Upgrade,
) -> Answer {
    let path = path_below(&service.shared().settings(), request.uri.path());
    let found = doors::find(&path);
    let (door, hub) = (found.map(|(row, _)| row.door), found.and_then(|(row, name)| hub(row.hub, name, request)));
    let known_hub = hub.as_ref().and_then(|hub| hub.as_ref().ok());
    if let Err(refusal) = check(service, request, door, remote) {
        return match door {
            Some(Door::Rest) => rest::refuse(service, request, &refusal),
            _ => finish(service, (door, known_hub), request, remote, Err(refusal)),
        };
    }
    match door {
        Some(Door::Rest) => return rest::answer(service, request, body, &path, remote).await,
        Some(Door::Health) => return text(StatusCode::OK, "ok\n"),
        Some(Door::Ready) => {
            let (status, told) = readiness(service.shared().vitals.readiness());
            return text(status, told);
        }
        _ if request.method == Method::OPTIONS => return preflight(service, (door, known_hub), request, remote),
        _ => {}
    }
    let checked = found.map_or(Ok(()), |(row, _)| row.check(&request.method));
    let answer = match (checked, door, &hub) {
        (Err(refusal), ..) => Err(refusal),
        (Ok(()), _, Some(Err(refusal))) => Err(refusal.clone()),
        (Ok(()), Some(Door::Client), Some(Ok(hub))) => {
            transport::answer(service, request, body, hub, remote, upgraded).await
        }
        (Ok(()), Some(Door::ClientNegotiation), Some(Ok(hub))) => negotiate::connection(service, request, hub).await,
        (Ok(()), Some(Door::HubNegotiation), Some(Ok(hub))) => {
            negotiate::without_host(service, request, hub, remote).await
        }
        (Ok(()), Some(Door::HubRefresh), Some(Ok(hub))) => refresh::answer(service, request, hub, remote).await,
        (Ok(()), Some(Door::Server), Some(Ok(hub))) => server::answer(service, request, hub, upgraded),
        (Ok(()), Some(Door::AspNetServer), _) => asp_net::answer_server(service, request, upgraded),
        (Ok(()), Some(Door::AspNetClient), _) => {
            let name = found.map_or("", |(_, name)| name);
            asp_net::answer(service, (request, body), name, remote, upgraded).await
        }
        (Ok(()), ..) => pages::page(service, request).await,
    };
    finish(service, (door, known_hub), request, remote, answer)
}

/// The hub that a request is for, or why it is for none; `None` where no hub is looked for. `name` is that of the path.
fn hub(named: HubIn, name: &str, request: &Parts) -> Option<Result<HubName, Refusal>> {
    match named {
        HubIn::Query => Some(Query::of(&request.uri).hub()),
        HubIn::Path => Some(HubName::parse(&percent_decode_str(name).decode_utf8_lossy()).map_err(Refusal::from)),
        HubIn::Neither => None,
    }
}

/// What whoever asks is told of how ready the gateway is.
pub(crate) fn readiness(readiness: Readiness) -> (StatusCode, &'static str) {
    match readiness {
        Readiness::Ready => (StatusCode::OK, "ready\n"),
        Readiness::Degraded => {
            (StatusCode::OK, "degraded: other nodes of the cluster are not heard, or have another configuration\n")
        }
        Readiness::Joining => (StatusCode::SERVICE_UNAVAILABLE, "joining the cluster\n"),
        Readiness::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        Readiness::Unwell => (StatusCode::SERVICE_UNAVAILABLE, "a part of the gateway does not answer\n"),
    }
}

/// What holds for all doors.
fn check(service: &Service, request: &Parts, door: Option<Door>, remote: SocketAddr) -> Result<(), Refusal> {
    let settings = service.shared().settings();
    head::check(request, settings.limits.headers)?;
    if service.shared().vitals.is_joining() && !matches!(door, Some(Door::Health | Door::Ready)) {
        return Err(Refusal::Joining);
    }
    // What is no door is a page, or nothing.
    if let Some(kind) = door.map_or(Some(RequestKind::Client), Door::kind) {
        network::check(&settings, kind, remote.ip(), &request.headers)?;
    }
    check_host(&settings, request, door, remote)
}

/// A gateway for trying things out answers nothing under a foreign name, but whether it is there.
fn check_host(settings: &Settings, request: &Parts, door: Option<Door>, remote: SocketAddr) -> Result<(), Refusal> {
    if !settings.checks_every_host || matches!(door, Some(Door::Health | Door::Ready)) {
        return Ok(());
    }
    host::check(settings, remote.ip(), request)
}

fn preflight(
    service: &Service,
    (door, hub): (Option<Door>, Option<&HubName>),
    request: &Parts,
    remote: SocketAddr,
) -> Answer {
    let settings = service.shared().settings();
    let origins = origins(&settings, hub);
    refused::note_origin(service, request, hub, origins, remote);
    cors::preflight(origins, credentials(door), &request.headers)
}

/// Whether pages send what they ask with credentials, to which the answer has to name them.
fn credentials(door: Option<Door>) -> Credentials {
    match door {
        Some(Door::AspNetClient) => Credentials::Always,
        _ => Credentials::Perhaps,
    }
}

/// Where no hub is known, those of hubs that the configuration does not name: whoever wrote the page has to read why.
fn origins<'a>(settings: &'a Settings, hub: Option<&HubName>) -> &'a CorsOrigins {
    &hub.map_or(&settings.other_hubs, |hub| settings.hub(hub)).cors
}

/// Notes what is refused, and lets the page that asked read the answer. What is no hub's is for no other page, unless it says
/// what is wrong.
fn finish(
    service: &Service,
    (door, hub): (Option<Door>, Option<&HubName>),
    request: &Parts,
    remote: SocketAddr,
    answer: Result<Answer, Refusal>,
) -> Answer {
    let is_for_pages = hub.is_some() || answer.is_err() || door == Some(Door::AspNetClient);
    let mut answer = answer.unwrap_or_else(|refusal| {
        refused::note(service, request, hub, &refusal);
        match door {
            Some(Door::HubRefresh) => refresh::refuse(&refusal),
            _ => refuse(&refusal),
        }
    });
    if is_for_pages {
        let settings = service.shared().settings();
        let origins = origins(&settings, hub);
        refused::note_origin(service, request, hub, origins, remote);
        cors::allow(origins, credentials(door), &request.headers, &mut answer);
    }
    answer
}
