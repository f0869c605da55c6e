//! Places: file descriptors and connections. Whoever has no token keeps neither operators nor clients out.

use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use http_body_util::BodyExt;
use hubgate_tests::Gateway;
use hubgate_tests::gateway::Setup;
use hubgate_tests::http_2::{Connection, Window};
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::socket::SMALL_BUFFER;
use hubgate_tests::tls;
use hubgate_tests::wait::{settled, soon, until};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Little more than a gateway needs at rest. One in eight is kept back for operators.
const DESCRIPTORS: u32 = 96;
const KEPT_BACK: usize = 12;

async fn refused(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric("hubgate_requests_refused_total", [("reason", reason)]).await
}

/// A connection from an address of this machine that is not its peers'.
async fn connect_from(address: &str, gateway: &Gateway) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("there is a socket");
    socket.bind(format!("{address}:0").parse().expect("an address")).expect("loopback has many addresses");
    socket.connect(gateway.address()).await.expect("the system accepts")
}

/// Whether the gateway closes the connection at once, and does not wait for a request.
async fn is_turned_away(stream: &mut TcpStream) -> bool {
    let closed = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0])).await;
    matches!(closed, Ok(Ok(0) | Err(_)))
}

/// Whether a request is answered.
async fn is_served(mut stream: TcpStream) -> bool {
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut answer = Vec::new();
    let exchange = async {
        stream.write_all(request).await?;
        stream.read_to_end(&mut answer).await
    };
    soon("an answer or the end", exchange).await.is_ok() && answer.starts_with(b"HTTP/1.1 200 ")
}

fn open_descriptors(gateway: &Gateway) -> usize {
    let folder = format!("/proc/{}/fd", gateway.process_id());
    fs::read_dir(folder).expect("the gateway runs").count()
}

/// More connections than there can be descriptors for.
async fn crowd(gateway: &Gateway) -> Vec<TcpStream> {
    let mut crowd = Vec::new();
    for _ in 0..DESCRIPTORS {
        crowd.push(TcpStream::connect(gateway.address()).await.expect("the system accepts"));
    }
    crowd
}

#[tokio::test]
async fn a_crowd_of_clients_leaves_descriptors_for_operators() {
    let gateway = Gateway::probe().descriptors(DESCRIPTORS).start().await;
    let mut client = gateway.client("probe").connect().await;
    let crowd = crowd(&gateway).await;
    until("the crowd to be turned away", async || (refused(&gateway, "descriptors").await > 0.0).then_some(())).await;
    let open = settled("the number of descriptors", async || open_descriptors(&gateway)).await;
    assert!(open <= DESCRIPTORS as usize - KEPT_BACK / 2, "{open} are open: clients have some that are kept back");
    gateway.logs(&["clients are turned away", "limit=96", "kept_back=12"]).await;
    assert_eq!(gateway.clients_of("probe").await, 1);
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
    drop(crowd);
    let again = async || gateway.client("probe").try_open().await.ok();
    until("a newcomer to be let in", again).await;
}

#[tokio::test]
async fn the_admin_listener_answers_again_after_descriptors_have_run_out() {
    let gateway = Gateway::probe().descriptors(DESCRIPTORS).start().await;
    let crowd = crowd(&gateway).await;
    until("the crowd to be turned away", async || (refused(&gateway, "descriptors").await > 0.0).then_some(())).await;
    let mut callers = Vec::new();
    for _ in 0..=KEPT_BACK {
        callers.push(TcpStream::connect(gateway.ready().admin).await.expect("the system accepts"));
    }
    gateway.logs(&["cannot accept connections; trying again", "listener=\"admin.listen\""]).await;
    drop(callers);
    assert_eq!(gateway.admin("/admin/hubs/probe").await["clients"], json!(0));
    drop(crowd);
}

#[tokio::test]
async fn connections_without_the_admin_token_do_not_keep_operators_out() {
    let gateway = Gateway::serve().with("server.timeouts.http-header = '60s'").start().await;
    let mut strangers = Vec::new();
    for _ in 0..200 {
        strangers.push(TcpStream::connect(gateway.ready().admin).await.expect("the system accepts"));
    }
    assert!(gateway.admin("/admin/hubs").await.is_object());
    // At most 64 are open, so all others have been closed.
    let closed = async || {
        let is_closed = |stream: &TcpStream| matches!(stream.try_read(&mut [0]), Ok(0));
        (strangers.iter().filter(|stream| is_closed(stream)).count() >= strangers.len() - 64).then_some(())
    };
    until("the oldest to give way", closed).await;
}

#[tokio::test]
async fn without_descriptors_the_address_that_has_most_gives_way() {
    let gateway = Gateway::serve().descriptors(DESCRIPTORS).with("server.timeouts.http-header = '60s'").start().await;
    let crowd = crowd(&gateway).await;
    until("the crowd to be turned away", async || (refused(&gateway, "descriptors").await > 0.0).then_some(())).await;
    for number in 0..20 {
        assert!(is_served(connect_from("127.0.0.2", &gateway).await).await, "newcomer {number}");
    }
    drop(crowd);
}

/// A gateway with so few places that they can all be taken, in which a silent connection stays.
fn small(limits: &str) -> Setup {
    let timeouts = "server.timeouts = { http-header = '60s', http-body = '60s' }";
    Gateway::probe().with(timeouts).with(limits)
}

#[tokio::test]
async fn an_address_that_has_all_places_keeps_no_other_out() {
    let limits = "server.limits = { http-connections = 6, http-connections-per-ip = 0 }";
    let gateway = small(limits).start().await;
    let mut crowd = join_all((0..6).map(|_| connect_from("127.0.0.1", &gateway))).await;
    let mut again = connect_from("127.0.0.1", &gateway).await;
    assert!(is_turned_away(&mut again).await, "the address has most itself");
    let mut others = Vec::new();
    for number in 2..5 {
        others.push(connect_from(&format!("127.0.0.{number}"), &gateway).await);
    }
    assert!(is_turned_away(&mut crowd[0]).await && is_turned_away(&mut crowd[2]).await, "the oldest give way");
    assert!(is_served(crowd.remove(5)).await);
    for other in others {
        assert!(is_served(other).await);
    }
    assert!(refused(&gateway, "http-connections").await >= 4.0);
}

#[tokio::test]
async fn who_shows_no_token_for_long_gives_way_to_its_own_address() {
    let limits = "server.limits = { http-connections = 3 }\nserver.timeouts.http-header = '300ms'";
    let gateway = Gateway::probe().with(limits).start().await;
    let asks = async || {
        let mut stream = TcpStream::connect(gateway.address()).await.expect("the system accepts");
        while stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.is_ok()
            && stream.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0)
        {
            hubgate_tests::wait::pause().await;
        }
    };
    let newcomer = until("a newcomer to be let in", async || {
        is_served(connect_from("127.0.0.1", &gateway).await).await.then_some(())
    });
    tokio::select! {
        _ = join_all((0..3).map(|_| asks())) => panic!("all have lost their places to one"),
        () = newcomer => {}
    }
    assert!(refused(&gateway, "http-connections").await >= 1.0);
}

#[tokio::test]
async fn connections_of_one_address_are_limited_beside_those_that_carry_somebody() {
    let config = "server.limits.http-connections-per-ip = 3\nhubs.chat.mode = 'default'";
    let gateway = small(config).start().await;
    let _servers = [HubServer::open(&gateway, "chat", "a").await, HubServer::open(&gateway, "chat", "b").await];
    let _client = gateway.client("probe").connect().await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(event_stream(&gateway).await);
    }
    let crowd = join_all((0..3).map(|_| connect_from("127.0.0.1", &gateway))).await;
    assert!(is_turned_away(&mut connect_from("127.0.0.1", &gateway).await).await);
    assert!(refused(&gateway, "http-connections-per-ip").await >= 1.0);
    assert!(is_served(connect_from("127.0.0.2", &gateway).await).await);
    drop(crowd);
    let again = async || is_served(connect_from("127.0.0.1", &gateway).await).await.then_some(());
    until("the places to be free", again).await;
}

/// A client on Server-Sent Events.
async fn event_stream(gateway: &Gateway) -> TcpStream {
    let token = gateway.token("probe").sign();
    let negotiate = gateway.request(Method::POST, "/client/negotiate?hub=probe&negotiateVersion=1");
    let answer = negotiate.bearer(&token).send().await.json();
    let id = answer["connectionToken"].as_str().expect("version 1 has a token");
    let mut stream = TcpStream::connect(gateway.address()).await.expect("the system accepts");
    let request = format!(
        "GET /client/?hub=probe&id={id} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
         Accept: text/event-stream\r\n\r\n",
        gateway.address()
    );
    stream.write_all(request.as_bytes()).await.expect("the gateway reads");
    let mut answer = [0; 12];
    soon("the stream to open", stream.read_exact(&mut answer)).await.expect("it is answered");
    assert_eq!(answer, *b"HTTP/1.1 200");
    stream
}

#[tokio::test]
async fn connections_of_trusted_proxies_have_no_limit_by_address() {
    let config = "server.limits.http-connections-per-ip = 3\nserver.trusted-proxies = ['127.0.0.1']";
    let gateway = small(config).start().await;
    let crowd = join_all((0..10).map(|_| connect_from("127.0.0.1", &gateway))).await;
    for stream in crowd {
        assert!(is_served(stream).await);
    }
}

async fn slow_peers(gateway: &Gateway) -> f64 {
    gateway.metric("hubgate_slow_peers_total", [("limit", "server.timeouts.write")]).await
}

#[tokio::test]
async fn pipelined_requests_whose_answers_are_not_read_end_their_connection() {
    let gateway = small("server.timeouts.write = '1s'").start().await;
    let socket = TcpSocket::new_v4().expect("there is a socket");
    socket.set_recv_buffer_size(SMALL_BUFFER).expect("a TCP socket has the option");
    let mut stream = socket.connect(gateway.address()).await.expect("the system accepts");
    let requests = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(10_000);
    let flood = async { while stream.write_all(&requests).await.is_ok() {} };
    soon("the connection to end", flood).await;
    until("it to be counted", async || (slow_peers(&gateway).await == 1.0).then_some(())).await;
}

#[tokio::test]
async fn an_http_2_answer_whose_window_stays_closed_ends_its_connection() {
    let gateway = tls::secure(small("server.timeouts.write = '1s'")).start().await;
    let mut connection = Connection::open(&gateway, Window::Closed).await.expect("the gateway speaks HTTP/2");
    let answer = connection.request(Method::GET, "/healthz", "", "").await.expect("the head comes");
    let body = soon("the connection to end", answer.into_body().collect()).await;
    assert!(body.is_err(), "nothing of it can have come");
    until("it to be counted", async || (slow_peers(&gateway).await == 1.0).then_some(())).await;
}
