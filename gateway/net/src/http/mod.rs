//! HTTP on the clients' listener: which path is what, and the way from a request to a WebSocket.

mod answer;
mod cors;
mod negotiate;
mod pages;
mod query;
mod route;
mod upgrade;

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;

use hubgate_core::NewClient;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use crate::shard::ShardThread;

pub(crate) use answer::{Answer, Refusal, text, with_type};

/// The longest request head, in bytes: the service allows 12 KiB of URL and 16 KiB of headers.
const LONGEST_HEAD: usize = 32 * 1024;
/// Headers of one request, in number.
const MOST_HEADERS: usize = 100;

/// Serves one connection: requests until it ends or is upgraded, then the client on it.
pub(crate) async fn serve(shard: Rc<ShardThread>, stream: TcpStream, remote: SocketAddr) {
    drop(stream.set_nodelay(true));
    // Boxed, so that nothing of HTTP stays in memory while the client lives.
    if let Some((stream, unread, client)) = Box::pin(serve_http(shard.clone(), stream, remote)).await {
        shard.upgraded(stream, unread, client).await;
    }
}

/// A client that a request made, once its answer has been written.
pub(crate) type Upgrade = Rc<RefCell<Option<NewClient>>>;

async fn serve_http(
    shard: Rc<ShardThread>,
    stream: TcpStream,
    remote: SocketAddr,
) -> Option<(TcpStream, Vec<u8>, NewClient)> {
    let upgrade = Upgrade::default();
    let service = service_fn(|request| {
        let (shard, upgrade) = (shard.clone(), upgrade.clone());
        async move { Ok::<_, Infallible>(route::route(&shard, request, remote, &upgrade).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shard.shared.settings.http_header_timeout)
        .max_buf_size(LONGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let served = connection.without_shutdown().await;
    let client = upgrade.take()?;
    match served {
        Ok(parts) => Some((parts.io.into_inner(), parts.read_buf.to_vec(), client)),
        Err(error) => {
            tracing::debug!(%error, "a client was lost while it was upgraded");
            shard.upgrade_failed(&client);
            None
        }
    }
}
