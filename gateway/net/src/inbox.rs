//! What comes to a shard from the other threads of this process.

use std::net::SocketAddr;
use std::sync::Arc;

use hubgate_cluster::codec::TunnelMessage;
use hubgate_core::delivery::Target;
use hubgate_core::id::{ConnectionId, HubName, NodeId, ShardIndex};
use hubgate_core::settings::Settings;
use hubgate_core::{ListedClients, Nodes, Order, Outgoing, ShardStatus};
use tokio::sync::{mpsc, oneshot};

use crate::client_request::ClientRequest;
use crate::client_rows::RowsPart;
use crate::entrant::{Entrant, Opening, WebSocketRequest};
use crate::envelope::Envelope;
use crate::http_places::HttpPlace;
use crate::refusal::Refusal;
use crate::upgraded::DetachedStream;

/// Messages that one inbox holds before its senders wait.
pub(crate) const INBOX: usize = 1024;

pub(crate) type Inbox = mpsc::Receiver<Message>;
pub(crate) type InboxSender = mpsc::Sender<Message>;

/// For a shard, in the order in which each sender has sent it.
#[derive(Debug)]
pub(crate) enum Message {
    Order(Envelope),
    Local(LocalMessage),
}

/// From the front door, the admin listener, another shard or the cluster's thread. It never leaves the process: it has sockets, and ways to answer.
#[derive(Debug)]
pub(crate) enum LocalMessage {
    /// A connection that the front door accepted.
    Accepted {
        stream: std::net::TcpStream,
        remote: SocketAddr,
        place: HttpPlace,
    },
    /// A client that was upgraded elsewhere, but is to live here.
    Adopt(Box<UpgradedClient>),
    /// A client that lives here wants another WebSocket.
    Resume {
        id: ConnectionId,
        request: Box<WebSocketRequest>,
        answer: oneshot::Sender<Result<Opening, Refusal>>,
    },
    /// The same of a client of ASP.NET SignalR, which its token names.
    Return {
        request: Box<WebSocketRequest>,
        answer: oneshot::Sender<Result<Opening, Refusal>>,
    },
    /// Of a client whose connection is here.
    Request(ClientRequest),
    Status(oneshot::Sender<ShardStatus>),
    /// A part of a list of clients: what the places from `from` on have of it.
    List {
        wanted: Arc<ListedClients>,
        from: usize,
        most: usize,
        answer: oneshot::Sender<RowsPart>,
    },
    /// An operator wants this client's connection to end; told its hub, if it is here.
    CloseClient {
        id: ConnectionId,
        reason: Option<String>,
        answer: oneshot::Sender<Result<Option<HubName>, Refusal>>,
    },
    /// An operator sends something to clients of a hub; told how many connections of this gateway it was for.
    Send {
        hub: HubName,
        to: Target,
        message: Outgoing,
        answer: oneshot::Sender<Result<usize, Refusal>>,
    },
    /// An operator begins to watch messages, or ends it: go by who does now.
    Follow(oneshot::Sender<()>),
    /// Orders that waited for a shard which has ended.
    Undelivered {
        to: ShardIndex,
        orders: Vec<Order>,
    },
    /// These other nodes are there, and no more.
    Nodes(Arc<Nodes>, oneshot::Sender<()>),
    /// Nothing that was begun with this node goes on.
    NodeLost(NodeId, oneshot::Sender<()>),
    /// Something of a connection that passes through the cluster.
    Tunnel(TunnelMessage),
    /// All other nodes know that this shard uses the hub.
    HubAnnounced(HubName),
    /// The gateway goes by this id among the nodes of its cluster. Nobody is served yet.
    Named(NodeId, oneshot::Sender<()>),
    /// Go on with these settings, and with the plugins that the host has now.
    Configure(Arc<Settings>, oneshot::Sender<()>),
    /// Send all clients away; answered when they are gone and upstream has heard of it.
    Drain(Farewell, oneshot::Sender<()>),
    /// End the thread, whatever it is doing.
    Stop,
}

impl From<LocalMessage> for Message {
    fn from(message: LocalMessage) -> Message {
        Message::Local(message)
    }
}

/// How clients are sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// At the pace that is set, each when what it has said is answered.
    Orderly,
    /// Whoever is left, and whatever waits.
    AtOnce,
}

/// A client's socket after its upgrade to a WebSocket.
#[derive(Debug)]
pub(crate) struct UpgradedClient {
    pub(crate) stream: DetachedStream,
    /// Bytes that came right after the request.
    pub(crate) unread: Vec<u8>,
    pub(crate) entrant: Entrant,
}
