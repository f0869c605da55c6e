//! The `hub` import: acting on the hub of the event.

use hubgate_core::delivery::{Action, Target};
use hubgate_core::event::{HubAnswer, HubQuestion};
use hubgate_core::filter::Origin;

use super::{EventOf, Guest, ShardQuestion};
use crate::bindings::hubgate::plugin::{hub, types};
use crate::convert;
use crate::limits::ACTION_BYTES_PER_CALL;
use crate::metrics::Budget;

impl hub::Host for Guest {
    fn submit(&mut self, actions: Vec<hub::Action>) -> wasmtime::Result<Result<(), hub::Invalid>> {
        self.count_host_call()?;
        let Some(event) = &mut self.event else {
            return Ok(Err(convert::invalid(0, "there is no event, so there is no hub to act on")));
        };
        let actions = match convert::actions(actions, self.surroundings.name()) {
            Ok(actions) => actions,
            Err(invalid) => return Ok(Err(invalid)),
        };
        let added = event.actions.add(actions);
        if added.is_err() {
            self.surroundings.exceeded.add(Budget::Actions);
        }
        Ok(added)
    }

    async fn flush(&mut self) -> wasmtime::Result<()> {
        self.count_host_call()?;
        let Some(event) = &mut self.event else { return Ok(()) };
        let (hub, actions) = (event.of.hub().clone(), event.actions.take());
        let origin = match event.of {
            EventOf::Client(_) => Some(Origin::Plugin(self.surroundings.name().clone())),
            EventOf::Filtered(..) => None,
        };
        if !actions.is_empty() {
            self.ask_shard(|done| ShardQuestion::Run { hub, origin, actions, done }).await;
        }
        Ok(())
    }

    async fn exists(&mut self, target: types::TargetResult) -> wasmtime::Result<Result<bool, String>> {
        self.count_host_call()?;
        if self.event.is_none() {
            return Ok(Err("there is no event, so there is no hub to ask".to_owned()));
        }
        let target = match convert::target(target) {
            Ok(Some(target)) => target,
            Ok(None) => return Ok(Ok(false)),
            Err(reason) => return Ok(Err(reason)),
        };
        Ok(match self.ask(HubQuestion::Exists(target)).await {
            Some(HubAnswer::Exists(exists)) => Ok(exists),
            Some(HubAnswer::Facts(_) | HubAnswer::Joined(_) | HubAnswer::Members(_) | HubAnswer::InEffect) | None => {
                Err("the gateway is stopping".to_owned())
            }
        })
    }
}

/// What a call has asked for and not flushed, bounded in bytes, and in number with what was flushed.
pub(super) struct ActionQueue {
    /// How many more the call may ask for.
    left: usize,
    actions: Vec<Action>,
    bytes: usize,
}

impl ActionQueue {
    pub(super) fn new(allowed: usize) -> ActionQueue {
        ActionQueue { left: allowed, actions: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, actions: Vec<Action>) -> Result<(), hub::Invalid> {
        let mut bytes = self.bytes;
        for (index, action) in actions.iter().enumerate() {
            bytes += weight(action);
            if index >= self.left {
                return Err(convert::invalid(index, "the call has asked for all the actions that it may"));
            }
            if bytes > ACTION_BYTES_PER_CALL {
                let reason = format!("the actions of a call may weigh {ACTION_BYTES_PER_CALL} bytes");
                return Err(convert::invalid(index, reason));
            }
        }
        self.bytes = bytes;
        self.left -= actions.len();
        match self.actions.is_empty() {
            true => self.actions = actions,
            false => self.actions.extend(actions),
        }
        Ok(())
    }

    pub(super) fn take(&mut self) -> Vec<Action> {
        self.bytes = 0;
        std::mem::take(&mut self.actions)
    }
}

/// What an action holds in memory, about.
fn weight(action: &Action) -> usize {
    let held = match action {
        Action::Send { to, message, except } => {
            let except = size_of_val(except.connections.as_slice()) + size_of_val(except.users.as_slice());
            target_weight(to) + message.weight() + except
        }
        Action::Join { group, .. } | Action::Leave { group, .. } => group.as_str().len(),
        Action::LeaveAll(_) => 0,
        Action::Close { target, except, reason, .. } => {
            target_weight(target) + size_of_val(except.as_slice()) + reason.as_ref().map_or(0, String::len)
        }
    };
    size_of::<Action>() + held
}

fn target_weight(target: &Target) -> usize {
    match target {
        Target::All | Target::Connection(_) => 0,
        Target::Group(name) => name.as_str().len(),
        Target::User(id) => id.as_str().len(),
    }
}

#[cfg(test)]
mod tests {
    use hubgate_core::Outgoing;
    use hubgate_core::delivery::Member;
    use hubgate_core::id::UserId;
    use hubgate_wire::payload::{JsonText, Payload};

    use super::*;

    fn leave_all() -> Action {
        Action::LeaveAll(Member::User(UserId::new("u")))
    }

    #[test]
    fn the_number_of_a_calls_actions_is_bounded_and_all_or_none_are_queued() {
        let mut queue = ActionQueue::new(100);
        assert!(queue.add((1..100).map(|_| leave_all()).collect()).is_ok());
        let refused = queue.add(vec![leave_all(), leave_all()]).unwrap_err();
        assert_eq!(refused.index, 1);
        assert_eq!(queue.take().len(), 99);
        assert!(queue.add(vec![leave_all()]).is_ok());
        assert!(queue.add(vec![leave_all()]).is_err(), "what was flushed counts as well");
        assert_eq!(queue.take().len(), 1);
    }

    #[test]
    fn the_weight_of_queued_actions_is_bounded() {
        let text = format!("[\"{}\"]", "x".repeat(ACTION_BYTES_PER_CALL / 2));
        let send = || Action::Send {
            to: Target::All,
            message: Outgoing::call("m".to_owned(), Payload::Json(JsonText::parse_array(text.clone()).unwrap())),
            except: Default::default(),
        };
        let mut queue = ActionQueue::new(100);
        assert!(queue.add(vec![send()]).is_ok());
        assert_eq!(queue.add(vec![send()]).unwrap_err().index, 0);
        assert_eq!(queue.take().len(), 1);
    }
}
