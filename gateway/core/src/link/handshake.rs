//! How a hub server's connection opens, and which are refused.

use hubgate_wire::service::{HandshakeResponse, MalformedMessage, ServiceMessage};

use super::Links;
use super::servers::{Migration, ServerKind};
use crate::arrivals::{Reconnect, WhenLost};
use crate::client::Clients;
use crate::directory_change::DirectoryChange;
use crate::id::{HubName, ServerConnectionId};
use crate::turn::Turn;

/// The version of the protocol.
const VERSION: i64 = 1;

impl Links {
    /// The first message of a hub server.
    pub(super) fn handshake(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        id: ServerConnectionId,
        message: Result<ServiceMessage<'_>, MalformedMessage>,
    ) {
        let Ok(ServiceMessage::HandshakeRequest(request)) = message else {
            let error = "The first message must be a handshake request.";
            return self.refuse_server(clients, turn, id, error.to_owned());
        };
        if request.version != VERSION {
            let error = format!("Version mismatch: version {VERSION} is spoken here, not {}.", request.version);
            return self.refuse_server(clients, turn, id, error);
        }
        let Some(server) = self.servers.get(id) else {
            return;
        };
        let (hub, server_id) = (clients.hub(server.hub()), server.server().clone());
        let kind = match request.connection_type {
            // One that was opened on demand is as good as any other.
            0 | 1 if turn.settings.hub(&hub.name).mode.takes_hub_servers() => {
                let migration = Migration::of(request.migration_level);
                let when_lost = migration.when_lost();
                let reconnect = match request.allow_stateful_reconnects {
                    true => Reconnect::Stateful,
                    false => Reconnect::No,
                };
                let connected = DirectoryChange::ServerConnected { id, server: server_id, reconnect, when_lost };
                hub.announce(turn, connected);
                ServerKind::Hub { migration }
            }
            0 | 1 => {
                let error = not_for_hub_servers(&hub.name);
                return self.refuse_server(clients, turn, id, error);
            }
            2 => {
                hub.announce(turn, DirectoryChange::SenderConnected { id, server: server_id });
                ServerKind::Weak
            }
            unknown => {
                let error = format!("Server connections of type {unknown} are not known.");
                return self.refuse_server(clients, turn, id, error);
            }
        };
        self.servers.let_in(id, kind);
        self.servers.send(turn, id, &ServiceMessage::HandshakeResponse(HandshakeResponse::default()));
    }

    pub(super) fn refuse_server(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        id: ServerConnectionId,
        error: String,
    ) {
        let response = HandshakeResponse { error: &error, ..HandshakeResponse::default() };
        self.servers.send(turn, id, &ServiceMessage::HandshakeResponse(response));
        self.end_server(clients, turn, id, error);
    }
}

impl Migration {
    fn of(level: i64) -> Migration {
        match level {
            1 => Migration::WhenItLeaves,
            2 => Migration::WhenItIsLost,
            _ => Migration::Never,
        }
    }

    pub(super) fn when_lost(self) -> WhenLost {
        match self {
            Migration::WhenItIsLost => WhenLost::MovesClients,
            Migration::Never | Migration::WhenItLeaves => WhenLost::DropsClients,
        }
    }
}

pub(super) fn not_for_hub_servers(hub: &HubName) -> String {
    format!("Hub '{hub}' is in serverless mode: it does not accept hub servers.")
}
