//! Attacks on what a hub remembers: calls of clients that have left, memberships, names; and a burst that ends.

use std::io;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::header::HOST;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hubgate_tests::Gateway;
use hubgate_tests::gateway::Setup;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::catalogue::Played;
use crate::peer::Poller;
use crate::{bystander, peer, upstream};

/// How long one step of an attacker may take.
const STEP: Duration = Duration::from_secs(5);
/// How long requests are sent that come one after the other.
const TIME: Duration = Duration::from_secs(20);
/// Attackers at once, where each has many connections or requests.
const AT_ONCE: usize = 8;

/// A hub whose upstream does not answer, and room for five clients.
pub(crate) fn with_a_silent_upstream_and_few_clients() -> Setup {
    Gateway::probe().with(&upstream::config()).with("server.limits.connections = 5")
}

/// 400 clients, one after the other, make almost 1 MiB of calls each, and leave.
pub(crate) async fn calls_of_the_departed(gateway: &Gateway) -> Played {
    const CLIENTS: usize = 400;
    const CALLS: usize = 15;
    let path = peer::path(gateway, upstream::HUB);
    let calls = peer::text_frame(&peer::notification("m", json!(["x".repeat(64 << 10)]))).repeat(CALLS);
    let (mut left, mut refused) = (0, 0);
    let began = Instant::now();
    while left + refused < CLIENTS && began.elapsed() < TIME {
        let visit = async {
            let mut stream = peer::client(gateway.address(), &path).await?;
            stream.write_all(&calls).await?;
            leave(&mut stream).await
        };
        match timeout(STEP, visit).await {
            Ok(Ok(())) => left += 1,
            Ok(Err(_)) | Err(_) => refused += 1,
        }
    }
    Ok(format!("{left} clients have left, {refused} were refused"))
}

/// Says goodbye, and waits until the gateway has read all that came before it.
async fn leave(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(&peer::frame(8, b"")).await?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.map(drop)
}

pub(crate) fn with_a_bare_hub() -> Setup {
    Gateway::probe().with("hubs.bare.mode = 'serverless'")
}

/// A REST caller adds 60,000 invented users to a group for one second.
pub(crate) async fn memberships_with_an_end(gateway: &Gateway) -> Played {
    const USERS: usize = 60_000;
    let began = Instant::now();
    let added = join_all((0..AT_ONCE).map(async |part| {
        let mut connection = http_1(gateway).await?;
        let mut added = 0;
        for user in (part..USERS).step_by(AT_ONCE) {
            if began.elapsed() > TIME {
                break;
            }
            let path = format!("/api/hubs/bare/users/invented-{user}/groups/g");
            let token = gateway.token("bare").audience(&format!("{}{path}", gateway.url())).sign();
            let request = request(gateway, Method::PUT, &format!("{path}?ttl=1"), Some(&token))?;
            added += usize::from(exchange(&mut connection, request).await?.0 == 200);
        }
        Ok::<_, io::Error>(added)
    }))
    .await;
    let added: usize = added.into_iter().sum::<io::Result<usize>>()?;
    Ok(format!("{added} memberships of 1 s"))
}

/// Hubs that the configuration does not name are open to anybody.
pub(crate) fn with_open_hubs() -> Setup {
    Gateway::probe().with("hubs.'*' = { mode = 'serverless', negotiate = { anonymous = true } }")
}

/// Clients invent 16,000 hub names.
pub(crate) async fn hub_names(gateway: &Gateway) -> Played {
    const HUBS: usize = 16_000;
    let began = Instant::now();
    let visited = join_all((0..AT_ONCE).map(async |part| {
        let mut connection = http_1(gateway).await?;
        let mut visited = 0;
        for hub in (part..HUBS).step_by(AT_ONCE) {
            if began.elapsed() > TIME {
                break;
            }
            let negotiate = request(gateway, Method::POST, &format!("/hubs/invented_{hub}/negotiate"), None)?;
            let (status, answer) = exchange(&mut connection, negotiate).await?;
            if status != 200 {
                return Err(io::Error::other(format!("{status}: {}", String::from_utf8_lossy(&answer))));
            }
            let answer: serde_json::Value = serde_json::from_slice(&answer)?;
            let token = answer["accessToken"].as_str().unwrap_or_default();
            let path = format!("/client/?hub=invented_{hub}&access_token={token}");
            let stream = peer::client(gateway.address(), &path).await?;
            // A reset: so many connections that wait for their end would use up this machine's ports.
            stream.set_zero_linger()?;
            visited += 1;
        }
        Ok::<_, io::Error>(visited)
    }))
    .await;
    let visited: usize = visited.into_iter().sum::<io::Result<usize>>()?;
    Ok(format!("{visited} hubs visited"))
}

/// 50 clients on long polling make 4 MB of calls each, do not poll for the answers, and leave together.
pub(crate) async fn burst(gateway: &Gateway) -> Played {
    const CLIENTS: usize = 50;
    const POSTS: usize = 5;
    const CALLS_PER_POST: usize = 200;
    const CALL: usize = 4_000;
    let calls = peer::call("echo", json!(["x".repeat(CALL)])).repeat(CALLS_PER_POST);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let client = Poller::connected(gateway, bystander::HUB).await;
        for _ in 0..POSTS {
            client.post(calls.clone()).await;
        }
        clients.push(client);
    }
    // The last calls are made after the POSTs that brought them were answered.
    tokio::time::sleep(STEP / 5).await;
    for client in &clients {
        client.delete().await;
    }
    Ok(format!("{CLIENTS} clients at once, {} MB of answers", CLIENTS * POSTS * CALLS_PER_POST * CALL / 1_000_000))
}

async fn http_1(gateway: &Gateway) -> io::Result<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(gateway.address()).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // How it ends shows in the requests.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

fn request(gateway: &Gateway, method: Method, path: &str, token: Option<&str>) -> io::Result<Request<Empty<Bytes>>> {
    let request = Request::builder().method(method).uri(path).header(HOST, gateway.address().to_string());
    let request = match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    request.header("content-length", "0").body(Empty::new()).map_err(io::Error::other)
}

async fn exchange(
    connection: &mut SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
) -> io::Result<(u16, Bytes)> {
    connection.ready().await.map_err(io::Error::other)?;
    let answer = connection.send_request(request).await.map_err(io::Error::other)?;
    let status = answer.status().as_u16();
    Ok((status, answer.into_body().collect().await.map_err(io::Error::other)?.to_bytes()))
}
