//! What is due on a shard, from when it is taken until it is known what came of it.

use std::sync::Arc;
use std::time::Duration;

use hubgate_core::event::{HubCall, HubEvent, UpstreamFailure};
use hubgate_core::id::{HubName, PluginName};

use super::account::{Account, TimerEvent};
use super::queue::{Fired, Next, Taken};
use super::starts::Start;
use super::{Lane, PluginTimers, Timers};
use crate::store::{TimerChange, TimerWrite};
use crate::timer::{Lifetime, TimerKey};

/// A timer that is fired later counts as late, in milliseconds.
const LATE: u64 = 1_000;
/// When a start that could not be tried is tried again, in milliseconds.
pub(super) const START_AGAIN: u64 = 100;

/// A call of a plugin whose time has come: a timer, or a version that begins to serve a hub. One that is dropped without being settled is
/// tried again.
#[derive(Debug)]
pub struct Firing {
    due: Option<Due>,
    timers: Arc<Timers>,
    lane: Arc<Lane>,
}

#[derive(Debug)]
enum Due {
    Timer(Taken),
    Start(Start),
}

/// What a version must have to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Scheduled,
    /// Of this generation, and no other.
    Lifetime(u64),
}

impl Timers {
    /// What is due next on a lane, once it is. One waits for each lane.
    pub(crate) async fn next(self: &Arc<Timers>, lane: usize) -> Firing {
        let lane = &self.lanes[lane % self.lanes.len()];
        loop {
            let now = self.now();
            let wakes = match self.take(lane, now) {
                Ok(firing) => return firing,
                Err(wakes) => wakes,
            };
            let is_earlier = lane.is_earlier.notified();
            match wakes {
                Some(wakes) => drop(tokio::time::timeout(Duration::from_millis(wakes - now), is_earlier).await),
                None => is_earlier.await,
            }
        }
    }
}

impl Timers {
    /// What is due on a lane, or when something is to be looked at.
    fn take(self: &Arc<Timers>, lane: &Arc<Lane>, now: u64) -> Result<Firing, Option<u64>> {
        let mut waiting = lane.waiting();
        let start = waiting.starts.take(now).map(Due::Start);
        match start.or_else(|| waiting.timers.take(now).map(Due::Timer)) {
            Some(due) => Ok(Firing { due: Some(due), timers: self.clone(), lane: lane.clone() }),
            None => Err(waiting.wakes()),
        }
    }
}

/// Where all timers have one lane, and are of one plugin: beside any gateway.
impl PluginTimers {
    /// When a timer is to be looked at next, in milliseconds since 1970.
    pub(crate) fn next_wake(&self) -> Option<u64> {
        self.timers.lanes[0].waiting().wakes()
    }

    /// The timer that is due first by now.
    pub(crate) fn take_due(&self) -> Option<Firing> {
        self.timers.take(&self.timers.lanes[0], self.timers.now()).ok()
    }
}

impl Firing {
    pub fn plugin(&self) -> &PluginName {
        match self.due() {
            Due::Timer(taken) => &taken.key.plugin,
            Due::Start(start) => &start.plugin,
        }
    }

    pub fn hub(&self) -> &HubName {
        match self.due() {
            Due::Timer(taken) => &taken.key.hub,
            Due::Start(start) => &start.hub,
        }
    }

    /// The call that it is about.
    pub(crate) fn call(&self) -> HubCall {
        let event = match self.due() {
            Due::Timer(taken) => HubEvent::TimerFired { name: taken.key.name.clone(), payload: taken.payload.clone() },
            Due::Start(_) => HubEvent::Started,
        };
        HubCall { plugin: self.plugin().clone(), hub: self.hub().clone(), event }
    }

    pub(crate) fn wanted(&self) -> Wanted {
        match self.due() {
            Due::Timer(_) => Wanted::Scheduled,
            Due::Start(start) => Wanted::Lifetime(start.generation),
        }
    }

    /// Nobody is to be told any more.
    pub(crate) fn forget(mut self) {
        self.due = None;
    }

    /// It was not tried, and nothing more is known.
    pub(crate) fn wait(mut self) {
        match self.due.take() {
            Some(Due::Timer(Taken { key, number, .. })) => self.put_back(key, number, Fired::NotTried),
            Some(Due::Start(start)) => self.try_again(start),
            None => {}
        }
    }

    /// Something came of it. What a durable timer becomes is with the operating system afterwards, if that takes it.
    pub(crate) async fn settle(mut self, result: Result<(), &UpstreamFailure>, of: &PluginTimers) {
        let fired = fired(result);
        match self.due.take() {
            Some(Due::Timer(taken)) => {
                count(of.account(), &taken, fired, result.is_err());
                self.settle_timer(taken, fired, of).await;
            }
            Some(Due::Start(start)) if fired == Fired::NotTried => self.try_again(start),
            Some(Due::Start(_)) | None => {}
        }
    }

    async fn settle_timer(&self, taken: Taken, fired: Fired, of: &PluginTimers) {
        let Taken { key, number, lifetime, .. } = taken;
        let next = self.lane.waiting().timers.next(&key, number, fired, self.timers.now());
        match next {
            Next::Due { skipped, .. } => of.account().count(TimerEvent::Skipped, skipped),
            Next::Again { .. } if fired == Fired::BrokenOff => of.account().count(TimerEvent::TriedAgain, 1),
            Next::Over | Next::Again { .. } | Next::Other => {}
        }
        if fired == Fired::BrokenOff && matches!(next, Next::Over | Next::Due { .. }) {
            of.account().count(TimerEvent::GivenUp, 1);
            let (plugin, hub, timer) = (&key.plugin, &key.hub, &*key.name);
            tracing::error!(%plugin, %hub, timer, tries = taken.tries + 1, "a timer's call has broken off each time: it is given up");
        }
        let write = match (lifetime, next) {
            (Lifetime::Durable, Next::Over) => Some(TimerWrite::RemoveNumber(number)),
            (Lifetime::Durable, Next::Due { due, .. }) => Some(TimerWrite::Move { number, due }),
            (Lifetime::Durable, Next::Again { .. } | Next::Other) | (Lifetime::Process, _) => None,
        };
        let lane = self.lane.clone();
        let go_on = {
            let key = key.clone();
            move || lane.change(|waiting| waiting.timers.go_on(key, number, (fired, next)))
        };
        match write {
            // What could not be written fires again after the next start.
            Some(write) => {
                let _ = of.store.change_timer(TimerChange { key, write }, Box::new(move |_| go_on())).await;
            }
            None => go_on(),
        }
    }

    fn put_back(&self, key: TimerKey, number: u64, fired: Fired) {
        let now = self.timers.now();
        self.lane.change(|waiting| {
            let next = waiting.timers.next(&key, number, fired, now);
            waiting.timers.go_on(key, number, (fired, next));
        });
    }

    fn try_again(&self, start: Start) {
        if !self.timers.has(&start.plugin) {
            return;
        }
        let at = self.timers.now().saturating_add(START_AGAIN);
        self.lane.change(|waiting| waiting.starts.add(at, start));
    }

    fn due(&self) -> &Due {
        self.due.as_ref().expect("it is there until it is settled")
    }
}

impl Drop for Firing {
    fn drop(&mut self) {
        match self.due.take() {
            Some(Due::Timer(Taken { key, number, .. })) => self.put_back(key, number, Fired::BrokenOff),
            Some(Due::Start(start)) => self.try_again(start),
            None => {}
        }
    }
}

/// What a failure says of the call: an error that the guest has returned is an answer.
fn fired(result: Result<(), &UpstreamFailure>) -> Fired {
    match result {
        Ok(()) | Err(UpstreamFailure::Rejected(_) | UpstreamFailure::Failed(_)) => Fired::Answered,
        Err(
            UpstreamFailure::Trapped(_)
            | UpstreamFailure::TimedOut
            | UpstreamFailure::OutOfCpuTime { .. }
            | UpstreamFailure::OutOfMemory,
        ) => Fired::BrokenOff,
        Err(UpstreamFailure::Unavailable(_) | UpstreamFailure::Busy | UpstreamFailure::NotServing) => Fired::NotTried,
    }
}

fn count(account: &Account, taken: &Taken, fired: Fired, has_failed: bool) {
    if fired == Fired::NotTried {
        return;
    }
    account.count(TimerEvent::Fired, 1);
    if fired == Fired::Answered && has_failed {
        account.count(TimerEvent::Failed, 1);
    }
    if taken.late > LATE && taken.tries == 0 {
        account.count(TimerEvent::Late, 1);
    }
}
