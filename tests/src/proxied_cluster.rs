//! Several gateways that serve as one behind nginx, which gives each request to the next of them, whoever sends it: nothing keeps a client at one of them.

use std::fs;
use std::net::SocketAddr;

use ::http::Method;

use crate::client::Connecting;
use crate::cluster::{Cluster, Making};
use crate::command::repository;
use crate::gateway::{Gateway, KEY};
use crate::http::Request;
use crate::nginx::{Nginx, Place};
use crate::token::Token;

/// nginx is configured as in `examples/cluster`. Dropped, all of it is killed; all logs are shown if the test fails.
#[derive(Debug)]
pub struct ProxiedCluster {
    nginx: Nginx,
    /// After nginx, so that it ends after it.
    pub cluster: Cluster,
}

/// The way to all of the nodes.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    address: SocketAddr,
}

impl ProxiedCluster {
    /// So many nodes, which have joined. All have one URL: the proxy's.
    pub async fn start(making: Making, nodes: usize) -> ProxiedCluster {
        let place = Place::free();
        let address = place.address();
        let config = format!("server.endpoints = ['http://{address}']\nserver.trusted-proxies = ['127.0.0.1']");
        let cluster = making.configured(&config).start(nodes).await;
        let nginx = Nginx::start(&config_of_the_example(address, cluster.nodes()), place).await;
        ProxiedCluster { nginx, cluster }
    }

    pub fn entry(&self) -> Entry {
        Entry { address: self.nginx.address() }
    }
}

impl Entry {
    /// The proxy's.
    pub fn address(self) -> SocketAddr {
        self.address
    }

    /// The base URL of clients, applications and hub servers.
    pub fn url(self) -> String {
        format!("http://{}", self.address)
    }

    /// A token for clients of `hub`, not signed yet.
    pub fn token(self, hub: &str) -> Token {
        Token::new(&format!("{}/client/?hub={hub}", self.url()), KEY)
    }

    /// A token for hub servers of `hub`.
    pub fn token_of_servers(self, hub: &str) -> String {
        Token::new(&format!("{}/server/?hub={hub}", self.url()), KEY).sign()
    }

    /// A client of `hub`, not connected yet, each of whose requests comes to another node.
    pub fn client(self, hub: &str) -> Connecting {
        Connecting::to(self.address, hub, self.token(hub))
    }

    /// A request of the REST API, with a token for its path.
    pub fn rest(self, method: Method, path: &str) -> Request {
        let audience = format!("{}{}", self.url(), path.split('?').next().unwrap_or_default());
        Request::new(method, self.address, path).bearer(&Token::new(&audience, KEY).sign())
    }
}

/// The example's file with other ports, the way for hub servers, and room for the large posts of some clients of tests.
fn config_of_the_example(address: SocketAddr, nodes: &[Gateway]) -> String {
    const LISTENS: &str = "listen 127.0.0.1:8880;";
    const HUB_SERVERS: &str = "# Hubs in default mode need this one, too: ";
    const GATEWAYS: [&str; 3] = ["server 127.0.0.1:8881 ", "server 127.0.0.1:8882 ", "server 127.0.0.1:8883 "];
    let example = repository().join("examples/cluster");
    let config = fs::read_to_string(example.join("nginx.conf")).expect("the example is there");
    let is_known = [LISTENS, HUB_SERVERS].iter().chain(&GATEWAYS).all(|part| config.contains(part));
    assert!(is_known, "the example has another proxy");
    let config = config.replace(LISTENS, &format!("listen {address};\nclient_max_body_size 16m;"));
    let config = config.replace(HUB_SERVERS, "").replace("EXAMPLE", &example.display().to_string());
    let mut lines = Vec::new();
    for line in config.lines() {
        match GATEWAYS.iter().position(|gateway| line.contains(gateway)) {
            // One of them stands for all.
            Some(0) => {
                lines.extend(nodes.iter().map(|node| line.replace(GATEWAYS[0], &format!("server {} ", node.address()))))
            }
            Some(_) => {}
            None => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}
