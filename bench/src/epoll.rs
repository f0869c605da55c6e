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

    pub(crate) fn remove(&self, socket: &impl AsRawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, socket, 0, Interest::Read)
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

    /// The tokens of sockets that are ready, after at most `timeout`.
    pub(crate) fn wait(&self, timeout: Duration, ready: &mut Vec<usize>) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let count = self.wait_nanoseconds(timeout, &mut events);
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

    /// `epoll_pwait2`, which a fixed rate needs: the milliseconds of `epoll_wait` are too coarse. Called by its number,
    /// since not all C libraries have it; kernels before 5.11 do not, and wait for whole milliseconds.
    fn wait_nanoseconds(&self, timeout: Duration, events: &mut [libc::epoll_event; EVENTS]) -> i64 {
        let time = libc::timespec {
            tv_sec: timeout.as_secs().min(3600) as libc::time_t,
            tv_nsec: timeout.subsec_nanos() as libc::c_long,
        };
        let (descriptor, room) = (self.0.as_raw_fd(), EVENTS as i32);
        let no_signals = std::ptr::null::<libc::sigset_t>();
        // SAFETY: `events` has room for EVENTS events; it and `time` live as long as the call; no signal mask is given.
        let count = unsafe {
            libc::syscall(libc::SYS_epoll_pwait2, descriptor, events.as_mut_ptr(), room, &raw const time, no_signals, 0)
        };
        if count != -1 || io::Error::last_os_error().raw_os_error() != Some(libc::ENOSYS) {
            return count;
        }
        let milliseconds = timeout.as_micros().div_ceil(1000).min(3_600_000) as i32;
        // SAFETY: as above.
        i64::from(unsafe { libc::epoll_wait(descriptor, events.as_mut_ptr(), room, milliseconds) })
    }
}
