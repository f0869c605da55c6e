//! Calls of hub servers to clients on other nodes. The client's node sees to it that each has an end, and cannot when it is lost.

use std::collections::BTreeMap;

use hubgate_wire::service::{self, ErrorCompletion, ServiceMessage};

use crate::id::{ConnectionId, NodeId, ServerConnectionId, ServerId};

/// Calls of one connection that are noted, in number. Beyond it one is forgotten: it goes on, and has no end if its node is lost.
const MAX_NOTED_CALLS: usize = 10_000;
/// Why a call fails whose client is lost with its node.
const NODE_LOST: &str = "The connection ended before it answered.";

/// Those of hub servers on this shard.
#[derive(Debug, Default)]
pub(super) struct CallsElsewhere {
    of_servers: BTreeMap<ServerConnectionId, BTreeMap<Box<str>, Call>>,
}

#[derive(Debug)]
struct Call {
    client: ConnectionId,
    caller: ServerId,
    /// The one that the client lives on; until that is heard, the one that has negotiated with it.
    node: NodeId,
}

impl CallsElsewhere {
    /// A hub server calls a client on this other node.
    pub(super) fn begins(
        &mut self,
        from: ServerConnectionId,
        call: &service::ClientInvocation<'_>,
        client: ConnectionId,
        node: NodeId,
    ) {
        let of_server = self.of_servers.entry(from).or_default();
        if of_server.len() >= MAX_NOTED_CALLS {
            of_server.pop_first();
        }
        of_server
            .insert(call.invocation_id.into(), Call { client, caller: ServerId::new(call.caller_server_id), node });
    }

    /// A hub server is told something by the node of a client, perhaps of a call: a message with its length.
    pub(super) fn is_told(&mut self, server: ServerConnectionId, by: NodeId, mut message: &[u8]) {
        let Some(of_server) = self.of_servers.get_mut(&server) else {
            return;
        };
        let Ok(Some(body)) = service::split_message(&mut message) else {
            return;
        };
        let ended = match service::parse(body) {
            Ok(ServiceMessage::ClientCompletion(completion)) => completion.invocation_id,
            Ok(ServiceMessage::ErrorCompletion(completion)) => completion.invocation_id,
            Ok(ServiceMessage::ServiceMapping(mapping)) => {
                if let Some(call) = of_server.get_mut(mapping.invocation_id) {
                    call.node = by;
                }
                return;
            }
            _ => return,
        };
        of_server.remove(ended);
        if of_server.is_empty() {
            self.of_servers.remove(&server);
        }
    }

    /// A hub server has read an answer of its own client. Of its own calls it is told nothing more.
    pub(super) fn is_read(&mut self, server: &ServerId, invocation_id: &str) {
        self.of_servers.retain(|_, calls| {
            if calls.get(invocation_id).is_some_and(|call| call.caller == *server) {
                calls.remove(invocation_id);
            }
            !calls.is_empty()
        });
    }

    pub(super) fn server_gone(&mut self, server: ServerConnectionId) {
        self.of_servers.remove(&server);
    }

    /// A node is lost: hands each call of a client there that has no end to `fail`, with what its hub server is told.
    pub(super) fn node_lost(&mut self, node: NodeId, mut fail: impl FnMut(ServerConnectionId, &ServiceMessage<'_>)) {
        for (server, calls) in &mut self.of_servers {
            for (invocation_id, call) in calls.extract_if(.., |_, call| call.node == node) {
                let completion = ErrorCompletion {
                    invocation_id: &invocation_id,
                    connection_id: call.client.as_str(),
                    caller_server_id: call.caller.as_str(),
                    error: NODE_LOST,
                    ..ErrorCompletion::default()
                };
                fail(*server, &ServiceMessage::ErrorCompletion(completion));
            }
        }
        self.of_servers.retain(|_, calls| !calls.is_empty());
    }
}
