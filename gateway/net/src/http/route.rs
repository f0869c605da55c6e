//! Which path is what.

use std::net::SocketAddr;
use std::rc::Rc;

use http::request::Parts;
use http::{Method, Request, StatusCode};
use hubgate_core::id::HubName;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

use super::answer::{Answer, Refusal, refuse, text};
use super::body::RequestBody;
use super::forwarded::path_below;
use super::query::Query;
use super::{Upgrade, cors, head, host, negotiate, pages, rest, server, transport};
use crate::settings::{CorsOrigins, Settings};
use crate::shard::ShardThread;
use crate::vitals::Readiness;

/// Answers one request; a client that it made is left in `upgraded`.
pub(crate) async fn route(
    shard: &Rc<ShardThread>,
    request: Request<Incoming>,
    remote: SocketAddr,
    upgraded: &Upgrade,
) -> Answer {
    let (request, incoming) = request.into_parts();
    let mut body = RequestBody::new(incoming, &request.headers);
    let answer = answer(shard, &request, &mut body, remote, upgraded).await;
    body.discard(shard);
    answer
}

async fn answer(
    shard: &Rc<ShardThread>,
    request: &Parts,
    body: &mut RequestBody,
    remote: SocketAddr,
    upgraded: &Upgrade,
) -> Answer {
    let path = path_below(&shard.shared.settings(), request.uri.path()).to_owned();
    let checked = head::check(request, shard.shared.settings().limits.headers);
    if let Err(refusal) = checked.and_then(|()| check_host(shard, request, &path, remote)) {
        return finish(shard, None, request, Err(refusal));
    }
    match path.as_str() {
        path if path.starts_with("/api/") => rest::answer(shard, request, body, path).await,
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" => match shard.shared.vitals.readiness() {
            Readiness::Ready => text(StatusCode::OK, "ready\n"),
            Readiness::Draining => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            Readiness::Unwell => text(StatusCode::SERVICE_UNAVAILABLE, "a part of the gateway does not answer\n"),
        },
        "/client" | "/client/" => {
            let hub = Query::of(&request.uri).hub();
            let answer = match (&request.method, &hub) {
                (&Method::OPTIONS, hub) => return preflight(shard, hub.as_ref().ok(), request),
                (_, Err(_)) => Err(Refusal::NotOneHub),
                (_, Ok(hub)) => transport::answer(shard, request, body, hub, remote, upgraded).await,
            };
            finish(shard, hub.as_ref().ok(), request, answer)
        }
        "/client/negotiate" | "/client/negotiate/" => {
            let hub = Query::of(&request.uri).hub();
            let answer = match (&request.method, &hub) {
                (&Method::OPTIONS, hub) => return preflight(shard, hub.as_ref().ok(), request),
                (&Method::POST, Ok(hub)) => negotiate::connection(shard, request, hub).await,
                (&Method::POST, Err(_)) => Err(Refusal::NotOneHub),
                _ => Err(Refusal::MethodNotAllowed),
            };
            finish(shard, hub.as_ref().ok(), request, answer)
        }
        "/server" | "/server/" => {
            let hub = Query::of(&request.uri).hub();
            let answer = hub.and_then(|hub| server::answer(shard, request, &hub, upgraded));
            finish(shard, None, request, answer)
        }
        path => match path.strip_prefix("/hubs/").and_then(|path| path.strip_suffix("/negotiate")) {
            Some(hub) => {
                let hub = HubName::parse(&percent_decode_str(hub).decode_utf8_lossy());
                let answer = match (&request.method, &hub) {
                    (&Method::OPTIONS, hub) => return preflight(shard, hub.as_ref().ok(), request),
                    (&Method::POST, Ok(hub)) => negotiate::without_host(shard, request, hub, remote),
                    (&Method::POST, Err(_)) => Err(Refusal::BadHub(hubgate_core::id::InvalidHubName)),
                    _ => Err(Refusal::MethodNotAllowed),
                };
                finish(shard, hub.as_ref().ok(), request, answer)
            }
            None => finish(shard, None, request, pages::page(&shard.shared.settings().pages, request).await),
        },
    }
}

/// A gateway for trying things out answers nothing under a foreign name, but whether it is there.
fn check_host(shard: &ShardThread, request: &Parts, path: &str, remote: SocketAddr) -> Result<(), Refusal> {
    let settings = shard.shared.settings();
    if !settings.checks_every_host || matches!(path, "/healthz" | "/readyz") {
        return Ok(());
    }
    host::check(&settings, remote.ip(), request)
}

fn preflight(shard: &ShardThread, hub: Option<&HubName>, request: &Parts) -> Answer {
    let settings = shard.shared.settings();
    cors::preflight(origins(&settings, hub), &request.headers)
}

fn origins<'a>(settings: &'a Settings, hub: Option<&HubName>) -> &'a CorsOrigins {
    match hub {
        Some(hub) => &settings.hub(hub).cors,
        None => const { &CorsOrigins::NONE },
    }
}

/// Counts what is refused, and lets the page that asked read the answer.
fn finish(shard: &ShardThread, hub: Option<&HubName>, request: &Parts, answer: Result<Answer, Refusal>) -> Answer {
    let mut answer = answer.unwrap_or_else(|refusal| {
        tracing::debug!(path = request.uri.path(), reason = refusal.reason(), %refusal, "a request is refused");
        shard.shared.metrics.refused(refusal.reason());
        refuse(&refusal)
    });
    let settings = shard.shared.settings();
    cors::allow(origins(&settings, hub), &request.headers, &mut answer);
    answer
}
