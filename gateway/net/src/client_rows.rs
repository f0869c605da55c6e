//! Clients as they are listed for operators.

use std::sync::Arc;

use hubgate_core::event::ConnectionFacts;
use hubgate_core::id::ConnectionId;
use hubgate_wire::negotiate::Transport;

/// A client in a list.
#[derive(Debug)]
pub(crate) struct ClientRow {
    pub(crate) id: ConnectionId,
    pub(crate) facts: Arc<ConnectionFacts>,
    pub(crate) transport: Transport,
    /// In milliseconds since 1970.
    pub(crate) connected_at: u64,
    /// What has not left yet.
    pub(crate) queued_bytes: usize,
}

/// A part of a list, as the core gives it ([`hubgate_core::ListPart`]).
#[derive(Debug)]
pub(crate) struct RowsPart {
    pub(crate) rows: Vec<ClientRow>,
    pub(crate) count: usize,
    pub(crate) next: Option<usize>,
}
