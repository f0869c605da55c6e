//! HTTP on the clients' listener: which path is what, and the way from a request to a WebSocket.

mod anonymous;
mod answer;
mod asp_net;
mod authorization;
mod authorizer;
mod body;
pub mod checks;
mod client_token;
mod closing;
mod connections;
mod cors;
mod doors;
mod elsewhere;
mod forwarded;
mod head;
mod host;
mod http_2;
mod identity_provider;
mod negotiate;
mod network;
mod pages;
mod persistence;
mod query;
mod refresh;
mod refused;
mod rest;
mod route;
mod server;
mod service;
mod tokens;
mod told;
mod transport;
mod upgrade;
mod way;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, StatusCode};
use hubgate_core::NewServerConnection;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::delivery::CutOffs;
use crate::entrant::Entrant;
use crate::http_places::HttpPlace;
use crate::patience::{Patience, PatientStream};
use crate::slow::SlowReason;
use crate::tls::HttpSocket;
use crate::upgraded::UpgradedStream;
use crate::websocket;
use persistence::Rest;

pub(crate) use answer::{Answer, empty, events, refuse, text, with_type};
pub(crate) use authorization::bearer_token;
pub use client_token::check_claim_name;
pub(crate) use doors::name_in;
pub(crate) use elsewhere::serve as serve_tunnel;
pub(crate) use head::{check_host, host as asked_host};
pub(crate) use network::check as check_network;
pub(crate) use query::Query;
pub(crate) use refused::note_refusal;
pub(crate) use route::readiness;
pub(crate) use service::Service;

/// Serves one connection: requests until it ends or is upgraded, then the client or hub server on it.
pub(crate) async fn serve(service: Rc<Service>, stream: TcpStream, remote: SocketAddr, http_place: HttpPlace) {
    let open = service.connections().enter();
    // Boxed, so that nothing of HTTP stays in memory while the client lives.
    let served = Box::pin(async {
        let socket = secure(&service, stream).await?;
        match socket.is_http_2() {
            true => {
                http_2::serve(&service, socket, remote, &http_place).await;
                None
            }
            false => serve_http_1(service.clone(), socket, remote, &http_place).await,
        }
    });
    let served = tokio::select! {
        served = served => served,
        limit = http_place.lost() => {
            tracing::debug!(limit = limit.key(), "a connection gives way to another");
            service.shared().metrics.refused(limit.key());
            return;
        }
    };
    drop(open);
    match served {
        Some((stream, unread, Upgraded::Client(entrant))) => {
            drop(http_place);
            service.upgraded(stream, unread, *entrant).await;
        }
        Some((stream, unread, Upgraded::Server(server))) => {
            websocket::serve_server(service.shard().clone(), stream, unread, server, http_place.carry()).await;
        }
        None => {}
    }
}

/// The connection behind its TLS handshake, where TLS is configured.
async fn secure(service: &Service, stream: TcpStream) -> Option<HttpSocket> {
    let (tls, time, stream) = {
        let settings = service.shared().settings();
        (settings.tls.clone(), settings.timeouts.header, PatientStream::new(stream, settings.timeouts.write))
    };
    let Some(tls) = tls else {
        return Some(HttpSocket::Plain(stream));
    };
    let error = match tokio::time::timeout(time, TlsAcceptor::from(tls.0).accept(stream)).await {
        Ok(Ok(stream)) => {
            let mut socket = HttpSocket::Tls(Box::new(stream));
            if socket.is_of_acme() {
                // Nothing is asked by this protocol (RFC 8737, section 4).
                let _ = tokio::time::timeout(time, socket.shutdown()).await;
                return None;
            }
            return Some(socket);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it took longer than `server.timeouts.http-header` allows".to_owned(),
    };
    tracing::debug!(error, "a TLS handshake failed");
    service.shared().metrics.refused("tls");
    None
}

/// Whom a request has made of a connection.
#[derive(Debug)]
pub(crate) enum Upgraded {
    Client(Box<Entrant>),
    Server(NewServerConnection),
}

/// Where a request leaves whom it has made of its connection; it counts once the answer has been written.
pub(crate) type Upgrade = Rc<RefCell<Option<Upgraded>>>;

/// Answers requests; gives the stream of a connection that is upgraded, and what came right behind its request.
async fn serve_http_1(
    service: Rc<Service>,
    mut socket: HttpSocket,
    remote: SocketAddr,
    place: &HttpPlace,
) -> Option<(UpgradedStream, Vec<u8>, Upgraded)> {
    let (upgrade, cut_offs, was_asked) = (Upgrade::default(), CutOffs::default(), Cell::new(false));
    let patience = socket.patience();
    let rest = Rest::new(service.shared().settings().timeouts.header);
    let answering = service_fn(|mut request: Request<Incoming>| {
        was_asked.set(true);
        request.extensions_mut().insert(place.clone());
        let (service, upgrade, cut_offs) = (service.clone(), upgrade.clone(), cut_offs.clone());
        let (rest, is_last) = (rest.clone(), persistence::is_last(request.headers()));
        let patience = patience.clone();
        Box::pin(async move {
            let mut answer = route::route(&service, request, remote, &upgrade).await;
            if service.connections().are_ending() && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                answer.headers_mut().insert(CONNECTION, const { HeaderValue::from_static("close") });
            }
            rest.tell(is_last, answer.headers_mut());
            answer.body().on_connection(&cut_offs);
            answer.body_mut().be_watched_by(&patience);
            Ok::<_, Infallible>(answer)
        })
    });
    let settings = service.shared().settings().clone();
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.timeouts.header)
        .max_buf_size(settings.limits.headers)
        .max_headers(head::MAX_HEADERS)
        // Answers are small: one buffer is written with less ado than a list of two.
        .writev(false)
        .serve_connection(TokioIo::new(&mut socket), answering);
    drop(settings);
    let (mut end, mut is_ending) = (Box::pin(service.connections().end_has_begun()), false);
    let served = poll_fn(|cx| {
        is_ending = is_ending || end.as_mut().poll(cx).is_ready();
        // One on which nothing has come yet would be closed at once.
        if is_ending && was_asked.get() {
            Pin::new(&mut connection).graceful_shutdown();
        }
        connection.poll_without_shutdown(cx)
    });
    let served = tokio::select! {
        served = served => served,
        // Nothing can follow on this connection.
        () = cut_offs.any() => return None,
    };
    let served = served.map(|()| connection.into_parts().read_buf.to_vec());
    if let Err(error) = &served {
        count_broken_request(&service, error, &patience);
    }
    let Some(upgraded) = upgrade.take() else {
        // Who was silent for too long has had its time.
        if !patience.is_over() && !served.is_err_and(|error| error.is_timeout()) {
            closing::linger(&service, socket).await;
        }
        return None;
    };
    match served {
        Ok(unread) => Some((UpgradedStream::from(socket), unread, upgraded)),
        Err(error) => {
            tracing::debug!(%error, "a connection was lost while it was upgraded");
            None
        }
    }
}

/// Counts what the HTTP library refuses by itself, and peers that do not take their answers.
fn count_broken_request(service: &Service, error: &hyper::Error, patience: &Patience) {
    if patience.is_over() {
        return count_slow_peer(service);
    }
    let reason = if error.is_timeout() {
        "http-header"
    } else if error.is_parse_too_large() {
        "headers"
    } else if error.is_parse() {
        "malformed"
    } else {
        return;
    };
    tracing::debug!(%error, reason, "a request is refused");
    service.shared().metrics.refused(reason);
}

/// Counts a peer that does not take its answers.
fn count_slow_peer(service: &Service) {
    let reason = SlowReason::Write;
    tracing::debug!(limit = reason.key(), "a connection ends: its peer does not read its answer");
    service.shared().metrics.slow_peer(reason);
}
