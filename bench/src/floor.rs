//! The floor: the least that a server could do. One thread, one epoll, no state but the sockets; it frames a message
//! once and sends it to each socket.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Result;
use hubgate_wire::signalr::framing::split_message;
use hubgate_wire::signalr::{HubMessage, handshake, json};
use hubgate_wire::websocket::{DataKind, Decoder, Event, Frame};

use crate::FloorKind;
use crate::epoll::Epoll;

const LISTENER: usize = usize::MAX;

struct Peer {
    stream: TcpStream,
    decoder: Decoder,
    is_upgraded: bool,
    unread: Vec<u8>,
    pending: Vec<u8>,
}

/// Serves until it is killed.
pub(crate) fn serve(kind: FloorKind, listen: SocketAddr) -> Result<()> {
    let listener = socket2::Socket::new(socket2::Domain::for_address(listen), socket2::Type::STREAM, None)?;
    listener.set_reuse_address(true)?;
    listener.bind(&listen.into())?;
    listener.listen(4096)?;
    let listener: TcpListener = listener.into();
    let epoll = Epoll::new()?;
    epoll.add(&listener, LISTENER)?;
    let mut server = Server { kind, peers: Vec::new(), free: Vec::new(), buffer: vec![0; 256 * 1024] };
    let mut ready = Vec::new();
    loop {
        epoll.wait(Duration::from_secs(3600), &mut ready)?;
        for token in &ready {
            match *token {
                LISTENER => server.accept(&listener, &epoll)?,
                token => server.read(token),
            }
        }
        if kind == FloorKind::Coalescing {
            server.flush();
        }
    }
}

struct Server {
    kind: FloorKind,
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
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
        let decoder = Decoder::new(1 << 24);
        self.peers[token] = Some(Peer { stream, decoder, is_upgraded: false, unread: Vec::new(), pending: Vec::new() });
        Ok(())
    }

    fn read(&mut self, token: usize) {
        let Some(mut peer) = self.peers[token].take() else {
            return;
        };
        match peer.stream.read(&mut self.buffer) {
            Ok(0) | Err(_) => return self.free.push(token),
            Ok(count) if !peer.is_upgraded => peer.upgrade(&self.buffer[..count]),
            Ok(count) => {
                let mut buffer = std::mem::take(&mut self.buffer);
                let mut input = &mut buffer[..count];
                let mut messages = Vec::new();
                while let Ok(Some(event)) = peer.decoder.decode(&mut input) {
                    match event {
                        Event::Data { bytes, .. } => peer.unread.extend_from_slice(bytes),
                        Event::Close(_) => {
                            drop(peer.stream.write_all(Frame::close(1000).as_bytes()));
                            self.buffer = buffer;
                            return self.free.push(token);
                        }
                        Event::Ping(_) | Event::Pong => {}
                    }
                }
                let unread = std::mem::take(&mut peer.unread);
                let mut rest = &unread[..];
                while let Some(message) = split_message(&mut rest) {
                    messages.push(message);
                }
                peer.unread = rest.to_vec();
                self.peers[token] = Some(peer);
                for message in messages {
                    self.message(token, message);
                }
                self.buffer = buffer;
                return;
            }
        }
        self.peers[token] = Some(peer);
    }

    fn message(&mut self, token: usize, message: &[u8]) {
        if message.starts_with(b"{\"protocol\"") {
            return self.send(token, &text(|out| out.extend_from_slice(handshake::ACCEPTED)));
        }
        let Ok(HubMessage::Invocation(call)) = json::parse(message) else {
            return;
        };
        match &call.invocation_id {
            Some(id) => {
                let arguments = call.arguments.get();
                let result = &arguments[1..arguments.len() - 1];
                let result = if result.is_empty() { None } else { Some(result) };
                self.send(token, &text(|out| json::write_result(id, result, out)));
            }
            None => {
                let argument = call.arguments.get().rsplit_once(",\"").map(|(_, last)| format!("[\"{last}"));
                let arguments = argument.as_deref().unwrap_or(call.arguments.get());
                let frame = text(|out| json::write_send("said", arguments, out));
                for token in 0..self.peers.len() {
                    self.send(token, &frame);
                }
            }
        }
    }

    fn send(&mut self, token: usize, frame: &Frame) {
        let Some(peer) = &mut self.peers[token] else {
            return;
        };
        match self.kind {
            // A receiver that reads too slowly blocks the floor: it has no queues.
            FloorKind::Plain => drop(peer.stream.write_all(frame.as_bytes())),
            FloorKind::Coalescing => peer.pending.extend_from_slice(frame.as_bytes()),
        }
    }

    fn flush(&mut self) {
        for peer in self.peers.iter_mut().flatten().filter(|peer| !peer.pending.is_empty()) {
            drop(peer.stream.write_all(&peer.pending));
            peer.pending.clear();
        }
    }
}

fn text(write: impl FnOnce(&mut Vec<u8>)) -> Frame {
    Frame::data(DataKind::Text, write)
}

impl Peer {
    /// Answers any request with the switch of protocols; the load does not check its key.
    fn upgrade(&mut self, request: &[u8]) {
        self.unread.extend_from_slice(request);
        if self.unread.ends_with(b"\r\n\r\n") {
            self.unread.clear();
            self.is_upgraded = true;
            let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            drop(self.stream.write_all(answer));
        }
    }
}
