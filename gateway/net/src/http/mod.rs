//! HTTP on the clients' listener: which path is what, and the way from a request to a WebSocket.

mod answer;
mod body;
mod cors;
mod forwarded;
mod http_2;
mod negotiate;
mod pages;
mod query;
mod rest;
mod route;
mod tokens;
mod transport;

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;

use hubgate_core::NewClient;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::admission::{ClientPlace, HttpPlace};
use crate::shard::ShardThread;
use crate::tls::{ClientStream, HttpSocket};

pub(crate) use answer::{Answer, Refusal, text, with_type};
pub(crate) use tokens::VerifiedTokens;

/// Headers of one request, in number.
const MOST_HEADERS: usize = 100;

/// Serves one connection: requests until it ends or is upgraded, then the client on it.
pub(crate) async fn serve(shard: Rc<ShardThread>, stream: TcpStream, remote: SocketAddr, http_place: HttpPlace) {
    drop(stream.set_nodelay(true));
    // Boxed, so that nothing of HTTP stays in memory while the client lives.
    let served = Box::pin(async {
        let socket = secure(&shard, stream).await?;
        match socket.is_http_2() {
            true => {
                http_2::serve(&shard, socket, remote).await;
                None
            }
            false => serve_http_1(shard.clone(), socket, remote).await,
        }
    });
    if let Some((stream, unread, client, place)) = served.await {
        drop(http_place);
        shard.upgraded(stream, unread, client, place).await;
    }
}

/// The connection behind its TLS handshake, where TLS is configured.
async fn secure(shard: &ShardThread, stream: TcpStream) -> Option<HttpSocket> {
    let (tls, time) = {
        let settings = shard.shared.settings();
        (settings.tls.clone(), settings.timeouts.header)
    };
    let Some(tls) = tls else {
        return Some(HttpSocket::Plain(stream));
    };
    let error = match tokio::time::timeout(time, TlsAcceptor::from(tls.0).accept(stream)).await {
        Ok(Ok(stream)) => return Some(HttpSocket::Tls(Box::new(stream))),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it took longer than `server.timeouts.http-header` allows".to_owned(),
    };
    tracing::debug!(error, "a TLS handshake failed");
    shard.shared.metrics.refused("tls");
    None
}

/// A client that a request made, once its answer has been written, and its place.
pub(crate) type Upgrade = Rc<RefCell<Option<(NewClient, ClientPlace)>>>;

/// A client's connection, what came right behind its request, the client, and its place.
type Upgraded = (ClientStream, Vec<u8>, NewClient, ClientPlace);

async fn serve_http_1(shard: Rc<ShardThread>, socket: HttpSocket, remote: SocketAddr) -> Option<Upgraded> {
    let upgrade = Upgrade::default();
    let service = service_fn(|request| {
        let (shard, upgrade) = (shard.clone(), upgrade.clone());
        async move { Ok::<_, Infallible>(route::route(&shard, request, remote, &upgrade).await) }
    });
    let settings = shard.shared.settings().clone();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.timeouts.header)
        .max_buf_size(settings.limits.headers)
        .max_headers(MOST_HEADERS)
        // Answers are small: one buffer is written with less ado than a list of two.
        .writev(false)
        .serve_connection(TokioIo::new(socket), service);
    drop(settings);
    let served = connection.without_shutdown().await;
    if let Err(error) = &served {
        count_broken_request(&shard, error);
    }
    let (client, place) = upgrade.take()?;
    let stream = served.map_err(|error| error.to_string()).and_then(|parts| {
        match ClientStream::try_from(parts.io.into_inner()) {
            Ok(stream) => Ok((stream, parts.read_buf.to_vec())),
            Err(error) => Err(error.to_string()),
        }
    });
    match stream {
        Ok((stream, unread)) => Some((stream, unread, client, place)),
        Err(error) => {
            tracing::debug!(error, "a client was lost while it was upgraded");
            shard.upgrade_failed(&client);
            None
        }
    }
}

/// Counts what the HTTP library refuses by itself.
fn count_broken_request(shard: &ShardThread, error: &hyper::Error) {
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
    shard.shared.metrics.refused(reason);
}
