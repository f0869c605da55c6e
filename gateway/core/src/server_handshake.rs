//! How a hub server's connection opens, and which are refused.

use hubgate_wire::service::{HandshakeResponse, MalformedMessage, ServiceMessage};

use crate::effect::Effect;
use crate::id::{HubName, ServerConnectionId};
use crate::server_connection::{Migration, ServerKind, ServerPhase};
use crate::shard::Shard;
use crate::time::Millis;

/// The version of the protocol.
const VERSION: i64 = 1;

impl Shard {
    /// The first message of a hub server.
    pub(crate) fn server_handshake(
        &mut self,
        id: ServerConnectionId,
        message: Result<ServiceMessage<'_>, MalformedMessage>,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let Ok(ServiceMessage::HandshakeRequest(request)) = message else {
            let error = "The first message must be a handshake request.";
            return self.refuse_server(id, error.to_owned(), now, effects);
        };
        if request.version != VERSION {
            let error = format!("Version mismatch: version {VERSION} is spoken here, not {}.", request.version);
            return self.refuse_server(id, error, now, effects);
        }
        let Some(server) = self.servers.get(&id) else {
            return;
        };
        let (index, server_id) = (server.hub, server.server.clone());
        let hub = self.hub(index);
        let kind = match request.connection_type {
            // One that was opened on demand is as good as any other.
            0 | 1 if self.settings.hub(&hub.name).mode.takes_hub_servers() => {
                let migration = Migration::of(request.migration_level);
                hub.presence.servers.connected(id, server_id);
                ServerKind::Hub { migration }
            }
            0 | 1 => {
                let error = not_for_hub_servers(&hub.name);
                return self.refuse_server(id, error, now, effects);
            }
            2 => {
                hub.presence.servers.sender_connected(id, server_id);
                ServerKind::Weak
            }
            unknown => {
                let error = format!("Server connections of type {unknown} are not known.");
                return self.refuse_server(id, error, now, effects);
            }
        };
        if let Some(server) = self.servers.get_mut(&id) {
            server.phase = ServerPhase::Open(kind);
        }
        self.send_to_server(id, &ServiceMessage::HandshakeResponse(HandshakeResponse::default()), effects);
    }

    fn refuse_server(&mut self, id: ServerConnectionId, error: String, now: Millis, effects: &mut Vec<Effect>) {
        let response = HandshakeResponse { error: &error, ..HandshakeResponse::default() };
        self.send_to_server(id, &ServiceMessage::HandshakeResponse(response), effects);
        self.end_server(id, error, now, effects);
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
}

pub(crate) fn not_for_hub_servers(hub: &HubName) -> String {
    format!("Hub '{hub}' is in serverless mode: it takes no hub servers.")
}
