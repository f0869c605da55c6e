//! What the thread of a shard does: it serves what comes to it, until it is told to stop.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hubgate_core::Shard;
use hubgate_core::id::ShardIndex;
use hubgate_plugin_host::{ShardPlugins, ShardQuestion};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::client::HttpClients;
use crate::http::{self, Service};
use crate::http_places::HttpPlace;
use crate::inbox::{Farewell, Inbox, InboxSender, LocalMessage, Message, UpgradedClient};
use crate::operators;
use crate::peer_task::PeerTask;
use crate::questions::PluginQuestions;
use crate::received::Received;
use crate::shard::{self, ShardHandle};
use crate::shared::Shared;
use crate::websocket;

/// How long a shard does what came from others before whoever else is ready has a turn.
const INBOX_TURN: Duration = Duration::from_micros(400);

/// How long HTTP connections have to bring the request that they were opened for, once all clients are gone.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// Runs a shard on this thread until its inbox is closed.
pub(crate) async fn run(
    index: ShardIndex,
    shared: Arc<Shared>,
    plugins: ShardPlugins,
    mut plugin_questions: mpsc::Receiver<ShardQuestion>,
    inboxes: Vec<InboxSender>,
    mut inbox: Inbox,
) {
    let (shard, mut released) = shard::start(index, shared, plugins, inboxes);
    let worker = Worker::new(shard);
    let (mut received, mut is_spent) = (Received::default(), false);
    loop {
        let is_behind = is_spent || !received.is_empty();
        tokio::select! {
            message = inbox.recv(), if !is_behind => match message {
                Some(Message::Local(LocalMessage::Stop)) | None => return,
                Some(message) => received.add(message),
            },
            // Whoever else is ready has a turn.
            () = tokio::task::yield_now(), if is_behind => {}
            Some((hub, token)) = released.recv() => worker.shard.tokens().release(hub, token),
            Some(question) = plugin_questions.recv() => {
                // The plugin hears that nobody answers.
                worker.shard.tasks().spawn(PeerTask::Question, worker.questions.clone().answer(question), || ());
            }
        }
        while received.takes_more()
            && let Ok(message) = inbox.try_recv()
        {
            match message {
                Message::Local(LocalMessage::Stop) => return,
                message => received.add(message),
            }
        }
        is_spent = worker.receive_some(&mut received);
    }
}

/// A shard, with all that is served on its thread.
struct Worker {
    shard: ShardHandle,
    clients: Rc<HttpClients>,
    http: Rc<Service>,
    questions: Rc<PluginQuestions>,
}

impl Worker {
    fn new(shard: ShardHandle) -> Worker {
        let clients = Rc::new(HttpClients::new(shard.clone()));
        Worker {
            http: Rc::new(Service::new(shard.clone(), clients.clone())),
            questions: Rc::new(PluginQuestions::new(shard.clone())),
            clients,
            shard,
        }
    }

    /// Does what came from others, until there is no more or the turn is spent; gives whether it is.
    fn receive_some(&self, received: &mut Received) -> bool {
        let began = Instant::now();
        while let Some(message) = received.pop() {
            #[cfg(test)]
            self.shard.shared().faults.strike(crate::faults::Fault::Inbox);
            match message {
                Message::Order(envelope) => self.shard.obey(envelope),
                Message::Local(message) => self.receive(message),
            }
            if began.elapsed() >= INBOX_TURN {
                return true;
            }
        }
        false
    }

    /// Who asked for an answer may be gone.
    fn receive(&self, message: LocalMessage) {
        let shard = &self.shard;
        match message {
            LocalMessage::Accepted { stream, remote, place } => {
                self.spawn_connection(accepted(self.http.clone(), stream, remote, place));
            }
            LocalMessage::Adopt(upgraded) => {
                let UpgradedClient { stream, unread, entrant } = *upgraded;
                match stream.attach() {
                    Ok(stream) => {
                        self.spawn_connection(websocket::serve_client(shard.clone(), stream, unread, entrant));
                    }
                    Err(error) => tracing::debug!(%error, "an upgraded connection cannot be served"),
                }
            }
            LocalMessage::Resume { id, request, answer } => {
                // What is counted for it is not any longer if the answer is dropped.
                drop(answer.send(shard.tokens().may_resume(id, &request)));
            }
            LocalMessage::Return { request, answer } => drop(answer.send(shard.tokens().may_return(&request))),
            LocalMessage::Request(request) => self.clients.serve(request),
            LocalMessage::Status(answer) => drop(answer.send(shard.status())),
            LocalMessage::List { wanted, from, most, answer } => {
                drop(answer.send(operators::list(shard, &wanted, from, most)));
            }
            LocalMessage::CloseClient { id, reason, answer } => operators::close(shard, id, reason, answer),
            LocalMessage::Send { hub, to, message, answer } => operators::send(shard, hub, (to, message), answer),
            LocalMessage::Follow(heard) => {
                shard.follow_messages();
                let _ = heard.send(());
            }
            LocalMessage::Undelivered { to, orders } => shard.take_back(to, orders),
            LocalMessage::Nodes(nodes, heard) => {
                shard.set_nodes(nodes);
                let _ = heard.send(());
            }
            LocalMessage::Tunnel(message) => {
                if let Some((stream, remote)) = self.http.tunnels().hear(message) {
                    self.spawn_connection(http::serve_tunnel(self.http.clone(), stream, remote));
                }
            }
            LocalMessage::NodeLost(node, heard) => {
                self.http.tunnels().node_lost(node);
                shard.node_lost(node);
                let _ = heard.send(());
            }
            LocalMessage::HubAnnounced(hub) => shard.hub_announced(hub),
            LocalMessage::Named(node, heard) => {
                shard.set_node(node);
                let _ = heard.send(());
            }
            LocalMessage::Configure(settings, answer) => {
                shard.configure(settings);
                self.http.forget_tokens();
                let _ = answer.send(());
            }
            LocalMessage::Drain(farewell, answer) => {
                shard.tasks().spawn_vital("the end", drain(shard.clone(), self.http.clone(), farewell, answer));
            }
            LocalMessage::Stop => {}
        }
    }

    fn spawn_connection(&self, served: impl Future<Output = ()> + 'static) {
        let shard = self.shard.clone();
        self.shard.tasks().spawn(PeerTask::Connection, served, move || shard.bury_abandoned());
    }
}

async fn accepted(http: Rc<Service>, stream: std::net::TcpStream, remote: SocketAddr, place: HttpPlace) {
    match TcpStream::from_std(stream) {
        Ok(stream) => http::serve(http, stream, remote, place).await,
        Err(error) => tracing::debug!(%error, "an accepted connection cannot be served"),
    }
}

/// Sends all clients and hub servers away, and waits until they and the HTTP connections are gone.
async fn drain(shard: ShardHandle, http: Rc<Service>, farewell: Farewell, answer: oneshot::Sender<()>) {
    let connections = http.connections();
    connections.end();
    let mut empty_since: Option<tokio::time::Instant> = None;
    loop {
        // A client that was just being upgraded may come while others leave.
        shard.drain(farewell);
        match shard.is_empty() {
            true => {
                let since = *empty_since.get_or_insert_with(tokio::time::Instant::now);
                let are_last = since.elapsed() >= LAST_REQUESTS && http.tunnels().have_arrived();
                if connections.is_empty() || are_last {
                    let _ = answer.send(());
                    return;
                }
            }
            false => empty_since = None,
        }
        let all_gone = async {
            tokio::select! {
                () = shard.drained(), if empty_since.is_none() => {}
                () = connections.all_gone() => {}
            }
        };
        drop(timeout(Shard::tick_period().into(), all_gone).await);
    }
}
