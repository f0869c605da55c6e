//! Between the types of the WIT and those of the core. No other module knows both.

use std::borrow::Cow;

use hubgate_core::Outgoing;
use hubgate_core::delivery::{Action, Member, Target};
use hubgate_core::event::{ConnectionFacts, UpstreamFailure};
use hubgate_core::id::{ConnectionId, GroupName, InvalidGroupName, UserId};
use hubgate_core::pairs::Pairs;
use hubgate_wire::payload::{JsonText, MessagePackValue, Payload, PayloadRef};

use crate::bindings::exports::hubgate::plugin::upstream::Invocation;
use crate::bindings::hubgate::plugin::{hub, log, state, types};
use crate::settings::Payloads;
use crate::state::StateError;

/// Lends a client to a guest.
pub(crate) fn connection(client: &ConnectionFacts) -> types::Connection<'_> {
    types::Connection {
        hub: client.hub.as_str(),
        id: client.id.as_str(),
        user_id: client.user_id.as_ref().map(UserId::as_str),
    }
}

/// A value in the form that a plugin wants it in.
pub(crate) enum LentPayload<'a> {
    Json(Cow<'a, str>),
    MessagePack(&'a [u8]),
}

impl<'a> LentPayload<'a> {
    pub(crate) fn new(payload: &'a Payload, wanted: Payloads) -> LentPayload<'a> {
        match (payload.borrow(), wanted) {
            (PayloadRef::MessagePack(bytes), Payloads::Native) => LentPayload::MessagePack(bytes),
            (payload, Payloads::Json | Payloads::Native) => LentPayload::Json(payload.to_json()),
        }
    }

    fn lend(&self) -> types::PayloadParam<'_> {
        match self {
            LentPayload::Json(text) => types::PayloadParam::Json(text),
            LentPayload::MessagePack(bytes) => types::PayloadParam::Msgpack(bytes),
        }
    }
}

/// Lends an invocation to a guest.
pub(crate) fn invocation<'a>(target: &'a str, arguments: &'a LentPayload<'_>, wants_result: bool) -> Invocation<'a> {
    Invocation { target, arguments: arguments.lend(), wants_result }
}

/// What a guest answered to an invocation.
pub(crate) fn result(
    answer: Result<Option<types::PayloadResult>, types::Error>,
) -> Result<Option<Payload>, UpstreamFailure> {
    let Some(result) = answer.map_err(failure)? else { return Ok(None) };
    let result = match result {
        types::PayloadResult::Json(text) => JsonText::parse(text).map(Payload::Json).map_err(|error| error.to_string()),
        types::PayloadResult::Msgpack(bytes) => {
            MessagePackValue::parse(bytes).map(Payload::MessagePack).map_err(|error| error.to_string())
        }
    };
    result.map(Some).map_err(|reason| UpstreamFailure::Failed(format!("the plugin's result {reason}")))
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

/// All of a guest's actions, or the first that is invalid. Those for somebody who cannot exist are left out: nothing
/// would happen, and nobody is told.
pub(crate) fn actions(asked: Vec<hub::Action>) -> Result<Vec<Action>, hub::Invalid> {
    let mut actions = Vec::with_capacity(asked.len());
    for (index, asked) in asked.into_iter().enumerate() {
        match action(asked) {
            Ok(action) => actions.extend(action),
            Err(reason) => return Err(invalid(index, reason)),
        }
    }
    Ok(actions)
}

pub(crate) fn invalid(index: usize, reason: impl Into<String>) -> hub::Invalid {
    hub::Invalid { index: index.try_into().unwrap_or(u32::MAX), reason: reason.into() }
}

fn action(asked: hub::Action) -> Result<Option<Action>, String> {
    let action = match asked {
        hub::Action::Send(message) => {
            let hub::Message { to, method, arguments: values, except } = message;
            if method.is_empty() {
                return Err("the method must not be empty".to_owned());
            }
            let (message, except) = (Outgoing::call(method, arguments(values)?), connections(&except).into());
            target(to)?.map(|to| Action::Send { to, message, except })
        }
        hub::Action::Join(membership) => {
            let group = group(&membership.group)?;
            let ttl_seconds = membership.ttl_seconds;
            member(&membership.member).map(|member| Action::Join { member, group, ttl_seconds })
        }
        hub::Action::Leave((who, name)) => {
            let group = group(&name)?;
            member(&who).map(|member| Action::Leave { member, group })
        }
        hub::Action::LeaveAll(who) => member(&who).map(Action::LeaveAll),
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
pub(crate) fn target(target: types::Target) -> Result<Option<Target>, String> {
    Ok(match target {
        types::Target::All => Some(Target::All),
        types::Target::Group(name) => Some(Target::Group(group(&name)?)),
        types::Target::User(id) => Some(Target::User(UserId::new(id))),
        types::Target::Connection(id) => ConnectionId::parse(&id).map(Target::Connection),
    })
}

fn member(member: &types::Member) -> Option<Member> {
    match member {
        types::Member::Connection(id) => ConnectionId::parse(id).map(Member::Connection),
        types::Member::User(id) => Some(Member::User(UserId::new(id.as_str()))),
    }
}

fn group(name: &str) -> Result<GroupName, String> {
    GroupName::parse(name).map_err(|reason: InvalidGroupName| reason.to_string())
}

fn connections(ids: &[String]) -> Vec<ConnectionId> {
    ids.iter().filter_map(|id| ConnectionId::parse(id)).collect()
}

pub(crate) fn pairs(pairs: &Pairs) -> Vec<types::Pair> {
    pairs.iter().map(|(name, value)| types::Pair { name: name.to_owned(), value: value.to_owned() }).collect()
}

pub(crate) fn fields(pairs: &[types::Pair]) -> impl Iterator<Item = (&str, &str)> {
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
        StateError::Unavailable(reason) => state::Error::Unavailable(reason.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(method: &str, arguments: &str, to: types::Target) -> hub::Action {
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
            let refused = actions(vec![send("m", "[]", types::Target::All), bad]).unwrap_err();
            assert_eq!(refused.index, 1);
            assert!(refused.reason.contains(part), "{}", refused.reason);
        };
        check(send("", "[]", types::Target::All), "method must not be empty");
        check(send("m", "{}", types::Target::All), "must be a JSON array");
        check(send("m", "[1", types::Target::All), "is not valid JSON");
        check(send("m", "[]", types::Target::Group(" ".to_owned())), "Invalid group name");
        let user = || types::Member::User("u".to_owned());
        check(hub::Action::Leave((user(), "x".repeat(1025))), "Invalid group name");
        let membership = hub::Membership { member: user(), group: String::new(), ttl_seconds: None };
        check(hub::Action::Join(membership), "Invalid group name");
    }

    #[test]
    fn what_is_for_nobody_is_left_out() {
        let nobody = || "not an id".to_owned();
        let asked = vec![
            send("m", "[1.0]", types::Target::Connection(nobody())),
            hub::Action::LeaveAll(types::Member::Connection(nobody())),
            send("m", "[1.0]", types::Target::User("u".to_owned())),
        ];
        let expected = Action::Send {
            to: Target::User(UserId::new("u")),
            message: Outgoing::call("m".to_owned(), Payload::Json(JsonText::parse_array("[1.0]").unwrap())),
            except: Default::default(),
        };
        assert_eq!(actions(asked).unwrap(), [expected]);
    }

    #[test]
    fn a_plugin_gets_what_was_sent_in_the_form_that_it_wants() {
        let packed = Payload::MessagePack(MessagePackValue::parse_array(vec![0x92, 0x01, 0xc4, 0x01, 0xff]).unwrap());
        let json = Payload::Json(JsonText::parse_array("[1.0]").unwrap());
        let lent = |payload: &Payload, wanted| match LentPayload::new(payload, wanted).lend() {
            types::PayloadParam::Json(text) => text.as_bytes().to_vec(),
            types::PayloadParam::Msgpack(bytes) => bytes.to_vec(),
        };
        assert_eq!(lent(&packed, Payloads::Native), [0x92, 0x01, 0xc4, 0x01, 0xff]);
        assert_eq!(lent(&packed, Payloads::Json), b"[1,\"/w==\"]");
        assert_eq!(lent(&json, Payloads::Native), b"[1.0]");
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
