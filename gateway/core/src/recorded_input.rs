//! Inputs to keep: what one shard was fed can be fed to another one.

use crate::effect::Effect;
use crate::id::{ServerConnectionId, TransportKey};
use crate::input::Input;
use crate::shard::Shard;
use crate::time::Millis;

/// An [`Input`] that borrows nothing.
#[derive(Debug)]
pub enum RecordedInput {
    ClientData { transport: TransportKey, bytes: Box<[u8]>, most: usize },
    ServerData { id: ServerConnectionId, bytes: Box<[u8]>, most: usize },
    Other(Input<'static, 'static>),
}

impl RecordedInput {
    /// Feeds it to a shard. Gives how many of its bytes are left.
    pub fn feed(self, shard: &mut Shard, now: Millis, effects: &mut Vec<Effect>) -> usize {
        match self {
            RecordedInput::ClientData { transport, bytes, most } => {
                let mut bytes = &bytes[..];
                shard.handle(Input::ClientData { transport, bytes: &mut bytes, most }, now, effects);
                bytes.len()
            }
            RecordedInput::ServerData { id, bytes, most } => {
                let mut bytes = &bytes[..];
                shard.handle(Input::ServerData { id, bytes: &mut bytes, most }, now, effects);
                bytes.len()
            }
            RecordedInput::Other(input) => {
                shard.handle(input, now, effects);
                0
            }
        }
    }
}

impl Input<'_, '_> {
    /// The input as it is before it is fed.
    pub fn record(&self) -> RecordedInput {
        RecordedInput::Other(match self {
            Input::ClientData { transport, bytes, most } => {
                return RecordedInput::ClientData { transport: *transport, bytes: (**bytes).into(), most: *most };
            }
            Input::ServerData { id, bytes, most } => {
                return RecordedInput::ServerData { id: *id, bytes: (**bytes).into(), most: *most };
            }
            Input::ClientOpened { transport, client } => {
                Input::ClientOpened { transport: *transport, client: client.clone() }
            }
            Input::TokenRenewed { transport, expiry, claims } => {
                Input::TokenRenewed { transport: *transport, expiry: *expiry, claims: claims.clone() }
            }
            Input::ClientResumed { transport, client } => {
                Input::ClientResumed { transport: *transport, client: client.clone() }
            }
            Input::ClientStarted { token, query } => Input::ClientStarted { token: *token, query: query.clone() },
            Input::ClientAborted { token } => Input::ClientAborted { token: *token },
            Input::ClientReturned { transport, client } => {
                Input::ClientReturned { transport: *transport, client: client.clone() }
            }
            Input::ResumeRefused { hub, refusal } => Input::ResumeRefused { hub: hub.clone(), refusal: *refusal },
            Input::KeepsTooMuch(client) => Input::KeepsTooMuch(*client),
            Input::SaidLastWords(transport) => Input::SaidLastWords(*transport),
            Input::WayEnds(transport) => Input::WayEnds(*transport),
            Input::ClientGone { transport, cause } => Input::ClientGone { transport: *transport, cause: *cause },
            Input::ServerOpened { id, server } => Input::ServerOpened { id: *id, server: server.clone() },
            Input::ServerCongested { id, is_congested } => {
                Input::ServerCongested { id: *id, is_congested: *is_congested }
            }
            Input::ServerGone(id) => Input::ServerGone(*id),
            Input::UpstreamAnswered { client, answer } => {
                Input::UpstreamAnswered { client: *client, answer: answer.clone() }
            }
            Input::Traced { mark, input } => {
                return match input.record() {
                    RecordedInput::Other(input) => {
                        RecordedInput::Other(Input::Traced { mark: mark.clone(), input: Box::new(input) })
                    }
                    borrowed => borrowed,
                };
            }
            Input::Inspected { number, inspected } => {
                Input::Inspected { number: *number, inspected: inspected.clone() }
            }
            Input::InspectionWaits(number) => Input::InspectionWaits(*number),
            Input::Order { from, hub, order } => Input::Order { from: *from, hub: hub.clone(), order: order.clone() },
            Input::Undelivered { to, order } => Input::Undelivered { to: to.clone(), order: order.clone() },
            Input::HubAnnounced(hub) => Input::HubAnnounced(hub.clone()),
            Input::Submit { hub, origin, actions, ticket } => {
                Input::Submit { hub: hub.clone(), origin: origin.clone(), actions: actions.clone(), ticket: *ticket }
            }
            Input::SubmitByFilter { hub, actions } => {
                Input::SubmitByFilter { hub: hub.clone(), actions: actions.clone() }
            }
            Input::JoinUser { hub, user, group, ttl_seconds, ticket } => Input::JoinUser {
                hub: hub.clone(),
                user: user.clone(),
                group: group.clone(),
                ttl_seconds: *ttl_seconds,
                ticket: *ticket,
            },
            Input::Join { hub, connection, group, deadline, ticket } => Input::Join {
                hub: hub.clone(),
                connection: *connection,
                group: group.clone(),
                deadline: *deadline,
                ticket: *ticket,
            },
            Input::Refresh { hub, refresh, deadline, ticket } => {
                Input::Refresh { hub: hub.clone(), refresh: refresh.clone(), deadline: *deadline, ticket: *ticket }
            }
            Input::Stream { hub, command, deadline, ticket } => {
                Input::Stream { hub: hub.clone(), command: command.clone(), deadline: *deadline, ticket: *ticket }
            }
            Input::Taken(transport) => Input::Taken(*transport),
            Input::Ask { hub, query, deadline } => {
                Input::Ask { hub: hub.clone(), query: query.clone(), deadline: *deadline }
            }
            Input::Barrier { hub, deadline, ticket } => {
                Input::Barrier { hub: hub.clone(), deadline: *deadline, ticket: *ticket }
            }
            Input::AskClient { hub, question, deadline, ticket } => {
                Input::AskClient { hub: hub.clone(), question: question.clone(), deadline: *deadline, ticket: *ticket }
            }
            Input::Watch { hub, plugin, group, ticket } => {
                Input::Watch { hub: hub.clone(), plugin: plugin.clone(), group: group.clone(), ticket: *ticket }
            }
            Input::Unwatch { hub, plugin, group } => {
                Input::Unwatch { hub: hub.clone(), plugin: plugin.clone(), group: group.clone() }
            }
            Input::PresenceTold { hub, plugin } => Input::PresenceTold { hub: hub.clone(), plugin: plugin.clone() },
            Input::Negotiated { hub, negotiated, deadline, ticket } => {
                Input::Negotiated { hub: hub.clone(), negotiated: *negotiated, deadline: *deadline, ticket: *ticket }
            }
            Input::ClaimToken { hub, claim, deadline, ticket } => {
                Input::ClaimToken { hub: hub.clone(), claim: *claim, deadline: *deadline, ticket: *ticket }
            }
            Input::TokenUnused { hub, token } => Input::TokenUnused { hub: hub.clone(), token: *token },
            Input::PostedEarly { hub, token, bytes, ticket } => {
                Input::PostedEarly { hub: hub.clone(), token: *token, bytes: bytes.clone(), ticket: *ticket }
            }
            Input::TimeOfDay(time) => Input::TimeOfDay(*time),
            Input::Tick => Input::Tick,
            Input::Configure { settings, halves } => {
                Input::Configure { settings: settings.clone(), halves: halves.clone() }
            }
            Input::Nodes(nodes) => Input::Nodes(nodes.clone()),
            Input::NodeLost(node) => Input::NodeLost(*node),
            Input::Named(node) => Input::Named(*node),
            Input::Drain { per_second } => Input::Drain { per_second: *per_second },
            Input::DrainNow => Input::DrainNow,
        })
    }
}
