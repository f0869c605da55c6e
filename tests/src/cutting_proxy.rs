//! A TCP proxy that cuts the WebSockets of clients, as a phone does that changes from one network to another.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::fuzz::Random;
use crate::wait::until;

/// How a connection is cut. The client hears of it at once either way: clients come back when they do.
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

/// A cut that one WebSocket meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedCut {
    pub how: Cut,
    pub direction: Direction,
    /// Bytes that pass in this direction before it, frames with their headers; the upgrade does not count.
    pub after: usize,
}

impl PlannedCut {
    /// So many cuts, each after fewer than `bytes`.
    pub fn random(count: usize, bytes: usize, random: &mut Random) -> Vec<PlannedCut> {
        let mut planned = || PlannedCut {
            how: *random.one_of(&[Cut::Reset, Cut::HalfOpen]),
            direction: *random.one_of(&[Direction::ToGateway, Direction::ToClient]),
            after: random.below(bytes),
        };
        (0..count).map(|_| planned()).collect()
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
    cut_now: broadcast::Sender<Cut>,
}

#[derive(Debug, Default)]
struct State {
    /// The next WebSocket meets the first.
    planned: VecDeque<PlannedCut>,
    cuts: usize,
    upgrades: usize,
    /// Connections that are still to be refused.
    refusals: usize,
}

impl CuttingProxy {
    /// Listens on a port of its own, and passes on to `gateway`.
    pub async fn before(gateway: SocketAddr) -> CuttingProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there are ports");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared { state: Mutex::default(), cut_now: broadcast::channel(64).0 });
        let accepting = tokio::spawn(accept(listener, gateway, shared.clone()));
        CuttingProxy { address, shared, accepting }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts all WebSockets that are open.
    pub fn cut(&self, how: Cut) {
        // There may be none.
        let _ = self.shared.cut_now.send(how);
    }

    /// WebSockets that open from now on meet these, one each, after those that were planned before.
    pub fn plan(&self, cuts: impl IntoIterator<Item = PlannedCut>) {
        self.shared.state().planned.extend(cuts);
    }

    /// The next `count` connections are reset before anything passes.
    pub fn refuse(&self, count: usize) {
        self.shared.state().refusals += count;
    }

    /// Waits until it has cut so many WebSockets in all.
    pub async fn has_cut(&self, count: usize) {
        until(&format!("{count} cuts"), async || (self.shared.state().cuts >= count).then_some(())).await;
    }

    /// The same, for as long as it takes while there is a cut now and then.
    pub async fn has_cut_in_a_long_time(&self, count: usize) {
        const STEP: usize = 20;
        for step in (STEP..count).step_by(STEP) {
            self.has_cut(step).await;
        }
        self.has_cut(count).await;
    }

    /// Waits until so many WebSockets have opened in all.
    pub async fn has_opened(&self, count: usize) {
        until(&format!("{count} WebSockets"), async || (self.shared.state().upgrades >= count).then_some(())).await;
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

    /// Another WebSocket is open; the cut that it meets, if any.
    fn opened(&self) -> Option<PlannedCut> {
        let mut state = self.state();
        state.upgrades += 1;
        state.planned.pop_front()
    }

    fn takes_refusal(&self) -> bool {
        let mut state = self.state();
        let refuses = state.refusals > 0;
        state.refusals -= usize::from(refuses);
        refuses
    }
}

async fn accept(listener: TcpListener, gateway: SocketAddr, shared: Arc<Shared>) {
    loop {
        let (client, _) = listener.accept().await.expect("a listener accepts");
        if shared.takes_refusal() {
            reset(client);
            continue;
        }
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
    let mut orders = shared.cut_now.subscribe();
    let Some(first) = until_upgraded(&mut client, &mut server).await? else {
        return Ok(());
    };
    let planned = shared.opened();
    let allowed = |direction| planned.filter(|cut| cut.direction == direction).map(|cut| cut.after);
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let cut = tokio::select! {
        end = pass(&[], &mut from_client, &mut to_server, allowed(Direction::ToGateway)) => end?.then_some(planned).flatten().map(|cut| cut.how),
        end = pass(&first, &mut from_server, &mut to_client, allowed(Direction::ToClient)) => end?.then_some(planned).flatten().map(|cut| cut.how),
        ordered = orders.recv() => ordered.ok(),
    };
    let Some(how) = cut else { return Ok(()) };
    shared.state().cuts += 1;
    reset(client);
    match how {
        Cut::Reset => reset(server),
        Cut::HalfOpen => while server.read(&mut [0; 4096]).await? > 0 {},
    }
    Ok(())
}

/// What came after the answer that has upgraded the connection; `None` if an end was closed before.
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
        } else if let Some(end) = answer.windows(HEAD_END.len()).position(|window| window == HEAD_END) {
            let first = answer.split_off(end + HEAD_END.len());
            client.write_all(&answer).await?;
            return Ok(Some(first));
        }
    }
}

/// Passes on `first` and what is read after it, up to so many bytes. Whether these were reached: otherwise, the end was.
async fn pass(
    first: &[u8],
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut allowed: Option<usize>,
) -> io::Result<bool> {
    let mut buffer = vec![0; 16 * 1024];
    let mut chunk = first.to_vec();
    loop {
        let passes = allowed.map_or(chunk.len(), |allowed| allowed.min(chunk.len()));
        to.write_all(&chunk[..passes]).await?;
        if let Some(left) = &mut allowed {
            *left -= passes;
            if *left == 0 {
                return Ok(true);
            }
        }
        match from.read(&mut buffer).await? {
            0 => return Ok(false),
            read => buffer[..read].clone_into(&mut chunk),
        }
    }
}

/// Ends a connection by a reset: what the kernel has not sent yet is lost.
fn reset(stream: TcpStream) {
    // Where this fails, the other end has closed it already.
    let _ = stream.set_zero_linger();
}
