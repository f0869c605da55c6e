//! The messages of the service protocol, with their elements in the order of the wire.

use super::MalformedMessage;
use super::field::{AnyText, Extensions, Field, Fields, FixedInteger, Headers, Pairs, Payloads, Timestamp};
use crate::messagepack::{write_array, write_integer, write_text};

/// The number of pings, whose elements are a list of their own.
const PING: i64 = 3;

macro_rules! messages {
    ($($(#[$doc:meta])* $number:literal $name:ident { $($field:ident: $kind:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Default, PartialEq, Eq)]
            pub struct $name<'a> {
                $(pub $field: $kind,)*
            }
        )*

        /// One message, in either direction.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum ServiceMessage<'a> {
            /// A sign of life, or news in pairs of a name and a value.
            Ping(Vec<&'a str>),
            $($name($name<'a>),)*
            /// A type that is not known. Skipped, so that newer peers can be talked to.
            Unknown(i64),
        }

        impl<'a> ServiceMessage<'a> {
            pub(super) fn read(number: i64, fields: &mut Fields<'a>) -> Result<ServiceMessage<'a>, MalformedMessage> {
                Ok(match number {
                    PING => ServiceMessage::Ping(fields.rest()?),
                    $($number => ServiceMessage::$name($name { $($field: fields.next()?,)* }),)*
                    number => ServiceMessage::Unknown(number),
                })
            }

            pub(super) fn write(&self, out: &mut Vec<u8>) {
                match self {
                    ServiceMessage::Ping(words) => {
                        write_array(1 + words.len(), out);
                        write_integer(PING, out);
                        words.iter().for_each(|word| write_text(word, out));
                    }
                    $(ServiceMessage::$name($name { $($field,)* }) => {
                        let left_out = [$($field.is_left_out(),)*];
                        write_array(1 + left_out.iter().filter(|each| !**each).count(), out);
                        write_integer($number, out);
                        $(if !$field.is_left_out() {
                            $field.write(out);
                        })*
                    })*
                    ServiceMessage::Unknown(number) => {
                        write_array(1, out);
                        write_integer(*number, out);
                    }
                }
            }
        }
    };
}

messages! {
    /// A hub server's first message.
    1 HandshakeRequest {
        version: i64,
        connection_type: i64,
        target: &'a str,
        migration_level: i64,
        extensions: Extensions<'a>,
        allow_stateful_reconnects: bool,
    }
    /// The gateway's answer; with an error the connection ends.
    2 HandshakeResponse {
        error: &'a str,
        extensions: Extensions<'a>,
        connection_id: Option<&'a str>,
    }
    /// A client was routed to this server connection.
    4 OpenConnection {
        connection_id: &'a str,
        claims: Pairs<'a>,
        headers: Headers<'a>,
        query: &'a str,
        extensions: Extensions<'a>,
    }
    /// A client is gone, or is to go.
    5 CloseConnection {
        connection_id: &'a str,
        error: Option<&'a str>,
        headers: Headers<'a>,
        extensions: Extensions<'a>,
    }
    /// Bytes of a client, or for it.
    6 ConnectionData {
        connection_id: AnyText<'a>,
        payload: &'a [u8],
        extensions: Extensions<'a>,
    }
    /// A send to connections.
    7 MultiConnectionData {
        connection_ids: Vec<&'a str>,
        payloads: Payloads<'a>,
        extensions: Extensions<'a>,
    }
    /// A send to a user.
    8 UserData {
        user_id: &'a str,
        payloads: Payloads<'a>,
        extensions: Extensions<'a>,
    }
    /// A send to users.
    9 MultiUserData {
        user_ids: Vec<&'a str>,
        payloads: Payloads<'a>,
        extensions: Extensions<'a>,
    }
    /// A send to all.
    10 BroadcastData {
        excluded: Vec<&'a str>,
        payloads: Payloads<'a>,
        extensions: Extensions<'a>,
    }
    11 JoinGroup {
        connection_id: &'a str,
        group: &'a str,
        extensions: Extensions<'a>,
    }
    12 LeaveGroup {
        connection_id: &'a str,
        group: &'a str,
        extensions: Extensions<'a>,
    }
    /// A send to a group.
    13 GroupBroadcastData {
        group: &'a str,
        excluded: Vec<&'a str>,
        payloads: Payloads<'a>,
        extensions: Extensions<'a>,
        excluded_users: Vec<&'a str>,
        caller: Option<&'a str>,
    }
    /// A send to each of several groups.
    14 MultiGroupBroadcastData {
        groups: Vec<&'a str>,
        payloads: Payloads<'a>,
        extensions: Extensions<'a>,
    }
    /// The connection is of no use any more.
    15 ServiceError {
        error: &'a str,
    }
    16 UserJoinGroup {
        user_id: &'a str,
        group: &'a str,
        extensions: Extensions<'a>,
    }
    17 UserLeaveGroup {
        user_id: &'a str,
        group: &'a str,
        extensions: Extensions<'a>,
    }
    18 JoinGroupWithAck {
        connection_id: &'a str,
        group: &'a str,
        ack_id: i64,
        extensions: Extensions<'a>,
    }
    /// Without a group: all of them.
    19 LeaveGroupWithAck {
        connection_id: &'a str,
        group: Option<&'a str>,
        ack_id: i64,
        extensions: Extensions<'a>,
    }
    /// The answer to a message with an `ack_id`: 1 done, 2 not found, 3 too late, 4 failed, 5 forbidden, 6 (of this gateway alone) refused.
    20 Ack {
        ack_id: i64,
        status: i64,
        message: &'a str,
        extensions: Extensions<'a>,
        payload: Option<&'a [u8]>,
    }
    21 CheckUserInGroupWithAck {
        user_id: &'a str,
        group: &'a str,
        ack_id: i64,
        extensions: Extensions<'a>,
    }
    /// News of the gateway, for the server's log.
    22 ServiceEvent {
        object_type: i64,
        id: &'a str,
        kind: i64,
        message: &'a str,
        extensions: Extensions<'a>,
    }
    23 CheckGroupExistenceWithAck {
        group: &'a str,
        ack_id: i64,
        extensions: Extensions<'a>,
    }
    24 CheckConnectionExistenceWithAck {
        connection_id: &'a str,
        ack_id: i64,
        extensions: Extensions<'a>,
    }
    25 CheckUserExistenceWithAck {
        user_id: &'a str,
        ack_id: i64,
        extensions: Extensions<'a>,
    }
    26 UserJoinGroupWithAck {
        user_id: &'a str,
        group: &'a str,
        ack_id: i64,
        extensions: Extensions<'a>,
    }
    /// Without a group: all of them.
    27 UserLeaveGroupWithAck {
        user_id: &'a str,
        group: Option<&'a str>,
        ack_id: i64,
        extensions: Extensions<'a>,
    }
    /// Asks for a temporary access key.
    28 AccessKeyRequest {
        token: &'a str,
        key_id: Option<&'a str>,
        extensions: Extensions<'a>,
    }
    29 AccessKeyResponse {
        key_id: Option<&'a str>,
        access_key: Option<&'a str>,
        error_type: Option<&'a str>,
        error: Option<&'a str>,
        extensions: Extensions<'a>,
    }
    30 CloseConnectionWithAck {
        connection_id: &'a str,
        reason: Option<&'a str>,
        ack_id: i64,
        extensions: Extensions<'a>,
    }
    31 CloseConnectionsWithAck {
        reason: Option<&'a str>,
        ack_id: i64,
        excluded: Vec<&'a str>,
        extensions: Extensions<'a>,
    }
    32 CloseUserConnectionsWithAck {
        user_id: &'a str,
        reason: Option<&'a str>,
        ack_id: i64,
        excluded: Vec<&'a str>,
        extensions: Extensions<'a>,
    }
    33 CloseGroupConnectionsWithAck {
        group: &'a str,
        reason: Option<&'a str>,
        ack_id: i64,
        excluded: Vec<&'a str>,
        extensions: Extensions<'a>,
    }
    /// A call of a client that is answered with a result.
    34 ClientInvocation {
        invocation_id: &'a str,
        connection_id: &'a str,
        caller_server_id: &'a str,
        payloads: Payloads<'a>,
        extensions: Extensions<'a>,
    }
    /// The client's answer to it.
    35 ClientCompletion {
        invocation_id: &'a str,
        connection_id: &'a str,
        caller_server_id: &'a str,
        protocol: &'a str,
        payload: &'a [u8],
        extensions: Extensions<'a>,
    }
    /// There will be no answer.
    36 ErrorCompletion {
        invocation_id: &'a str,
        connection_id: &'a str,
        caller_server_id: &'a str,
        error: &'a str,
        extensions: Extensions<'a>,
    }
    /// Who is responsible for a call of a client.
    37 ServiceMapping {
        invocation_id: &'a str,
        connection_id: &'a str,
        instance_id: &'a str,
        extensions: Extensions<'a>,
    }
    /// A client came back on another transport.
    38 ConnectionReconnect {
        connection_id: &'a str,
        extensions: Extensions<'a>,
    }
    39 ConnectionFlowControl {
        connection_id: &'a str,
        connection_type: FixedInteger,
        operation: FixedInteger,
        extensions: Extensions<'a>,
    }
    /// Asks for the members of a group, page by page: `top` of them in all, `max_page_size` at a time. Without these, whoever answers decides.
    40 GroupMemberQuery {
        extensions: Extensions<'a>,
        group: &'a str,
        ack_id: i64,
        top: Option<i64>,
        continuation_token: Option<&'a str>,
        max_page_size: Option<i64>,
    }
    /// Asks to go on with other claims and another expiry of a client. Without claims: those that it has.
    41 RefreshAuth {
        connection_token: &'a str,
        claims: Pairs<'a>,
        expiry: Option<Timestamp>,
        ack_id: i64,
        extensions: Extensions<'a>,
    }
    /// Asks for the claims of a client.
    42 GetConnectionClaims {
        connection_token: &'a str,
        ack_id: i64,
        extensions: Extensions<'a>,
    }
    /// A client has other claims from now on.
    43 UpdateConnectionClaims {
        connection_id: &'a str,
        claims: Pairs<'a>,
        extensions: Extensions<'a>,
    }
}
