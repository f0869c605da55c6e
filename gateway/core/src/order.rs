//! What passes between shards.

use std::sync::Arc;

use bytes::Bytes;

use crate::arrivals::WhenLost;
use crate::delivery::Action;
use crate::filter::Origin;
use crate::id::{ConnectionId, NodeId, ServerConnectionId, ServerId, ShardAddress};
use crate::question::{Answer, AskError, ClientAnswer, ClientQuestion, Question, TokenCommand};
use crate::stream::StreamCommand;
use crate::time::Millis;

/// The shards that an order is for, none of them the one that gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressees {
    /// All others of the same gateway.
    AllOthers,
    /// All of these other gateways. Behind a thin pointer, because it would make all effects larger.
    Nodes(Arc<Vec<NodeId>>),
    /// This one, of whatever gateway.
    One(ShardAddress),
}

/// What a shard does for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// What a sender asks of the hub. What is sent is encoded once for all shards.
    Act(Action),
    /// Between the shard of a client and that of a hub server.
    Server(ServerOrder),
    /// To be answered after all that was ordered before.
    Ask { question: Question, asker: ShardAddress, number: u32 },
    /// To be done to a stream of a client there, and answered as a question is.
    Stream { command: Box<StreamCommand>, asker: ShardAddress, number: u32 },
    /// What concerns a connection token that names the shard, answered as a question is.
    Token { command: Box<TokenCommand>, asker: ShardAddress, number: u32 },
    /// A connection token opens nothing any longer: its transport did not open after all, or its connection is over.
    TokenOver { token: ConnectionId },
    /// The answer to question `number`.
    Answer { number: u32, answer: Answer },
    /// To be asked of a client. In a box, because it would make all orders larger.
    AskClient(Box<ForwardedQuestion>),
    /// What a client has answered to question `number`.
    ClientAnswered { number: u32, answer: Box<ClientAnswer> },
}

/// What a plugin of one shard asks a client of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedQuestion {
    pub question: ClientQuestion,
    /// How long the answer is waited for.
    pub within: Millis,
    pub asker: ShardAddress,
    pub number: u32,
}

/// What an order takes up in a queue beside what it carries, in bytes: its place, which doubles as the queue grows, and the
/// headers of its allocations.
const ORDER_OVERHEAD: usize = 2 * size_of::<Order>() + 64;

impl Order {
    /// The connection that alone it is about, by its id or by what opens it: the order is for whatever shard that lives on.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        match self {
            Order::Act(action) => action.connection(),
            Order::Server(order) => order.client(),
            Order::Ask { question, .. } => question.connection(),
            Order::Stream { command, .. } => Some(command.stream.connection),
            Order::AskClient(forwarded) => Some(forwarded.question.connection),
            Order::Token { .. } | Order::TokenOver { .. } | Order::Answer { .. } | Order::ClientAnswered { .. } => None,
        }
    }

    /// What it takes up while it waits, about, in bytes.
    pub fn cost(&self) -> usize {
        let carried = match self {
            Order::Act(action) => action.weight(),
            Order::Server(order) => order.weight(),
            Order::Ask { question, .. } => question.weight(),
            Order::Stream { command, .. } => command.weight(),
            Order::Answer { answer: Answer::Members(members), .. } => members.len() * 64,
            Order::Answer { .. } | Order::Token { .. } | Order::TokenOver { .. } => 0,
            Order::AskClient(forwarded) => size_of::<ForwardedQuestion>() + forwarded.question.weight(),
            Order::ClientAnswered { answer, .. } => size_of::<ClientAnswer>() + answer_weight(answer),
        };
        ORDER_OVERHEAD + carried
    }
}

fn answer_weight(answer: &ClientAnswer) -> usize {
    match answer {
        Ok(Some(value)) => value.borrow().len(),
        Err(AskError::Failed(error)) => error.len(),
        Ok(None) | Err(_) => 0,
    }
}

/// An order between a client and a hub server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerOrder {
    /// Messages for a hub server, as they are on the wire.
    Pass {
        to: ServerConnectionId,
        messages: Bytes,
    },
    /// The same, with which a client is the server's from now on.
    Opens {
        to: ServerConnectionId,
        client: ConnectionId,
        messages: Bytes,
    },
    /// The same, after which it is not any longer.
    Ends {
        to: ServerConnectionId,
        client: ConnectionId,
        messages: Bytes,
    },
    /// A message for a server, over the connection that it asked on, or any other of its own.
    PassToServer {
        first: ServerConnectionId,
        server: ServerId,
        message: Bytes,
    },
    /// What a hub server says to its client. `data_type` is that of the message.
    Says {
        from: ServerConnectionId,
        to: ConnectionId,
        payload: Bytes,
        data_type: Option<i64>,
    },
    /// What a hub server says to its client is longer than is passed on.
    SaysTooMuch {
        from: ServerConnectionId,
        to: ConnectionId,
    },
    /// A hub server ends its client.
    Closes {
        from: ServerConnectionId,
        client: ConnectionId,
        error: Option<Box<str>>,
    },
    Leaves {
        server: ServerConnectionId,
        leaving: Leaving,
    },
    Congested {
        server: ServerConnectionId,
        is_congested: bool,
    },
    /// The body of a hub server's call of a client, to be answered over `from`.
    Invoke {
        from: ServerConnectionId,
        /// In a box, because it would make all orders larger.
        origin: Box<Origin>,
        client: ConnectionId,
        message: Bytes,
    },
    /// The body of the answer that a client's own hub server read.
    Complete {
        client: ConnectionId,
        message: Bytes,
    },
}

impl ServerOrder {
    /// The client that it is for.
    fn client(&self) -> Option<ConnectionId> {
        match self {
            ServerOrder::Says { to: client, .. }
            | ServerOrder::SaysTooMuch { to: client, .. }
            | ServerOrder::Closes { client, .. }
            | ServerOrder::Invoke { client, .. }
            | ServerOrder::Complete { client, .. } => Some(*client),
            ServerOrder::Pass { .. }
            | ServerOrder::PassToServer { .. }
            | ServerOrder::Opens { .. }
            | ServerOrder::Ends { .. }
            | ServerOrder::Leaves { .. }
            | ServerOrder::Congested { .. } => None,
        }
    }

    /// What it carries, in bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            ServerOrder::Pass { messages, .. }
            | ServerOrder::Opens { messages, .. }
            | ServerOrder::Ends { messages, .. } => messages.len(),
            ServerOrder::PassToServer { message, .. }
            | ServerOrder::Invoke { message, .. }
            | ServerOrder::Complete { message, .. } => message.len(),
            ServerOrder::Says { payload, .. } => payload.len(),
            ServerOrder::Closes { error, .. } => error.as_ref().map_or(0, |error| error.len()),
            ServerOrder::SaysTooMuch { .. } | ServerOrder::Leaves { .. } | ServerOrder::Congested { .. } => 0,
        }
    }
}

/// What becomes of the clients of a server connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// It stays for a while, but they are closed.
    DropsClients,
    /// It stays until they are with another server.
    MovesClients,
    /// It is gone.
    Lost(WhenLost),
}
