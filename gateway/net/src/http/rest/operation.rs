//! What the operations do.

use std::net::IpAddr;
use std::rc::Rc;

use http::header::{HeaderMap, HeaderName};
use http::request::Parts;
use hubgate_core::Outgoing;
use hubgate_core::delivery::{Action, Member, Target};
use hubgate_core::id::{ConnectionId, GroupName, HubName, UserId};
use hubgate_core::question::Joined;
use hubgate_core::trace::TraceMark;
use hubgate_wire::payload::Payload;
use serde_json::Value;

use super::items::{completed, excluded, lifetime_seconds, reason, refuse_filter, stream_error, ttl, user_id};
use super::members::{MembersQuery, Page};
use super::refresh::{Named, claims_of};
use super::table::{Kind, Names, Route};
use super::{invocation, message, streams};
use crate::http::body::RequestBody;
use crate::http::forwarded::endpoint;
use crate::http::query::Query;
use crate::http::{Service, client_token};
use crate::questions::HubAccess;
use crate::refusal::{Absent, Refusal};
use crate::settings::Settings;
use crate::shared::unix_seconds;

/// The header of a send that asks how many connections it reaches.
const COUNT: HeaderName = HeaderName::from_static("x-hubgate-count");

/// An operation with all that its request says, but the body.
#[derive(Debug)]
pub(super) enum Operation {
    Send {
        to: Whom,
        except: Vec<ConnectionId>,
    },
    /// To several users, or to several groups.
    SendToMany {
        to: Vec<Target>,
        except: Vec<ConnectionId>,
    },
    StreamItem {
        connection: Option<ConnectionId>,
        stream: String,
        is_last: bool,
    },
    EndStream {
        connection: Option<ConnectionId>,
        stream: String,
        error: Option<String>,
    },
    Exists(Whom),
    UserInGroup {
        user: UserId,
        group: GroupName,
    },
    Close {
        whom: Whom,
        except: Vec<ConnectionId>,
        reason: Option<String>,
    },
    AddConnection {
        connection: Option<ConnectionId>,
        group: GroupName,
    },
    AddUser {
        user: UserId,
        group: GroupName,
        ttl_seconds: Option<u32>,
    },
    Remove {
        member: Option<Member>,
        group: GroupName,
    },
    RemoveFromAllGroups(Option<Member>),
    List {
        group: GroupName,
        query: MembersQuery,
    },
    Refresh,
    Claims,
    Invoke(Option<ConnectionId>),
    GenerateToken {
        user: Option<UserId>,
        lifetime_seconds: u64,
    },
    Execute,
}

/// Why commands are not executed.
const NO_COMMANDS: &str = "The gateway executes no commands: what they are made of is not documented. Use the operations of their own: \
                           `:send`, `PUT` and `DELETE` on `/groups/{group}/connections/{connectionId}`, `:closeConnections`.";

/// What came of an operation that was done.
#[derive(Debug)]
pub(super) enum Done {
    Changed,
    /// A send to so many connections, whose caller has asked.
    Reached(usize),
    Listed(Page),
    /// The claims that a connection has now.
    Told(Value),
    /// By a client, which may have had no result.
    Answered(Option<Payload>),
    /// By a client that was asked; the text says why.
    Unanswered(String),
    /// A client's token.
    Granted(String),
}

/// Whom a path names. An id that is none of ours is that of no connection.
#[derive(Debug)]
pub(super) enum Whom {
    All,
    Group(GroupName),
    User(UserId),
    Connection(Option<ConnectionId>),
}

impl Operation {
    /// Reads the names of the path and the items of the query.
    pub(super) fn new(route: &Route, names: Names<'_>, query: Query<'_>) -> Result<Operation, Refusal> {
        let group = names.group.map(GroupName::new);
        let user = names.user.map(UserId::new);
        let connection = names.connection.map(ConnectionId::parse);
        Ok(match (route.kind, connection, user, group) {
            (Kind::Exists, None, Some(user), Some(group)) => Operation::UserInGroup { user, group },
            (Kind::Add, Some(connection), _, Some(group)) => Operation::AddConnection { connection, group },
            (Kind::Add, None, Some(user), Some(group)) => Operation::AddUser { user, group, ttl_seconds: ttl(query)? },
            (Kind::Remove, connection, user, Some(group)) => {
                Operation::Remove { member: member(connection, user), group }
            }
            (Kind::RemoveFromAllGroups, connection, user, _) => {
                Operation::RemoveFromAllGroups(member(connection, user))
            }
            (Kind::Send, connection, user, group) => {
                refuse_filter(query)?;
                Operation::Send { to: whom(connection, user, group), except: excluded(query)? }
            }
            (Kind::SendToMany, ..) => {
                refuse_filter(query)?;
                Operation::SendToMany { to: names.many(), except: excluded(query)? }
            }
            (Kind::StreamItem, Some(connection), ..) => {
                Operation::StreamItem { connection, stream: names.stream(), is_last: completed(query)? }
            }
            (Kind::EndStream, Some(connection), ..) => {
                Operation::EndStream { connection, stream: names.stream(), error: stream_error(query) }
            }
            (Kind::Execute, ..) => Operation::Execute,
            (Kind::Exists, connection, user, group) => Operation::Exists(whom(connection, user, group)),
            (Kind::Close, connection, user, group) => {
                let (whom, except) = (whom(connection, user, group), excluded(query)?);
                Operation::Close { whom, except, reason: reason(query) }
            }
            (Kind::List, _, _, Some(group)) => Operation::List { group, query: MembersQuery::of(query)? },
            (Kind::Refresh, ..) => Operation::Refresh,
            (Kind::Claims, ..) => Operation::Claims,
            (Kind::Invoke, Some(connection), ..) => Operation::Invoke(connection),
            (Kind::GenerateToken, ..) => {
                Operation::GenerateToken { user: user_id(query)?, lifetime_seconds: lifetime_seconds(query)? }
            }
            (Kind::Add | Kind::Remove | Kind::List, ..) => unreachable!("their paths name a group"),
            (Kind::Invoke | Kind::StreamItem | Kind::EndStream, ..) => unreachable!("their paths name a connection"),
        })
    }

    /// Does it. What it changes is in effect, on all shards, when this returns.
    pub(super) async fn run(
        self,
        service: &Rc<Service>,
        hub: &HubName,
        (request, remote): (&Parts, IpAddr),
        body: &mut RequestBody,
        mark: Option<TraceMark>,
    ) -> Result<Done, Refusal> {
        let headers = &request.headers;
        let access = HubAccess::new(service.shard(), hub).traced(mark);
        let done = match self {
            Operation::Send { to, except } => {
                let message = message::read(service, headers, body).await?;
                return send(&access, to, message, except, asks_for_count(headers)).await;
            }
            Operation::SendToMany { to, except } => {
                let message = message::read(service, headers, body).await?;
                let send = |to| Action::Send { to, message: message.clone(), except: except.clone().into() };
                access.send(to.into_iter().map(send).collect()).await
            }
            Operation::StreamItem { connection, stream, is_last } => {
                let item = message::read_item(service, headers, body, &stream).await?;
                let end = is_last.then(|| Outgoing::stream_end(&stream, None));
                streams::send(&access, connection, std::iter::once(item).chain(end)).await
            }
            Operation::EndStream { connection, stream, error } => {
                streams::send(&access, connection, [Outgoing::stream_end(&stream, error)]).await
            }
            Operation::Execute => Err(Refusal::NotImplemented(NO_COMMANDS)),
            Operation::Exists(whom) => exists(&access, whom).await,
            Operation::UserInGroup { user, group } => {
                yes_or(Absent::UserInGroup, access.has_user_in_group(user, group).await?)
            }
            Operation::Close { whom, except, reason } => close(&access, whom, except, reason).await,
            Operation::AddConnection { connection, group } => add(&access, connection, group).await,
            Operation::AddUser { user, group, ttl_seconds } => access.join_user(user, group, ttl_seconds).await,
            Operation::Remove { member: Some(member), group } => access.change(Action::Leave { member, group }).await,
            Operation::RemoveFromAllGroups(Some(member)) => access.change(Action::LeaveAll(member)).await,
            // Nobody is in no group.
            Operation::Remove { member: None, .. } | Operation::RemoveFromAllGroups(None) => Ok(()),
            Operation::Refresh => {
                let facts = access.refresh(Named::read(&body.read(service).await?)?.refresh()?).await?;
                return Ok(Done::Told(claims_of(&facts)));
            }
            Operation::Claims => {
                let facts = access.facts_by_token(Named::read(&body.read(service).await?)?.connection()?).await?;
                return Ok(Done::Told(claims_of(&facts)));
            }
            Operation::List { group, query } => return query.answer(&access, group).await.map(Done::Listed),
            Operation::Invoke(connection) => {
                let call = message::read_call(service, headers, body).await?;
                return invocation::invoke(&access, connection, call).await;
            }
            Operation::GenerateToken { user, lifetime_seconds } => {
                let settings = service.shared().settings();
                let endpoint = endpoint(&settings, remote, request).to_string();
                return token(&settings, (&endpoint, hub), user.as_ref(), lifetime_seconds).map(Done::Granted);
            }
        };
        done.map(|()| Done::Changed)
    }
}

fn asks_for_count(headers: &HeaderMap) -> bool {
    headers.get(COUNT).is_some_and(|asks| asks == "1")
}

/// Sends to whom a path names. Whoever asks is told how many that were.
async fn send(
    access: &HubAccess<'_>,
    to: Whom,
    message: Outgoing,
    except: Vec<ConnectionId>,
    asks: bool,
) -> Result<Done, Refusal> {
    let except = except.into();
    Ok(match (to.target(), asks) {
        (Some(to), true) => Done::Reached(access.send_and_count(to, message, except).await?),
        (Some(to), false) => {
            access.send(vec![Action::Send { to, message, except }]).await?;
            Done::Changed
        }
        (None, true) => Done::Reached(0),
        (None, false) => Done::Changed,
    })
}

async fn exists(access: &HubAccess<'_>, whom: Whom) -> Result<(), Refusal> {
    let absent = whom.absent();
    let is_there = match whom.target() {
        Some(target) => access.exists(target).await?,
        None => false,
    };
    yes_or(absent, is_there)
}

fn yes_or(absent: Absent, is_so: bool) -> Result<(), Refusal> {
    is_so.then_some(()).ok_or(Refusal::Absent(absent))
}

/// A token for clients of a hub at an endpoint.
fn token(
    settings: &Settings,
    at: (&str, &HubName),
    user: Option<&UserId>,
    lifetime_seconds: u64,
) -> Result<String, Refusal> {
    client_token::asked_for(settings, at, user.map(UserId::as_str), lifetime_seconds, unix_seconds())
        .map_err(|unfit| Refusal::bad_request(format!("No token: {unfit}.")))
}

async fn add(access: &HubAccess<'_>, connection: Option<ConnectionId>, group: GroupName) -> Result<(), Refusal> {
    let joined = match connection {
        Some(connection) => access.join(connection, group).await?,
        None => Joined::NoSuchConnection,
    };
    match joined {
        Joined::Yes => Ok(()),
        Joined::NoSuchConnection => Err(Refusal::Absent(Absent::ConnectionToAdd)),
        Joined::TooManyGroups => Err(Refusal::bad_request(
            "The connection is in as many groups as `server.limits.groups-per-connection` allows.",
        )),
    }
}

async fn close(
    access: &HubAccess<'_>,
    whom: Whom,
    except: Vec<ConnectionId>,
    reason: Option<String>,
) -> Result<(), Refusal> {
    let absent = Refusal::Absent(Absent::Connection);
    let is_one = matches!(whom, Whom::Connection(_));
    let Some(target) = whom.target() else {
        return Err(absent);
    };
    if is_one && !access.exists(target.clone()).await? {
        return Err(absent);
    }
    access.change(Action::Close { target, except, reason, allow_reconnect: true }).await
}

fn whom(connection: Option<Option<ConnectionId>>, user: Option<UserId>, group: Option<GroupName>) -> Whom {
    match (connection, user, group) {
        (Some(connection), _, _) => Whom::Connection(connection),
        (None, Some(user), _) => Whom::User(user),
        (None, None, Some(group)) => Whom::Group(group),
        (None, None, None) => Whom::All,
    }
}

fn member(connection: Option<Option<ConnectionId>>, user: Option<UserId>) -> Option<Member> {
    match (connection, user) {
        (Some(connection), _) => connection.map(Member::Connection),
        (None, user) => user.map(Member::User),
    }
}

impl Whom {
    fn target(self) -> Option<Target> {
        match self {
            Whom::All => Some(Target::All),
            Whom::Group(group) => Some(Target::Group(group)),
            Whom::User(user) => Some(Target::User(user)),
            Whom::Connection(connection) => connection.map(Target::Connection),
        }
    }

    fn absent(&self) -> Absent {
        match self {
            Whom::Group(_) => Absent::Group,
            Whom::User(_) => Absent::User,
            Whom::All | Whom::Connection(_) => Absent::Connection,
        }
    }
}
