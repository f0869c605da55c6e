//! Between the types of the WIT and those of the core. No other module converts one to the other.

mod authorization;

use std::borrow::Cow;

use hubgate_core::Outgoing;
use hubgate_core::delivery::{Action, Member, Target};
use hubgate_core::event::{ConnectionFacts, PresentMember, UpstreamFailure};
use hubgate_core::filter::{FilterMessage, MessageKind, Origin, Refusal, Verdict};
use hubgate_core::id::{
    ConnectionId, GroupName, HubName, InvalidGroupName, InvalidUserId, METHOD_TOO_LONG, PluginName, UserId,
    is_short_enough,
};
use hubgate_core::pairs::Pairs;
use hubgate_core::question::{AskError, ClientQuestion};
use hubgate_core::stream::{Expected, Finish, Opening, Room, StreamId};
use hubgate_wire::payload::{JsonText, MessagePackValue, Payload, PayloadRef};

use crate::bindings::exports::hubgate::plugin::upstream::Invocation;
use crate::bindings::exports::hubgate::plugin::upstream_streams;
use crate::bindings::hubgate::plugin::{client_results, filtering, hub, log, presence, state, streams, timers, types};
use crate::offload::Offload;
use crate::settings::Payloads;
use crate::state::StateError;
use crate::timer::{Lifetime, Schedule, Timer};
use crate::timers::TimerError;
pub(crate) use authorization::{authorization, lent_pairs, request};

/// Lends a client to a guest.
pub(crate) fn connection(client: &ConnectionFacts) -> types::Connection<'_> {
    types::Connection {
        hub: client.hub.as_str(),
        id: client.id.as_str(),
        user_id: client.user_id.as_ref().map(UserId::as_str),
    }
}

/// Lends members of a group to a guest.
pub(crate) fn lent_members(members: &[PresentMember]) -> Vec<presence::MemberParam<'_>> {
    members.iter().map(lent_member).collect()
}

fn lent_member(member: &PresentMember) -> presence::MemberParam<'_> {
    presence::MemberParam {
        connection: member.connection.as_str(),
        user_id: member.user_id.as_ref().map(UserId::as_str),
    }
}

/// A value in the form that a plugin wants it in.
pub(crate) enum LentPayload<'a> {
    Json(Cow<'a, str>),
    MessagePack(&'a [u8]),
}

impl<'a> LentPayload<'a> {
    /// Converts what is to be converted, long values beside the shard.
    pub(crate) async fn new(
        payload: &'a Payload,
        wanted: Payloads,
        offload: &Offload,
    ) -> wasmtime::Result<LentPayload<'a>> {
        match (payload.borrow(), wanted) {
            (PayloadRef::MessagePack(bytes), Payloads::Native) => Ok(LentPayload::MessagePack(bytes)),
            (PayloadRef::MessagePack(bytes), Payloads::Json) => {
                let payload = payload.clone();
                let convert = move || payload.borrow().to_json().into_owned();
                let (text, _) = offload.run(bytes.len(), convert).await?;
                Ok(LentPayload::Json(Cow::Owned(text)))
            }
            (json @ PayloadRef::Json(_), Payloads::Json | Payloads::Native) => Ok(LentPayload::Json(json.to_json())),
        }
    }

    /// In bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            LentPayload::Json(text) => text.len(),
            LentPayload::MessagePack(bytes) => bytes.len(),
        }
    }

    pub(crate) fn lend(&self) -> types::PayloadParam<'_> {
        match self {
            LentPayload::Json(text) => types::PayloadParam::Json(text),
            LentPayload::MessagePack(bytes) => types::PayloadParam::Msgpack(bytes),
        }
    }
}

/// A value for a guest, in the form that its plugin wants it in.
pub(crate) async fn owned_payload(
    payload: &Payload,
    wanted: Payloads,
    offload: &Offload,
) -> wasmtime::Result<types::PayloadResult> {
    Ok(match LentPayload::new(payload, wanted, offload).await? {
        LentPayload::Json(text) => types::PayloadResult::Json(text.into_owned()),
        LentPayload::MessagePack(bytes) => types::PayloadResult::Msgpack(bytes.to_vec()),
    })
}

/// Lends an invocation to a guest.
pub(crate) fn invocation<'a>(target: &'a str, arguments: &'a LentPayload<'_>, wants_result: bool) -> Invocation<'a> {
    Invocation { target, arguments: arguments.lend(), wants_result }
}

/// The bytes that [`result`] looks through.
pub(crate) fn answer_bytes(answer: &Result<Option<types::PayloadResult>, types::Error>) -> usize {
    match answer {
        Ok(Some(value)) => payload_bytes(value),
        Ok(None) | Err(_) => 0,
    }
}

/// The bytes that [`verdict`] looks through.
pub(crate) fn verdict_bytes(verdict: &filtering::Verdict) -> usize {
    match verdict {
        filtering::Verdict::Replace(message) => message.content.as_ref().map_or(0, payload_bytes),
        filtering::Verdict::Pass
        | filtering::Verdict::Reject(_)
        | filtering::Verdict::Drop
        | filtering::Verdict::Close(_) => 0,
    }
}

pub(crate) fn payload_bytes(payload: &types::PayloadResult) -> usize {
    match payload {
        types::PayloadResult::Json(text) => text.len(),
        types::PayloadResult::Msgpack(bytes) => bytes.len(),
    }
}

/// Lends a call with streams to a guest.
pub(crate) fn opening<'a>(
    (id, uploads): (&'a str, &'a [&'a str]),
    opening: &'a Opening,
    arguments: &'a LentPayload<'_>,
) -> upstream_streams::Opening<'a> {
    let answer = match opening.answer {
        Expected::Items => upstream_streams::Answer::Items,
        Expected::Value => upstream_streams::Answer::Value,
        Expected::Nothing => upstream_streams::Answer::Nothing,
    };
    upstream_streams::Opening { id, target: &opening.target, arguments: arguments.lend(), uploads, answer }
}

pub(crate) fn stream_ids(ids: &[StreamId]) -> Vec<String> {
    ids.iter().map(StreamId::to_string).collect()
}

pub(crate) fn room(Room { items, bytes }: Room) -> streams::Room {
    let number = |number: usize| number.try_into().unwrap_or(u32::MAX);
    streams::Room { items: number(items), bytes: number(bytes) }
}

/// All items that a guest pushes, or why one of them is none.
pub(crate) fn items(items: Vec<types::PayloadResult>) -> Result<Vec<Payload>, String> {
    let item = |(index, item)| value(item).map_err(|reason| format!("item {index} {reason}"));
    items.into_iter().enumerate().map(item).collect()
}

/// How a guest ends a stream, or why what it ends it with is no value.
pub(crate) fn finish(outcome: Result<Option<types::PayloadResult>, types::Error>) -> Result<Finish, String> {
    Ok(match outcome {
        Ok(Some(result)) => Finish::Value(value(result).map_err(|reason| format!("the value {reason}"))?),
        Ok(None) => Finish::Void,
        Err(types::Error::Rejected(text)) => Finish::Rejected(text),
        Err(types::Error::Failed(text)) => Finish::Failed(text),
    })
}

/// What a guest answered to an invocation.
pub(crate) fn result(
    answer: Result<Option<types::PayloadResult>, types::Error>,
) -> Result<Option<Payload>, UpstreamFailure> {
    let Some(result) = answer.map_err(failure)? else { return Ok(None) };
    value(result).map(Some).map_err(|reason| UpstreamFailure::Failed(format!("the plugin's result {reason}")))
}

/// One value.
fn value(value: types::PayloadResult) -> Result<Payload, String> {
    match value {
        types::PayloadResult::Json(text) => {
            JsonText::parse_text(text).map(Payload::Json).map_err(|error| error.to_string())
        }
        types::PayloadResult::Msgpack(bytes) => {
            MessagePackValue::parse(bytes).map(Payload::MessagePack).map_err(|error| error.to_string())
        }
    }
}

/// A message in the form that a filter wants its content in.
pub(crate) struct LentMessage<'a> {
    message: &'a FilterMessage,
    content: Option<LentPayload<'a>>,
}

impl<'a> LentMessage<'a> {
    pub(crate) async fn new(
        message: &'a FilterMessage,
        wanted: Payloads,
        offload: &Offload,
    ) -> wasmtime::Result<LentMessage<'a>> {
        let content = match &message.content {
            Some(content) => Some(LentPayload::new(content, wanted, offload).await?),
            None => None,
        };
        Ok(LentMessage { message, content })
    }

    /// Of its content, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.content.as_ref().map_or(0, LentPayload::len)
    }

    pub(crate) fn lend(&self) -> filtering::MessageParam<'_> {
        filtering::MessageParam {
            kind: match self.message.kind {
                MessageKind::Invocation => filtering::Kind::Invocation,
                MessageKind::StreamInvocation => filtering::Kind::StreamInvocation,
                MessageKind::StreamItem => filtering::Kind::StreamItem,
                MessageKind::Completion => filtering::Kind::Completion,
            },
            target: self.message.target.as_deref(),
            content: self.content.as_ref().map(LentPayload::lend),
            error: self.message.error.as_deref(),
        }
    }
}

pub(crate) fn lent_targets(to: &[Target]) -> Vec<types::TargetParam<'_>> {
    let lend = |target| match target {
        &Target::All => types::TargetParam::All,
        Target::Group(name) => types::TargetParam::Group(name.as_str()),
        Target::User(id) => types::TargetParam::User(id.as_str()),
        Target::Connection(id) => types::TargetParam::Connection(id.as_str()),
    };
    to.iter().map(lend).collect()
}

/// Lends what is known of a delivery to a guest.
pub(crate) fn delivery<'a>(
    hub: &'a HubName,
    to: &'a [types::TargetParam<'a>],
    origin: &'a Origin,
) -> filtering::Delivery<'a> {
    let from = match origin {
        Origin::HubServer(server) => filtering::Origin::HubServer(server.as_str()),
        Origin::Plugin(plugin) => filtering::Origin::Plugin(plugin.as_str()),
        Origin::Webhook => filtering::Origin::Webhook,
        Origin::Rest => filtering::Origin::Rest,
        Origin::Management => filtering::Origin::Management,
    };
    filtering::Delivery { hub: hub.as_str(), to, from }
}

/// What a filter has said of a message of `kind`, or why that is no verdict.
pub(crate) fn verdict(verdict: filtering::Verdict, kind: MessageKind) -> Result<Verdict, String> {
    Ok(match verdict {
        filtering::Verdict::Pass => Verdict::Pass,
        filtering::Verdict::Replace(message) => {
            let message = filter_message(message)?;
            message.can_replace(kind)?;
            Verdict::Replace(message)
        }
        filtering::Verdict::Reject(error) => Verdict::Refuse(Refusal::Rejected(error)),
        filtering::Verdict::Drop => Verdict::Refuse(Refusal::Dropped),
        filtering::Verdict::Close(reason) => Verdict::Close(reason),
    })
}

fn filter_message(message: filtering::MessageResult) -> Result<FilterMessage, String> {
    let filtering::MessageResult { kind, target, content, error } = message;
    let (kind, is_call) = match kind {
        filtering::Kind::Invocation => (MessageKind::Invocation, true),
        filtering::Kind::StreamInvocation => (MessageKind::StreamInvocation, true),
        filtering::Kind::StreamItem => (MessageKind::StreamItem, false),
        filtering::Kind::Completion => (MessageKind::Completion, false),
    };
    let content = match (content, is_call) {
        (None, _) => None,
        (Some(content), true) => Some(arguments(content)?),
        (Some(content), false) => {
            Some(value(content).map_err(|reason| format!("the content of the message {reason}"))?)
        }
    };
    Ok(FilterMessage { kind, target, content, error })
}

/// What a guest answered to an event that has no result.
pub(crate) fn no_result(answer: Result<(), types::Error>) -> Result<Option<Payload>, UpstreamFailure> {
    answer.map(|()| None).map_err(failure)
}

fn failure(error: types::Error) -> UpstreamFailure {
    match error {
        types::Error::Rejected(text) => UpstreamFailure::Rejected(text),
        types::Error::Failed(text) => UpstreamFailure::Failed(text),
    }
}

/// The arguments of a call: one array.
fn arguments(arguments: types::PayloadResult) -> Result<Payload, String> {
    match arguments {
        types::PayloadResult::Json(text) => {
            JsonText::parse_array(text).map(Payload::Json).map_err(|error| format!("the text of the arguments {error}"))
        }
        types::PayloadResult::Msgpack(bytes) => MessagePackValue::parse_array(bytes)
            .map(Payload::MessagePack)
            .map_err(|error| format!("the bytes of the arguments {error}")),
    }
}

/// What a guest asks a client; `None` of a connection that cannot exist.
pub(crate) fn question(
    connection: &str,
    (caller, origin): (Option<ConnectionId>, Origin),
    method: String,
    values: types::PayloadResult,
) -> Result<Option<ClientQuestion>, String> {
    check_method(&method)?;
    let arguments = arguments(values)?;
    let connection = ConnectionId::parse(connection);
    Ok(connection.map(|connection| ClientQuestion { connection, caller, origin, method, arguments }))
}

pub(crate) fn ask_error(error: AskError) -> client_results::AskError {
    match error {
        AskError::NoSuchConnection => client_results::AskError::NoSuchConnection,
        AskError::Failed(text) => client_results::AskError::Failed(text),
        AskError::TimedOut => client_results::AskError::TimedOut,
        AskError::Left => client_results::AskError::Left,
        AskError::Busy => client_results::AskError::Busy,
    }
}

/// Whether clients can be called by this name.
fn check_method(method: &str) -> Result<(), String> {
    if method.is_empty() {
        return Err("the method must not be empty".to_owned());
    }
    if !is_short_enough(method) {
        return Err(METHOD_TOO_LONG.to_owned());
    }
    Ok(())
}

/// All of the actions of a plugin's guest, or the first that is invalid. Those for somebody who cannot exist are left out: nothing
/// would happen, and nobody is told.
pub(crate) fn actions(asked: Vec<hub::Action>, plugin: &PluginName) -> Result<Vec<Action>, hub::Invalid> {
    let mut actions = Vec::with_capacity(asked.len());
    for (index, asked) in asked.into_iter().enumerate() {
        match action(asked, plugin) {
            Ok(action) => actions.extend(action),
            Err(reason) => return Err(invalid(index, reason)),
        }
    }
    Ok(actions)
}

pub(crate) fn invalid(index: usize, reason: impl Into<String>) -> hub::Invalid {
    hub::Invalid { index: index.try_into().unwrap_or(u32::MAX), reason: reason.into() }
}

fn action(asked: hub::Action, plugin: &PluginName) -> Result<Option<Action>, String> {
    let action = match asked {
        hub::Action::Send(message) => {
            let hub::Message { to, method, arguments: values, except } = message;
            check_method(&method)?;
            let (message, except) = (Outgoing::call(method, arguments(values)?), connections(&except).into());
            target(to)?.map(|to| Action::Send { to, message, except })
        }
        hub::Action::Join(membership) => {
            let group = group(&membership.group)?;
            let ttl_seconds = membership.ttl_seconds;
            let plugin = Some(plugin.clone());
            member(&membership.member)?.map(|member| Action::Join { member, group, ttl_seconds, plugin })
        }
        hub::Action::Leave((who, name)) => {
            let group = group(&name)?;
            member(&who)?.map(|member| Action::Leave { member, group })
        }
        hub::Action::LeaveAll(who) => member(&who)?.map(Action::LeaveAll),
        hub::Action::Close(closing) => {
            let except = connections(&closing.except);
            target(closing.target)?.map(|target| Action::Close {
                target,
                except,
                reason: closing.reason,
                allow_reconnect: closing.allow_reconnect,
            })
        }
    };
    Ok(action)
}

/// Whom a guest means; `None` for a connection that cannot exist.
pub(crate) fn target(target: types::TargetResult) -> Result<Option<Target>, String> {
    Ok(match target {
        types::TargetResult::All => Some(Target::All),
        types::TargetResult::Group(name) => Some(Target::Group(group(&name)?)),
        types::TargetResult::User(id) => Some(Target::User(user(&id)?)),
        types::TargetResult::Connection(id) => ConnectionId::parse(&id).map(Target::Connection),
    })
}

fn member(member: &types::Member) -> Result<Option<Member>, String> {
    Ok(match member {
        types::Member::Connection(id) => ConnectionId::parse(id).map(Member::Connection),
        types::Member::User(id) => Some(Member::User(user(id)?)),
    })
}

pub(crate) fn user(id: &str) -> Result<UserId, String> {
    UserId::parse(id).map_err(|reason: InvalidUserId| reason.to_string())
}

pub(crate) fn group(name: &str) -> Result<GroupName, String> {
    GroupName::parse(name).map_err(|reason: InvalidGroupName| reason.to_string())
}

fn connections(ids: &[String]) -> Vec<ConnectionId> {
    ids.iter().filter_map(ConnectionId::parse).collect()
}

pub(crate) fn pairs(pairs: &Pairs) -> Vec<types::PairResult> {
    pairs.iter().map(|(name, value)| types::PairResult { name: name.to_owned(), value: value.to_owned() }).collect()
}

pub(crate) fn fields(pairs: &[types::PairResult]) -> impl Iterator<Item = (&str, &str)> {
    pairs.iter().map(|pair| (pair.name.as_str(), pair.value.as_str()))
}

pub(crate) fn level(level: log::Level) -> tracing::Level {
    match level {
        log::Level::Debug => tracing::Level::DEBUG,
        log::Level::Info => tracing::Level::INFO,
        log::Level::Warn => tracing::Level::WARN,
        log::Level::Error => tracing::Level::ERROR,
    }
}

pub(crate) fn state_error(error: StateError) -> state::Error {
    match error {
        StateError::TooLarge => state::Error::TooLarge,
        StateError::Quota => state::Error::Quota,
        StateError::Unavailable(reason) => state::Error::Unavailable(reason),
    }
}

pub(crate) fn schedule(when: timers::Schedule) -> Schedule {
    match when {
        timers::Schedule::After(time) => Schedule::After(time),
        timers::Schedule::At(time) => Schedule::At(time),
        timers::Schedule::Every(period) => Schedule::Every(period),
    }
}

/// A timer as its plugin sees it.
pub(crate) fn timer(name: &str, timer: &Timer) -> timers::Timer {
    timers::Timer {
        name: name.to_owned(),
        when: match timer.when {
            Schedule::After(time) => timers::Schedule::After(time),
            Schedule::At(time) => timers::Schedule::At(time),
            Schedule::Every(period) => timers::Schedule::Every(period),
        },
        due: timer.due,
        payload: timer.payload.to_vec(),
        durable: timer.lifetime == Lifetime::Durable,
    }
}

pub(crate) fn timer_error(error: TimerError) -> timers::Error {
    match error {
        TimerError::TooMany => timers::Error::TooMany,
        TimerError::TooShort => timers::Error::TooShort,
        TimerError::TooLarge => timers::Error::TooLarge,
        TimerError::Quota => {
            timers::Error::Unavailable("the plugin's timers and values would weigh more than its `state`".to_owned())
        }
        TimerError::Unavailable(reason) => timers::Error::Unavailable(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(method: &str, arguments: &str, to: types::TargetResult) -> hub::Action {
        hub::Action::Send(hub::Message {
            to,
            method: method.to_owned(),
            arguments: types::PayloadResult::Json(arguments.to_owned()),
            except: vec!["nobody".to_owned()],
        })
    }

    #[test]
    fn one_invalid_action_refuses_all_by_its_index() {
        let check = |bad: hub::Action, part: &str| {
            let asked = vec![send("m", "[]", types::TargetResult::All), bad];
            let refused = actions(asked, &PluginName::new("p")).unwrap_err();
            assert_eq!(refused.index, 1);
            assert!(refused.reason.contains(part), "{}", refused.reason);
        };
        check(send("", "[]", types::TargetResult::All), "method must not be empty");
        check(send("m", "{}", types::TargetResult::All), "must be a JSON array");
        check(send("m", "[1", types::TargetResult::All), "is not valid JSON");
        check(send("m", "[]", types::TargetResult::Group(" ".to_owned())), "Invalid group name");
        let user = || types::Member::User("u".to_owned());
        check(hub::Action::Leave((user(), "x".repeat(1025))), "Invalid group name");
        let membership = hub::Membership { member: user(), group: String::new(), ttl_seconds: None };
        check(hub::Action::Join(membership), "Invalid group name");
        let long = || "x".repeat(1025);
        check(send(&long(), "[]", types::TargetResult::All), METHOD_TOO_LONG);
        check(send("m", "[]", types::TargetResult::User(long())), "Invalid user id");
        check(hub::Action::LeaveAll(types::Member::User(long())), "Invalid user id");
    }

    #[test]
    fn what_is_for_nobody_is_left_out() {
        let nobody = || "not an id".to_owned();
        let asked = vec![
            send("m", "[1.0]", types::TargetResult::Connection(nobody())),
            hub::Action::LeaveAll(types::Member::Connection(nobody())),
            send("m", "[1.0]", types::TargetResult::User("u".to_owned())),
        ];
        let expected = Action::Send {
            to: Target::User(UserId::new("u")),
            message: Outgoing::call("m".to_owned(), Payload::Json(JsonText::parse_array("[1.0]").unwrap())),
            except: Default::default(),
        };
        assert_eq!(actions(asked, &PluginName::new("p")).unwrap(), [expected]);
    }

    #[tokio::test]
    async fn a_plugin_gets_what_was_sent_in_the_form_that_it_wants() {
        let packed = Payload::MessagePack(MessagePackValue::parse_array(vec![0x92, 0x01, 0xc4, 0x01, 0xff]).unwrap());
        let json = Payload::Json(JsonText::parse_array("[1.0]").unwrap());
        let offload = Offload::default();
        for (payload, wanted, expected) in [
            (&packed, Payloads::Native, &[0x92, 0x01, 0xc4, 0x01, 0xff][..]),
            (&packed, Payloads::Json, b"[1,\"/w==\"]"),
            (&json, Payloads::Native, b"[1.0]"),
        ] {
            let lent = LentPayload::new(payload, wanted, &offload).await.unwrap();
            let bytes = match lent.lend() {
                types::PayloadParam::Json(text) => text.as_bytes(),
                types::PayloadParam::Msgpack(bytes) => bytes,
            };
            assert_eq!((bytes, lent.len()), (expected, expected.len()));
            let owned = owned_payload(payload, wanted, &offload).await.unwrap();
            assert_eq!(payload_bytes(&owned), expected.len());
            assert_eq!(matches!(owned, types::PayloadResult::Msgpack(_)), expected[0] == 0x92, "{owned:?}");
        }
    }

    #[test]
    fn a_result_must_be_one_value() {
        let json = |text: &str| result(Ok(Some(types::PayloadResult::Json(text.to_owned()))));
        assert_eq!(json("1.50"), Ok(Some(Payload::Json(JsonText::parse("1.50").unwrap()))));
        assert!(matches!(json("nope"), Err(UpstreamFailure::Failed(reason)) if reason.contains("not valid JSON")));
        let native = |bytes: &[u8]| result(Ok(Some(types::PayloadResult::Msgpack(bytes.to_vec()))));
        assert_eq!(native(&[0xc0]), Ok(Some(Payload::MessagePack(MessagePackValue::parse(vec![0xc0]).unwrap()))));
        assert!(matches!(native(&[0x91]), Err(UpstreamFailure::Failed(reason)) if reason.contains("MessagePack")));
    }
}
