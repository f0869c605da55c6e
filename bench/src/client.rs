//! One client of the load: a WebSocket with the JSON hub protocol, read by whoever finds it ready.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::Dialect;
use crate::target::Target;

/// How long a target may take to let a client in.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clients from one address; the ports of a loopback address are some 28,000.
const CLIENTS_PER_SOURCE: usize = 2_000;
const HANDSHAKE: &str = "{\"protocol\":\"json\",\"version\":1}\x1e";

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// The beginning of a frame whose end has not come.
    unread: Vec<u8>,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
}

impl Client {
    /// Connects client `number` and waits until the hub handshake is answered.
    pub(crate) fn connect(target: &Target, number: usize) -> Result<Client> {
        let mut stream = open(target.address, number).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&target.upgrade_request(number))?;
        let mut head = Vec::new();
        let end = loop {
            if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            let mut bytes = [0; 1024];
            let count = stream.read(&mut bytes)?;
            if count == 0 || head.len() > 16 * 1024 {
                bail!("the upgrade is not answered");
            }
            head.extend_from_slice(&bytes[..count]);
        };
        if !head.starts_with(b"HTTP/1.1 101") {
            bail!("the upgrade is answered with {}", String::from_utf8_lossy(&head).lines().next().unwrap_or_default());
        }
        let mut client = Client { stream, unread: head.split_off(end), unsent: Vec::new() };
        match target.dialect {
            Dialect::Signalr => client.greet(HANDSHAKE, "{}")?,
            Dialect::SocketIo => client.greet("40", "40")?,
        }
        Ok(client)
    }

    /// Says `greeting` and waits for an answer that begins with `answer`.
    fn greet(&mut self, greeting: &str, answer: &str) -> Result<()> {
        self.stream.write_all(&frame(greeting.as_bytes()))?;
        let mut buffer = vec![0; 4096];
        let (mut is_welcome, mut error) = (false, None);
        while !is_welcome {
            self.receive(&mut buffer, |message| {
                is_welcome |= message.starts_with(answer.as_bytes());
                if message.starts_with(b"{\"error\"") {
                    error = Some(String::from_utf8_lossy(message).into_owned());
                }
            })?;
            if let Some(error) = error.take() {
                bail!("the handshake is answered with {error}");
            }
        }
        Ok(())
    }

    /// Reads once and hands on the whole hub messages that have come, without their separators.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], mut each: impl FnMut(&[u8])) -> Result<()> {
        let count = match self.stream.read(buffer) {
            Ok(0) => bail!("the target has closed a connection"),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if self.unread.is_empty() {
            let rest = frames(&buffer[..count], &mut each)?;
            self.unread.extend_from_slice(rest);
        } else {
            let mut unread = std::mem::take(&mut self.unread);
            unread.extend_from_slice(&buffer[..count]);
            self.unread = frames(&unread, &mut each)?.to_vec();
        }
        Ok(())
    }

    /// Sends; true if something is left that the socket does not take.
    pub(crate) fn send(&mut self, frames: &[u8]) -> io::Result<bool> {
        self.unsent.extend_from_slice(frames);
        self.send_rest()
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends on; true if something is left.
    pub(crate) fn send_rest(&mut self) -> io::Result<bool> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Leaves as a client does: with a hub Close and a close frame.
    pub(crate) fn close(mut self) -> Result<()> {
        let mut goodbye = frame(b"{\"type\":7}\x1e");
        goodbye.extend_from_slice(&[0x88, 0x80, 0, 0, 0, 0]);
        self.stream.set_nonblocking(false)?;
        self.stream.write_all(&goodbye)?;
        let mut rest = [0; 512];
        while matches!(self.stream.read(&mut rest), Ok(1..)) {}
        Ok(())
    }
}

fn open(address: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    if address.ip().is_loopback() && address.is_ipv4() {
        let source = Ipv4Addr::new(127, 0, 0, 2 + (number / CLIENTS_PER_SOURCE) as u8);
        socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into())?;
    }
    socket.connect_timeout(&address.into(), PATIENCE)?;
    Ok(socket.into())
}

/// A text message in one frame, masked with zeros: the payload stays readable.
pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match payload.len() {
        0..126 => frame.push(0x80 | payload.len() as u8),
        126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// Hands on the hub messages of a server's whole frames; gives what is left of the input.
fn frames<'a>(mut input: &'a [u8], each: &mut impl FnMut(&[u8])) -> Result<&'a [u8]> {
    while let Some((opcode, payload, rest)) = split_frame(input) {
        match opcode {
            0..=2 => payload.split(|byte| *byte == 0x1E).filter(|message| !message.is_empty()).for_each(&mut *each),
            8 => bail!("the target closes a connection"),
            _ => {}
        }
        input = rest;
    }
    Ok(input)
}

fn split_frame(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [first, length, rest @ ..] = input else {
        return None;
    };
    let (length, rest) = match length & 0x7F {
        126 => rest.split_first_chunk().map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest))?,
        127 => rest.split_first_chunk().map(|(length, rest)| (u64::from_be_bytes(*length), rest))?,
        length => (u64::from(length), rest),
    };
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((first & 0x0F, payload, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_frames_are_taken_apart_and_the_rest_waits() {
        let mut input = b"\x81\x04a\x1eb\x1e\x81\x7e\x00\x80".to_vec();
        input.extend([b'x'; 127]);
        let mut messages = Vec::new();
        assert_eq!(frames(&input, &mut |message| messages.push(message.to_vec())).unwrap().len(), 131);
        assert_eq!(messages, [b"a", b"b"]);
        input.push(0x1E);
        assert!(frames(&input, &mut |message| messages.push(message.to_vec())).unwrap().is_empty());
        assert_eq!(messages[2..].concat().len(), 2 + 127);
    }
}
