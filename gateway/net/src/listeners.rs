//! The sockets that take in connections of clients and of operators. They go on accepting whatever happens to them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Connections that the operating system holds until they are accepted.
const BACKLOG: u16 = 4096;
/// How long accepting rests after an error. As a rule, the process has no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a trouble that lasts is logged.
const LOG_PERIOD: Duration = Duration::from_secs(10);
/// Of all file descriptors of the process, clients do not get one in so many.
const KEPT_BACK_SHARE: usize = 8;
/// No more than so many are kept back: 64 for operators, and as many for what their requests need.
const MAX_KEPT_BACK: usize = 128;
/// Probes of a silent peer that may stay without an answer.
const PROBES: u32 = 3;
/// The longest time that Linux takes for an option of probing.
const MAX_PROBING_TIME: Duration = Duration::from_secs(32_767);

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A socket that has its address, on which nobody accepts yet.
#[derive(Debug)]
pub(crate) struct ListeningSocket {
    socket: std::net::TcpListener,
    is_shared: bool,
}

impl ListeningSocket {
    /// Fails where another program listens. Connections are refused until [`ListeningSocket::listen`].
    pub(crate) fn bind(address: SocketAddr) -> io::Result<ListeningSocket> {
        Ok(ListeningSocket { socket: bind(address)?, is_shared: false })
    }

    /// Lets connections come.
    pub(crate) fn listen(&self) -> io::Result<()> {
        match self.is_shared {
            // Whoever made it has done it.
            true => Ok(()),
            false => SockRef::from(&self.socket).listen(BACKLOG.into()),
        }
    }

    /// One that the service manager has made.
    pub(crate) fn inherited(socket: std::net::TcpListener) -> io::Result<ListeningSocket> {
        socket.set_nonblocking(true)?;
        Ok(ListeningSocket { socket, is_shared: true })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// A listening socket. Connections inherit its options, which costs them nothing.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: tokio::net::TcpListener,
    /// The key of its address in the configuration.
    key: &'static str,
    /// Whether the service manager has it, too, and passes it to the next gateway.
    is_shared: bool,
    /// After how much silence a peer is gone that does not answer the system's probes.
    silence: Option<Duration>,
    trouble: Trouble,
}

impl Listener {
    /// Needs the runtime that it is going to accept on.
    pub(crate) fn new(socket: ListeningSocket, key: &'static str) -> io::Result<Listener> {
        let ListeningSocket { socket, is_shared } = socket;
        // Messages are written whole, so none has to wait for more to go with it. Without that it still arrives.
        drop(SockRef::from(&socket).set_tcp_nodelay(true));
        let socket = tokio::net::TcpListener::from_std(socket)?;
        Ok(Listener { socket, key, is_shared, silence: None, trouble: Trouble::default() })
    }

    /// Lets the system ask peers of connections from now on whether they are there, when they say nothing: one that is not is gone
    /// after `silence`. Some peers have nothing to say for long, as those that poll.
    pub(crate) fn notice_dead_peers(&mut self, silence: Duration) {
        if self.silence == Some(silence) {
            return;
        }
        self.silence = Some(silence);
        let (idle, interval) = probing(silence);
        let options = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(PROBES);
        // Without it connections still work.
        if let Err(error) = SockRef::from(&self.socket).set_tcp_keepalive(&options) {
            tracing::warn!(%error, listener = self.key, "the system does not probe silent peers");
        }
    }

    /// Closes the socket; gives the connections that nobody else would accept. Those that go on coming until it is closed are
    /// not among them.
    pub(crate) fn rest(self) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
        let socket = if self.is_shared { None } else { self.socket.into_std().ok() };
        let waiting = std::iter::from_fn(move || {
            let (stream, remote) = socket.as_ref()?.accept().ok()?;
            stream.set_nonblocking(true).ok()?;
            Some((TcpStream::from_std(stream).ok()?, remote))
        });
        waiting.take(BACKLOG.into())
    }

    /// The next connection, however many errors come before it.
    pub(crate) async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok(accepted) => return accepted,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if self.trouble.is_due(Instant::now()) {
                        tracing::warn!(%error, listener = self.key, "cannot accept connections; trying again");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// After which time a silent peer is asked first, and how often from then on. The system takes whole seconds.
fn probing(silence: Duration) -> (Duration, Duration) {
    let seconds = |time: Duration| Duration::from_secs(time.as_secs().max(1)).min(MAX_PROBING_TIME);
    let interval = seconds(silence / (2 * PROBES));
    (seconds(silence.saturating_sub(PROBES * interval)), interval)
}

/// How many file descriptors the process may have, and how many of them clients do not get, so that there are some for
/// operators when clients have used up all others.
#[derive(Debug)]
pub(crate) struct Descriptors {
    max: usize,
    kept_back: usize,
    trouble: Trouble,
}

impl Descriptors {
    pub(crate) fn new(max: usize) -> Descriptors {
        let kept_back = (max / KEPT_BACK_SHARE).min(MAX_KEPT_BACK);
        Descriptors { max, kept_back, trouble: Trouble::default() }
    }

    /// How many were left when a client's connection got its own.
    pub(crate) fn supply(&mut self, stream: &impl AsRawFd) -> Supply {
        // The system gives away the lowest number that is free: all below this one are in use.
        let number = usize::try_from(stream.as_raw_fd()).unwrap_or_default();
        if number < self.max - self.kept_back {
            return Supply::Enough;
        }
        if self.trouble.is_due(Instant::now()) {
            let (limit, kept_back) = (self.max, self.kept_back);
            tracing::warn!(limit, kept_back, "clients are turned away: only the reserved file descriptors are left");
        }
        // Who gives way needs a moment to close.
        match number < self.max - self.kept_back / 2 {
            true => Supply::Short,
            false => Supply::Out,
        }
    }
}

/// What there is of file descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Supply {
    Enough,
    /// A client's connection may only have one if another one closes.
    Short,
    /// None for clients.
    Out,
}

/// When something was last logged that may happen again and again.
#[derive(Debug, Default)]
struct Trouble {
    logged: Option<Instant>,
}

impl Trouble {
    /// Whether it is to be logged now.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.logged.is_none_or(|logged| now - logged >= LOG_PERIOD);
        if is_due {
            self.logged = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::os::fd::RawFd;

    use super::*;

    struct Numbered(RawFd);

    impl AsRawFd for Numbered {
        fn as_raw_fd(&self) -> RawFd {
            self.0
        }
    }

    #[test]
    fn the_last_descriptors_are_not_for_clients() {
        for (max, short, out) in [(80, 70, 75), (1024, 896, 960), (200_000, 199_872, 199_936)] {
            let mut descriptors = Descriptors::new(max);
            let supplies = [short - 1, short, out - 1, out].map(|number| descriptors.supply(&Numbered(number)));
            assert_eq!(supplies, [Supply::Enough, Supply::Short, Supply::Short, Supply::Out], "{max}");
        }
        assert_eq!(Descriptors::new(usize::MAX).supply(&Numbered(RawFd::MAX)), Supply::Enough, "there may be no limit");
    }

    #[tokio::test]
    async fn the_rest_comes_to_an_end_however_many_go_on_coming() {
        let socket = ListeningSocket::bind(([127, 0, 0, 1], 0).into()).expect("a port is free");
        let address = socket.address().expect("it is bound");
        socket.listen().expect("nobody else does");
        let connect = || {
            let stream = std::net::TcpStream::connect(address).expect("it is accepted");
            // The port is free again at once.
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("it is a socket");
            stream
        };
        // Some are always waiting.
        let mut waiting: VecDeque<_> = (0..8).map(|_| connect()).collect();
        let mut rest = Listener::new(socket, "server.listen").expect("a runtime").rest();
        let mut accepted = 0;
        while rest.next().is_some() {
            accepted += 1;
            assert!(accepted <= BACKLOG, "it does not come to an end");
            waiting.push_back(connect());
            waiting.pop_front();
        }
        assert_eq!(accepted, BACKLOG);
    }

    #[tokio::test]
    async fn connections_inherit_what_is_set_for_them() {
        let socket = ListeningSocket::bind(([127, 0, 0, 1], 0).into()).expect("a port is free");
        let address = socket.address().expect("it is bound");
        socket.listen().expect("nobody else does");
        let mut listener = Listener::new(socket, "server.listen").expect("a runtime");
        for (silence, idle) in [(30, 15), (60, 30)] {
            listener.notice_dead_peers(Duration::from_secs(silence));
            let peer = std::net::TcpStream::connect(address).expect("it is accepted");
            let (stream, remote) = listener.accept().await;
            assert_eq!(remote, peer.local_addr().expect("it is connected"));
            let options = SockRef::from(&stream);
            assert!(options.tcp_nodelay().expect("it is a socket") && options.nonblocking().expect("it is a socket"));
            assert!(options.keepalive().expect("it is a socket"));
            assert_eq!(options.tcp_keepalive_time().expect("it is a socket"), Duration::from_secs(idle));
        }
    }

    #[test]
    fn a_dead_peer_is_gone_after_the_silence_that_a_client_may_keep() {
        for silence in [4, 6, 30, 31, 60, 3_600] {
            let silence = Duration::from_secs(silence);
            let (idle, interval) = probing(silence);
            let gone = idle + PROBES * interval;
            assert_eq!(gone, silence);
        }
        assert_eq!(probing(Duration::from_secs(30)), (Duration::from_secs(15), Duration::from_secs(5)));
    }

    #[test]
    fn the_system_takes_times_of_any_length() {
        for silence in [Duration::ZERO, Duration::from_millis(300), Duration::MAX] {
            let (idle, interval) = probing(silence);
            assert!(idle >= Duration::from_secs(1) && idle <= MAX_PROBING_TIME, "{idle:?}");
            assert!(interval >= Duration::from_secs(1) && interval <= MAX_PROBING_TIME, "{interval:?}");
        }
    }

    #[test]
    fn a_trouble_that_lasts_is_logged_now_and_then() {
        let (mut trouble, start) = (Trouble::default(), Instant::now());
        let logged = (0..300).filter(|count| trouble.is_due(start + *count * PAUSE)).count();
        assert_eq!(logged, 3, "in half a minute");
    }
}
