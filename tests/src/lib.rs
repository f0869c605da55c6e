//! What the tests of the gateway are written in: they start the built binary as its users do, and look at it from
//! outside.
//!
//! | module | what |
//! |---|---|
//! | [`gateway`] | a running gateway: its configuration, its process, its admin listener |
//! | [`cluster`] | several gateways that serve as one |
//! | [`collector`] | a collector of OpenTelemetry, which keeps what it is told |
//! | [`command`] | one run of the binary that ends by itself |
//! | [`client`] | a SignalR client that hides nothing: every hub message and every frame can be sent and seen |
//! | [`cutting_proxy`] | a TCP proxy that cuts the WebSockets of clients |
//! | [`document`] | a document as its reader goes through it |
//! | [`answering_server`] | a hub server that answers all of its clients |
//! | [`aspnet`] | real hub servers, clients and checks of ASP.NET SignalR |
//! | [`dotnet`] | real hub servers, clients and checks in .NET |
//! | [`hub_server`] | a hub server that misbehaves |
//! | [`frozen`] | a thread of the gateway that stands still |
//! | [`functions`] | a function app of Azure Functions with SignalR bindings |
//! | [`fuzz`] | what any bytes may be done with, and must not break |
//! | [`http`] | requests and answers |
//! | [`http_2`] | the same over HTTP/2, and peers that never let an answer's body come |
//! | [`nats`] | what joins gateways |
//! | [`nginx`] | a reverse proxy |
//! | [`network`] | machines, with links between them that can be cut |
//! | [`pebble`] | an ACME server, and its way to the gateway that it validates |
//! | [`private_network`] | a network that a test has for itself |
//! | [`proxied_cluster`] | gateways that serve as one behind a proxy |
//! | [`root`] | what only root may do |
//! | [`stateful`] | a client that goes on by another WebSocket, and counts, keeps and acknowledges only when a test says so |
//! | [`socket`] | connections of clients and hub servers, plain or with TLS |
//! | [`tls`] | certificates |
//! | [`token`] | good tokens and bad ones |
//! | [`toolchains`] | what makes components of projects in many languages |
//! | [`guests`] | the components that tests serve, and files that are none |
//! | [`javascript`] | scenarios of the official client in Node.js |
//! | [`management`] | a stand-in for the .NET Management SDK |
//! | [`matrix`] | what the clients of others did |
//! | [`provider`] | an identity provider: keys that it signs tokens with, and publishes |
//! | [`rest_operations`] | all that a REST caller can do, and what must come of it |
//! | [`script`] | the clients of others, which run in Node.js, Python, Java and Go |
//! | [`python`] | what is installed for tests from PyPI |
//! | [`wait`] | deadlines |
//! | [`webhook`] | a webhook that answers late |

pub mod answering_server;
pub mod aspnet;
pub mod client;
pub mod cluster;
pub mod collector;
pub mod command;
pub mod cutting_proxy;
pub mod document;
pub mod dotnet;
pub mod frozen;
pub mod functions;
pub mod fuzz;
pub mod gateway;
pub mod guests;
pub mod http;
pub mod http_2;
pub mod hub_server;
pub mod javascript;
pub mod live_trace;
pub mod management;
pub mod matrix;
pub mod nats;
pub mod network;
pub mod nginx;
pub mod pebble;
pub mod private_network;
pub mod provider;
pub mod proxied_cluster;
pub mod python;
pub mod rest_operations;
pub mod root;
pub mod script;
pub mod socket;
pub mod stateful;
pub mod tls;
pub mod token;
pub mod toolchains;
pub mod wait;
pub mod webhook;

pub use client::Client;
pub use cluster::Cluster;
pub use collector::Collector;
pub use gateway::Gateway;
pub use proxied_cluster::ProxiedCluster;
pub use stateful::StatefulClient;
pub use token::Token;

/// Ids of the same length, each of which differs from `id` in one character.
pub fn ids_that_differ_in_one_character(id: &str) -> impl Iterator<Item = String> {
    (0..id.len()).map(|place| {
        let other = if id[place..].starts_with('A') { "B" } else { "A" };
        format!("{}{other}{}", &id[..place], &id[place + 1..])
    })
}
