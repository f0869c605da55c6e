//! The `timers` import: acting later, on the hub of the event.

use hubgate_core::id::HubName;

use super::call::HostCall;
use super::{EventOf, Guest};
use crate::bindings::hubgate::plugin::timers::{self, Error, Schedule, Timer};
use crate::convert;
use crate::limits::TIMERS_PER_PAGE;
use crate::metrics::Budget;
use crate::timers::{Lifetime, TimerError, Wish};

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
        let set = surroundings.timers.set(&hub, wish, (&surroundings.settings.budgets, &surroundings.values));
        let set = self.wait_for(set).await;
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
        self.wait_for(surroundings.timers.cancel(&hub, name)).await.map_err(convert::timer_error)
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
