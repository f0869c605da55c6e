//! Attacks on what waits for a client: control frames, polls, bodies of requests.

use std::time::{Duration, Instant};

use http::Method;
use hubgate_tests::Gateway;
use hubgate_tests::gateway::Setup;
use hubgate_tests::http_2::{Connection, Window};
use hubgate_tests::tls;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::catalogue::Played;
use crate::peer::{self, Poller};
use crate::{bystander, plugins, upstream};

/// How long a peer tries to send what the gateway does not take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A client sends pings without a payload for 8 seconds, up to 6 million of them, and reads no pong. It has no token, and has
/// not shaken hands yet.
pub(crate) async fn pings_before_handshake(gateway: &Gateway) -> Played {
    let path = peer::anonymous_path(gateway, bystander::HUB).await;
    ping(peer::upgrade(gateway.address(), &path).await?).await
}

/// The same behind the handshake.
pub(crate) async fn pings(gateway: &Gateway) -> Played {
    let path = peer::anonymous_path(gateway, bystander::HUB).await;
    ping(peer::client(gateway.address(), &path).await?).await
}

async fn ping(mut stream: tokio::net::TcpStream) -> Played {
    const PINGS: usize = 6_000_000;
    const TIME: Duration = Duration::from_secs(8);
    const PINGS_PER_WRITE: usize = 10_000;
    let pings = peer::frame(9, b"").repeat(PINGS_PER_WRITE);
    let began = Instant::now();
    let mut sent = 0;
    while sent < PINGS && began.elapsed() < TIME {
        match timeout(PATIENCE, stream.write_all(&pings)).await {
            Ok(Ok(())) => sent += PINGS_PER_WRITE,
            Ok(Err(error)) => return Ok(format!("{sent} pings sent, then: {error}")),
            Err(_) => return Ok(format!("{sent} pings sent, then the gateway reads no more")),
        }
    }
    Ok(format!("{sent} pings sent"))
}

/// TLS, so that clients may choose HTTP/2.
pub(crate) fn secure() -> Setup {
    tls::secure(Gateway::probe().with("hubs.bare.mode = 'serverless'"))
}

/// Ten clients poll on one connection of HTTP/2 whose window is closed; 7 MB are sent to each of them before each poll.
pub(crate) async fn polls_with_a_closed_window(gateway: &Gateway) -> Played {
    const CLIENTS: usize = 10;
    const ROUNDS: usize = 10;
    const SENDS_PER_ROUND: usize = 7;
    let path = "/api/hubs/bare/:send";
    let authority = format!("https://{}", gateway.address());
    let sender_token = gateway.token("bare").audience(&format!("{authority}{path}")).sign();
    let message = json!({ "target": "said", "arguments": ["x".repeat(1_000_000)] }).to_string();
    let mut open = Connection::open(gateway, Window::Usual).await?;
    let mut closed = Connection::open(gateway, Window::Closed).await?;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let token = gateway.token("bare").audience(&format!("{authority}/client/?hub=bare"));
        let token = token.claim("n", number).sign();
        let negotiated =
            open.succeed(Method::POST, "/client/negotiate?hub=bare&negotiateVersion=1", &token, "").await?;
        let negotiated: serde_json::Value = serde_json::from_slice(&negotiated)?;
        let id = negotiated["connectionToken"].as_str().ok_or("version 1 has a token")?;
        let path = format!("/client/?hub=bare&id={id}");
        open.succeed(Method::GET, &path, &token, "").await?;
        open.succeed(Method::POST, &path, &token, hubgate_tests::client::HANDSHAKE).await?;
        open.succeed(Method::GET, &path, &token, "").await?;
        clients.push((path, token));
    }
    let mut unread = Vec::new();
    let mut refused = 0;
    for _ in 0..ROUNDS {
        for _ in 0..SENDS_PER_ROUND {
            open.succeed(Method::POST, path, &sender_token, message.clone()).await?;
        }
        for (path, token) in &clients {
            match timeout(PATIENCE, closed.request(Method::GET, path, token, "")).await {
                Ok(Ok(answer)) if answer.status() == 200 => unread.push(answer),
                Ok(_) => refused += 1,
                Err(_) => return Ok(format!("{} polls answered, then none for {PATIENCE:?}", unread.len())),
            }
        }
    }
    Ok(format!("{} polls answered and not read, {refused} refused", unread.len()))
}

/// Two clients on long polling do not poll while they are sent 280,000 messages of a few bytes each.
pub(crate) async fn small_messages_without_polls(gateway: &Gateway) -> Played {
    const CLIENTS: usize = 2;
    const CALLS: usize = 56;
    const MESSAGES_PER_CALL: usize = 5_000;
    let mut pollers = Vec::new();
    for _ in 0..CLIENTS {
        let poller = Poller::connected(gateway, plugins::HUB).await;
        for _ in 0..CALLS {
            poller.post(peer::notification("send", json!([MESSAGES_PER_CALL]))).await;
        }
        pollers.push(poller);
    }
    // The calls are made one by one after the POSTs that brought them were answered.
    tokio::time::sleep(PATIENCE).await;
    Ok(format!("{} messages sent to {CLIENTS} clients", CLIENTS * CALLS * MESSAGES_PER_CALL))
}

/// A hub whose upstream does not answer.
pub(crate) fn with_a_silent_upstream() -> Setup {
    Gateway::probe().with(&upstream::config())
}

/// A client that is not read, because its calls wait, is sent 280 POSTs of 1 MiB.
pub(crate) async fn posts_to_a_paused_client(gateway: &Gateway) -> Played {
    const POSTS: usize = 280;
    const BODY: usize = 1 << 20;
    let poller = Poller::connected(gateway, upstream::HUB).await;
    let filler = "x".repeat(BODY - peer::notification("m", json!([""])).len());
    let body = peer::notification("m", json!([filler]));
    let mut posts = Vec::new();
    let mut stuck = 0;
    for _ in 0..POSTS {
        match timeout(PATIENCE / 3, poller.post_and_go_on(body.as_bytes())).await {
            Ok(Ok(post)) => posts.push(post),
            Ok(Err(_)) | Err(_) => stuck += 1,
        }
        if stuck > 10 {
            break;
        }
    }
    tokio::time::sleep(PATIENCE).await;
    Ok(format!("{} POSTs sent whole, {stuck} not taken", posts.len()))
}
