//! The ids and names in the messages of hub servers.

use hubgate_wire::service::{
    CheckConnectionExistenceWithAck, CheckGroupExistenceWithAck, CheckUserExistenceWithAck, CheckUserInGroupWithAck,
    ClientCompletion, ClientInvocation, CloseConnectionWithAck, CloseConnectionsWithAck, CloseGroupConnectionsWithAck,
    CloseUserConnectionsWithAck, ErrorCompletion, GetConnectionClaims, GroupBroadcastData, GroupMemberQuery, JoinGroup,
    JoinGroupWithAck, LeaveGroup, LeaveGroupWithAck, MultiGroupBroadcastData, MultiUserData, RefreshAuth,
    ServiceMessage, UserData, UserJoinGroup, UserJoinGroupWithAck, UserLeaveGroup, UserLeaveGroupWithAck,
};

use crate::id::is_short_enough;

/// Whether an id or a name is so long that nothing can have it. Ids of connections are looked at where they are read.
pub(crate) fn has_long_name(message: &ServiceMessage<'_>) -> bool {
    use ServiceMessage as Message;
    let is_long = |name: &str| !is_short_enough(name);
    match message {
        Message::UserData(UserData { user_id: name, .. })
        | Message::CheckUserExistenceWithAck(CheckUserExistenceWithAck { user_id: name, .. })
        | Message::CloseUserConnectionsWithAck(CloseUserConnectionsWithAck { user_id: name, .. })
        | Message::JoinGroup(JoinGroup { group: name, .. })
        | Message::LeaveGroup(LeaveGroup { group: name, .. })
        | Message::JoinGroupWithAck(JoinGroupWithAck { group: name, .. })
        | Message::CheckGroupExistenceWithAck(CheckGroupExistenceWithAck { group: name, .. })
        | Message::CloseGroupConnectionsWithAck(CloseGroupConnectionsWithAck { group: name, .. })
        | Message::GroupMemberQuery(GroupMemberQuery { group: name, .. }) => is_long(name),
        Message::UserJoinGroup(UserJoinGroup { user_id, group, .. })
        | Message::UserLeaveGroup(UserLeaveGroup { user_id, group, .. })
        | Message::UserJoinGroupWithAck(UserJoinGroupWithAck { user_id, group, .. })
        | Message::CheckUserInGroupWithAck(CheckUserInGroupWithAck { user_id, group, .. }) => {
            is_long(user_id) || is_long(group)
        }
        Message::LeaveGroupWithAck(LeaveGroupWithAck { group, .. }) => group.is_some_and(is_long),
        Message::UserLeaveGroupWithAck(UserLeaveGroupWithAck { user_id, group, .. }) => {
            is_long(user_id) || group.is_some_and(is_long)
        }
        Message::MultiUserData(MultiUserData { user_ids: names, .. })
        | Message::MultiGroupBroadcastData(MultiGroupBroadcastData { groups: names, .. }) => {
            names.iter().any(|name| is_long(name))
        }
        Message::GroupBroadcastData(GroupBroadcastData { group, excluded_users, .. }) => {
            is_long(group) || excluded_users.iter().any(|user| is_long(user))
        }
        Message::ClientInvocation(ClientInvocation { invocation_id, caller_server_id, .. })
        | Message::ClientCompletion(ClientCompletion { invocation_id, caller_server_id, .. })
        | Message::ErrorCompletion(ErrorCompletion { invocation_id, caller_server_id, .. }) => {
            is_long(invocation_id) || is_long(caller_server_id)
        }
        _ => false,
    }
}

/// The number of the ack that the server waits for.
pub(crate) fn ack_id(message: &ServiceMessage<'_>) -> Option<i64> {
    use ServiceMessage as Message;
    match message {
        Message::CheckUserExistenceWithAck(CheckUserExistenceWithAck { ack_id, .. })
        | Message::CloseUserConnectionsWithAck(CloseUserConnectionsWithAck { ack_id, .. })
        | Message::JoinGroupWithAck(JoinGroupWithAck { ack_id, .. })
        | Message::LeaveGroupWithAck(LeaveGroupWithAck { ack_id, .. })
        | Message::CheckGroupExistenceWithAck(CheckGroupExistenceWithAck { ack_id, .. })
        | Message::CloseGroupConnectionsWithAck(CloseGroupConnectionsWithAck { ack_id, .. })
        | Message::GroupMemberQuery(GroupMemberQuery { ack_id, .. })
        | Message::UserJoinGroupWithAck(UserJoinGroupWithAck { ack_id, .. })
        | Message::UserLeaveGroupWithAck(UserLeaveGroupWithAck { ack_id, .. })
        | Message::CheckUserInGroupWithAck(CheckUserInGroupWithAck { ack_id, .. })
        | Message::CheckConnectionExistenceWithAck(CheckConnectionExistenceWithAck { ack_id, .. })
        | Message::CloseConnectionWithAck(CloseConnectionWithAck { ack_id, .. })
        | Message::CloseConnectionsWithAck(CloseConnectionsWithAck { ack_id, .. })
        | Message::RefreshAuth(RefreshAuth { ack_id, .. })
        | Message::GetConnectionClaims(GetConnectionClaims { ack_id, .. }) => Some(*ack_id),
        _ => None,
    }
}
