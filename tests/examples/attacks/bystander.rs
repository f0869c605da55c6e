//! Good clients beside the attackers: one that stays and calls without a pause, and newcomers that connect, call and leave.
//!
//! They have a thread and a source address of their own, so that neither the attackers' work nor bounds per address are
//! theirs.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use hubgate_tests::Gateway;
use hubgate_tests::client::{HANDSHAKE, SEPARATOR};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::peer::call;

/// The hub of the good clients, served by the probe.
pub(crate) const HUB: &str = "probe";
/// Where they come from; attackers come from 127.0.0.1.
const ADDRESS: &str = "127.0.0.2:0";
/// How long a call, or a newcomer's whole visit, may take until it counts as failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two calls, and between two newcomers.
const CALL_PERIOD: Duration = Duration::from_millis(2);
const NEWCOMER_PERIOD: Duration = Duration::from_millis(200);

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Good = WebSocketStream<Box<dyn Stream>>;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// What time it is for the good clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    Quiet,
    Attack,
    Over,
}

/// How the good clients fared in one phase.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fared {
    pub(crate) calls: u64,
    pub(crate) calls_failed: u64,
    /// The longest time that a call waited for its answer.
    pub(crate) longest_call: Duration,
    pub(crate) newcomers: u64,
    pub(crate) newcomers_failed: u64,
}

/// Good clients at work; they leave when it is dropped.
#[derive(Debug)]
pub(crate) struct Bystander {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    phase: AtomicU8,
    quiet: Mutex<Fared>,
    attack: Mutex<Fared>,
}

impl Bystander {
    /// Begins in [`Phase::Quiet`]. With `tls`, the gateway's listener speaks TLS.
    pub(crate) fn start(gateway: &Gateway, tls: Option<TlsConnector>) -> Bystander {
        let shared =
            Shared { phase: AtomicU8::new(Phase::Quiet as u8), quiet: Mutex::default(), attack: Mutex::default() };
        let shared = Arc::new(shared);
        let way = Way { address: gateway.address(), token: token(gateway, tls.is_some()), tls };
        let thread = {
            let shared = shared.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect("the operating system gives a poller");
                runtime.block_on(async { tokio::join!(stay(&shared, &way), come_and_go(&shared, &way)) });
            })
        };
        Bystander { shared, thread: Some(thread) }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.shared.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn quiet(&self) -> Fared {
        self.shared.quiet.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn under_attack(&self) -> Fared {
        self.shared.attack.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.enter(Phase::Over);
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed already.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == Phase::Over as u8
    }

    /// Notes what has ended now.
    fn note(&self, note: impl FnOnce(&mut Fared)) {
        let fared = match self.phase.load(Ordering::Relaxed) {
            phase if phase == Phase::Quiet as u8 => &self.quiet,
            phase if phase == Phase::Attack as u8 => &self.attack,
            _ => return,
        };
        note(&mut fared.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn token(gateway: &Gateway, is_tls: bool) -> String {
    let scheme = if is_tls { "https" } else { "http" };
    gateway.token(HUB).audience(&format!("{scheme}://{}/client/?hub={HUB}", gateway.address())).sign()
}

/// The one that stays. If it is thrown out, it comes back.
async fn stay(shared: &Shared, way: &Way) {
    let mut client: Option<Good> = None;
    while !shared.is_over() {
        let began = Instant::now();
        let called = tokio::time::timeout(PATIENCE, async {
            let stream = match &mut client {
                Some(stream) => stream,
                None => client.insert(way.connect().await?),
            };
            echo(stream).await
        });
        let is_answered = matches!(called.await, Ok(Ok(())));
        let waited = began.elapsed();
        shared.note(|fared| {
            fared.calls += 1;
            fared.calls_failed += u64::from(!is_answered);
            fared.longest_call = fared.longest_call.max(waited);
        });
        if !is_answered {
            client = None;
            tokio::time::sleep(NEWCOMER_PERIOD).await;
        }
        tokio::time::sleep(CALL_PERIOD).await;
    }
}

/// Those that come and go.
async fn come_and_go(shared: &Shared, way: &Way) {
    while !shared.is_over() {
        let visit = async {
            let mut stream = way.connect().await?;
            echo(&mut stream).await?;
            stream.close(None).await?;
            Ok::<_, Failure>(())
        };
        let is_served = matches!(tokio::time::timeout(PATIENCE, visit).await, Ok(Ok(())));
        shared.note(|fared| {
            fared.newcomers += 1;
            fared.newcomers_failed += u64::from(!is_served);
        });
        tokio::time::sleep(NEWCOMER_PERIOD).await;
    }
}

/// How a good client reaches the gateway.
struct Way {
    address: SocketAddr,
    token: String,
    tls: Option<TlsConnector>,
}

impl Way {
    /// A client behind its handshake.
    async fn connect(&self) -> Result<Good, Failure> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(ADDRESS.parse()?)?;
        let tcp = socket.connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(tcp),
            Some(tls) => Box::new(tls.connect(ServerName::from(self.address.ip()), tcp).await?),
        };
        let url = format!("ws://{}/client/?hub={HUB}&access_token={}", self.address, self.token);
        let (mut stream, _) = tokio_tungstenite::client_async(url.into_client_request()?, stream).await?;
        stream.send(Message::text(HANDSHAKE)).await?;
        match message(&mut stream).await? {
            accepted if accepted == json!({}) => Ok(stream),
            refused => Err(format!("the handshake is refused: {refused}").into()),
        }
    }
}

async fn echo(stream: &mut Good) -> Result<(), Failure> {
    stream.send(Message::text(call("echo", json!(["hello"])))).await?;
    loop {
        let message = message(stream).await?;
        match (&message["type"], &message["result"]) {
            (completion, result) if completion == 3 && result == "hello" => return Ok(()),
            (completion, _) if completion == 3 => return Err(format!("no echo: {message}").into()),
            (close, _) if close == 7 => return Err(format!("the client is closed: {message}").into()),
            _ => {}
        }
    }
}

/// The next hub message; what was sent together with it is skipped.
async fn message(stream: &mut Good) -> Result<Value, Failure> {
    loop {
        match stream.next().await {
            Some(Ok(Message::Text(text))) => {
                let first = text.split(SEPARATOR).next().unwrap_or_default();
                return Ok(serde_json::from_str(first)?);
            }
            Some(Ok(Message::Close(_))) | None => return Err("the connection is closed".into()),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.into()),
        }
    }
}
