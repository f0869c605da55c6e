//! The floor: the least that a server could do. One thread, one epoll, no state but the sockets; it looks for what it
//! needs in a message without understanding it, frames an answer once and sends it to each socket.
//!
//! It shares no code with the gateway: a yardstick may not become shorter with what it measures.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Result;
use memchr::memmem;

use crate::arguments::{FloorArguments, FloorKind};
use crate::epoll::Epoll;
use crate::frame;

const LISTENER: usize = usize::MAX;
const STANDARD_INPUT: usize = usize::MAX - 1;
const UPGRADE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// What a request begins with that sends to a user; the user's number comes next.
const SEND: &[u8] = b"POST /api/users/";
const NEGOTIATED: &str = r#"{"negotiateVersion":1,"connectionId":"floor","connectionToken":"floor","availableTransports":
[{"transport":"WebSockets","transferFormats":["Text"]}]}"#;

/// Serves until it is killed, or until standard input ends if it is attached.
pub(crate) fn serve(arguments: &FloorArguments) -> Result<()> {
    let domain = socket2::Domain::for_address(arguments.listen);
    let listener = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    listener.set_reuse_address(true)?;
    listener.bind(&arguments.listen.into())?;
    listener.listen(4096)?;
    let listener: TcpListener = listener.into();
    let epoll = Epoll::new()?;
    epoll.add(&listener, LISTENER)?;
    if arguments.attached {
        epoll.add(&io::stdin(), STANDARD_INPUT)?;
    }
    println!("{}", listener.local_addr()?);
    let mut server = Server {
        kind: arguments.kind,
        said: format!("{{\"type\":1,\"target\":\"{}\",\"arguments\":[", arguments.says).into_bytes(),
        peers: Vec::new(),
        free: Vec::new(),
        users: Vec::new(),
        buffer: vec![0; 256 * 1024],
        payload: Vec::new(),
        frame: Vec::new(),
    };
    let mut ready = Vec::new();
    loop {
        epoll.wait(Duration::from_secs(3600), &mut ready)?;
        for token in &ready {
            match *token {
                LISTENER => server.accept(&listener, &epoll)?,
                STANDARD_INPUT => return Ok(()),
                token => server.read(token),
            }
        }
        if server.kind == FloorKind::Coalescing {
            server.flush();
        }
    }
}

struct Peer {
    stream: TcpStream,
    is_upgraded: bool,
    unread: Vec<u8>,
    pending: Vec<u8>,
}

struct Server {
    kind: FloorKind,
    /// What a message to all begins with.
    said: Vec<u8>,
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    /// Who is where, for sends to users.
    users: Vec<usize>,
    buffer: Vec<u8>,
    payload: Vec<u8>,
    frame: Vec<u8>,
}

impl Server {
    fn accept(&mut self, listener: &TcpListener, epoll: &Epoll) -> io::Result<()> {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let token = self.free.pop().unwrap_or_else(|| {
            self.peers.push(None);
            self.peers.len() - 1
        });
        epoll.add(&stream, token)?;
        self.peers[token] = Some(Peer { stream, is_upgraded: false, unread: Vec::new(), pending: Vec::new() });
        Ok(())
    }

    fn read(&mut self, token: usize) {
        let Some(peer) = &mut self.peers[token] else {
            return;
        };
        let (is_upgraded, mut unread) = (peer.is_upgraded, std::mem::take(&mut peer.unread));
        let count = match peer.stream.read(&mut self.buffer) {
            Ok(0) | Err(_) => return self.forget(token),
            Ok(count) => count,
        };
        if !is_upgraded {
            unread.extend_from_slice(&self.buffer[..count]);
            return self.request(token, unread);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        if unread.is_empty() {
            let done = self.frames(token, &mut buffer[..count]);
            unread.extend_from_slice(&buffer[done..count]);
        } else {
            unread.extend_from_slice(&buffer[..count]);
            let done = self.frames(token, &mut unread);
            unread.drain(..done);
        }
        self.buffer = buffer;
        if let Some(peer) = &mut self.peers[token] {
            peer.unread = unread;
        }
    }

    fn forget(&mut self, token: usize) {
        self.peers[token] = None;
        self.free.push(token);
    }

    /// Lets anybody in; the load does not check the key that it is answered.
    fn request(&mut self, token: usize, head: Vec<u8>) {
        let Some(peer) = &mut self.peers[token] else {
            return;
        };
        if head.starts_with(SEND) {
            return self.sends(token, head);
        }
        if !head.ends_with(b"\r\n\r\n") {
            peer.unread = head;
        } else if head.starts_with(b"POST ") {
            let (length, body) = (NEGOTIATED.len(), NEGOTIATED);
            drop(write!(peer.stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"));
            self.forget(token);
        } else {
            peer.is_upgraded = true;
            drop(peer.stream.write_all(UPGRADE));
            if let Some(user) = memmem::find(&head, b"?user=").and_then(|at| number(&head[at + 6..])) {
                self.users.resize(self.users.len().max(user + 1), usize::MAX);
                self.users[user] = token;
            }
        }
    }

    /// Sends what applications post to users, whole requests as they come.
    fn sends(&mut self, token: usize, mut requests: Vec<u8>) {
        const LENGTH: &[u8] = b"Content-Length: ";
        let mut done = 0;
        while let Some(head) = memmem::find(&requests[done..], b"\r\n\r\n") {
            let (start, body) = (done, done + head + 4);
            let head = &requests[start..body];
            let length = memmem::find(head, LENGTH).and_then(|at| number(&head[at + LENGTH.len()..]));
            let Some(message) = requests.get(body..body + length.unwrap_or_default()) else {
                break;
            };
            let user = number(&head[SEND.len().min(head.len())..]).and_then(|user| self.users.get(user).copied());
            done = body + message.len();
            if let (Some(user), Some(arguments)) = (user, arguments(message)) {
                self.payload.clear();
                self.payload.extend_from_slice(&self.said);
                self.payload.extend_from_slice(arguments);
                self.payload.extend_from_slice(b"]}\x1e");
                self.send(user, frame::TEXT);
            }
            if let Some(peer) = &mut self.peers[token] {
                peer.send(self.kind, b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
            }
        }
        requests.drain(..done);
        if let Some(peer) = &mut self.peers[token] {
            peer.unread = requests;
        }
    }

    /// Answers all whole frames and gives their length.
    fn frames(&mut self, token: usize, input: &mut [u8]) -> usize {
        let mut done = 0;
        while let Ok(Some(frame)) = frame::first(&mut input[done..]) {
            done += frame.length;
            match frame.opcode {
                frame::CLOSE => {
                    self.payload.clear();
                    self.send(token, frame::CLOSE);
                    self.flush();
                    self.forget(token);
                    break;
                }
                _ => {
                    let messages = frame.payload.split(|byte| *byte == frame::SEPARATOR);
                    messages.for_each(|message| self.message(token, message));
                }
            }
        }
        done
    }

    fn message(&mut self, token: usize, message: &[u8]) {
        self.payload.clear();
        if message.starts_with(b"{\"protocol\"") {
            self.payload.extend_from_slice(b"{}\x1e");
            return self.send(token, frame::TEXT);
        }
        let Some(arguments) = arguments(message) else {
            return;
        };
        match memmem::find(message, b"\"invocationId\":\"").map(|at| &message[at + 16..]) {
            Some(id) => {
                let id = &id[..memchr::memchr(b'"', id).unwrap_or(0)];
                self.payload.extend_from_slice(b"{\"type\":3,\"invocationId\":\"");
                self.payload.extend_from_slice(id);
                self.payload.extend_from_slice(b"\",\"result\":");
                self.payload.extend_from_slice(arguments);
                self.payload.extend_from_slice(b"}\x1e");
                self.send(token, frame::TEXT);
            }
            None => {
                // Whatever comes before the text, as a group's name does, is not for the receivers.
                let text = memmem::rfind(arguments, b",\"").map_or(0, |at| at + 1);
                self.payload.extend_from_slice(&self.said);
                self.payload.extend_from_slice(&arguments[text..]);
                self.payload.extend_from_slice(b"]}\x1e");
                self.send_to_all();
            }
        }
    }

    fn send(&mut self, token: usize, opcode: u8) {
        self.frame.clear();
        frame::push(frame::From::Server, opcode, &self.payload, &mut self.frame);
        if let Some(peer) = &mut self.peers[token] {
            peer.send(self.kind, &self.frame);
        }
    }

    fn send_to_all(&mut self) {
        self.frame.clear();
        frame::push(frame::From::Server, frame::TEXT, &self.payload, &mut self.frame);
        for peer in self.peers.iter_mut().flatten().filter(|peer| peer.is_upgraded) {
            peer.send(self.kind, &self.frame);
        }
    }

    fn flush(&mut self) {
        for peer in self.peers.iter_mut().flatten().filter(|peer| !peer.pending.is_empty()) {
            drop(peer.stream.write_all(&peer.pending));
            peer.pending.clear();
        }
    }
}

/// What stands between the brackets of a message's arguments.
fn arguments(message: &[u8]) -> Option<&[u8]> {
    let start = memmem::find(message, b"\"arguments\":[")? + 13;
    message.get(start..memchr::memrchr(b']', message)?)
}

/// The number that a text begins with.
fn number(text: &[u8]) -> Option<usize> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

impl Peer {
    fn send(&mut self, kind: FloorKind, frame: &[u8]) {
        match kind {
            // A receiver that reads too slowly blocks the floor: it has no queues.
            FloorKind::Plain => drop(self.stream.write_all(frame)),
            FloorKind::Coalescing => self.pending.extend_from_slice(frame),
        }
    }
}
