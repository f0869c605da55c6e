//! The `timers` import: acting later, on the hub of the event.

use hubgate_core::id::HubName;

use super::call::HostCall;
use super::{EventOf, Guest};
use crate::bindings::hubgate::plugin::timers::{self, Error, Schedule, Timer};
use crate::convert;
use crate::limits::TIMERS_PER_PAGE;
use crate::metrics::Budget;
use crate::timer::Lifetime;
use crate::timers::{TimerError, Wish};

impl timers::Host for Guest {
    async fn set(
        &mut self,
        name: String,
        when: Schedule,
        payload: Vec<u8>,
        durable: bool,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.perform(HostCall::SetTimer { name, when, payload, durable }).await
    }

    async fn cancel(&mut self, name: String) -> wasmtime::Result<Result<bool, Error>> {
        self.perform(HostCall::CancelTimer { name }).await
    }

    async fn list(&mut self, after: Option<String>, limit: u32) -> wasmtime::Result<Result<Vec<Timer>, Error>> {
        self.perform(HostCall::Timers { after, limit }).await
    }
}

impl Guest {
    pub(super) async fn set_timer(
        &mut self,
        name: String,
        when: Schedule,
        payload: Vec<u8>,
        durable: bool,
    ) -> Result<(), Error> {
        let hub = self.hub_of_timers()?;
        let surroundings = self.surroundings.clone();
        let lifetime = if durable { Lifetime::Durable } else { Lifetime::Process };
        if durable {
            self.wait_to_write(name.len() + payload.len()).await;
        }
        let wish = Wish { name, when: convert::schedule(when), payload, lifetime };
        let set = surroundings.timers.set(&hub, wish, (&surroundings.settings.budgets, surroundings.kept.bytes()));
        let set = self.wait_for_disk(set).await;
        if let Err(error) = &set {
            let budget = match error {
                TimerError::TooMany => Some(Budget::Timers),
                TimerError::TooShort => Some(Budget::ShortestPeriod),
                TimerError::Quota => Some(Budget::State),
                TimerError::TooLarge | TimerError::Unavailable(_) => None,
            };
            budget.into_iter().for_each(|budget| surroundings.exceeded.add(budget));
        }
        set.map_err(convert::timer_error)
    }

    pub(super) async fn cancel_timer(&mut self, name: &str) -> Result<bool, Error> {
        let hub = self.hub_of_timers()?;
        let surroundings = self.surroundings.clone();
        self.wait_for_disk(surroundings.timers.cancel(&hub, name)).await.map_err(convert::timer_error)
    }

    pub(super) fn timers(&self, after: Option<&str>, limit: u32) -> Result<Vec<Timer>, Error> {
        let hub = self.hub_of_timers()?;
        let page = self.surroundings.timers.page(&hub, after, (limit as usize).min(TIMERS_PER_PAGE));
        Ok(page.into_iter().map(|(name, timer)| convert::timer(&name, &timer)).collect())
    }

    /// The hub whose timers are meant: that of an event that the plugin handles.
    fn hub_of_timers(&self) -> Result<HubName, Error> {
        match self.event.as_ref().map(|event| &event.of) {
            Some(of @ (EventOf::Client(_) | EventOf::Hub(_))) => Ok(of.hub().clone()),
            Some(EventOf::Filtered(..)) => Err(unavailable("a filter has no timers: they are of who handles a hub")),
            None => Err(unavailable("there is no event, so there is no hub whose timers are meant")),
        }
    }
}

fn unavailable(reason: &str) -> Error {
    Error::Unavailable(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use hubgate_core::pairs::Pairs;
    use timers::Host as _;

    use super::super::call::HostReply;
    use super::super::tests::surroundings_of;
    use super::super::{Exchange, Machine, Playback, Surroundings, Tape, Term};
    use super::*;
    use crate::budgets::Budgets;
    use crate::sections::Numbers;

    /// A guest in a call about this, with the plugin that it is of.
    fn guest(of: EventOf, tape: Tape) -> (Guest, Arc<Surroundings>) {
        let surroundings = surroundings_of(Budgets::default(), Arc::new(Machine::new()));
        let began = Instant::now();
        let deadline = began + Duration::from_secs(3_600);
        let mut guest = Guest::new(surroundings.clone(), None, Numbers::Exact, deadline).on(tape);
        guest.begin(of, Pairs::default(), Term { began, deadline, hurry: None });
        (guest, surroundings)
    }

    fn hub() -> HubName {
        HubName::parse("hub").expect("it is a hub's name")
    }

    async fn sets(guest: &mut Guest) -> Result<(), Error> {
        guest.set("t".to_owned(), Schedule::Every(50), vec![1, 2], false).await.expect("it does not trap")
    }

    #[tokio::test]
    async fn timers_are_of_who_handles_a_hub_and_not_of_filters() {
        let (mut handler, surroundings) = guest(EventOf::Hub(hub()), Tape::Off);
        assert_eq!(sets(&mut handler).await, Ok(()));
        assert_eq!(surroundings.timers.page(&hub(), None, 9).len(), 1);
        let (mut filter, surroundings) = guest(EventOf::Filtered(hub(), None), Tape::Off);
        let refused = sets(&mut filter).await;
        assert!(matches!(&refused, Err(Error::Unavailable(why)) if why.contains("filter")), "{refused:?}");
        assert!(surroundings.timers.page(&hub(), None, 9).is_empty());
    }

    #[tokio::test]
    async fn a_call_that_is_told_again_what_it_was_told_sets_nothing() {
        let set =
            HostCall::SetTimer { name: "t".to_owned(), when: Schedule::Every(50), payload: vec![1, 2], durable: false };
        let recorded = Exchange { call: set, reply: Ok(HostReply::TimerSet(Err(Error::TooMany))) };
        let (mut replayed, surroundings) = guest(EventOf::Hub(hub()), Tape::Playing(Playback::of(vec![recorded])));
        assert_eq!(sets(&mut replayed).await, Err(Error::TooMany));
        assert!(surroundings.timers.page(&hub(), None, 9).is_empty());
    }
}
