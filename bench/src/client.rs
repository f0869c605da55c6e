//! One client of the load: a WebSocket with the JSON hub protocol, read by whoever finds it ready.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::dialect::Dialect;
use crate::frame;
use crate::target::Target;

/// How long a target may take for one step of letting a client in or out.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How long a target may take to close the connection behind its close frame.
const PATIENCE_AT_THE_END: Duration = Duration::from_secs(1);
/// Source addresses, so that the ports of one, some 28,000, are never used up by those that have just been closed.
const SOURCES: usize = 100;
const LONGEST_HEAD: usize = 16 * 1024;
/// The receive buffer of a client that will stop reading, in bytes: the sooner the target notices.
const STALLED_BUFFER: usize = 4096;
/// What a client may leave unsent, in bytes, before the target counts as too slow.
const MOST_UNSENT: usize = 64 << 20;

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) dialect: Dialect,
    /// The beginning of a frame whose end has not come.
    unread: Vec<u8>,
    /// The beginning of a hub message, from a WebSocket message of several frames.
    fragment: Vec<u8>,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
}

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    Bytes,
    Nothing,
    /// The target's close frame, or the end of the stream.
    End,
}

impl Client {
    /// Connects client `number` as user `user` and waits until the handshake is answered.
    pub(crate) fn connect(target: &Target, user: usize, number: usize, will_stall: bool) -> Result<Client> {
        let entrance = target.entrance(user)?;
        let mut stream = open(entrance.address, number, will_stall).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&entrance.upgrade_request())?;
        let deadline = Instant::now() + PATIENCE;
        let unread = upgrade_answer(&mut stream, deadline)?;
        let dialect = target.dialect_of(number);
        let mut client = Client { stream, dialect, unread, fragment: Vec::new(), unsent: Vec::new() };
        client.greet(deadline)?;
        Ok(client)
    }

    fn greet(&mut self, deadline: Instant) -> Result<()> {
        self.stream.write_all(&frame::client_text(self.dialect.greeting()))?;
        let (mut buffer, mut answer, dialect) = ([0; 4096], None, self.dialect);
        while answer.is_none() {
            let received = self.receive(&mut buffer, |message| {
                if answer.is_none() && dialect.is_welcome(message) {
                    answer = Some(message.to_vec());
                }
            })?;
            match received {
                Received::End if answer.is_none() => bail!("the target closes instead of answering the handshake"),
                _ if Instant::now() > deadline => bail!("the handshake is not answered within {PATIENCE:?}"),
                _ => {}
            }
        }
        let answer = answer.unwrap_or_default();
        match memchr::memmem::find(&answer, b"\"error\"") {
            None => Ok(()),
            Some(_) => bail!("the handshake is answered with {}", String::from_utf8_lossy(&answer)),
        }
    }

    /// Reads once and hands on the whole hub messages that have come, without their separators.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], mut each: impl FnMut(&[u8])) -> Result<Received> {
        let count = match self.stream.read(buffer) {
            Ok(0) => return Ok(Received::End),
            Ok(count) => count,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => return Ok(Received::Nothing),
                io::ErrorKind::ConnectionReset => return Ok(Received::End),
                _ => return Err(error.into()),
            },
        };
        if self.unread.is_empty() {
            let (received, done) = hub_messages(&mut buffer[..count], (self.dialect, &mut self.fragment), &mut each)?;
            self.unread.extend_from_slice(&buffer[done..count]);
            return Ok(received);
        }
        let mut unread = std::mem::take(&mut self.unread);
        unread.extend_from_slice(&buffer[..count]);
        let (received, done) = hub_messages(&mut unread, (self.dialect, &mut self.fragment), &mut each)?;
        unread.drain(..done);
        self.unread = unread;
        Ok(received)
    }

    /// Sends; true if something is left that the socket does not take.
    pub(crate) fn send(&mut self, frames: &[u8]) -> Result<bool> {
        if !self.has_unsent() {
            let taken = self.write(frames)?;
            self.unsent.extend_from_slice(&frames[taken..]);
        } else if self.unsent.len() < MOST_UNSENT {
            self.unsent.extend_from_slice(frames);
        } else {
            bail!("the target does not take what is sent to it: {} MiB wait", MOST_UNSENT >> 20);
        }
        Ok(self.has_unsent())
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends on; true if something is left.
    pub(crate) fn send_rest(&mut self) -> Result<bool> {
        let unsent = std::mem::take(&mut self.unsent);
        let taken = self.write(&unsent)?;
        self.unsent = unsent;
        self.unsent.drain(..taken);
        Ok(self.has_unsent())
    }

    /// How much the socket took.
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut taken = 0;
        while taken < bytes.len() {
            match self.stream.write(&bytes[taken..]) {
                Ok(count) => taken += count,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error).context("the target has closed a connection"),
                },
            }
        }
        Ok(taken)
    }

    /// Leaves as a client does, with a hub Close and a close frame, and waits until the target has closed.
    pub(crate) fn close(mut self) -> Result<()> {
        let mut goodbye = Vec::new();
        if let Some(last) = self.dialect.goodbye() {
            self.dialect.push_frame(last, &mut goodbye);
        }
        frame::push(frame::From::Client, frame::CLOSE, &[], &mut goodbye);
        // The target may be gone as soon as it has seen the hub Close.
        drop(self.stream.write_all(&goodbye));
        let (deadline, mut rest) = (Instant::now() + PATIENCE, [0; 4096]);
        while self.receive(&mut rest, |_| {})? != Received::End {
            if Instant::now() > deadline {
                bail!("a closing client is not let go within {PATIENCE:?}");
            }
        }
        // Whoever closes first keeps the port for a minute; that is to be the target.
        self.stream.set_read_timeout(Some(PATIENCE_AT_THE_END))?;
        while matches!(self.stream.read(&mut rest), Ok(1..)) && Instant::now() < deadline {}
        Ok(())
    }
}

/// Opens a connection for client `number`, on the loopback network from one of many addresses.
pub(crate) fn open(address: SocketAddr, number: usize, will_stall: bool) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    if address.ip().is_loopback() && address.is_ipv4() {
        let source = Ipv4Addr::new(127, 0, 0, 2 + (number % SOURCES) as u8);
        socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into())?;
    }
    if will_stall {
        socket.set_recv_buffer_size(STALLED_BUFFER)?;
    }
    socket.connect_timeout(&address.into(), PATIENCE)?;
    Ok(socket.into())
}

/// Waits for the switch of protocols; gives what came behind it.
pub(crate) fn upgrade_answer(stream: &mut TcpStream, deadline: Instant) -> Result<Vec<u8>> {
    let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
    let end = loop {
        if let Some(end) = memchr::memmem::find(&head, b"\r\n\r\n") {
            break end + 4;
        }
        let count =
            stream.read(&mut buffer).with_context(|| format!("no answer to the upgrade within {PATIENCE:?}"))?;
        if count == 0 || head.len() > LONGEST_HEAD || Instant::now() > deadline {
            bail!("the upgrade is not answered");
        }
        head.extend_from_slice(&buffer[..count]);
    };
    if !head.starts_with(b"HTTP/1.1 101") {
        bail!("the upgrade is answered with {}", String::from_utf8_lossy(&head).lines().next().unwrap_or_default());
    }
    Ok(head.split_off(end))
}

/// Hands on the messages of whole frames; says how long these are together.
fn hub_messages(
    input: &mut [u8],
    (dialect, fragment): (Dialect, &mut Vec<u8>),
    each: &mut impl FnMut(&[u8]),
) -> Result<(Received, usize)> {
    let mut done = 0;
    while let Some(frame) = frame::first(&mut input[done..])? {
        done += frame.length;
        match frame.opcode {
            frame::CLOSE => return Ok((Received::End, done)),
            0..=2 => {}
            _ => continue,
        }
        let mut rest = &*frame.payload;
        while let Some(end) = memchr::memchr(frame::SEPARATOR, rest).filter(|_| dialect.separates()) {
            match fragment.is_empty() {
                true => each(&rest[..end]),
                false => {
                    fragment.extend_from_slice(&rest[..end]);
                    each(fragment);
                    fragment.clear();
                }
            }
            rest = &rest[end + 1..];
        }
        fragment.extend_from_slice(rest);
        if frame.is_final && !fragment.is_empty() {
            if dialect.separates() {
                bail!("a WebSocket message ends within a hub message");
            }
            each(fragment);
            fragment.clear();
        }
    }
    Ok((Received::Bytes, done))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken_apart(input: &mut [u8]) -> (Vec<Vec<u8>>, Received, usize) {
        let mut messages = Vec::new();
        let each = &mut |message: &[u8]| messages.push(message.to_vec());
        let (received, done) = hub_messages(input, (Dialect::Signalr, &mut Vec::new()), each).unwrap();
        (messages, received, done)
    }

    #[test]
    fn whole_frames_are_taken_apart_and_the_rest_waits() {
        let mut input = b"\x81\x04a\x1eb\x1e\x89\x01x\x81\x7e\x00\x80".to_vec();
        input.extend([b'x'; 127]);
        let (messages, received, done) = taken_apart(&mut input);
        assert_eq!((messages, received, done), (vec![b"a".to_vec(), b"b".to_vec()], Received::Bytes, 9));
        input.push(frame::SEPARATOR);
        let (messages, _, done) = taken_apart(&mut input[9..]);
        assert_eq!((messages, done), (vec![vec![b'x'; 127]], 132));
    }

    #[test]
    fn a_message_may_come_in_several_frames() {
        let (messages, _, done) = taken_apart(&mut b"\x01\x01a\x00\x01b\x8a\x00\x80\x04c\x1ed\x1e".to_vec());
        assert_eq!((messages, done), (vec![b"abc".to_vec(), b"d".to_vec()], 14));
    }

    #[test]
    fn a_close_frame_is_the_end() {
        assert_eq!(taken_apart(&mut b"\x81\x02a\x1e\x88\x00".to_vec()).1, Received::End);
    }

    #[test]
    fn a_hub_message_without_an_end_is_an_error() {
        let parsed = |dialect| hub_messages(&mut b"\x81\x01a".to_vec(), (dialect, &mut Vec::new()), &mut |_| {});
        assert!(parsed(Dialect::Signalr).is_err());
        assert!(parsed(Dialect::SocketIo).is_ok(), "socket.io knows no separator");
    }
}
