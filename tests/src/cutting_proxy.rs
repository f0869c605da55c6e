//! A TCP proxy that cuts the WebSockets of clients, as a phone does that changes from one network to another.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::fuzz::Random;
use crate::wait::{let_pass, until};

/// How a WebSocket is cut. The client hears of it at once either way: clients come back when they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Both ends are reset.
    Reset,
    /// The gateway hears nothing of it: its end stays open, and takes what is written to it.
    HalfOpen,
}

/// Which bytes are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToGateway,
    ToClient,
}

/// A cut of a WebSocket once so many bytes more have passed in one direction, in the middle of a frame as a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutAfter {
    pub how: Cut,
    pub direction: Direction,
    pub bytes: usize,
}

impl CutAfter {
    /// Any cut, after fewer than `bytes`.
    pub fn random(bytes: usize, random: &mut Random) -> CutAfter {
        CutAfter {
            how: *random.one_of(&[Cut::Reset, Cut::HalfOpen]),
            direction: *random.one_of(&[Direction::ToGateway, Direction::ToClient]),
            bytes: random.below(bytes),
        }
    }
}

/// Listens, and passes on what comes to another address. Dropped, it accepts no more; what is connected stays so until an end closes.
#[derive(Debug)]
pub struct CuttingProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    orders: broadcast::Sender<CutAfter>,
}

/// In number.
#[derive(Debug, Default)]
struct State {
    /// WebSockets whose clients have said something on them.
    open: usize,
    cuts: usize,
}

impl CuttingProxy {
    /// Listens on a port of its own, and passes on to `gateway`.
    pub async fn before(gateway: SocketAddr) -> CuttingProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there are ports");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared { state: Mutex::default(), orders: broadcast::channel(64).0 });
        let accepting = tokio::spawn(accept(listener, gateway, shared.clone()));
        CuttingProxy { address, shared, accepting }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts all WebSockets that are open.
    pub fn cut(&self, cut: CutAfter) {
        // There may be none.
        let _ = self.shared.orders.send(cut);
    }

    /// Cuts what is open, again and again, so many times in all: each time once `clients` WebSockets are open again, after some time, in the middle
    /// of whatever passes.
    pub async fn cut_again_and_again(&self, clients: usize, times: usize, random: &mut Random) {
        /// As many bytes pass at most, in one direction, between two cuts beside what passes in that time.
        const BYTES: usize = 4_000;
        for time in 1..=times {
            self.has_open(clients).await;
            // The gateway takes ten resumes a second of one client.
            let_pass(Duration::from_millis(80 + random.below(60) as u64)).await;
            self.cut(CutAfter::random(BYTES, random));
            self.has_cut(time * clients).await;
        }
    }

    /// Waits until so many WebSockets are open, and their clients know it: official ones do not come back that have not heard so.
    pub async fn has_open(&self, count: usize) {
        until(&format!("{count} open WebSockets"), async || (self.shared.state().open == count).then_some(())).await;
    }

    /// Waits until it has cut so many WebSockets in all.
    pub async fn has_cut(&self, count: usize) {
        until(&format!("{count} cuts"), async || (self.shared.state().cuts >= count).then_some(())).await;
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    fn opened(&self) {
        self.state().open += 1;
    }

    fn ended(&self, cut: Option<Cut>) {
        let mut state = self.state();
        state.open -= 1;
        state.cuts += usize::from(cut.is_some());
    }
}

async fn accept(listener: TcpListener, gateway: SocketAddr, shared: Arc<Shared>) {
    loop {
        let (client, _) = listener.accept().await.expect("a listener accepts");
        let shared = shared.clone();
        tokio::spawn(async move {
            // An end that is gone is the end of the other.
            let _ = carry(client, gateway, &shared).await;
        });
    }
}

/// Passes on requests and answers; once an answer has upgraded the connection, what comes after it.
async fn carry(mut client: TcpStream, gateway: SocketAddr, shared: &Shared) -> io::Result<()> {
    let mut server = TcpStream::connect(gateway).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let Some(answered) = until_upgraded(&mut client, &mut server).await? else { return Ok(()) };
    client.write_all(&answered).await?;
    let Some(said) = until_spoken(&mut client, &mut server).await? else { return Ok(()) };
    server.write_all(&said).await?;
    let orders = shared.orders.subscribe();
    shared.opened();
    let cut = until_cut(&mut client, &mut server, orders).await.unwrap_or(None);
    shared.ended(cut);
    let Some(how) = cut else { return Ok(()) };
    reset(client);
    match how {
        Cut::Reset => reset(server),
        Cut::HalfOpen => while server.read(&mut [0; 4096]).await? > 0 {},
    }
    Ok(())
}

/// Passes on requests and answers. Gives what upgrades the connection, and what came after it; `None` if an end was closed before.
async fn until_upgraded(client: &mut TcpStream, server: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    const UPGRADED: &[u8] = b"HTTP/1.1 101 ";
    const HEAD_END: &[u8] = b"\r\n\r\n";
    let (mut up, mut down, mut answer) = ([0; 4096], [0; 4096], Vec::new());
    loop {
        tokio::select! {
            read = client.read(&mut up) => match read? {
                0 => return Ok(None),
                read => server.write_all(&up[..read]).await?,
            },
            read = server.read(&mut down) => match read? {
                0 => return Ok(None),
                read => answer.extend_from_slice(&down[..read]),
            },
        }
        let may_upgrade = UPGRADED.starts_with(&answer[..answer.len().min(UPGRADED.len())]);
        if !may_upgrade {
            client.write_all(&answer).await?;
            answer.clear();
        } else if answer.windows(HEAD_END.len()).any(|window| window == HEAD_END) {
            return Ok(Some(answer));
        }
    }
}

/// Passes on what the gateway says until the client says something, and gives that; `None` if an end was closed before.
async fn until_spoken(client: &mut TcpStream, server: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let (mut up, mut down) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => match read? {
                0 => return Ok(None),
                read => return Ok(Some(up[..read].to_vec())),
            },
            read = server.read(&mut down) => match read? {
                0 => return Ok(None),
                read => client.write_all(&down[..read]).await?,
            },
        }
    }
}

/// Passes on everything until the WebSocket is to be cut; `None` if an end was closed before.
async fn until_cut(
    client: &mut TcpStream,
    server: &mut TcpStream,
    mut orders: broadcast::Receiver<CutAfter>,
) -> io::Result<Option<Cut>> {
    let [up, down] = [const { AtomicUsize::new(usize::MAX) }; 2];
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let upwards = pass(&mut from_client, &mut to_server, &up);
    let downwards = pass(&mut from_server, &mut to_client, &down);
    tokio::pin!(upwards, downwards);
    let mut ordered = None;
    loop {
        tokio::select! {
            end = &mut upwards => return Ok(ordered.filter(|_| end.is_ok_and(|is_cut| is_cut))),
            end = &mut downwards => return Ok(ordered.filter(|_| end.is_ok_and(|is_cut| is_cut))),
            Ok(cut) = orders.recv(), if ordered.is_none() => {
                let allowed = match cut.direction {
                    Direction::ToGateway => &up,
                    Direction::ToClient => &down,
                };
                allowed.store(cut.bytes, Ordering::Relaxed);
                ordered = Some(cut.how);
            }
        }
    }
}

/// Passes on what is read, up to so many bytes as are allowed. Whether these were reached: otherwise, the end was.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    allowed: &AtomicUsize,
) -> io::Result<bool> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(false);
        }
        let passes = read.min(allowed.load(Ordering::Relaxed));
        to.write_all(&buffer[..passes]).await?;
        // Less may be allowed by now.
        let _ = allowed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |allowed| match allowed {
            usize::MAX => None,
            allowed => Some(allowed.saturating_sub(passes)),
        });
        if passes < read {
            return Ok(true);
        }
    }
}

/// Ends a connection by a reset: what the kernel has not sent yet is lost.
fn reset(stream: TcpStream) {
    // Where this fails, the other end has closed it already.
    let _ = stream.set_zero_linger();
}
