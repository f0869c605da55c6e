//! Its persistent transport: messages on a connection that clients are not routed to.

use hubgate_wire::messagepack::Reader;
use hubgate_wire::service::{
    self, BroadcastData, CheckConnectionExistenceWithAck, CheckGroupExistenceWithAck, CheckUserExistenceWithAck,
    CheckUserInGroupWithAck, ClientInvocation, CloseConnection, Extensions, GroupBroadcastData, GroupMemberQuery,
    JoinGroupWithAck, LeaveGroupWithAck, MultiConnectionData, MultiGroupBroadcastData, MultiUserData, ServiceMessage,
    UserData, UserJoinGroupWithAck, UserLeaveGroupWithAck,
};
use serde_json::Value;

use super::rest::{Rest, USER_AGENT};
use super::{Change, Member, Payloads, Question, Thrown, To};
use crate::hub_server::HubServer;
use crate::token::Token;
use crate::wait::DEADLINE;

const SERVER_ID: &str = "machine_0123456789abcdef0123456789abcdef";
/// Its first message, as recorded: a connection of type 2, in a layout of six elements.
const HANDSHAKE_REQUEST: [u8; 8] = [0x07, 0x96, 0x01, 0x01, 0x02, 0xa0, 0x00, 0x80];

#[derive(Debug)]
pub(super) struct Persistent {
    server: HubServer,
    acks: i64,
    invocations: u32,
    events: Vec<String>,
}

impl Persistent {
    pub(super) async fn open(rest: &Rest) -> Persistent {
        let hub = rest.full_hub();
        let audience = rest.audience(&format!("/server/?hub={hub}"));
        let token = Token::new(&audience, rest.key()).claim("nameid", SERVER_ID).claim("iss", "azure-signalr");
        let headers =
            [("asrs-user-agent", USER_AGENT), ("x-asrs-server-id", SERVER_ID), ("x-requested-with", "XMLHttpRequest")];
        let opened = HubServer::try_open(rest.address(), &hub, &token.sign(), &headers).await;
        let mut server = opened.expect("the gateway opens the WebSocket");
        server.send_bytes(&HANDSHAKE_REQUEST).await;
        match service::parse(&server.next().await) {
            Ok(ServiceMessage::HandshakeResponse(response)) => assert_eq!(response.error, ""),
            other => panic!("no answer to the handshake: {other:?}"),
        }
        Persistent { server, acks: 0, invocations: 0, events: Vec::new() }
    }

    pub(super) fn events(&self) -> &[String] {
        &self.events
    }

    pub(super) async fn send(&mut self, to: To<'_>, payloads: &Payloads) {
        self.server.send(&sending(to, payloads)).await;
    }

    pub(super) async fn change(&mut self, change: Change<'_>) -> Result<(), Thrown> {
        let ack_id = self.next_ack();
        let message = match change {
            Change::AddToGroup { connection, group } => ServiceMessage::JoinGroupWithAck(JoinGroupWithAck {
                connection_id: connection,
                group,
                ack_id,
                ..Default::default()
            }),
            Change::RemoveFromGroup { connection, group } => leave_group(connection, Some(group), ack_id),
            Change::RemoveFromAllGroups { connection } => leave_group(connection, None, ack_id),
            Change::AddUserToGroup { user, group, ttl } => {
                let extensions = Extensions { ttl, ..Extensions::default() };
                ServiceMessage::UserJoinGroupWithAck(UserJoinGroupWithAck { user_id: user, group, ack_id, extensions })
            }
            Change::RemoveUserFromGroup { user, group } => user_leave_group(user, Some(group), ack_id),
            Change::RemoveUserFromAllGroups { user } => user_leave_group(user, None, ack_id),
            Change::CloseConnection { connection, reason } => {
                let close =
                    CloseConnection { connection_id: connection, error: Some(reason), ..CloseConnection::default() };
                // Nobody waits for what comes of it.
                self.server.send(&ServiceMessage::CloseConnection(close)).await;
                return Ok(());
            }
        };
        self.acked(&message, ack_id).await.map(drop)
    }

    pub(super) async fn ask(&mut self, question: Question<'_>) -> Result<bool, Thrown> {
        let ack_id = self.next_ack();
        let message = match question {
            Question::ConnectionExists(connection_id) => {
                ServiceMessage::CheckConnectionExistenceWithAck(CheckConnectionExistenceWithAck {
                    connection_id,
                    ack_id,
                    ..Default::default()
                })
            }
            Question::UserExists(user_id) => ServiceMessage::CheckUserExistenceWithAck(CheckUserExistenceWithAck {
                user_id,
                ack_id,
                ..Default::default()
            }),
            Question::GroupExists(group) => ServiceMessage::CheckGroupExistenceWithAck(CheckGroupExistenceWithAck {
                group,
                ack_id,
                ..Default::default()
            }),
            Question::UserIsInGroup { user, group } => {
                ServiceMessage::CheckUserInGroupWithAck(CheckUserInGroupWithAck {
                    user_id: user,
                    group,
                    ack_id,
                    ..Default::default()
                })
            }
        };
        self.acked(&message, ack_id).await.map(|(is_there, _)| is_there)
    }

    pub(super) async fn connections_in_group(
        &mut self,
        group: &str,
        top: Option<i64>,
        page_size: Option<i64>,
    ) -> Result<Vec<Member>, Thrown> {
        let (mut members, mut continuation, mut top) = (Vec::new(), None::<String>, top);
        loop {
            let ack_id = self.next_ack();
            let query = GroupMemberQuery {
                group,
                ack_id,
                top,
                continuation_token: continuation.as_deref(),
                max_page_size: page_size,
                ..Default::default()
            };
            let (_, payload) = self.acked(&ServiceMessage::GroupMemberQuery(query), ack_id).await?;
            let payload = payload.expect("an ack to a query carries a page, or the SDK cannot read it");
            let (page, next) = read_page(&payload);
            top = top.map(|top| top - page.len() as i64);
            members.extend(page);
            continuation = next;
            if continuation.is_none() || top.is_some_and(|top| top <= 0) {
                return Ok(members);
            }
        }
    }

    /// The id of the next call of a client.
    pub(super) fn next_invocation(&mut self, connection: &str) -> String {
        self.invocations += 1;
        format!("{connection}-3a9b2bce7b354288a38f4a18f9242df1-{}", self.invocations)
    }

    pub(super) async fn invoke(&mut self, connection: &str, id: &str, payloads: &Payloads) -> Result<Value, Thrown> {
        let call = ClientInvocation {
            invocation_id: id,
            connection_id: connection,
            caller_server_id: SERVER_ID,
            payloads: payloads.iter().map(|(name, payload)| (*name, &payload[..])).collect(),
            ..ClientInvocation::default()
        };
        self.server.send(&ServiceMessage::ClientInvocation(call)).await;
        loop {
            let body = self.next().await;
            match service::parse(&body) {
                Ok(ServiceMessage::ClientCompletion(done)) if done.invocation_id == id => {
                    let text = done.payload.strip_suffix(b"\x1e").expect("a completion in JSON");
                    let completion: Value = serde_json::from_slice(text).expect("a completion in JSON");
                    return match completion["error"].as_str() {
                        Some(error) => Err(Thrown::Hub(error.to_owned())),
                        None => Ok(completion["result"].clone()),
                    };
                }
                Ok(ServiceMessage::ErrorCompletion(failed)) if failed.invocation_id == id => {
                    return Err(Thrown::Hub(failed.error.to_owned()));
                }
                _ => {}
            }
        }
    }

    fn next_ack(&mut self) -> i64 {
        self.acks += 1;
        self.acks
    }

    /// Sends a message and waits for its ack; gives whether it says yes, and what it carries.
    async fn acked(&mut self, message: &ServiceMessage<'_>, ack_id: i64) -> Result<(bool, Option<Vec<u8>>), Thrown> {
        self.server.send(message).await;
        let answer = async {
            loop {
                let body = self.next().await;
                if let Ok(ServiceMessage::Ack(ack)) = service::parse(&body)
                    && ack.ack_id == ack_id
                {
                    return (ack.status, ack.payload.map(<[u8]>::to_vec));
                }
            }
        };
        match tokio::time::timeout(DEADLINE, answer).await {
            Ok((1, payload)) => Ok((true, payload)),
            Ok((2, payload)) => Ok((false, payload)),
            Ok((3 | 4, _)) | Err(_) => Err(Thrown::TimedOut),
            Ok((status, _)) => Err(Thrown::UndefinedStatus(status)),
        }
    }

    /// The body of the next message that is no event.
    async fn next(&mut self) -> Vec<u8> {
        loop {
            let body = self.server.next().await;
            match service::parse(&body) {
                Ok(ServiceMessage::ServiceEvent(event)) => self.events.push(event.message.to_owned()),
                _ => return body,
            }
        }
    }
}

/// The message that sends to these.
pub(super) fn sending<'a>(to: To<'a>, payloads: &'a Payloads) -> ServiceMessage<'a> {
    let payloads: Vec<_> = payloads.iter().map(|(name, payload)| (*name, &payload[..])).collect();
    match to {
        To::All => ServiceMessage::BroadcastData(BroadcastData { payloads, ..Default::default() }),
        To::AllExcept(excluded) => {
            ServiceMessage::BroadcastData(BroadcastData { excluded: excluded.to_vec(), payloads, ..Default::default() })
        }
        To::Client(connection) => ServiceMessage::MultiConnectionData(MultiConnectionData {
            connection_ids: vec![connection],
            payloads,
            ..Default::default()
        }),
        To::Clients(connections) => ServiceMessage::MultiConnectionData(MultiConnectionData {
            connection_ids: connections.to_vec(),
            payloads,
            ..Default::default()
        }),
        To::Group(group) => {
            ServiceMessage::GroupBroadcastData(GroupBroadcastData { group, payloads, ..Default::default() })
        }
        To::GroupExcept(group, excluded) => ServiceMessage::GroupBroadcastData(GroupBroadcastData {
            group,
            excluded: excluded.to_vec(),
            payloads,
            ..Default::default()
        }),
        To::Groups(groups) => ServiceMessage::MultiGroupBroadcastData(MultiGroupBroadcastData {
            groups: groups.to_vec(),
            payloads,
            ..Default::default()
        }),
        To::User(user_id) => ServiceMessage::UserData(UserData { user_id, payloads, ..Default::default() }),
        To::Users(users) => {
            ServiceMessage::MultiUserData(MultiUserData { user_ids: users.to_vec(), payloads, ..Default::default() })
        }
    }
}

fn leave_group<'a>(connection_id: &'a str, group: Option<&'a str>, ack_id: i64) -> ServiceMessage<'a> {
    ServiceMessage::LeaveGroupWithAck(LeaveGroupWithAck { connection_id, group, ack_id, ..Default::default() })
}

fn user_leave_group<'a>(user_id: &'a str, group: Option<&'a str>, ack_id: i64) -> ServiceMessage<'a> {
    ServiceMessage::UserLeaveGroupWithAck(UserLeaveGroupWithAck { user_id, group, ack_id, ..Default::default() })
}

/// The members that an ack carries, and what the next page is asked for with.
fn read_page(payload: &[u8]) -> (Vec<Member>, Option<String>) {
    let mut reader = Reader::new(payload);
    let owned = |text: Option<&str>| text.map(str::to_owned);
    assert_eq!(reader.array(), Ok(2));
    let count = reader.array().expect("a list of members");
    let members = (0..count).map(|_| {
        assert_eq!(reader.array(), Ok(2));
        let id = reader.text().expect("an id").to_owned();
        (id, owned(reader.optional_text().expect("a user, or nil")))
    });
    let members = members.collect();
    (members, owned(reader.optional_text().expect("a token, or nil")))
}
