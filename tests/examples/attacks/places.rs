//! Attacks on places: connections and file descriptors.

use std::io;
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use hubgate_tests::Gateway;
use hubgate_tests::gateway::Setup;
use hubgate_tests::http_2::{Connection, Window};
use hubgate_tests::tls;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::catalogue::Played;
use crate::peer;

/// `server.limits.http-connections` of the gateways that these attacks are played against: more than the default of one
/// address, so that this one counts where there is one.
const HTTP_CONNECTIONS: usize = 1_200;
/// How long the attackers hold on. A deadline of 10 seconds for a write without progress ends within it.
const SIEGE: Duration = Duration::from_secs(18);
/// How long one step of an attacker may take.
const STEP: Duration = Duration::from_secs(5);
const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";

pub(crate) fn with_few_places() -> Setup {
    Gateway::probe().with(&format!("server.limits.http-connections = {HTTP_CONNECTIONS}"))
}

pub(crate) fn with_few_places_and_tls() -> Setup {
    tls::secure(with_few_places())
}

/// As many connections as there are places send 5,000 requests each, as far as they are taken, and read
/// no answer.
pub(crate) async fn pipelined_requests_unread(gateway: &Gateway) -> Played {
    let end = Instant::now() + SIEGE;
    let requests = REQUEST.repeat(5_000);
    let held = join_all((0..HTTP_CONNECTIONS).map(async |_| {
        let mut stream = step(peer::connect(gateway.address())).await?;
        // The gateway stops reading when its answers are not read.
        let written = timeout(STEP, stream.write_all(&requests)).await;
        written.unwrap_or(Ok(())).map(|()| stream)
    }))
    .await;
    hold(held, end).await
}

/// As many connections of HTTP/2 as there are places wait for an answer that their window does not let come, and answer
/// pings.
pub(crate) async fn answers_with_a_closed_window(gateway: &Gateway) -> Played {
    let end = Instant::now() + SIEGE;
    let held = join_all((0..HTTP_CONNECTIONS).map(async |_| {
        let mut connection = step(Connection::open(gateway, Window::Closed)).await?;
        step(connection.request(Method::GET, "/healthz", "", "")).await
    }))
    .await;
    hold(held, end).await
}

/// As many connections as there are places ask for something every 8 seconds.
pub(crate) async fn a_request_now_and_then(gateway: &Gateway) -> Played {
    const PAUSE: Duration = Duration::from_secs(8);
    let end = Instant::now() + SIEGE;
    let held = join_all((0..HTTP_CONNECTIONS).map(async |_| {
        let mut stream = step(peer::connect(gateway.address())).await?;
        loop {
            step(ask(&mut stream)).await?;
            if Instant::now() + PAUSE > end {
                return Ok(stream);
            }
            sleep(PAUSE).await;
        }
    }))
    .await;
    hold(held, end).await
}

async fn ask(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(REQUEST).await?;
    let head = peer::head(stream).await?;
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or_default()];
    tokio::io::AsyncReadExt::read_exact(stream, &mut body).await.map(drop)
}

async fn step<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(STEP, step).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn hold<T>(attackers: Vec<io::Result<T>>, end: Instant) -> Played {
    sleep_until(end).await;
    let refused = attackers.iter().filter(|attacker| attacker.is_err()).count();
    Ok(format!("{} connections, {refused} of them refused", attackers.len()))
}

/// Little more than a gateway needs at rest.
pub(crate) fn with_few_descriptors() -> Setup {
    Gateway::probe().descriptors(128)
}

/// Connections take all file descriptors while `/metrics` is scraped.
pub(crate) async fn descriptors(gateway: &Gateway) -> Played {
    const CONNECTIONS: usize = 300;
    const SCRAPES: usize = 50;
    const PAUSE: Duration = Duration::from_millis(100);
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(step(peer::connect(gateway.address())).await?);
    }
    let mut answered = 0;
    for _ in 0..SCRAPES {
        answered += usize::from(timeout(PAUSE, scrape(gateway)).await.is_ok_and(|scraped| scraped.is_ok()));
        sleep(PAUSE).await;
    }
    Ok(format!("{answered} of {SCRAPES} scrapes answered within {PAUSE:?}"))
}

async fn scrape(gateway: &Gateway) -> io::Result<String> {
    let ready = gateway.ready();
    let mut stream = peer::connect(ready.admin).await?;
    let (host, token) = (ready.admin, &ready.admin_token);
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    peer::head(&mut stream).await
}
