//! What the messages of hub servers do.
//!
//! Source: Azure SignalR SDK for .NET, "Service Protocol" (`specs/ServiceProtocol.md`).

use bytes::Bytes;
use hubgate_wire::service::{
    self, AccessKeyResponse, Ack, ClientCompletion, ErrorCompletion, Extensions, Payloads, ServiceMessage, long_name,
};

use super::client_result::{self, NO_CONNECTION};
use super::names::{ack_id, has_long_name};
use super::payloads::outgoing;
use super::relay::{self, ServerPayload};
use super::servers::{Migration, ServerKind, ServerPhase, Servers};
use super::{Links, asp_net};
use crate::client::{Clients, actions};
use crate::delivery::{Action, Except, Member, Target};
use crate::directory_change::DirectoryChange;
use crate::filter::Direction;
use crate::id::{ConnectionId, GroupName, HubIndex, ServerConnectionId, ServerId, UserId};
use crate::neighbours::Location;
use crate::order::{Addressees, Leaving, Order, ServerOrder};
use crate::outgoing::Outgoing;
use crate::query::{AckStatus, Carried, Page};
use crate::question::{AckQuestion, Command, Sought};
use crate::refresh::{NewUser, Refresh, claims_for_next_token};
use crate::turn::{AfterSend, Step, Turn};

/// 100-nanosecond ticks in a millisecond, as .NET counts time.
const TICKS: u64 = 10_000;
/// Members of a group that one page names at most, as in the service's REST API.
const LONGEST_PAGE: usize = 200;
/// Why a call of a client fails whose own id or whose caller's is too long.
const LONG_ID: &str = "An id of the call, or of its server, has more than 1024 characters.";

/// One message of a hub server; `body` is its bytes.
pub(super) fn act_on(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    (from, hub, kind): (ServerConnectionId, HubIndex, ServerKind),
    message: ServiceMessage<'_>,
    body: &[u8],
) {
    if has_long_name(&message) {
        return refuse_long_name(links, clients, turn, from, &message);
    }
    match message {
        ServiceMessage::Ping(words) => ping(links, clients, turn, (from, hub), &words),
        ServiceMessage::ConnectionData(data) => {
            let Some(to) = ConnectionId::parse(data.connection_id.0) else {
                return;
            };
            let (payload, data_type) = (data.payload, data.extensions.data_type);
            if clients.hub(hub).name.is_asp_net() {
                let target = vec![Target::Connection(to)];
                return send_to_asp_net(links, clients, turn, (from, hub), (target, Except::default(), payload));
            }
            // As a rule it is here, and its bytes need not be copied to be handed on.
            if turn.locate(links.servers.shard_of(turn, from, to)) == Location::Here {
                return relay::forward_from_server(
                    links,
                    clients,
                    turn,
                    (hub, from),
                    to,
                    ServerPayload { payload, data_type },
                );
            }
            let order = ServerOrder::Says { from, to, payload: Bytes::copy_from_slice(payload), data_type };
            dispatch(links, clients, turn, (from, to), hub, order);
        }
        ServiceMessage::CloseConnection(close) => {
            let Some(client) = ConnectionId::parse(close.connection_id) else {
                return;
            };
            match kind {
                ServerKind::Hub { .. } => {
                    let error = close.error.filter(|error| !error.is_empty()).map(Into::into);
                    let order = ServerOrder::Closes { from, client, error };
                    dispatch(links, clients, turn, (from, client), hub, order);
                    links.servers.guest_ends(from, client);
                }
                ServerKind::Weak => {
                    let action = closing(Target::Connection(client), &[], close.error, false);
                    actions::act(clients, turn, hub, action);
                }
            }
        }
        ServiceMessage::ClientInvocation(call) => {
            let Some(origin) = links.servers.get(from).map(|server| Box::new(server.origin())) else {
                return;
            };
            let client = ConnectionId::parse(call.connection_id);
            let place = client.map(|id| links.servers.shard_of(turn, from, id));
            let location = place.map_or(Location::Nowhere, |place| turn.locate(place));
            let (Some(client), Some(place), false) = (client, place, location == Location::Nowhere) else {
                return client_result::refuse(&links.servers, turn, from, &call, NO_CONNECTION);
            };
            // A hub server hears itself of the end of its own clients, and with it of that of its calls.
            if location == Location::OtherNode && !links.servers.is_guest(from, client) {
                links.calls_elsewhere.begins(from, &call, client, place.node);
            }
            let message = Bytes::copy_from_slice(body);
            let order = ServerOrder::Invoke { from, origin, client, message };
            dispatch(links, clients, turn, (from, client), hub, order);
        }
        ServiceMessage::ClientCompletion(ClientCompletion { connection_id, invocation_id, .. })
        | ServiceMessage::ErrorCompletion(ErrorCompletion { connection_id, invocation_id, .. }) => {
            if let Some(server) = links.servers.get(from) {
                links.calls_elsewhere.is_read(server.server(), invocation_id);
            }
            if let Some(client) = ConnectionId::parse(connection_id) {
                let message = Bytes::copy_from_slice(body);
                dispatch(links, clients, turn, (from, client), hub, ServerOrder::Complete { client, message });
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
            links.servers.send(turn, from, &ServiceMessage::AccessKeyResponse(response));
        }
        ServiceMessage::Unknown(number) => {
            links.servers.skip_message(clients, turn, from, &format!("a message of the unknown type {number}"));
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
        | ServiceMessage::UpdateConnectionClaims(_)
        | ServiceMessage::ConnectionFlowControl(_) => {}
        message => match sends(&message) {
            Some(Sends { extensions, .. }) if extensions.filter.is_some() => {
                links.servers.skip_message(clients, turn, from, "a send with a filter, which nobody here can read");
            }
            Some(Sends { targets, payloads, except, .. }) if clients.hub(hub).name.is_asp_net() => {
                let payload = asp_net::payload(payloads).unwrap_or_default();
                send_to_asp_net(links, clients, turn, (from, hub), (targets, except, payload));
            }
            Some(Sends { targets, payloads, except, .. }) => {
                let actions = to_each(targets, &except, &outgoing(payloads));
                send_for_server(links, clients, turn, (from, hub), actions);
            }
            None => membership(links, clients, turn, from, hub, message),
        },
    }
}

/// A message with an id or a name that nothing can have. Whoever waits for an answer is told.
fn refuse_long_name(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    from: ServerConnectionId,
    message: &ServiceMessage<'_>,
) {
    if let ServiceMessage::ClientInvocation(call) = message {
        return client_result::refuse(&links.servers, turn, from, call, LONG_ID);
    }
    if !refuse_what_is_acked(&links.servers, turn, from, message) {
        let what = "a message with an id or a name of more than 1024 characters";
        links.servers.skip_message(clients, turn, from, what);
    }
}

/// Acks that a message has no effect; gives whether its sender waits for an ack.
pub(super) fn refuse_what_is_acked(
    servers: &Servers,
    turn: &mut Turn<'_>,
    from: ServerConnectionId,
    message: &ServiceMessage<'_>,
) -> bool {
    let Some(ack_id) = ack_id(message) else {
        return false;
    };
    // The SDK demands a page of each ack to its query.
    let is_query = matches!(message, ServiceMessage::GroupMemberQuery(_));
    let page = is_query.then(|| Carried::Page(Page::default()));
    ack(servers, turn, from, ack_id, AckStatus::Refused, page);
    true
}

/// What changes or asks for who is where, most of it to be acked.
fn membership(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    from: ServerConnectionId,
    hub: HubIndex,
    message: ServiceMessage<'_>,
) {
    match message {
        ServiceMessage::JoinGroup(join) => {
            if let (Some(connection), Ok(group)) =
                (ConnectionId::parse(join.connection_id), GroupName::parse(join.group))
            {
                let member = Member::Connection(connection);
                actions::act(clients, turn, hub, Action::Join { member, group, ttl_seconds: None, plugin: None });
            }
        }
        ServiceMessage::LeaveGroup(leave) => {
            if let Some(connection) = ConnectionId::parse(leave.connection_id) {
                let action =
                    Action::Leave { member: Member::Connection(connection), group: GroupName::new(leave.group) };
                actions::act(clients, turn, hub, action);
            }
        }
        ServiceMessage::UserJoinGroup(join) => {
            if let Some(action) = user_join(join.user_id, join.group, &join.extensions) {
                actions::act(clients, turn, hub, action);
            }
        }
        ServiceMessage::UserLeaveGroup(leave) => {
            actions::act(clients, turn, hub, user_leave(leave.user_id, Some(leave.group)));
        }
        ServiceMessage::JoinGroupWithAck(join) => {
            match (ConnectionId::parse(join.connection_id), GroupName::parse(join.group)) {
                (_, Err(_)) => ack(&links.servers, turn, from, join.ack_id, AckStatus::Refused, None),
                (None, Ok(_)) => ack(&links.servers, turn, from, join.ack_id, AckStatus::NotFound, None),
                (Some(connection), Ok(group)) => {
                    ask(turn, from, join.ack_id, AckQuestion::Command(Command::Join { connection, group }));
                }
            }
        }
        ServiceMessage::LeaveGroupWithAck(leave) => match ConnectionId::parse(leave.connection_id) {
            Some(connection) => {
                let command = Command::Leave { connection, group: leave.group.map(GroupName::new) };
                ask(turn, from, leave.ack_id, AckQuestion::Command(command));
            }
            None => ack(&links.servers, turn, from, leave.ack_id, AckStatus::NotFound, None),
        },
        ServiceMessage::UserJoinGroupWithAck(join) => match user_join(join.user_id, join.group, &join.extensions) {
            Some(action) => act_and_ack(links, clients, turn, from, hub, join.ack_id, action),
            None => ack(&links.servers, turn, from, join.ack_id, AckStatus::Refused, None),
        },
        ServiceMessage::UserLeaveGroupWithAck(leave) => {
            act_and_ack(links, clients, turn, from, hub, leave.ack_id, user_leave(leave.user_id, leave.group));
        }
        ServiceMessage::CheckUserInGroupWithAck(check) => {
            let (user, group) = (UserId::new(check.user_id), GroupName::new(check.group));
            ask(turn, from, check.ack_id, AckQuestion::Find(Sought::UserInGroup { user, group }));
        }
        ServiceMessage::CheckGroupExistenceWithAck(check) => {
            let group = Target::Group(GroupName::new(check.group));
            ask(turn, from, check.ack_id, AckQuestion::Find(Sought::ConnectionOf(group)));
        }
        ServiceMessage::GroupMemberQuery(query) => {
            let (after, group) = (query.continuation_token.and_then(ConnectionId::parse), GroupName::new(query.group));
            let size = |size: Option<i64>| size.map_or(LONGEST_PAGE, |size| usize::try_from(size).unwrap_or(0));
            let most = size(query.top).min(size(query.max_page_size).clamp(1, LONGEST_PAGE));
            ask(turn, from, query.ack_id, AckQuestion::Members { group, after, most });
        }
        ServiceMessage::CheckConnectionExistenceWithAck(check) => match ConnectionId::parse(check.connection_id) {
            Some(id) => {
                ask(turn, from, check.ack_id, AckQuestion::Find(Sought::ConnectionOf(Target::Connection(id))));
            }
            None => ack(&links.servers, turn, from, check.ack_id, AckStatus::NotFound, None),
        },
        ServiceMessage::CheckUserExistenceWithAck(check) => {
            let user = Target::User(UserId::new(check.user_id));
            ask(turn, from, check.ack_id, AckQuestion::Find(Sought::ConnectionOf(user)));
        }
        ServiceMessage::CloseConnectionWithAck(close) => match ConnectionId::parse(close.connection_id) {
            Some(id) => {
                let action = closing(Target::Connection(id), &[], close.reason, true);
                act_and_ack(links, clients, turn, from, hub, close.ack_id, action);
            }
            None => ack(&links.servers, turn, from, close.ack_id, AckStatus::Ok, None),
        },
        ServiceMessage::CloseConnectionsWithAck(close) => {
            let action = closing(Target::All, &close.excluded, close.reason, true);
            act_and_ack(links, clients, turn, from, hub, close.ack_id, action);
        }
        ServiceMessage::CloseUserConnectionsWithAck(close) => {
            let target = Target::User(UserId::new(close.user_id));
            let action = closing(target, &close.excluded, close.reason, true);
            act_and_ack(links, clients, turn, from, hub, close.ack_id, action);
        }
        ServiceMessage::CloseGroupConnectionsWithAck(close) => {
            let target = Target::Group(GroupName::new(close.group));
            let action = closing(target, &close.excluded, close.reason, true);
            act_and_ack(links, clients, turn, from, hub, close.ack_id, action);
        }
        ServiceMessage::RefreshAuth(refresh) => match ConnectionId::parse(refresh.connection_token) {
            Some(token) => {
                let (claims, end) = (refresh.claims.into_iter().collect(), refresh.expiry.into());
                let command = Refresh { token, claims, user: NewUser::InClaims, end };
                ask(turn, from, refresh.ack_id, AckQuestion::Command(Command::Refresh(Box::new(command))));
            }
            None => ack(&links.servers, turn, from, refresh.ack_id, AckStatus::NotFound, None),
        },
        ServiceMessage::GetConnectionClaims(get) => match ConnectionId::parse(get.connection_token) {
            Some(token) => ask(turn, from, get.ack_id, AckQuestion::Claims(token)),
            None => ack(&links.servers, turn, from, get.ack_id, AckStatus::NotFound, None),
        },
        _ => links.servers.skip_message(clients, turn, from, "a message that nobody here acts on"),
    }
}

/// Acks when all shards that are asked have answered.
fn ask(turn: &mut Turn<'_>, server: ServerConnectionId, ack_id: i64, question: AckQuestion) {
    turn.then(Step::Ask { server, ack_id, question });
}

/// Acks when the action is in effect on all shards: each answers after what it was ordered before.
fn act_and_ack(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    from: ServerConnectionId,
    hub: HubIndex,
    ack_id: i64,
    action: Action,
) {
    match actions::try_act(clients, turn, hub, action) {
        Ok(()) => ask(turn, from, ack_id, AckQuestion::Barrier),
        Err(_) => ack(&links.servers, turn, from, ack_id, AckStatus::Refused, None),
    }
}

/// Lets the shard that a client lives on do something for a hub server of this one, if there is such a shard.
pub(super) fn dispatch(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    (from, client): (ServerConnectionId, ConnectionId),
    hub: HubIndex,
    order: ServerOrder,
) {
    let shard = links.servers.shard_of(turn, from, client);
    match turn.locate(shard) {
        Location::Here => {
            let here = turn.here();
            links.apply(clients, turn, (here, hub), order);
        }
        Location::OtherShard(_) | Location::OtherNode => {
            let (hub, order) = (&clients.hub(hub).name, Order::Server(order));
            match links.servers.is_guest(from, client) {
                true => turn.forward(Addressees::One(shard), hub, order),
                false => turn.forward_about(client, shard, hub, order),
            }
        }
        Location::Nowhere => {}
    }
}

/// Sends for a hub server, whose next messages wait meanwhile if filters look at it.
fn send_for_server(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    (from, hub): (ServerConnectionId, HubIndex),
    actions: Vec<Action>,
) {
    let Some(server) = links.servers.get(from) else {
        return;
    };
    if !clients.hub(hub).filters.inspects(Direction::Outbound) {
        return actions::act_all(clients, turn, hub, actions);
    }
    let origin = server.origin();
    links.servers.set_inspected(from, true);
    turn.then(Step::Submit { hub, origin, actions, after: AfterSend::ResumeServer(from) });
}

/// News from a hub server, or nothing but a sign of life.
fn ping(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    (id, hub): (ServerConnectionId, HubIndex),
    words: &[&str],
) {
    match words {
        ["status", "1"] => {
            let clients = clients.hub(hub).directory.clients();
            let (status, count) = (if clients > 0 { "1" } else { "0" }, clients.to_string());
            let news = vec!["status", status, "clientcount", &count];
            links.servers.send(turn, id, &ServiceMessage::Ping(news));
        }
        ["servers", ..] => {
            let servers = clients.hub(hub).directory.servers().names();
            let names: Vec<&str> = servers.iter().map(ServerId::as_str).collect();
            let list = format!("{}:{}", turn.now.0 * TICKS, names.join(";"));
            links.servers.send(turn, id, &ServiceMessage::Ping(vec!["servers", &list]));
        }
        ["shutdown", fin] if fin.starts_with("fin:") => {
            links.servers.send(turn, id, &ServiceMessage::Ping(vec!["shutdown", "finack"]));
            server_leaves(links, clients, turn, id, fin);
        }
        // Also its counts of clients, and whatever newer servers tell. An echo is never answered: both would do so for ever.
        _ => {}
    }
}

/// The server of a connection takes no more clients; `fin` says what becomes of those that it has.
fn server_leaves(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, id: ServerConnectionId, fin: &str) {
    let Some(connection) = links.servers.get(id) else {
        return;
    };
    let ServerPhase::Open(ServerKind::Hub { migration }) = connection.phase() else {
        return;
    };
    let hub = connection.hub();
    // No connection that it has now gets new clients, on whatever shard.
    for connection in clients.hub(hub).directory.servers().connections_of(connection.server()) {
        clients.hub(hub).announce(turn, DirectoryChange::ServerDrains(connection));
    }
    let leaving = match fin {
        "fin:0" => Leaving::DropsClients,
        "fin:1" if migration > Migration::Never => Leaving::MovesClients,
        _ => return,
    };
    super::order_all(links, clients, turn, hub, ServerOrder::Leaves { server: id, leaving });
}

pub(super) fn ack(
    servers: &Servers,
    turn: &mut Turn<'_>,
    to: ServerConnectionId,
    ack_id: i64,
    status: AckStatus,
    carried: Option<Carried>,
) {
    let payload = match carried {
        Some(Carried::Page(page)) => {
            let (members, next) = page.finished();
            let members: Vec<_> =
                members.iter().map(|(id, user)| (id.as_str(), user.as_ref().map(UserId::as_str))).collect();
            Some(service::group_members(&members, next.as_ref().map(ConnectionId::as_str)))
        }
        Some(Carried::Claims(Some(facts))) => {
            // Its application makes the client's next token of them.
            let claims: Vec<_> = claims_for_next_token(&facts).map(|(name, value)| (long_name(name), value)).collect();
            Some(service::connection_claims(claims.iter().map(|(name, value)| (&**name, *value))))
        }
        Some(Carried::Claims(None)) | None => None,
    };
    let ack =
        Ack { ack_id, status: status.number(), message: status.text(), payload: payload.as_deref(), ..Ack::default() };
    servers.send(turn, to, &ServiceMessage::Ack(ack));
}

/// A message that sends.
struct Sends<'m, 'a> {
    extensions: Extensions<'a>,
    targets: Vec<Target>,
    payloads: &'m Payloads<'a>,
    except: Except,
}

fn sends<'m, 'a>(message: &'m ServiceMessage<'a>) -> Option<Sends<'m, 'a>> {
    let user = |id: &&str| Target::User(UserId::new(*id));
    let group = |name: &&str| Target::Group(GroupName::new(*name));
    let (extensions, payloads, targets, except) = match message {
        ServiceMessage::MultiConnectionData(send) => {
            let targets = connections(&send.connection_ids).into_iter().map(Target::Connection).collect();
            (send.extensions, &send.payloads, targets, Except::default())
        }
        ServiceMessage::UserData(send) => {
            (send.extensions, &send.payloads, vec![user(&send.user_id)], Except::default())
        }
        ServiceMessage::MultiUserData(send) => {
            (send.extensions, &send.payloads, send.user_ids.iter().map(user).collect(), Except::default())
        }
        ServiceMessage::BroadcastData(send) => {
            (send.extensions, &send.payloads, vec![Target::All], connections(&send.excluded).into())
        }
        ServiceMessage::GroupBroadcastData(send) => {
            let users = send.excluded_users.iter().map(|id| UserId::new(*id)).collect();
            let except = Except { connections: connections(&send.excluded), users };
            (send.extensions, &send.payloads, vec![group(&send.group)], except)
        }
        ServiceMessage::MultiGroupBroadcastData(send) => {
            (send.extensions, &send.payloads, send.groups.iter().map(group).collect(), Except::default())
        }
        _ => return None,
    };
    Some(Sends { extensions, targets, payloads, except })
}

/// A send of one message to each of these.
fn to_each(targets: Vec<Target>, except: &Except, message: &Outgoing) -> Vec<Action> {
    let send = |to| Action::Send { to, message: message.clone(), except: except.clone() };
    targets.into_iter().map(send).collect()
}

/// What a hub server of ASP.NET SignalR has wrapped for its clients: messages in order, as a rule one.
fn send_to_asp_net(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    (from, hub): (ServerConnectionId, HubIndex),
    (targets, except, payload): (Vec<Target>, Except, &[u8]),
) {
    let Some(messages) = links.cursors.unwrap(turn.here(), payload) else {
        return links.servers.skip_message(
            clients,
            turn,
            from,
            "a payload that is not wrapped as its protocol wants it",
        );
    };
    let actions = messages.iter().flat_map(|message| to_each(targets.clone(), &except, message)).collect();
    send_for_server(links, clients, turn, (from, hub), actions);
}

/// Ids that can be those of connections.
fn connections(ids: &[&str]) -> Vec<ConnectionId> {
    ids.iter().filter_map(ConnectionId::parse).collect()
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
