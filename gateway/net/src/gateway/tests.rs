//! A gateway into which faults are injected.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hubgate_core::mode::Mode;
use hubgate_core::settings::{
    ClaimNames, ConnectFailure, Handler, HubSettings, Pattern, StreamCalls, UpstreamItem, Webhook,
};
use hubgate_core::time::Millis;
use hubgate_plugin_host::{BadPlugins, Compilation, Folders, HostSettings};
use hubgate_wire::token::AccessKey;
use hubgate_wire::webhook::UrlTemplate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::faults::Fault;
use crate::settings::tests::settings;

const DEADLINE: Duration = Duration::from_secs(120);
const MOST_CLIENTS: usize = 16;

/// Everything is serverless, anybody may enter, and calls go to a webhook that nobody serves.
fn gateway_settings() -> Settings {
    let mut settings = settings();
    let minute = Millis(60_000);
    let mut core = (*settings.core).clone();
    core.other_hubs = HubSettings { mode: Mode::Serverless, filters: Vec::new(), messages_per_second: 0 };
    core.upstream = vec![UpstreamItem {
        hubs: Pattern::Any,
        categories: Pattern::OneOf(vec!["messages".to_owned()]),
        events: Pattern::Any,
        handler: Handler::Webhook(Arc::new(Webhook {
            url: UrlTemplate::parse("http://127.0.0.1:1/").expect("a URL"),
            timeout: minute,
            retries: 0,
            on_connect_failure: ConnectFailure::Close,
            claim_names: ClaimNames::Token,
            stream_calls: StreamCalls::Refused,
        })),
    }];
    let limits = &mut core.limits;
    (limits.message, limits.held, limits.queued_calls, limits.queued_bytes) = (1 << 20, 1 << 20, 16, 1 << 20);
    (limits.departed_bytes, limits.departed_calls) = (1 << 20, 1);
    let times = &mut core.timeouts;
    (times.negotiate, times.handshake, times.client, times.keep_alive) = (minute, minute, minute, minute);
    settings.core = Arc::new(core);
    settings.access_keys = vec![AccessKey::new("a-key-that-only-this-test-knows-0123456789")];
    settings.other_hubs.negotiate = crate::settings::Negotiate::Anybody;
    (settings.shards, settings.drain.timeout) = (2, Duration::from_secs(2));
    let limits = &mut settings.limits;
    (limits.outbox, limits.post, limits.headers) = (1 << 20, 1 << 20, 16 << 10);
    (limits.connections, limits.http_connections) = (MOST_CLIENTS, 2 * MOST_CLIENTS);
    let times = &mut settings.timeouts;
    (times.header, times.body, times.write, times.outbox) = (DEADLINE, DEADLINE, DEADLINE, DEADLINE);
    settings
}

fn gateway(settings: Settings, inherited: Inherited) -> Gateway {
    let plugins = PluginHost::start(
        HostSettings { plugins: Vec::new(), hubs: Vec::new(), shards: 1, memory_bytes: 0 },
        Compilation::default(),
        Folders::default(),
        BadPlugins::Fail,
    );
    let plugins = plugins.expect("none is needed");
    let sockets = Sockets::bind(&settings, inherited).expect("ports are free");
    Gateway::listen(settings, plugins, usize::MAX, sockets).expect("nobody else listens there")
}

/// Runs a gateway until `test` is over, or something has ended it.
async fn run(test: impl AsyncFnOnce(&Shared, SocketAddr)) -> Result<(), RunError> {
    run_with(Inherited::default(), async |shared, address, _| test(shared, address).await).await
}

async fn run_with(
    inherited: Inherited,
    test: impl AsyncFnOnce(&Shared, SocketAddr, mpsc::Sender<Change>),
) -> Result<(), RunError> {
    let gateway = gateway(gateway_settings(), inherited);
    let (shared, address) = (gateway.shared.clone(), gateway.listen_address());
    let (end, ended) = oneshot::channel::<()>();
    let (changes, changed) = mpsc::channel(1);
    let keeper = Keeper { changes: changed, orders: mpsc::channel(1).0 };
    let running = gateway.run(|| (), || (), || (), async { drop(ended.await) }, keeper);
    let testing = async {
        test(&shared, address, changes).await;
        drop(end);
    };
    tokio::time::timeout(DEADLINE, async { tokio::join!(running, testing).0 }).await.expect("it comes to its end")
}

/// A client over WebSocket.
struct Client(TcpStream);

impl Client {
    /// Connects, and has its handshake answered.
    async fn connect(address: SocketAddr) -> Client {
        let mut stream = TcpStream::connect(address).await.expect("it is accepted");
        let negotiate = format!("POST /hubs/chat/negotiate HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(negotiate.as_bytes()).await.expect("it is read");
        let answer = Client(stream).until("}").await.0;
        let text = |name: &str| {
            let rest = answer.split(&format!("\"{name}\":\"")).nth(1).unwrap_or_else(|| panic!("{name}: {answer}"));
            rest.split('"').next().expect("a text ends").to_owned()
        };
        let mut stream = TcpStream::connect(address).await.expect("it is accepted");
        let upgrade = format!(
            "GET /client/?hub=chat&access_token={} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            text("accessToken")
        );
        stream.write_all(upgrade.as_bytes()).await.expect("it is read");
        let mut client = Client(stream).until("\r\n\r\n").await.1;
        client.say("{\"protocol\":\"json\",\"version\":1}").await;
        client.until("{}\u{1e}").await.1
    }

    async fn say(&mut self, message: &str) {
        let payload = format!("{message}\u{1e}");
        // A mask of zeros leaves the payload as it is.
        let mut frame = vec![0x81, 0x80 | u8::try_from(payload.len()).expect("it is short"), 0, 0, 0, 0];
        frame.extend_from_slice(payload.as_bytes());
        self.0.write_all(&frame).await.expect("it is read");
    }

    async fn call(&mut self) {
        self.say("{\"type\":1,\"invocationId\":\"7\",\"target\":\"anything\",\"arguments\":[]}").await;
    }

    /// All that comes until `end` has come, or to the connection's end.
    async fn until(mut self, end: &str) -> (String, Client) {
        let mut read = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&read).into_owned();
            if !end.is_empty() && text.contains(end) {
                return (text, self);
            }
            match self.0.read_buf(&mut read).await {
                Ok(0) | Err(_) => return (text, self),
                Ok(_) => {}
            }
        }
    }

    /// All that comes to the connection's end.
    async fn rest(self) -> String {
        self.until("").await.0
    }
}

#[tokio::test]
async fn a_vital_task_that_panics_ends_the_gateway_in_order() {
    for (fault, expected) in [
        (Fault::Clock, "the clock of shard "),
        (Fault::Writer, "the writer of shard "),
        (Fault::Inbox, "shard "),
        (Fault::Accepting, "accepting connections"),
    ] {
        let ended = run(async |shared, address| {
            let mut clients = Vec::new();
            for _ in 0..MOST_CLIENTS {
                clients.push(Client::connect(address).await);
            }
            shared.faults.arm(fault);
            // What is due at the next connection, and at the next message.
            let _connection = TcpStream::connect(address).await;
            clients[0].call().await;
            let mut told = 0;
            for client in clients {
                told += usize::from(client.rest().await.contains("\"allowReconnect\":true"));
            }
            assert!(told > 0, "{fault:?}: the clients of other shards are sent away");
            assert!(shared.vitals.end_limit().is_some(), "{fault:?}: the end has a limit");
        });
        let what = match ended.await {
            Err(RunError::Failed(what)) => what,
            other => panic!("{fault:?}: {other:?}"),
        };
        assert!(what.starts_with(expected) && what.ends_with("panicked"), "{fault:?}: {what}");
    }
}

#[tokio::test]
async fn a_panic_over_what_a_client_says_closes_this_client_alone() {
    let ended = run(async |shared, address| {
        let mut other = Client::connect(address).await;
        // More often than there are places, so that none is kept.
        for _ in 0..2 * MOST_CLIENTS {
            let mut loud = Client::connect(address).await;
            shared.faults.arm(Fault::Client);
            loud.say("{\"type\":6}").await;
            assert_eq!(loud.rest().await, "");
        }
        other.call().await;
        let (answer, _other) = other.until("\u{1e}").await;
        assert!(answer.contains("\"invocationId\":\"7\""), "{answer}");
        let metrics =
            shared.metrics.encode(Default::default(), &shared.directory, None, None, None, None).expect("a text");
        let counted = format!("hubgate_task_panics_total{{task=\"connection\"}} {}", 2 * MOST_CLIENTS);
        assert!(metrics.contains(&counted), "{metrics}");
    });
    ended.await.expect("nothing vital has broken");
}

#[tokio::test]
async fn a_call_that_panics_has_failed() {
    let ended = run(async |shared, address| {
        let mut client = Client::connect(address).await;
        for _ in 0..2 {
            shared.faults.arm(Fault::Call);
            client.call().await;
            let (answer, going_on) = client.until("\u{1e}").await;
            assert!(answer.contains("\"error\":"), "{answer}");
            client = going_on;
        }
    });
    ended.await.expect("nothing vital has broken");
}

/// The status line that an open hub's negotiation gets under this host.
async fn negotiated_as(host: &str, address: SocketAddr) -> String {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).await;
    let mut stream = stream.expect("it is accepted");
    let negotiate = format!("POST /hubs/chat/negotiate HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(negotiate.as_bytes()).await.expect("it is read");
    let answer = Client(stream).until("\r\n").await.0;
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn hosts_are_those_of_the_socket_that_was_inherited_also_after_a_reload() {
    let clients = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("there is a port");
    let inherited = Inherited { clients: Some(clients), admin: None };
    let ended = run_with(inherited, async |_, address, changes| {
        assert!(gateway_settings().listen.ip().is_loopback());
        assert_eq!(negotiated_as("192.0.2.1:8888", address).await, "HTTP/1.1 200 OK");
        let (done, is_done) = oneshot::channel();
        changes.send(Change { settings: gateway_settings(), done }).await.expect("it runs");
        is_done.await.expect("all threads go by them");
        assert_eq!(negotiated_as("192.0.2.1:8888", address).await, "HTTP/1.1 200 OK");
        assert_eq!(negotiated_as("evil.example", address).await, "HTTP/1.1 421 Misdirected Request");
    });
    ended.await.expect("nothing vital has broken");
}

#[tokio::test]
async fn a_reload_while_the_gateway_stops_changes_nothing_of_its_end() {
    let mut settings = gateway_settings();
    settings.drain.delay = DEADLINE;
    let shared = gateway(settings.clone(), Inherited::default()).shared;
    let mut ending = std::pin::pin!(begin_to_end(&shared, async {}));
    let is_pending = std::future::poll_fn(|context| Poll::Ready(ending.as_mut().poll(context).is_pending())).await;
    assert!(is_pending, "load balancers have a while");
    let drain = settings.drain;
    settings.drain.timeout = 100 * DEADLINE;
    shared.set_settings(settings);
    shared.vitals.fail("something else".to_owned());
    assert_eq!(ending.await, drain);
    assert_eq!(shared.vitals.end_limit(), Some(longest_end(drain)));
}
