//! Many clients, driven by one thread.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client::{Client, Received};
use crate::epoll::{Epoll, Interest};
use crate::poster::Poster;
use crate::target::Target;

const READ_BUFFER: usize = 512 * 1024;
/// The most descriptors that a run asks for, and those among them that are not clients.
const MOST_DESCRIPTORS: u64 = 20_000;
const OTHER_DESCRIPTORS: u64 = 64;
/// How often a client pings, as official ones do.
const PING_INTERVAL: Duration = Duration::from_secs(15);

/// Tells senders from clients among what is ready.
const FIRST_POSTER: usize = 1 << 32;

pub(crate) struct Crowd {
    clients: Vec<Client>,
    /// Who sends to the client of the same number, where that is not the client itself.
    posters: Vec<Poster>,
    /// From this number on, nobody reads any more.
    first_stalled: usize,
    epoll: Epoll,
    buffer: Vec<u8>,
    ready: Vec<usize>,
    /// When who pings next, in the order of time.
    pings: VecDeque<(Instant, usize)>,
}

impl Crowd {
    pub(crate) fn new() -> Result<Crowd> {
        Ok(Crowd {
            clients: Vec::new(),
            posters: Vec::new(),
            first_stalled: usize::MAX,
            epoll: Epoll::new()?,
            buffer: vec![0; READ_BUFFER],
            ready: Vec::new(),
            pings: VecDeque::new(),
        })
    }

    /// Connects clients until there are `count`; those from `first_stalled` on are made to stop reading later.
    pub(crate) fn grow(&mut self, target: &Target, count: usize, first_stalled: usize) -> Result<()> {
        for number in self.clients.len()..count {
            let client = Client::connect(target, number, number, number >= first_stalled);
            let client = client.with_context(|| format!("client {number}"))?;
            client.stream.set_nonblocking(true)?;
            self.epoll.add(&client.stream, number)?;
            self.clients.push(client);
            if target.dialect.ping().is_some() {
                self.pings.push_back((Instant::now() + PING_INTERVAL, number));
            }
            self.send_pings()?;
        }
        Ok(())
    }

    /// Connects applications that send to the first `count` users.
    pub(crate) fn post_for(&mut self, target: &Target, count: usize) -> Result<()> {
        for number in 0..count {
            let poster = Poster::connect(target, number).with_context(|| format!("sender {number}"))?;
            self.epoll.add(&poster.stream, FIRST_POSTER + number)?;
            self.posters.push(poster);
        }
        Ok(())
    }

    /// Sends to the user of this number.
    pub(crate) fn post<'a>(&mut self, number: usize, bodies: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        self.posters[number].post(bodies).with_context(|| format!("sender {number}"))
    }

    /// From now on, the clients from `first_stalled` on read nothing.
    pub(crate) fn stall(&mut self, first_stalled: usize) -> Result<()> {
        self.first_stalled = first_stalled;
        for client in self.clients.iter().skip(first_stalled) {
            self.epoll.remove(&client.stream)?;
        }
        Ok(())
    }

    pub(crate) fn stop_pings(&mut self) {
        self.pings.clear();
    }

    /// Lets the pings of all be spread evenly over the interval, wherever connecting has put them.
    pub(crate) fn spread_pings(&mut self) {
        let (now, count) = (Instant::now(), self.pings.len());
        let pause = PING_INTERVAL / count.max(1) as u32;
        self.pings = (0..count).map(|number| (now + pause * number as u32, number)).collect();
    }

    pub(crate) fn send(&mut self, number: usize, frames: &[u8]) -> Result<()> {
        let client = &mut self.clients[number];
        if client.send(frames).with_context(|| format!("client {number}"))? && number < self.first_stalled {
            self.epoll.change(&client.stream, number, Interest::ReadAndWrite)?;
        }
        Ok(())
    }

    /// Reads what comes within `timeout`, and hands on each hub message with its client's number.
    pub(crate) fn poll(&mut self, timeout: Duration, mut each: impl FnMut(usize, &[u8])) -> Result<()> {
        self.send_pings()?;
        let until_ping = self.pings.front().map(|(at, _)| at.saturating_duration_since(Instant::now()));
        self.epoll.wait(timeout.min(until_ping.unwrap_or(timeout)), &mut self.ready)?;
        for &number in &self.ready {
            if let Some(number) = number.checked_sub(FIRST_POSTER) {
                self.posters[number].receive(&mut self.buffer).with_context(|| format!("sender {number}"))?;
                continue;
            }
            let client = &mut self.clients[number];
            // Level-triggered: a socket that can be written to would be ready for ever.
            if client.has_unsent() && !client.send_rest().with_context(|| format!("client {number}"))? {
                self.epoll.change(&client.stream, number, Interest::Read)?;
            }
            let received = client.receive(&mut self.buffer, |message| each(number, message));
            if received.with_context(|| format!("client {number}"))? == Received::End {
                bail!("the target has closed the connection of client {number}");
            }
        }
        Ok(())
    }

    /// Reads on where reading stopped, as long as something comes; says how many of those the target has closed.
    pub(crate) fn closed_while_stalled(&mut self, patience: Duration) -> usize {
        let first = self.first_stalled.min(self.clients.len());
        let stalled = self.clients.split_off(first);
        let deadline = Instant::now() + patience;
        let is_closed = |mut client: Client| {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let timed = client.stream.set_nonblocking(false).and_then(|()| client.stream.set_read_timeout(Some(left)));
            loop {
                match client.receive(&mut self.buffer, |_| {}) {
                    // A frame that was cut off is not understood: it was closed in the midst of it.
                    Ok(Received::End) | Err(_) => break true,
                    Ok(Received::Nothing) => break false,
                    Ok(Received::Bytes) if timed.is_err() || Instant::now() > deadline => break false,
                    Ok(Received::Bytes) => {}
                }
            }
        };
        stalled.into_iter().map(is_closed).filter(|is_closed| *is_closed).count()
    }

    fn send_pings(&mut self) -> Result<()> {
        let now = Instant::now();
        while let Some((at, number)) = self.pings.front().copied().filter(|(at, _)| *at <= now) {
            self.pings.pop_front();
            self.pings.push_back((at.max(now - PING_INTERVAL) + PING_INTERVAL, number));
            let dialect = self.clients[number].dialect;
            let mut ping = Vec::new();
            dialect.push_frame(dialect.ping().unwrap_or_default(), &mut ping);
            let sent = self.send(number, &ping);
            // One that has stopped reading may have been closed.
            if number < self.first_stalled {
                sent?;
            }
        }
        Ok(())
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
