//! The HTTP connection of an application that sends to one user, over and over.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};

use crate::client;
use crate::target::Target;

/// The longest head of an answer, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Poster {
    pub(crate) stream: TcpStream,
    /// What stands before each body but its length: the request's line and headers.
    head: String,
    /// The beginning of an answer whose end has not come.
    unread: Vec<u8>,
    requests: Vec<u8>,
}

impl Poster {
    /// A connection that sends to user `number`.
    pub(crate) fn connect(target: &Target, number: usize) -> Result<Poster> {
        let (address, head) = target.send_to_user(number)?;
        let stream = client::open(address, number, false).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Poster { stream, head, unread: Vec::new(), requests: Vec::new() })
    }

    /// Posts each body, all in one write.
    pub(crate) fn post<'a>(&mut self, bodies: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        self.requests.clear();
        for body in bodies {
            write!(self.requests, "{}Content-Length: {}\r\n\r\n", self.head, body.len())?;
            self.requests.extend_from_slice(body);
        }
        // What a kernel buffer takes is far more than what one user is sent before it is answered.
        self.stream.write_all(&self.requests).context("the target does not take a request")
    }

    /// Reads once; every answer must be a success without a body.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Result<()> {
        let count = match self.stream.read(buffer) {
            Ok(0) => bail!("the target has closed the connection of a sender"),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        self.unread.extend_from_slice(&buffer[..count]);
        let mut done = 0;
        while let Some(end) = memchr::memmem::find(&self.unread[done..], b"\r\n\r\n") {
            let head = &self.unread[done..done + end];
            if !head.starts_with(b"HTTP/1.1 2") {
                let head = String::from_utf8_lossy(head);
                bail!("a send is answered with {}", head.lines().next().unwrap_or_default());
            }
            done += end + 4;
        }
        self.unread.drain(..done);
        match self.unread.len() > LONGEST_HEAD {
            true => bail!("the answer to a send does not end"),
            false => Ok(()),
        }
    }
}
