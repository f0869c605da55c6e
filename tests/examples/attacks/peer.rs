//! A peer that does what well-behaved libraries refuse to do: TCP, HTTP/1.1 and WebSocket frames by hand.

use std::io;
use std::net::SocketAddr;

use http::Method;
use hubgate_tests::Gateway;
use hubgate_tests::client::{HANDSHAKE, SEPARATOR};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// The receive buffer of a peer that does not read, in bytes: the kernel shall not take what is meant for the gateway.
const SMALL_BUFFER: u32 = 4096;
/// An answer's head that is longer is nonsense.
const MAX_HEAD: usize = 64 * 1024;

/// A connection that takes next to nothing unless it reads.
pub(crate) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(SMALL_BUFFER)?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The path of a client's requests that a hub without a token lets in, its token included.
pub(crate) async fn anonymous_path(gateway: &Gateway, hub: &str) -> String {
    let answer = gateway.post(&format!("/hubs/{hub}/negotiate")).await.json();
    let token = answer["accessToken"].as_str().expect("an open hub gives everybody a token");
    format!("/client/?hub={hub}&access_token={token}")
}

/// The same for a client with a token of its own.
pub(crate) fn path(gateway: &Gateway, hub: &str) -> String {
    format!("/client/?hub={hub}&access_token={}", gateway.token(hub).sign())
}

/// A WebSocket, behind its upgrade.
pub(crate) async fn upgrade(address: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = connect(address).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let head = head(&mut stream).await?;
    match head.starts_with("HTTP/1.1 101 ") {
        true => Ok(stream),
        false => Err(io::Error::other(format!("the gateway refuses a WebSocket: {head}"))),
    }
}

/// A client of a hub, behind its handshake.
pub(crate) async fn client(address: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = upgrade(address, path).await?;
    stream.write_all(&text_frame(HANDSHAKE)).await?;
    // A header of two bytes, then `{}` and the separator.
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await?;
    Ok(stream)
}

/// The head of the next answer.
pub(crate) async fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_HEAD {
            return Err(io::Error::other("the head of an answer does not end"));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// A masked text frame.
pub(crate) fn text_frame(text: &str) -> Vec<u8> {
    frame(1, text.as_bytes())
}

/// A frame with `opcode`, masked with zeros.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    const FINAL: u8 = 0x80;
    const MASKED: u8 = 0x80;
    let mut frame = vec![FINAL | opcode];
    match payload.len() {
        short @ 0..=125 => frame.push(MASKED | short as u8),
        medium @ 126..=0xffff => {
            frame.push(MASKED | 126);
            frame.extend((medium as u16).to_be_bytes());
        }
        long => {
            frame.push(MASKED | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// A call that wants no answer.
pub(crate) fn notification(method: &str, arguments: Value) -> String {
    format!("{}{SEPARATOR}", json!({ "type": 1, "target": method, "arguments": arguments }))
}

/// A call that wants one.
pub(crate) fn call(method: &str, arguments: Value) -> String {
    format!("{}{SEPARATOR}", json!({ "type": 1, "invocationId": "1", "target": method, "arguments": arguments }))
}

/// A client on long polling, or the beginning of one: negotiated, not polled yet.
pub(crate) struct Poller<'g> {
    gateway: &'g Gateway,
    token: String,
    path: String,
}

impl<'g> Poller<'g> {
    pub(crate) async fn negotiated(gateway: &'g Gateway, hub: &str) -> Poller<'g> {
        let token = gateway.token(hub).sign();
        let negotiate = gateway.request(Method::POST, &format!("/client/negotiate?hub={hub}&negotiateVersion=1"));
        let answer = negotiate.bearer(&token).send().await.json();
        let id = answer["connectionToken"].as_str().expect("version 1 has a token");
        let path = format!("/client/?hub={hub}&id={id}");
        Poller { gateway, token, path }
    }

    /// A client whose handshake is answered.
    pub(crate) async fn connected(gateway: &'g Gateway, hub: &str) -> Poller<'g> {
        let poller = Poller::negotiated(gateway, hub).await;
        poller.poll().await;
        poller.post(HANDSHAKE.to_owned()).await;
        poller.poll().await;
        poller
    }

    pub(crate) async fn poll(&self) -> u16 {
        self.gateway.request(Method::GET, &self.path).bearer(&self.token).send().await.status
    }

    pub(crate) async fn post(&self, text: String) -> u16 {
        let request = self.gateway.request(Method::POST, &self.path).bearer(&self.token);
        request.body("text/plain;charset=UTF-8", text).send().await.status
    }

    /// Leaves.
    pub(crate) async fn delete(&self) -> u16 {
        self.gateway.request(Method::DELETE, &self.path).bearer(&self.token).send().await.status
    }

    /// A POST by hand: everything is sent, and the answer is not waited for.
    pub(crate) async fn post_and_go_on(&self, body: &[u8]) -> io::Result<TcpStream> {
        let (address, path, token) = (self.gateway.address(), &self.path, &self.token);
        let mut stream = connect(address).await?;
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             content-type: text/plain;charset=UTF-8\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await?;
        Ok(stream)
    }
}
