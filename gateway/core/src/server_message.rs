//! What the messages of hub servers do.
//!
//! Source: Azure SignalR SDK for .NET, "Service Protocol" (`specs/ServiceProtocol.md`).

use bytes::Bytes;
use hubgate_wire::service::{
    AccessKeyResponse, ClientCompletion, ErrorCompletion, Extensions, GetConnectionClaims, Payloads, RefreshAuth,
    ServiceMessage,
};
use hubgate_wire::signalr::HubProtocol;

use crate::client_connection::HubIndex;
use crate::delivery::{Action, Except, Member, Target};
use crate::effect::{Effect, Order, Shards};
use crate::event::HubQuestion;
use crate::id::{ConnectionId, GroupName, ServerConnectionId, ShardIndex, UserId};
use crate::invocation::NO_CONNECTION;
use crate::outgoing::Outgoing;
use crate::proxied::Said;
use crate::questions::{AckStatus, Asked};
use crate::server_connection::{ServerConnection, ServerKind};
use crate::server_names::{ack_id, has_long_name};
use crate::server_order::ServerOrder;
use crate::shard::Shard;
use crate::time::Millis;

/// Members of a group that one page names at most, as in the service's REST API.
const LONGEST_PAGE: usize = 200;
/// Why a call of a client fails whose own id or whose caller's is too long.
const LONG_ID: &str = "An id of the call, or of its server, has more than 1024 characters.";

impl Shard {
    /// One message of a hub server; `body` is its bytes.
    pub(crate) fn server_message(
        &mut self,
        from: ServerConnectionId,
        kind: ServerKind,
        message: ServiceMessage<'_>,
        body: &[u8],
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let Some(hub) = self.server_hub(from) else {
            return;
        };
        if has_long_name(&message) {
            return self.refuse_long_name(from, &message, effects);
        }
        match message {
            ServiceMessage::Ping(words) => self.server_ping(from, &words, now, effects),
            ServiceMessage::ConnectionData(data) => {
                let Some(to) = ConnectionId::parse(data.connection_id) else {
                    return;
                };
                let (payload, data_type) = (data.payload, data.extensions.data_type);
                // As a rule it is here, and its bytes need not be copied to be handed on.
                if to.shard() == self.index {
                    return self.server_says(hub, from, to, Said { payload, data_type }, now, effects);
                }
                let order = ServerOrder::Says { from, to, payload: Bytes::copy_from_slice(payload), data_type };
                self.hand(to.shard(), hub, order, now, effects);
            }
            ServiceMessage::CloseConnection(close) => {
                let Some(client) = ConnectionId::parse(close.connection_id) else {
                    return;
                };
                match kind {
                    ServerKind::Hub { .. } => {
                        let error = close.error.filter(|error| !error.is_empty()).map(Into::into);
                        let order = ServerOrder::Closes { from, client, error };
                        self.hand(client.shard(), hub, order, now, effects);
                    }
                    ServerKind::Weak => {
                        let action = closing(Target::Connection(client), &[], close.error, false);
                        self.act(hub, action, now, effects);
                    }
                }
            }
            ServiceMessage::ClientInvocation(call) => {
                let Some(origin) = self.servers.get(&from).map(ServerConnection::origin) else {
                    return;
                };
                // An id from outside may name a shard that never was.
                let client = ConnectionId::parse(call.connection_id).filter(|id| id.shard().0 < self.shards);
                let Some(client) = client else {
                    return self.refuse_invocation(from, &call, NO_CONNECTION, effects);
                };
                let message = Bytes::copy_from_slice(body);
                self.hand(client.shard(), hub, ServerOrder::Invoke { from, origin, client, message }, now, effects);
            }
            ServiceMessage::ClientCompletion(ClientCompletion { connection_id, .. })
            | ServiceMessage::ErrorCompletion(ErrorCompletion { connection_id, .. }) => {
                if let Some(client) = ConnectionId::parse(connection_id) {
                    let message = Bytes::copy_from_slice(body);
                    self.hand(client.shard(), hub, ServerOrder::Complete { client, message }, now, effects);
                }
            }
            ServiceMessage::AccessKeyRequest(_) => {
                let response = AccessKeyResponse {
                    error_type: Some("NotSupported"),
                    error: Some(
                        "This gateway gives out no temporary access keys: use one of its own in the connection string.",
                    ),
                    ..AccessKeyResponse::default()
                };
                self.send_to_server(from, &ServiceMessage::AccessKeyResponse(response), effects);
            }
            ServiceMessage::Unknown(number) => {
                self.skip_server_message(from, &format!("a message of the unknown type {number}"), effects);
            }
            // What only the gateway says, or what needs no answer.
            ServiceMessage::HandshakeRequest(_)
            | ServiceMessage::HandshakeResponse(_)
            | ServiceMessage::OpenConnection(_)
            | ServiceMessage::ServiceError(_)
            | ServiceMessage::Ack(_)
            | ServiceMessage::ServiceEvent(_)
            | ServiceMessage::AccessKeyResponse(_)
            | ServiceMessage::ServiceMapping(_)
            | ServiceMessage::ConnectionReconnect(_)
            | ServiceMessage::ConnectionFlowControl(_) => {}
            message => match sends(&message) {
                Some((extensions, _)) if extensions.filter.is_some() => {
                    self.skip_server_message(from, "a send with a filter, which nobody here can read", effects);
                }
                Some((_, actions)) => self.send_for_server(from, actions, now, effects),
                None => self.membership(from, hub, message, now, effects),
            },
        }
    }

    /// A message with an id or a name that nothing can have. Whoever waits for an answer is told.
    fn refuse_long_name(&mut self, from: ServerConnectionId, message: &ServiceMessage<'_>, effects: &mut Vec<Effect>) {
        if let ServiceMessage::ClientInvocation(call) = message {
            return self.refuse_invocation(from, call, LONG_ID, effects);
        }
        match ack_id(message) {
            Some(ack_id) => self.ack(from, ack_id, AckStatus::Failed, None, effects),
            None => {
                let what = "a message with an id or a name of more than 1024 characters";
                self.skip_server_message(from, what, effects);
            }
        }
    }

    /// What changes or asks for who is where, most of it to be acked.
    fn membership(
        &mut self,
        from: ServerConnectionId,
        hub: HubIndex,
        message: ServiceMessage<'_>,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        match message {
            ServiceMessage::JoinGroup(join) => {
                if let (Some(connection), Ok(group)) =
                    (ConnectionId::parse(join.connection_id), GroupName::parse(join.group))
                {
                    let member = Member::Connection(connection);
                    self.act(hub, Action::Join { member, group, ttl_seconds: None, plugin: None }, now, effects);
                }
            }
            ServiceMessage::LeaveGroup(leave) => {
                if let Some(connection) = ConnectionId::parse(leave.connection_id) {
                    let action =
                        Action::Leave { member: Member::Connection(connection), group: GroupName::new(leave.group) };
                    self.act(hub, action, now, effects);
                }
            }
            ServiceMessage::UserJoinGroup(join) => {
                if let Some(action) = user_join(join.user_id, join.group, &join.extensions) {
                    self.act(hub, action, now, effects);
                }
            }
            ServiceMessage::UserLeaveGroup(leave) => {
                self.act(hub, user_leave(leave.user_id, Some(leave.group)), now, effects);
            }
            ServiceMessage::JoinGroupWithAck(join) => {
                match (ConnectionId::parse(join.connection_id), GroupName::parse(join.group)) {
                    (_, Err(_)) => self.ack(from, join.ack_id, AckStatus::Failed, None, effects),
                    (None, Ok(_)) => self.ack(from, join.ack_id, AckStatus::NotFound, None, effects),
                    (Some(connection), Ok(group)) => {
                        let question = HubQuestion::Join { connection, group };
                        let asked = Asked::One(connection.shard());
                        self.ack_with(from, join.ack_id, asked, question, now, effects);
                    }
                }
            }
            ServiceMessage::LeaveGroupWithAck(leave) => {
                let Some(connection) = ConnectionId::parse(leave.connection_id) else {
                    return self.ack(from, leave.ack_id, AckStatus::NotFound, None, effects);
                };
                let question = HubQuestion::Leave { connection, group: leave.group.map(GroupName::new) };
                self.ack_with(from, leave.ack_id, Asked::One(connection.shard()), question, now, effects);
            }
            ServiceMessage::UserJoinGroupWithAck(join) => match user_join(join.user_id, join.group, &join.extensions) {
                Some(action) => self.act_and_ack(from, hub, join.ack_id, action, now, effects),
                None => self.ack(from, join.ack_id, AckStatus::Failed, None, effects),
            },
            ServiceMessage::UserLeaveGroupWithAck(leave) => {
                self.act_and_ack(from, hub, leave.ack_id, user_leave(leave.user_id, leave.group), now, effects);
            }
            ServiceMessage::CheckUserInGroupWithAck(check) => {
                let (user, group) = (UserId::new(check.user_id), GroupName::new(check.group));
                let question = HubQuestion::UserInGroup { user, group };
                self.ack_with(from, check.ack_id, Asked::All, question, now, effects);
            }
            ServiceMessage::CheckGroupExistenceWithAck(check) => {
                let question = HubQuestion::Exists(Target::Group(GroupName::new(check.group)));
                self.ack_with(from, check.ack_id, Asked::All, question, now, effects);
            }
            ServiceMessage::GroupMemberQuery(query) => {
                let (after, group) =
                    (query.continuation_token.and_then(ConnectionId::parse), GroupName::new(query.group));
                let most = usize::try_from(query.max).unwrap_or(0).clamp(1, LONGEST_PAGE);
                let question = HubQuestion::Members { group, after, most };
                self.ack_with(from, query.ack_id, Asked::All, question, now, effects);
            }
            ServiceMessage::CheckConnectionExistenceWithAck(check) => match ConnectionId::parse(check.connection_id) {
                Some(id) => {
                    let question = HubQuestion::Exists(Target::Connection(id));
                    self.ack_with(from, check.ack_id, Asked::One(id.shard()), question, now, effects);
                }
                None => self.ack(from, check.ack_id, AckStatus::NotFound, None, effects),
            },
            ServiceMessage::CheckUserExistenceWithAck(check) => {
                let question = HubQuestion::Exists(Target::User(UserId::new(check.user_id)));
                self.ack_with(from, check.ack_id, Asked::All, question, now, effects);
            }
            ServiceMessage::CloseConnectionWithAck(close) => match ConnectionId::parse(close.connection_id) {
                Some(id) => {
                    let action = closing(Target::Connection(id), &[], close.reason, true);
                    self.act_and_ack(from, hub, close.ack_id, action, now, effects);
                }
                None => self.ack(from, close.ack_id, AckStatus::Ok, None, effects),
            },
            ServiceMessage::CloseConnectionsWithAck(close) => {
                let action = closing(Target::All, &close.excluded, close.reason, true);
                self.act_and_ack(from, hub, close.ack_id, action, now, effects);
            }
            ServiceMessage::CloseUserConnectionsWithAck(close) => {
                let target = Target::User(UserId::new(close.user_id));
                let action = closing(target, &close.excluded, close.reason, true);
                self.act_and_ack(from, hub, close.ack_id, action, now, effects);
            }
            ServiceMessage::CloseGroupConnectionsWithAck(close) => {
                let target = Target::Group(GroupName::new(close.group));
                let action = closing(target, &close.excluded, close.reason, true);
                self.act_and_ack(from, hub, close.ack_id, action, now, effects);
            }
            ServiceMessage::RefreshAuth(RefreshAuth { ack_id, .. })
            | ServiceMessage::GetConnectionClaims(GetConnectionClaims { ack_id, .. }) => {
                self.ack(from, ack_id, AckStatus::NotSupported, None, effects);
            }
            _ => self.skip_server_message(from, "a message that nobody here acts on", effects),
        }
    }

    /// Acks when the action is in effect on all shards: each answers behind what it was ordered before.
    fn act_and_ack(
        &mut self,
        from: ServerConnectionId,
        hub: HubIndex,
        ack_id: i64,
        action: Action,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        match self.try_act(hub, action, now, effects) {
            Ok(()) => self.ack_with(from, ack_id, Asked::All, HubQuestion::Barrier, now, effects),
            Err(_) => self.ack(from, ack_id, AckStatus::Failed, None, effects),
        }
    }

    /// Lets one shard do something, if there is such a one.
    fn hand(&mut self, to: ShardIndex, hub: HubIndex, order: ServerOrder, now: Millis, effects: &mut Vec<Effect>) {
        if to == self.index {
            self.obey_about_server(hub, order, now, effects);
        } else if to.0 < self.shards {
            self.forward(Shards::One(to), hub, Order::Server(order), effects);
        }
    }
}

/// The extensions of a message that sends, and what it sends to whom.
fn sends<'a>(message: &ServiceMessage<'a>) -> Option<(Extensions<'a>, Vec<Action>)> {
    let to_each = |targets: Vec<Target>, payloads: &Payloads<'_>, except: Except| -> Vec<Action> {
        let message = outgoing(payloads);
        let send = |to| Action::Send { to, message: message.clone(), except: except.clone() };
        targets.into_iter().map(send).collect()
    };
    let user = |id: &&str| Target::User(UserId::new(*id));
    Some(match message {
        ServiceMessage::MultiConnectionData(send) => {
            let targets = connections(&send.connection_ids).into_iter().map(Target::Connection).collect();
            (send.extensions, to_each(targets, &send.payloads, Except::default()))
        }
        ServiceMessage::UserData(send) => {
            (send.extensions, to_each(vec![user(&send.user_id)], &send.payloads, Except::default()))
        }
        ServiceMessage::MultiUserData(send) => {
            (send.extensions, to_each(send.user_ids.iter().map(user).collect(), &send.payloads, Except::default()))
        }
        ServiceMessage::BroadcastData(send) => {
            let except = connections(&send.excluded).into();
            (send.extensions, to_each(vec![Target::All], &send.payloads, except))
        }
        ServiceMessage::GroupBroadcastData(send) => {
            let users = send.excluded_users.iter().map(|id| UserId::new(*id)).collect();
            let except = Except { connections: connections(&send.excluded), users };
            let target = Target::Group(GroupName::new(send.group));
            (send.extensions, to_each(vec![target], &send.payloads, except))
        }
        ServiceMessage::MultiGroupBroadcastData(send) => {
            let targets = send.groups.iter().map(|group| Target::Group(GroupName::new(*group))).collect();
            (send.extensions, to_each(targets, &send.payloads, Except::default()))
        }
        _ => return None,
    })
}

/// What is sent to clients of each protocol. Clients of a protocol that has no payload get nothing.
pub(crate) fn outgoing(payloads: &Payloads<'_>) -> Outgoing {
    let known = payloads.iter().filter_map(|(name, payload)| Some((HubProtocol::named(name)?, *payload)));
    Outgoing::encoded(known)
}

/// Ids that can be those of connections.
fn connections(ids: &[&str]) -> Vec<ConnectionId> {
    ids.iter().filter_map(|id| ConnectionId::parse(id)).collect()
}

fn closing(target: Target, except: &[&str], reason: Option<&str>, allow_reconnect: bool) -> Action {
    let reason = reason.filter(|reason| !reason.is_empty()).map(str::to_owned);
    Action::Close { target, except: connections(except), reason, allow_reconnect }
}

fn user_join(user: &str, group: &str, extensions: &Extensions<'_>) -> Option<Action> {
    let ttl_seconds = extensions.ttl.map(|seconds| u32::try_from(seconds.max(0)).unwrap_or(u32::MAX));
    let (member, group) = (Member::User(UserId::new(user)), GroupName::parse(group).ok()?);
    Some(Action::Join { member, group, ttl_seconds, plugin: None })
}

fn user_leave(user: &str, group: Option<&str>) -> Action {
    let member = Member::User(UserId::new(user));
    match group {
        Some(group) => Action::Leave { member, group: GroupName::new(group) },
        None => Action::LeaveAll(member),
    }
}
