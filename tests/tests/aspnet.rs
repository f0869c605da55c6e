//! ASP.NET SignalR: real applications and clients of the protocol before ASP.NET Core, on the rig of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use hubgate_tests::Gateway;
use hubgate_tests::aspnet::{self, HubServer};
use hubgate_tests::client::Client;
use hubgate_tests::http::{Request, escaped};
use serde_json::Value;

/// Some checks of each kind, on all transports, that wait for no time-out.
const SMOKE: &str = "connect.start,connect.several-hubs,connect.anonymous,connect.slow-connected,auth.*,call.echo,call.exception,call.types,call.order,\
                     call.big-result,send.all*,send.except,send.user,send.client,send.from-outside,group.join-send-leave,group.other-client,group.absent-client,\
                     life.stop,raw.*,server.containers,server.name-split,server.two-sends";
/// Those among them that wait.
const SLOW: &str = "raw.lp-idle,raw.connect-late,raw.ws-keep-alive,raw.sse-keep-alive";

async fn gateway(more: &str) -> Gateway {
    // Some checks post more than clients may by default, and some are pages of another origin.
    let config = "server.limits.post = '16MiB'\nhubs.'*'.cors-origins = ['http://page.example:8080']";
    Gateway::serve().with(config).with(more).start().await
}

#[tokio::test]
async fn checks_of_each_kind_pass_with_two_shards() {
    let gateway = gateway("server.shards = 2").await;
    if let Some(passed) = aspnet::suite(&gateway, &["--filter", SMOKE, "--skip", SLOW]).await {
        assert!(passed > 70, "{passed}");
    }
}

/// The whole suite in both modes takes ten minutes: `scripts/aspnet.sh` runs it.
#[tokio::test]
#[ignore = "it waits for time-outs for minutes: scripts/aspnet.sh runs it"]
async fn all_checks_pass_in_default_mode() {
    if let Some(passed) = aspnet::suite(&gateway("").await, &[]).await {
        assert_eq!(passed, 215);
    }
}

#[tokio::test]
#[ignore = "it waits for time-outs for minutes: scripts/aspnet.sh runs it"]
async fn all_checks_pass_in_classic_mode_with_four_shards() {
    let gateway = gateway("server.shards = 4\nhubs.'*'.mode = 'classic'").await;
    // The application of that check is called like one of its hubs, and one suite at a time can have it.
    if let Some(passed) = aspnet::suite(&gateway, &["--skip", "server.name-clash"]).await {
        assert_eq!(passed, 214);
    }
}

#[tokio::test]
async fn each_broadcast_comes_once_and_in_order_to_clients_that_are_cut_off_again_and_again() {
    const CUTS_OF_CLIENT: usize = 20;
    if !aspnet::is_at_hand() {
        return;
    }
    let cuts = std::env::var("HUBGATE_CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(100);
    let gateway = gateway("server.shards = 2").await;
    // Nothing orders what comes over several connections.
    let mut server = HubServer::start(&gateway, &["--app-name", "Cut.App", "--connections", "1"]).await;
    server.connected().await;
    let clients: usize = usize::max(1, cuts / CUTS_OF_CLIENT);
    let mut receivers = Vec::new();
    for _ in 0..clients {
        receivers.push(Receiver::start(&gateway, &server).await);
    }
    let (is_over, mut number) = (Arc::new(AtomicBool::new(false)), 0);
    let cutting = receivers.into_iter().map(|receiver| tokio::spawn(receiver.go_on_over_cuts(CUTS_OF_CLIENT)));
    let cutting: Vec<_> = cutting.collect();
    let over = is_over.clone();
    let all = tokio::spawn(async move {
        for each in cutting {
            each.await.expect("each number comes once and in order");
        }
        over.store(true, Ordering::Relaxed);
    });
    while !is_over.load(Ordering::Relaxed) && !all.is_finished() {
        number += 1;
        server.push(&number.to_string()).await;
    }
    all.await.expect("all clients have been cut off");
}

/// A client that knows the number of the last broadcast that it has got.
struct Receiver {
    address: SocketAddr,
    token: String,
    query: String,
    link: Client,
    cursor: String,
    last: Option<u64>,
}

impl Receiver {
    async fn start(gateway: &Gateway, server: &HubServer) -> Receiver {
        let hubs = "connectionData=%5B%7B%22name%22%3A%22chat%22%7D%5D";
        let redirect = server.negotiate(hubs).await;
        let token = redirect["AccessToken"].as_str().expect("it redirects with a token").to_owned();
        let address = gateway.address();
        let ask = async |path: String| {
            let answer = Request::new(Method::GET, address, &path).bearer(&token).send().await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            answer.json()
        };
        let negotiated = ask(format!("/aspnetclient/negotiate?clientProtocol=2.0&{hubs}")).await;
        let connection = escaped(negotiated["ConnectionToken"].as_str().expect("a token"));
        let query = format!("transport=webSockets&clientProtocol=2.0&connectionToken={connection}&{hubs}");
        let mut link = open(address, &format!("/aspnetclient/connect?{query}"), &token).await;
        let first: Value = serde_json::from_str(&link.next_text().await).expect("JSON");
        assert_eq!(first["S"], 1, "{first}");
        assert_eq!(ask(format!("/aspnetclient/start?{query}")).await["Response"], "started");
        let cursor = first["C"].as_str().expect("a cursor").to_owned();
        Receiver { address, token, query, link, cursor, last: None }
    }

    /// Its WebSocket breaks so often, each time when it has got one more broadcast.
    async fn go_on_over_cuts(mut self, times: usize) {
        for _ in 0..times {
            self.next().await;
            let path = format!("/aspnetclient/reconnect?{}&messageId={}", self.query, escaped(&self.cursor));
            let link = open(self.address, &path, &self.token).await;
            std::mem::replace(&mut self.link, link).vanish();
        }
        self.next().await;
    }

    async fn next(&mut self) {
        loop {
            let message: Value = serde_json::from_str(&self.link.next_text().await).expect("JSON");
            let Some(said) = message["M"].as_array().filter(|said| !said.is_empty()) else { continue };
            message["C"].as_str().expect("a cursor").clone_into(&mut self.cursor);
            for each in said {
                let number = each["A"][1].as_str().and_then(|number| number.parse().ok()).expect("a number");
                assert!(self.last.is_none_or(|last| number == last + 1), "{number} after {:?}", self.last);
                self.last = Some(number);
            }
            return;
        }
    }
}

async fn open(address: SocketAddr, path: &str, token: &str) -> Client {
    Client::open(address, path, Some(token)).await.unwrap_or_else(|answer| panic!("{}: {}", answer.status, answer.body))
}
