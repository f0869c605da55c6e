//! Which path is what.

use std::net::SocketAddr;
use std::rc::Rc;

use http::request::Parts;
use http::{Method, Request, StatusCode};
use hubgate_core::id::HubName;
use hubgate_wire::path;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

use super::answer::{Answer, refuse, text};
use super::body::RequestBody;
use super::forwarded::path_below;
use super::query::Query;
use super::{Service, Upgrade, cors, head, host, negotiate, pages, refused, rest, server, transport};
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
    let answer = answer(service, &request, &mut body, remote, upgraded).await;
    body.discard(service);
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
    let place = Place::of(&path);
    let hub = place.hub(request);
    let known_hub = hub.as_ref().and_then(|hub| hub.as_ref().ok());
    let checked = head::check(request, service.shared().settings().limits.headers);
    if let Err(refusal) = checked.and_then(|()| check_host(service, request, place, remote)) {
        return match place {
            Place::Rest => rest::refuse(service, request, &refusal),
            _ => finish(service, known_hub, request, remote, Err(refusal)),
        };
    }
    let answer = match (place, &hub) {
        (Place::Rest, _) => return rest::answer(service, request, body, &path).await,
        (Place::Health, _) => return text(StatusCode::OK, "ok\n"),
        (Place::Ready, _) => return readiness(service),
        _ if request.method == Method::OPTIONS => return preflight(service, known_hub, request, remote),
        (Place::ClientNegotiation | Place::HubNegotiation(_), _) if request.method != Method::POST => {
            Err(Refusal::method_not_allowed("POST, OPTIONS"))
        }
        (_, Some(Err(refusal))) => Err(refusal.clone()),
        (Place::Client, Some(Ok(hub))) => transport::answer(service, request, body, hub, remote, upgraded).await,
        (Place::ClientNegotiation, Some(Ok(hub))) => negotiate::connection(service, request, hub).await,
        (Place::HubNegotiation(_), Some(Ok(hub))) => negotiate::without_host(service, request, hub, remote),
        (Place::Server, Some(Ok(hub))) => server::answer(service, request, hub, upgraded),
        (_, _) => pages::page(service, request).await,
    };
    finish(service, known_hub, request, remote, answer)
}

/// What a path is. Its fixed parts are compared without case, as the routes of ASP.NET Core are.
#[derive(Debug, Clone, Copy)]
enum Place<'p> {
    Rest,
    Health,
    Ready,
    Client,
    ClientNegotiation,
    Server,
    /// Of a hub without a host; its name is still encoded.
    HubNegotiation(&'p str),
    /// That of a file, perhaps.
    Other,
}

impl<'p> Place<'p> {
    fn of(path: &'p str) -> Place<'p> {
        const FIXED: [(&str, Place<'static>); 5] = [
            ("/client", Place::Client),
            ("/client/negotiate", Place::ClientNegotiation),
            ("/server", Place::Server),
            ("/healthz", Place::Health),
            ("/readyz", Place::Ready),
        ];
        if let Some((_, place)) = FIXED.iter().find(|(literal, _)| path::is_same_literal(path, literal)) {
            return *place;
        }
        let mut segments = path::segments(path);
        match [segments.next(), segments.next(), segments.next(), segments.next()] {
            [Some(hubs), Some(hub), Some(negotiate), None]
                if path::is_literal(hubs, "hubs") && path::is_literal(negotiate, "negotiate") =>
            {
                Place::HubNegotiation(hub)
            }
            [Some(api), Some(_), ..] if path::is_literal(api, "api") => Place::Rest,
            _ => Place::Other,
        }
    }

    /// The hub that a request is for, or why it is for none; `None` where there is no such thing as a hub, or where its name is
    /// left to the REST API.
    fn hub(self, request: &Parts) -> Option<Result<HubName, Refusal>> {
        match self {
            Place::Client | Place::ClientNegotiation | Place::Server => Some(Query::of(&request.uri).hub()),
            Place::HubNegotiation(name) => {
                Some(HubName::parse(&percent_decode_str(name).decode_utf8_lossy()).map_err(Refusal::from))
            }
            Place::Rest | Place::Health | Place::Ready | Place::Other => None,
        }
    }
}

fn readiness(service: &Service) -> Answer {
    match service.shared().vitals.readiness() {
        Readiness::Ready => text(StatusCode::OK, "ready\n"),
        Readiness::Draining => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        Readiness::Unwell => text(StatusCode::SERVICE_UNAVAILABLE, "a part of the gateway does not answer\n"),
    }
}

/// A gateway for trying things out answers nothing under a foreign name, but whether it is there.
fn check_host(service: &Service, request: &Parts, place: Place<'_>, remote: SocketAddr) -> Result<(), Refusal> {
    let settings = service.shared().settings();
    if !settings.checks_every_host || matches!(place, Place::Health | Place::Ready) {
        return Ok(());
    }
    host::check(&settings, remote.ip(), request)
}

fn preflight(service: &Service, hub: Option<&HubName>, request: &Parts, remote: SocketAddr) -> Answer {
    let settings = service.shared().settings();
    let origins = origins(&settings, hub);
    refused::note_origin(service, request, hub, origins, remote);
    cors::preflight(origins, &request.headers)
}

/// Where no hub is known, those of hubs that the configuration does not name: whoever wrote the page has to read why.
fn origins<'a>(settings: &'a Settings, hub: Option<&HubName>) -> &'a CorsOrigins {
    &hub.map_or(&settings.other_hubs, |hub| settings.hub(hub)).cors
}

/// Notes what is refused, and lets the page that asked read the answer. What is no hub's is for no other page, unless it says
/// what is wrong.
fn finish(
    service: &Service,
    hub: Option<&HubName>,
    request: &Parts,
    remote: SocketAddr,
    answer: Result<Answer, Refusal>,
) -> Answer {
    let is_for_pages = hub.is_some() || answer.is_err();
    let mut answer = answer.unwrap_or_else(|refusal| {
        refused::note(service, request, hub, &refusal);
        refuse(&refusal)
    });
    if is_for_pages {
        let settings = service.shared().settings();
        let origins = origins(&settings, hub);
        refused::note_origin(service, request, hub, origins, remote);
        cors::allow(origins, &request.headers, &mut answer);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_parts_of_a_path_have_any_case_and_a_hub_keeps_its_name() {
        assert!(matches!(Place::of("/Client/"), Place::Client));
        assert!(matches!(Place::of("/CLIENT/Negotiate"), Place::ClientNegotiation));
        assert!(matches!(Place::of("/server/"), Place::Server));
        assert!(matches!(Place::of("/Hubs/My%20Hub/Negotiate"), Place::HubNegotiation("My%20Hub")));
        assert!(matches!(Place::of("/Api/V1/hubs/chat"), Place::Rest));
        for other in
            ["/", "//client/", "/client//negotiate", "/hubs/a/b/negotiate", "/api", "/hubs/negotiate", "/clients"]
        {
            assert!(matches!(Place::of(other), Place::Other), "{other}");
        }
    }
}
