//! Numbered messages from every node to clients on every node: none may be lost, doubled or out of order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hubgate_tests::Cluster;
use hubgate_tests::client::Received;
use hubgate_tests::management::{Management, To};
use hubgate_tests::wait::{pause, until_within, within};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{Peer, join};

pub(crate) const HUB: &str = "load";
const GROUP: &str = "everybody";
/// So many messages may be under way to a client, so that none is closed as slow.
const WINDOW: u64 = 4_000;
/// How long a load may take to get anywhere.
const PATIENCE: Duration = Duration::from_secs(120);
/// To all, to a group, to a user, and to a connection: the numbers of each have an order of their own.
const KINDS: usize = 4;

/// A sender and a client on each node that takes part.
pub(crate) struct Load {
    progress: Arc<Progress>,
    senders: Vec<JoinHandle<(Sent, Management)>>,
    receivers: Vec<JoinHandle<Sent>>,
}

/// What is known while it runs.
struct Progress {
    goes_on: AtomicBool,
    sent: AtomicU64,
    /// For each client, how many messages it is to get, and how many it has got.
    due: Vec<AtomicU64>,
    got: Vec<AtomicU64>,
}

/// For each sender, kind and client, how many messages.
type Sent = Vec<[Vec<u64>; KINDS]>;

impl Load {
    /// Between these nodes. It goes on until [`Load::ends`].
    pub(crate) async fn start(cluster: &Cluster, nodes: &[usize]) -> Load {
        let mut peers = Vec::new();
        for (place, node) in nodes.iter().enumerate() {
            let peer = Peer::connect(&cluster[*node], HUB, &user(place)).await;
            join(&cluster[nodes[(place + 1) % nodes.len()]], HUB, &peer.id, GROUP).await;
            peers.push(peer);
        }
        let ids: Vec<String> = peers.iter().map(|peer| peer.id.clone()).collect();
        let numbers = || nodes.iter().map(|_| AtomicU64::new(0)).collect();
        let progress = Arc::new(Progress {
            goes_on: AtomicBool::new(true),
            sent: AtomicU64::new(0),
            due: numbers(),
            got: numbers(),
        });
        let mut senders = Vec::new();
        for (place, node) in nodes.iter().enumerate() {
            let management = Management::persistent(&cluster[*node], None, HUB).await;
            senders.push(tokio::spawn(send(place, management, ids.clone(), progress.clone())));
        }
        let receive = |(place, peer)| tokio::spawn(receive(place, peer, nodes.len(), progress.clone()));
        let receivers = peers.into_iter().enumerate().map(receive).collect();
        Load { progress, senders, receivers }
    }

    /// Waits until so many messages were sent in all.
    pub(crate) async fn reaches(&self, messages: u64) {
        let reached = async || (self.progress.sent.load(Ordering::Relaxed) >= messages).then_some(());
        until_within(PATIENCE + Duration::from_micros(100 * messages), "the load to go on", reached).await;
    }

    /// Waits until so many more were sent.
    pub(crate) async fn goes_on(&self, messages: u64) {
        self.reaches(self.sent() + messages).await;
    }

    pub(crate) fn sent(&self) -> u64 {
        self.progress.sent.load(Ordering::Relaxed)
    }

    /// Stops sending: every client has got all that was sent to it, once and in order. Gives how many messages were sent.
    pub(crate) async fn ends(self) -> u64 {
        self.progress.goes_on.store(false, Ordering::Relaxed);
        let (mut sent, mut connections) = (Vec::new(), Vec::new());
        for sender in self.senders {
            let (by_it, connection) = sender.await.expect("it can send");
            sent.extend(by_it);
            // One that is dropped with pings that it has not read is reset, and takes with it what the gateway has not read.
            connections.push(connection);
        }
        for (place, receiver) in self.receivers.into_iter().enumerate() {
            let got = within(PATIENCE, &format!("client {place} to get the last messages"), receiver).await;
            let got = got.expect("all that it gets is in order");
            for (sender, (sent, got)) in sent.iter().zip(&got).enumerate() {
                for kind in 0..KINDS {
                    let (sent, got) = (sent[kind][place], got[kind][0]);
                    assert_eq!(got, sent, "from sender {sender} by {} to client {place}", name(kind));
                }
            }
        }
        self.progress.sent.load(Ordering::Relaxed)
    }
}

fn user(place: usize) -> String {
    format!("user-{place}")
}

fn name(kind: usize) -> &'static str {
    ["all", "group", "user", "connection"][kind]
}

/// Sends to each kind of target in turn until it is to stop, then an end to all clients by each kind.
async fn send(
    place: usize,
    mut management: Management,
    ids: Vec<String>,
    progress: Arc<Progress>,
) -> (Sent, Management) {
    let mut sent: [Vec<u64>; KINDS] = std::array::from_fn(|_| vec![0; ids.len()]);
    let mut turn = 0;
    while progress.goes_on.load(Ordering::Relaxed) {
        let (kind, one) = (turn % KINDS, turn / KINDS % ids.len());
        turn += 1;
        let receivers = if kind < 2 { 0..ids.len() } else { one..one + 1 };
        for receiver in receivers.clone() {
            while progress.is_behind(receiver) && progress.goes_on.load(Ordering::Relaxed) {
                pause().await;
            }
            progress.due[receiver].fetch_add(1, Ordering::Relaxed);
            sent[kind][receiver] += 1;
        }
        let number = sent[kind][receivers.start];
        say(&mut management, (place, kind, one), &ids, json!(number)).await;
        progress.sent.fetch_add(1, Ordering::Relaxed);
    }
    for kind in 0..KINDS {
        for one in 0..if kind < 2 { 1 } else { ids.len() } {
            say(&mut management, (place, kind, one), &ids, json!("end")).await;
        }
    }
    (vec![sent], management)
}

async fn say(management: &mut Management, from: (usize, usize, usize), ids: &[String], number: Value) {
    let (place, kind, one) = from;
    let user = user(one);
    let to = match kind {
        0 => To::All,
        1 => To::Group(GROUP),
        2 => To::User(&user),
        _ => To::Client(&ids[one]),
    };
    management.send(to, "number", json!([place, kind, number])).await.expect("it is connected");
}

/// Reads until each sender has said the end by each kind. Gives how many numbers it got of each.
async fn receive(place: usize, mut peer: Peer, senders: usize, progress: Arc<Progress>) -> Sent {
    let mut got: Sent = vec![std::array::from_fn(|_| vec![0]); senders];
    let mut ends = 0;
    while ends < senders * KINDS {
        let message = match peer.client.next("a number").await {
            Received::Message(message) => message,
            Received::Pong(_) => continue,
            Received::End(code) => panic!("client {place} is closed: {code:?}"),
        };
        if message["target"] != "number" {
            continue;
        }
        let index = |argument: usize| message["arguments"][argument].as_u64().expect("a number") as usize;
        let (sender, kind) = (index(0), index(1));
        match message["arguments"][2].as_u64() {
            Some(number) => {
                let before = &mut got[sender][kind][0];
                assert_eq!(number, *before + 1, "from sender {sender} by {} to client {place}", name(kind));
                *before = number;
                progress.got[place].fetch_add(1, Ordering::Relaxed);
            }
            None => ends += 1,
        }
    }
    got
}

impl Progress {
    fn is_behind(&self, receiver: usize) -> bool {
        let (due, got) = (&self.due[receiver], &self.got[receiver]);
        due.load(Ordering::Relaxed).saturating_sub(got.load(Ordering::Relaxed)) >= WINDOW
    }
}
