//! The `hub` import: acting on the hub of the event.

use hubgate_core::delivery::Action;
use hubgate_core::filter::Origin;

use super::call::HostCall;
use super::weight::weight;
use super::{EventOf, Guest, ShardQuestion, UNANSWERED};
use crate::bindings::hubgate::plugin::{hub, types};
use crate::convert;
use crate::limits::ACTION_BYTES_PER_CALL;
use crate::metrics::Budget;

impl hub::Host for Guest {
    async fn submit(&mut self, asked: Vec<hub::Action>) -> wasmtime::Result<Result<(), hub::Invalid>> {
        self.perform(HostCall::Submit(asked)).await
    }

    async fn flush(&mut self) -> wasmtime::Result<()> {
        self.perform(HostCall::Flush).await
    }

    async fn exists(&mut self, target: types::TargetResult) -> wasmtime::Result<Result<bool, String>> {
        self.perform(HostCall::Exists(target)).await
    }
}

impl Guest {
    pub(super) async fn queue(&mut self, asked: Vec<hub::Action>) -> wasmtime::Result<Result<(), hub::Invalid>> {
        let Some(event) = &self.event else {
            return Ok(Err(convert::invalid(0, "there is no event, so there is no hub to act on")));
        };
        let (count, bytes) = match event.actions.admit(&asked) {
            Ok(bytes) => (asked.len(), bytes),
            Err(invalid) => {
                self.surroundings.exceeded.add(Budget::Actions);
                return Ok(Err(invalid));
            }
        };
        let plugin = self.surroundings.name().clone();
        let actions = match self.offload(bytes, move || convert::actions(asked, &plugin)).await? {
            Ok(actions) => actions,
            Err(invalid) => return Ok(Err(invalid)),
        };
        if let Some(event) = &mut self.event {
            event.actions.add(actions, count, bytes);
        }
        Ok(Ok(()))
    }

    /// What is queued, which is no more from now on.
    pub(super) fn take_actions(&mut self) -> Vec<Action> {
        self.event.as_mut().map_or_else(Vec::new, |event| event.actions.take())
    }

    pub(super) async fn run_what_is_queued(&mut self) {
        let actions = self.take_actions();
        let Some(event) = &self.event else { return };
        let hub = event.of.hub().clone();
        let origin = match event.of {
            EventOf::Client(_) | EventOf::Hub(_) => Some(Origin::Plugin(self.surroundings.name().clone())),
            EventOf::Filtered(..) => None,
        };
        if !actions.is_empty() {
            self.ask_shard(|done| ShardQuestion::Run { hub, origin, actions, done }).await;
        }
    }

    pub(super) async fn target_exists(&mut self, target: types::TargetResult) -> Result<bool, String> {
        let Some(event) = &self.event else {
            return Err("there is no event, so there is no hub to ask".to_owned());
        };
        let hub = event.of.hub().clone();
        let Some(target) = convert::target(target)? else { return Ok(false) };
        let exists = self.ask_shard(|answer| ShardQuestion::Exists { hub, target, answer }).await;
        exists.ok_or_else(|| UNANSWERED.to_owned())
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

    /// What these weigh, if the call may ask for all of them: looked at as the guest has passed them, before anything of them is
    /// made or kept.
    fn admit(&self, asked: &[hub::Action]) -> Result<usize, hub::Invalid> {
        let mut bytes = 0;
        for (index, action) in asked.iter().enumerate() {
            bytes += weight(action);
            if index >= self.left {
                return Err(convert::invalid(index, "the call has asked for all the actions that it may"));
            }
            if self.bytes + bytes > ACTION_BYTES_PER_CALL {
                let reason = format!("the actions of a call may weigh {ACTION_BYTES_PER_CALL} bytes");
                return Err(convert::invalid(index, reason));
            }
        }
        Ok(bytes)
    }

    /// Queues what was made of `count` actions that weigh `bytes`.
    fn add(&mut self, actions: Vec<Action>, count: usize, bytes: usize) {
        self.bytes += bytes;
        self.left = self.left.saturating_sub(count);
        match self.actions.is_empty() {
            true => self.actions = actions,
            false => self.actions.extend(actions),
        }
    }

    pub(super) fn take(&mut self) -> Vec<Action> {
        self.bytes = 0;
        std::mem::take(&mut self.actions)
    }
}

#[cfg(test)]
mod tests {
    use hubgate_core::id::PluginName;

    use super::*;
    use crate::limits::ACTION_OVERHEAD_BYTES;

    fn user(id: &str) -> types::Member {
        types::Member::User(id.to_owned())
    }

    fn leave_all() -> hub::Action {
        hub::Action::LeaveAll(user("u"))
    }

    /// Queues these as `submit` does.
    fn submit(queue: &mut ActionQueue, asked: Vec<hub::Action>) -> Result<(), hub::Invalid> {
        let (count, bytes) = (asked.len(), queue.admit(&asked)?);
        queue.add(convert::actions(asked, &PluginName::new("p"))?, count, bytes);
        Ok(())
    }

    #[test]
    fn the_number_of_a_calls_actions_is_bounded_and_all_or_none_are_queued() {
        let mut queue = ActionQueue::new(100);
        submit(&mut queue, (1..100).map(|_| leave_all()).collect()).unwrap();
        let refused = submit(&mut queue, vec![leave_all(), leave_all()]).unwrap_err();
        assert_eq!(refused.index, 1);
        assert_eq!(queue.take().len(), 99);
        submit(&mut queue, vec![leave_all()]).unwrap();
        assert!(submit(&mut queue, vec![leave_all()]).is_err(), "what was flushed counts as well");
        assert_eq!(queue.take().len(), 1);
    }

    #[test]
    fn everything_that_an_action_names_counts_towards_the_weight_of_a_calls_actions() {
        let half = || "x".repeat(ACTION_BYTES_PER_CALL / 2);
        let id = "x".repeat(32);
        // Less than half of the bytes are text: each id has a place of its own.
        let ids = || vec![id.clone(); ACTION_BYTES_PER_CALL / 160];
        let send = |to, method: String, arguments: String, except| {
            let arguments = types::PayloadResult::Json(arguments);
            hub::Action::Send(hub::Message { to, method, arguments, except })
        };
        let all = || types::TargetResult::All;
        let close = |target, except, reason| {
            hub::Action::Close(hub::Closing { target, except, reason, allow_reconnect: false })
        };
        let join = |member, group| hub::Action::Join(hub::Membership { member, group, ttl_seconds: None });
        let heavy = [
            send(all(), "m".to_owned(), half(), Vec::new()),
            send(all(), half(), "[]".to_owned(), Vec::new()),
            send(types::TargetResult::Group(half()), "m".to_owned(), "[]".to_owned(), Vec::new()),
            send(types::TargetResult::Connection(half()), "m".to_owned(), "[]".to_owned(), Vec::new()),
            send(all(), "m".to_owned(), "[]".to_owned(), ids()),
            join(user(&half()), "g".to_owned()),
            join(user("u"), half()),
            hub::Action::Leave((types::Member::Connection(half()), "g".to_owned())),
            hub::Action::Leave((user("u"), half())),
            hub::Action::LeaveAll(user(&half())),
            close(types::TargetResult::User(half()), Vec::new(), None),
            close(all(), ids(), None),
            close(all(), Vec::new(), Some(half())),
        ];
        for action in heavy {
            let queue = ActionQueue::new(100);
            assert!(queue.admit(std::slice::from_ref(&action)).is_ok());
            let text: String = format!("{action:?}").chars().take(100).collect();
            let refused = queue.admit(&[action, join(user(&half()), "g".to_owned())]);
            assert_eq!(refused.unwrap_err().index, 1, "{text}");
        }
        assert!(size_of::<Action>() <= ACTION_OVERHEAD_BYTES / 2, "{}", size_of::<Action>());
    }

    #[test]
    fn actions_have_a_weight_however_small_they_are() {
        let mut queue = ActionQueue::new(usize::MAX);
        let many = ACTION_BYTES_PER_CALL / (ACTION_OVERHEAD_BYTES + 1);
        submit(&mut queue, (0..many).map(|_| leave_all()).collect()).unwrap();
        assert!(submit(&mut queue, vec![leave_all()]).is_err());
        assert_eq!(queue.take().len(), many);
        submit(&mut queue, vec![leave_all()]).unwrap();
    }
}
