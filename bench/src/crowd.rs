//! Many clients, driven by one thread.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client::Client;
use crate::epoll::{Epoll, Interest};
use crate::target::Target;

/// How long nothing may happen while something is awaited.
const PATIENCE: Duration = Duration::from_secs(10);
const READ_BUFFER: usize = 512 * 1024;
/// The most descriptors that a run asks for, and those among them that are not clients.
const MOST_DESCRIPTORS: u64 = 20_000;
const OTHER_DESCRIPTORS: u64 = 64;

pub(crate) struct Crowd {
    pub(crate) clients: Vec<Client>,
    epoll: Epoll,
    buffer: Vec<u8>,
    ready: Vec<usize>,
    last_message: Instant,
}

impl Crowd {
    /// Connects `count` clients; the last `stalled` of them are never read again.
    pub(crate) fn connect(target: &Target, count: usize, stalled: usize) -> Result<Crowd> {
        let epoll = Epoll::new()?;
        let mut clients = Vec::with_capacity(count);
        for number in 0..count {
            let client = Client::connect(target, number).with_context(|| format!("client {number}"))?;
            client.stream.set_nonblocking(true)?;
            if number + stalled < count {
                epoll.add(&client.stream, number)?;
            }
            clients.push(client);
        }
        let buffer = vec![0; READ_BUFFER];
        Ok(Crowd { clients, epoll, buffer, ready: Vec::new(), last_message: Instant::now() })
    }

    pub(crate) fn send(&mut self, number: usize, frames: &[u8]) -> Result<()> {
        let client = &mut self.clients[number];
        if client.send(frames)? {
            self.epoll.change(&client.stream, number, Interest::ReadAndWrite)?;
        }
        Ok(())
    }

    /// Reads what has come within `timeout`, and hands on each hub message with its client's number.
    pub(crate) fn poll(&mut self, timeout: Duration, mut each: impl FnMut(usize, &[u8])) -> Result<()> {
        self.epoll.wait(timeout, &mut self.ready)?;
        if self.ready.is_empty() && self.last_message.elapsed() > PATIENCE {
            bail!("nothing has come from the target for {PATIENCE:?}");
        }
        for &number in &self.ready {
            let client = &mut self.clients[number];
            // Level-triggered: a socket that can be written to would be ready for ever.
            if client.has_unsent() && !client.send_rest()? {
                self.epoll.change(&client.stream, number, Interest::Read)?;
            }
            client.receive(&mut self.buffer, |message| each(number, message))?;
            self.last_message = Instant::now();
        }
        Ok(())
    }

    /// Something is awaited from now on.
    pub(crate) fn expect(&mut self) {
        self.last_message = Instant::now();
    }
}

/// Makes room for the sockets of `clients`, within what this machine and a neighbour of its other work can bear.
pub(crate) fn raise_descriptor_limit(clients: usize) -> Result<()> {
    let needed = clients as u64 + OTHER_DESCRIPTORS;
    if needed > MOST_DESCRIPTORS {
        bail!("--clients {clients}: at most {}", MOST_DESCRIPTORS - OTHER_DESCRIPTORS);
    }
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives as long as the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(std::io::Error::last_os_error()).context("the limit of open files");
    }
    if limit.rlim_cur >= needed {
        return Ok(());
    }
    if limit.rlim_max < needed {
        bail!("--clients {clients}: the limit of open files is {} (ulimit -Hn)", limit.rlim_max);
    }
    limit.rlim_cur = limit.rlim_max.min(MOST_DESCRIPTORS);
    // SAFETY: as above.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()).context("the limit of open files"),
    }
}
