//! The link of one client to its hub server.

use hubgate_wire::signalr::Exchange;

use crate::client::dialect::Dialect;
use crate::hub::routing::Route;
use crate::id::{ServerConnectionId, ServerId};
use crate::time::Millis;

/// A client's link to its hub server, from its handshake request until its end.
#[derive(Debug)]
pub(crate) struct ClientLink {
    pub(super) route: Route,
    /// What the client has opened with: for another server that it moves to.
    pub(super) opening: Box<[u8]>,
    /// When the server must have answered the handshake.
    pub(super) deadline: Millis,
    /// What the two say to each other.
    pub(super) exchange: Exchange,
    /// The beginning of a message of the server's whose end has not come.
    pub(super) partial: Vec<u8>,
    /// The server's last message was a Close.
    pub(super) has_said_close: bool,
    /// Whether the server was handed anything but the handshake request.
    pub(super) has_spoken: bool,
    /// It moves to another server, which takes a while.
    pub(super) moving: Option<Moving>,
    /// The server has ended the client itself, or is gone.
    pub(super) server_knows_end: bool,
    /// Calls of the client by hub servers that have no answer yet.
    pub(super) invocations: Vec<ClientInvocation>,
}

/// A call of a client that waits for its answer.
#[derive(Debug)]
pub(super) struct ClientInvocation {
    pub(super) id: Box<str>,
    pub(super) caller: ServerId,
    /// The connection that the caller asked on.
    pub(super) from: ServerConnectionId,
    pub(super) deadline: Millis,
}

/// A client on its way to another hub server.
#[derive(Debug)]
pub(super) struct Moving {
    pub(super) earliest: Millis,
    /// It goes then, whatever it waits for.
    pub(super) latest: Millis,
    /// What filters have let pass meanwhile.
    pub(super) held: Vec<u8>,
}

impl ClientLink {
    /// To the server of `route`, which must answer the handshake request until `deadline`.
    pub(super) fn new(route: Route, dialect: Dialect, request: &[u8], deadline: Millis) -> ClientLink {
        ClientLink {
            route,
            opening: dialect.framed_opening(request),
            deadline,
            exchange: dialect.exchange(),
            partial: Vec::new(),
            has_said_close: false,
            has_spoken: false,
            moving: None,
            server_knows_end: false,
            invocations: Vec::new(),
        }
    }

    /// To another server from now on, which hears everything anew.
    pub(super) fn reroute(&mut self, route: Route, dialect: Dialect, deadline: Millis) {
        self.route = route;
        self.deadline = deadline;
        self.partial = Vec::new();
        self.exchange = dialect.exchange();
        self.has_spoken = false;
    }

    /// Whether the server has given the client all results that it has called for, and is not in the middle of a message.
    pub(crate) fn has_given_results(&self) -> bool {
        self.partial.is_empty() && self.exchange.waiting_for_results() == 0
    }

    /// Whether the server has answered all that the client has called, and is not in the middle of a message.
    pub(super) fn is_answered(&self) -> bool {
        self.partial.is_empty() && self.exchange.waiting() == 0
    }

    /// Whether no message of the client's is begun.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.exchange.from_client().is_between_messages()
    }

    /// How many of the client's next bytes belong to a message whose beginning was passed on.
    pub(crate) fn unfinished(&self, bytes: &[u8]) -> usize {
        match self.is_between_messages() {
            true => 0,
            false => self.exchange.from_client().next_end(bytes).unwrap_or(bytes.len()),
        }
    }

    /// Splits the rest of the client's message off the front of what it says next.
    pub(crate) fn split_message<'b>(&self, bytes: &mut &'b [u8]) -> &'b [u8] {
        let end = self.exchange.from_client().next_end(bytes).unwrap_or(bytes.len());
        let (message, rest) = bytes.split_at(end);
        *bytes = rest;
        message
    }

    /// Keeps what filters have let pass of a client that is moving; gives it back if the client's server may have it.
    pub(super) fn hold_if_moving(&mut self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        match &mut self.moving {
            Some(moving) if self.exchange.from_client().is_between_messages() => {
                moving.held.extend_from_slice(&bytes);
                None
            }
            Some(_) | None => Some(bytes),
        }
    }
}
