//! Hub servers that the load plays itself: they answer each call with its first argument, and cost as little as they can.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use hubgate_wire::payload::PayloadRef;
use hubgate_wire::service::{self, AnyText, ConnectionData, HandshakeRequest, ServiceMessage};
use hubgate_wire::signalr::framing::split_message;
use hubgate_wire::signalr::{HubMessage, HubProtocol, json};

use crate::client::{PATIENCE, open, upgrade_answer};
use crate::frame;
use crate::target::Target;

/// Bytes that one read takes.
const READ: usize = 256 * 1024;
/// How the server answers a client's handshake.
const WELCOME: &[u8] = b"{}\x1e";

/// Connections of one hub server. They end with the target, or with the process.
#[derive(Debug)]
pub(crate) struct HubServers(Vec<JoinHandle<()>>);

impl HubServers {
    /// Connects so many times, each with a thread of its own.
    pub(crate) fn start(target: &Target, count: usize) -> Result<HubServers> {
        let start = |number| {
            let mut connection = Connection::open(target, number).context("a hub server cannot connect")?;
            Ok(std::thread::spawn(move || {
                if let Err(error) = connection.serve() {
                    eprintln!("a hub server's connection ended: {error}");
                }
            }))
        };
        (0..count).map(start).collect::<Result<_>>().map(HubServers)
    }

    /// Whether all of them are still there.
    pub(crate) fn are_there(&self) -> bool {
        self.0.iter().all(|thread| !thread.is_finished())
    }
}

struct Connection {
    stream: TcpStream,
    /// Bytes of frames, and of messages in them, whose end has not come.
    unread: Vec<u8>,
    unread_messages: Vec<u8>,
    /// What is to be said, and the frame around it.
    answers: Vec<u8>,
    out: Vec<u8>,
}

impl Connection {
    fn open(target: &Target, number: usize) -> Result<Connection> {
        let entrance = target.server_entrance()?;
        let mut stream = open(entrance.address, number, false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&entrance.upgrade_request())?;
        let unread = upgrade_answer(&mut stream, Instant::now() + PATIENCE)?;
        let (answers, out) = (Vec::new(), Vec::new());
        let mut connection = Connection { stream, unread, unread_messages: Vec::new(), answers, out };
        let request = HandshakeRequest { version: 1, ..HandshakeRequest::default() };
        service::write(&ServiceMessage::HandshakeRequest(request), &mut connection.answers);
        connection.send()?;
        let mut is_welcome = false;
        let mut buffer = vec![0; READ];
        while !is_welcome {
            connection.read(&mut buffer)?;
            is_welcome = connection.answer_messages()?;
        }
        Ok(connection)
    }

    fn serve(&mut self) -> Result<()> {
        self.stream.set_read_timeout(None)?;
        let mut buffer = vec![0; READ];
        loop {
            self.read(&mut buffer)?;
            self.answer_messages()?;
            self.send()?;
        }
    }

    /// Reads once, and takes the frames apart.
    fn read(&mut self, buffer: &mut [u8]) -> Result<()> {
        let count = self.stream.read(buffer)?;
        if count == 0 {
            bail!("the target closes it");
        }
        self.unread.extend_from_slice(&buffer[..count]);
        let mut done = 0;
        while let Some(frame) = frame::first(&mut self.unread[done..])? {
            done += frame.length;
            match frame.opcode {
                frame::CLOSE => bail!("the target closes it"),
                0..=2 => self.unread_messages.extend_from_slice(frame.payload),
                _ => {}
            }
        }
        self.unread.drain(..done);
        Ok(())
    }

    /// Answers what has come; gives whether the target's welcome was there.
    fn answer_messages(&mut self) -> Result<bool> {
        let mut input = &self.unread_messages[..];
        let mut is_welcome = false;
        while let Some(body) = service::split_message(&mut input)? {
            match service::parse(body)? {
                ServiceMessage::HandshakeResponse(response) if response.error.is_empty() => is_welcome = true,
                ServiceMessage::HandshakeResponse(response) => bail!("it is refused: {}", response.error),
                ServiceMessage::Ping(_) => service::write(&ServiceMessage::Ping(Vec::new()), &mut self.answers),
                ServiceMessage::ConnectionData(data) => answer(&data, &mut self.answers),
                _ => {}
            }
        }
        let done = self.unread_messages.len() - input.len();
        self.unread_messages.drain(..done);
        Ok(is_welcome)
    }

    fn send(&mut self) -> Result<()> {
        if !self.answers.is_empty() {
            self.out.clear();
            frame::push(frame::From::Client, frame::BINARY, &self.answers, &mut self.out);
            self.answers.clear();
            self.stream.write_all(&self.out)?;
        }
        Ok(())
    }
}

/// Answers a client's handshake, and its calls. The load's clients send whole messages.
fn answer(data: &ConnectionData<'_>, out: &mut Vec<u8>) {
    let mut input = data.payload;
    while let Some(message) = split_message(&mut input) {
        if message.starts_with(b"{\"protocol\"") {
            say(data.connection_id, WELCOME, out);
        } else if let Ok(HubMessage::Invocation(call)) = json::parse(message)
            && let Some(id) = &call.invocation_id
        {
            // The arguments are an array of one.
            let arguments = call.arguments.to_json();
            let first = arguments.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or("null");
            let frame = HubProtocol::Json.result_frame(id, Some(PayloadRef::Json(first)));
            say(data.connection_id, &frame.payload(), out);
        }
    }
}

fn say(connection_id: AnyText<'_>, payload: &[u8], out: &mut Vec<u8>) {
    let data = ConnectionData { connection_id, payload, ..ConnectionData::default() };
    service::write(&ServiceMessage::ConnectionData(data), out);
}
