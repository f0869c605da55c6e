//! Clients that call, join groups and hear numbers through a proxy, while nodes come and go: each connects once more whenever it is told that it may.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::Method;
use hubgate_tests::Client;
use hubgate_tests::client::{HANDSHAKE, Received};
use hubgate_tests::proxied_cluster::Entry;
use hubgate_tests::wait::{DEADLINE, pause, soon, until};
use serde_json::{Value, json};

pub(crate) const HUB: &str = "talk";
/// Those that send numbers to all.
pub(crate) const SENDERS: usize = 2;

/// What all who take part know of it.
pub(crate) struct Talk {
    entry: Entry,
    is_over: AtomicBool,
    /// How often a client has called, joined a group and heard what was sent to that.
    rounds: AtomicU64,
    sent: [Sent; SENDERS],
}

/// The numbers that one sender sends to all, one after the other.
#[derive(Default)]
struct Sent {
    /// The one that it sends now.
    begun: AtomicU64,
    /// Those of which nobody knows whether they were taken: the proxy lost the node.
    unsure: Mutex<BTreeSet<u64>>,
    /// The last one, once all are acknowledged.
    last: AtomicU64,
}

/// A client that connects again and again.
pub(crate) struct Talker {
    number: usize,
    talk: Arc<Talk>,
    /// The names of its calls, and whether they were answered.
    calls: BTreeMap<String, bool>,
    /// What it has heard on each of its connections.
    pub(crate) lives: Vec<Life>,
}

/// What a client hears on one connection.
pub(crate) struct Life {
    /// Of each sender, the number that it was sending when the client was let in.
    begun: [u64; SENDERS],
    heard: [Vec<u64>; SENDERS],
}

/// A connection of a client.
struct Connection {
    client: Client,
    id: String,
    life: Life,
}

/// What a caller is told of a request that changes something.
#[derive(Debug, PartialEq)]
enum Verdict {
    Done,
    /// What it is about is not there.
    Gone,
    /// The proxy lost the node on the way.
    Unsure,
}

impl Talk {
    pub(crate) fn new(entry: Entry) -> Talk {
        Talk { entry, is_over: AtomicBool::new(false), rounds: AtomicU64::new(0), sent: Default::default() }
    }

    /// Waits until so many rounds more are over.
    pub(crate) async fn goes_on(&self, rounds: u64) {
        let due = self.rounds.load(Ordering::Relaxed) + rounds;
        let reached = async || (self.rounds.load(Ordering::Relaxed) >= due).then_some(());
        until("the talk to go on", reached).await;
    }

    pub(crate) fn ends(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Sends numbers until the talk is over, and the last one is acknowledged.
    pub(crate) async fn sends(self: Arc<Talk>, sender: usize) {
        let sent = &self.sent[sender];
        for number in 1.. {
            sent.begun.store(number, Ordering::Relaxed);
            let send = json!({ "target": "number", "arguments": [sender, number] });
            match self.asks(Method::POST, "/:send", Some(send)).await {
                Verdict::Done if self.is_over() => return sent.last.store(number, Ordering::Relaxed),
                Verdict::Done => {}
                verdict => {
                    assert_eq!(verdict, Verdict::Unsure);
                    sent.unsure().insert(number);
                }
            }
            pause().await;
        }
    }

    /// What each sender has sent last, once all are over.
    async fn last_numbers(&self) -> Vec<u64> {
        let last = async || self.sent.iter().map(Sent::last).collect::<Option<Vec<u64>>>();
        until("the senders to end", last).await
    }

    /// Makes a request of the REST API, again if a node says that it takes none now.
    async fn asks(&self, method: Method, path: &str, body: Option<Value>) -> Verdict {
        loop {
            let request = self.entry.rest(method.clone(), &format!("/api/hubs/{HUB}{path}"));
            let answer = match &body {
                Some(body) => request.json(body).send().await,
                None => request.send().await,
            };
            match answer.status {
                200 | 202 => return Verdict::Done,
                404 => return Verdict::Gone,
                502 | 504 => return Verdict::Unsure,
                status => assert_eq!(status, 503, "{path}: {}", answer.body),
            }
            pause().await;
        }
    }
}

impl Sent {
    fn unsure(&self) -> std::sync::MutexGuard<'_, BTreeSet<u64>> {
        self.unsure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self) -> Option<u64> {
        Some(self.last.load(Ordering::Relaxed)).filter(|last| *last > 0)
    }
}

impl Talker {
    pub(crate) fn new(number: usize, talk: Arc<Talk>) -> Talker {
        Talker { number, talk, calls: BTreeMap::new(), lives: Vec::new() }
    }

    /// Talks, on one connection after the other, until the talk is over and it has heard all.
    pub(crate) async fn talks(mut self) -> Talker {
        loop {
            let mut connection = self.connects().await;
            let went_on = self.talks_on(&mut connection).await;
            self.lives.push(connection.life);
            if went_on.is_some() {
                connection.client.leave().await;
                return self;
            }
        }
    }

    async fn connects(&self) -> Connection {
        soon("a client to be let in", async {
            loop {
                if let Some(connection) = Connection::open(&self.talk).await {
                    return connection;
                }
                pause().await;
            }
        })
        .await
    }

    /// To the end of the talk, or to that of the connection: then it gives nothing.
    async fn talks_on(&mut self, connection: &mut Connection) -> Option<()> {
        while !self.talk.is_over() {
            self.goes_round(connection).await?;
            self.talk.rounds.fetch_add(1, Ordering::Relaxed);
        }
        let last = self.talk.last_numbers().await;
        soon("the last numbers", async {
            while !connection.life.has_heard(&last) {
                connection.next().await?;
            }
            Some(())
        })
        .await
    }

    /// Calls its hub server, joins a group, has something sent to that, and waits for what is due.
    async fn goes_round(&mut self, connection: &mut Connection) -> Option<()> {
        let name = format!("{}.{}", self.number, self.calls.len());
        self.calls.insert(name.clone(), false);
        let call = connection.client.start_call("who", json!([name])).await;
        let member = format!("/groups/{name}/connections/{}", connection.id);
        let joined = match self.talk.asks(Method::PUT, &member, None).await {
            Verdict::Unsure => false,
            Verdict::Done => true,
            // Only where it is told that its connection is over.
            Verdict::Gone => {
                soon("the end of a connection that is gone", async {
                    while connection.next().await.is_some() {}
                    None
                })
                .await?
            }
        };
        let send = json!({ "target": "to a group", "arguments": [name] });
        let sent = self.talk.asks(Method::POST, &format!("/groups/{name}/:send"), Some(send)).await;
        let (mut is_answered, mut has_heard) = (false, !joined || sent != Verdict::Done);
        let deadline = Instant::now() + DEADLINE;
        while !(is_answered && has_heard) {
            let message = connection.next().await?;
            if message["type"] == 3 && message["invocationId"] == call {
                assert!(message["result"].is_string(), "{message}");
                is_answered = true;
                self.calls.insert(name.clone(), true);
            }
            has_heard |= message["target"] == "to a group" && message["arguments"] == json!([name]);
            // Numbers would go on for ever.
            assert!(
                Instant::now() < deadline,
                "call {name} is answered: {is_answered}, the group is heard: {has_heard}"
            );
        }
        Some(())
    }

    /// Its calls, and whether they were answered.
    pub(crate) fn calls(&self) -> &BTreeMap<String, bool> {
        &self.calls
    }

    /// On each connection it has heard the numbers of each sender once, from its first moment on. Their order is not looked at: each was a request, and
    /// came to another node.
    pub(crate) fn has_missed_nothing(&self) {
        for (turn, life) in self.lives.iter().enumerate() {
            for (sender, sent) in self.talk.sent.iter().enumerate() {
                let unsure = sent.unsure();
                let heard = &life.heard[sender];
                let once: BTreeSet<u64> = heard.iter().copied().collect();
                let what = format!("client {}, connection {turn}, sender {sender}", self.number);
                assert_eq!(once.len(), heard.len(), "{what}: something came twice: {heard:?}");
                let sure: BTreeSet<u64> = once.difference(&unsure).copied().collect();
                let Some(last) = sure.last() else { continue };
                let first = (*sure.first().unwrap_or(last)).min(life.begun[sender] + 1);
                let due: BTreeSet<u64> = (first..=*last).filter(|number| !unsure.contains(number)).collect();
                let missing: Vec<&u64> = due.difference(&sure).collect();
                assert!(missing.is_empty(), "{what}: missing {missing:?} of {first} to {last}");
            }
        }
    }
}

impl Connection {
    /// Nothing where it is not let in, because a node stops, or no hub server is there.
    async fn open(talk: &Talk) -> Option<Connection> {
        let connecting = talk.entry.client(HUB);
        let negotiated = connecting.negotiate("&negotiateVersion=1").await;
        if negotiated.status != 200 {
            return None;
        }
        let negotiated = negotiated.json();
        let text = |name: &str| negotiated[name].as_str().expect("negotiate gives ids").to_owned();
        let mut client = connecting.id(&text("connectionToken")).try_open().await.ok()?;
        client.send_text(HANDSHAKE).await;
        let is_let_in = loop {
            match client.next("the answer to a handshake").await {
                Received::Message(message) => break message == json!({}),
                Received::Pong(_) => {}
                Received::End(_) => break false,
            }
        };
        // What is sent from now on is for this client, too.
        let begun = std::array::from_fn(|sender| talk.sent[sender].begun.load(Ordering::Relaxed));
        let life = Life { begun, heard: Default::default() };
        is_let_in.then(|| Connection { client, id: text("connectionId"), life })
    }

    /// The next message that is no ping; nothing at the end of the connection, after which the client may come back. What is numbered is noted.
    async fn next(&mut self) -> Option<Value> {
        let mut close = Value::Null;
        loop {
            match self.client.next("a message for a client").await {
                Received::Message(message) if message["type"] == 7 => close = message,
                Received::Message(message) if message["type"] == 6 => {}
                Received::Message(message) => {
                    if message["target"] == "number" {
                        self.life.hears(&message);
                    }
                    return Some(message);
                }
                Received::Pong(_) => {}
                Received::End(code) => {
                    assert!(close["allowReconnect"] == true, "it is told that it may come back: {close} {code:?}");
                    return None;
                }
            }
        }
    }
}

impl Life {
    /// Whether it has heard these numbers of the senders, or they were sent before it began.
    fn has_heard(&self, last: &[u64]) -> bool {
        let mut senders = self.heard.iter().zip(&self.begun).zip(last);
        senders.all(|((heard, begun), last)| begun >= last || heard.contains(last))
    }

    fn hears(&mut self, message: &Value) {
        let argument = |place: usize| message["arguments"][place].as_u64().expect("a number");
        self.heard[argument(0) as usize].push(argument(1));
    }
}
