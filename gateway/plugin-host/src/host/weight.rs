//! What passes between guests and the host holds in memory, about.

use hubgate_core::id::ConnectionId;

use super::streams::Outcome;
use crate::bindings::hubgate::plugin::{hub, types};
use crate::convert;
use crate::limits::ACTION_OVERHEAD_BYTES;

/// What actions will hold in memory, about.
pub(super) fn actions_weight(actions: &[hub::Action]) -> usize {
    actions.iter().map(weight).sum()
}

/// What an action will hold in memory, about: all that it names counts.
pub(super) fn weight(action: &hub::Action) -> usize {
    let held = match action {
        hub::Action::Send(hub::Message { to, method, arguments, except }) => {
            target_weight(to) + method.len() + convert::payload_bytes(arguments) + ids_weight(except)
        }
        hub::Action::Join(hub::Membership { member, group, ttl_seconds: _ }) => member_weight(member) + group.len(),
        hub::Action::Leave((member, group)) => member_weight(member) + group.len(),
        hub::Action::LeaveAll(member) => member_weight(member),
        hub::Action::Close(hub::Closing { target, except, reason, allow_reconnect: _ }) => {
            target_weight(target) + ids_weight(except) + reason.as_ref().map_or(0, String::len)
        }
    };
    ACTION_OVERHEAD_BYTES + held
}

pub(super) fn payloads_weight(payloads: &[types::PayloadResult]) -> usize {
    payloads.iter().map(|payload| size_of::<types::PayloadResult>() + convert::payload_bytes(payload)).sum()
}

pub(super) fn outcome_weight(outcome: &Outcome) -> usize {
    match outcome {
        Ok(value) => value.as_ref().map_or(0, convert::payload_bytes),
        Err(types::Error::Rejected(text) | types::Error::Failed(text)) => text.len(),
    }
}

pub(super) fn target_weight(target: &types::TargetResult) -> usize {
    match target {
        types::TargetResult::All => 0,
        types::TargetResult::Group(name) | types::TargetResult::User(name) | types::TargetResult::Connection(name) => {
            name.len()
        }
    }
}

fn member_weight(member: &types::Member) -> usize {
    match member {
        types::Member::Connection(id) | types::Member::User(id) => id.len(),
    }
}

pub(super) fn pairs_weight(pairs: &[types::PairResult]) -> usize {
    pairs.iter().map(|pair| size_of::<types::PairResult>() + pair.name.len() + pair.value.len()).sum()
}

/// Of ids as they were passed and as they are kept: both are there for a while.
fn ids_weight(ids: &[String]) -> usize {
    ids.iter().map(|id| size_of::<String>() + id.len() + size_of::<ConnectionId>()).sum()
}
