//! A hub server that answers all of its clients: it lets them in, and a call of any method gives back the server's name.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hubgate_wire::service::{self, AnyText, ConnectionData, ServiceMessage};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::client::SEPARATOR;
use crate::gateway::Gateway;
use crate::hub_server::HubServer;
use crate::wait::pause;

/// A server that says nothing for longer is given up.
const PING_PERIOD: Duration = Duration::from_secs(5);

/// A server on a connection of its own. Dropped, it vanishes.
#[derive(Debug)]
pub struct AnsweringServer {
    state: Arc<Mutex<State>>,
    saying: mpsc::UnboundedSender<Vec<u8>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Those that are with it now.
    clients: BTreeSet<String>,
    /// Those that have come from another server. They were let in there.
    moved_in: BTreeSet<String>,
    /// The arguments of the calls that it has been handed.
    calls: Vec<Value>,
    /// How often it has been connected.
    connections: usize,
    has_ended: bool,
}

impl AnsweringServer {
    /// Connects to a gateway.
    pub async fn start(gateway: &Gateway, hub: &str, name: &str) -> AnsweringServer {
        AnsweringServer::migrating(gateway, hub, name, 0).await
    }

    /// The same, with clients that may be moved to another: by 1 when it leaves, by 2 also when it is lost.
    pub async fn migrating(gateway: &Gateway, hub: &str, name: &str, migration_level: i64) -> AnsweringServer {
        let server = HubServer::connect_migrating(gateway, hub, name, migration_level).await;
        let state = Arc::<Mutex<State>>::default();
        let (saying, mut said) = mpsc::unbounded_channel();
        let task = tokio::spawn({
            let (name, state) = (name.to_owned(), state.clone());
            async move { serve(server, &name, &state, &mut said).await }
        });
        AnsweringServer { state, saying, task }
    }

    /// One at the end of `address`, a proxy's, which connects once more whenever its connection ends, as servers do. Its clients may be moved by this level.
    pub fn coming_back(
        address: SocketAddr,
        token: String,
        (hub, name): (&'static str, String),
        migration_level: i64,
    ) -> AnsweringServer {
        let state = Arc::<Mutex<State>>::default();
        let (saying, mut said) = mpsc::unbounded_channel();
        let task = tokio::spawn({
            let state = state.clone();
            async move {
                loop {
                    let connecting = HubServer::try_connect_migrating(address, hub, &token, &name, migration_level);
                    if let Some(server) = connecting.await {
                        serve(server, &name, &state, &mut said).await;
                    }
                    pause().await;
                }
            }
        });
        AnsweringServer { state, saying, task }
    }

    /// Says something: bytes of the service protocol.
    pub fn say(&self, message: Vec<u8>) {
        self.saying.send(message).expect("it is connected");
    }

    /// Leaves: its clients are to go to other hub servers.
    pub fn hand_its_clients_over(&self) {
        self.say(written(&ServiceMessage::Ping(vec!["shutdown", "fin:1"])));
    }

    /// The ids of the clients that are with it.
    pub fn clients(&self) -> BTreeSet<String> {
        self.state().clients.clone()
    }

    /// How many clients have come to it from another server.
    pub fn moved_in(&self) -> usize {
        self.state().moved_in.len()
    }

    /// The arguments of the calls that it has been handed, in their order.
    pub fn calls(&self) -> Vec<Value> {
        self.state().calls.clone()
    }

    /// How often it has been connected.
    pub fn connections(&self) -> usize {
        self.state().connections
    }

    /// Whether its connection has ended.
    pub fn has_ended(&self) -> bool {
        self.state().has_ended
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AnsweringServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut server: HubServer, name: &str, state: &Mutex<State>, said: &mut mpsc::UnboundedReceiver<Vec<u8>>) {
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    lock().is_connected();
    let mut pings = tokio::time::interval(PING_PERIOD);
    loop {
        tokio::select! {
            body = server.next_before_end() => {
                let Some(body) = body else { break };
                let answer = lock().hears(&service::parse(&body).expect("a message"), name);
                if let Some(answer) = answer {
                    server.send_bytes(&answer).await;
                }
            }
            Some(message) = said.recv() => server.send_bytes(&message).await,
            _ = pings.tick() => server.send(&ServiceMessage::Ping(Vec::new())).await,
        }
    }
    lock().has_ended = true;
}

impl State {
    /// It has a connection, without clients yet.
    fn is_connected(&mut self) {
        let (calls, connections) = (std::mem::take(&mut self.calls), self.connections + 1);
        *self = State { calls, connections, ..State::default() };
    }

    /// Gives what is said to it.
    fn hears(&mut self, message: &ServiceMessage<'_>, name: &str) -> Option<Vec<u8>> {
        match message {
            ServiceMessage::OpenConnection(open) => {
                self.clients.insert(open.connection_id.to_owned());
                if open.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("asrs-migrate-from")) {
                    self.moved_in.insert(open.connection_id.to_owned());
                }
                None
            }
            ServiceMessage::CloseConnection(close) => {
                self.clients.remove(close.connection_id);
                None
            }
            ServiceMessage::ConnectionData(data) => {
                let said = std::str::from_utf8(data.payload).expect("clients of tests speak JSON");
                let was_let_in = self.moved_in.iter().any(|id| id.as_bytes() == data.connection_id.0);
                let said = said.split_terminator(SEPARATOR).map(parsed);
                let answers: String = said.filter_map(|one| self.answer(&one, name, was_let_in)).collect();
                let answer = ConnectionData {
                    connection_id: AnyText(data.connection_id.0),
                    payload: answers.as_bytes(),
                    ..ConnectionData::default()
                };
                (!answers.is_empty()).then(|| written(&ServiceMessage::ConnectionData(answer)))
            }
            _ => None,
        }
    }

    /// What a hub message is answered with. The handshake of a client that was let in elsewhere is only shown to it.
    fn answer(&mut self, message: &Value, name: &str, was_let_in: bool) -> Option<String> {
        let answer = match message["type"].as_u64() {
            None if was_let_in => return None,
            None => json!({}),
            Some(1) => {
                self.calls.push(message["arguments"].clone());
                json!({ "type": 3, "invocationId": message.get("invocationId")?, "result": name })
            }
            Some(_) => return None,
        };
        Some(format!("{answer}{SEPARATOR}"))
    }
}

fn parsed(message: &str) -> Value {
    serde_json::from_str(message).unwrap_or_else(|error| panic!("{error}: {message}"))
}

fn written(message: &ServiceMessage<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    service::write(message, &mut bytes);
    bytes
}
