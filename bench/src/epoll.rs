//! Linux's epoll, level-triggered.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Events that one wait takes.
const EVENTS: usize = 256;

/// Tells which of many sockets are ready.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

/// What a socket is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Interest {
    Read,
    ReadAndWrite,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: the call takes no pointer; a descriptor that it returns belongs to nobody else.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        match descriptor {
            -1 => Err(io::Error::last_os_error()),
            // SAFETY: see above.
            descriptor => Ok(Epoll(unsafe { OwnedFd::from_raw_fd(descriptor) })),
        }
    }

    pub(crate) fn add(&self, socket: &impl AsRawFd, token: usize) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, token, Interest::Read)
    }

    pub(crate) fn change(&self, socket: &impl AsRawFd, token: usize, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket, token, interest)
    }

    fn control(&self, operation: i32, socket: &impl AsRawFd, token: usize, interest: Interest) -> io::Result<()> {
        let flags = match interest {
            Interest::Read => libc::EPOLLIN,
            Interest::ReadAndWrite => libc::EPOLLIN | libc::EPOLLOUT,
        };
        let mut event = libc::epoll_event { events: flags as u32, u64: token as u64 };
        // SAFETY: `event` lives as long as the call, and both descriptors are open.
        let done = unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, socket.as_raw_fd(), &mut event) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// The tokens of sockets that are ready, after at most `timeout` (rounded up to milliseconds).
    pub(crate) fn wait(&self, timeout: Duration, ready: &mut Vec<usize>) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let timeout = timeout.as_micros().div_ceil(1000).min(i32::MAX as u128) as i32;
        // SAFETY: `events` has room for EVENTS events and lives as long as the call.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), EVENTS as i32, timeout) };
        ready.clear();
        match count {
            -1 => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                error => Err(error),
            },
            count => {
                ready.extend(events[..count as usize].iter().map(|event| event.u64 as usize));
                Ok(())
            }
        }
    }
}
