//! The `client-results` import: what a client answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hubgate_core::filter::Origin;

use super::call::HostCall;
use super::{EventOf, Guest, ShardQuestion, UNANSWERED};
use crate::bindings::hubgate::plugin::client_results::{self, AskError};
use crate::bindings::hubgate::plugin::types;
use crate::convert;
use crate::metrics::Budget;

/// What a client answers, as the guest is told.
pub(super) type Answer = Result<Option<types::PayloadResult>, AskError>;

impl client_results::Host for Guest {
    async fn ask(
        &mut self,
        connection: String,
        method: String,
        arguments: types::PayloadResult,
        timeout_ms: u32,
    ) -> wasmtime::Result<Answer> {
        self.perform(HostCall::Ask { connection, method, arguments, timeout_ms }).await
    }
}

impl Guest {
    /// Asks a client, and waits for its answer. That time is not the call's.
    pub(super) async fn ask_client(
        &mut self,
        connection: String,
        method: String,
        arguments: types::PayloadResult,
        timeout_ms: u32,
    ) -> wasmtime::Result<Answer> {
        let refuse = |reason: &str| Ok(Err(AskError::Failed(reason.to_owned())));
        let (hub, caller) = match &self.event {
            Some(event) if matches!(event.of, EventOf::Filtered(..)) => {
                return refuse("a filter asks no client: the message of the client that it looks at would wait for it");
            }
            Some(event) => (event.of.hub().clone(), event.of.client().map(|client| client.id)),
            None => return refuse("there is no event, so there is no hub whose clients could be asked"),
        };
        let Some(shard) = &self.shard else { return refuse(UNANSWERED) };
        let (questions, surroundings) = (shard.questions.clone(), self.surroundings.clone());
        let whose = (caller, Origin::Plugin(surroundings.name().clone()));
        let bytes = convert::payload_bytes(&arguments);
        let asked = self.offload(bytes, move || convert::question(&connection, whose, method, arguments)).await?;
        let question = match asked {
            Ok(Some(question)) => question,
            Ok(None) => return Ok(Err(AskError::NoSuchConnection)),
            Err(reason) => return Ok(Err(AskError::Failed(reason))),
        };
        let budgets = &surroundings.settings.budgets;
        let Some(_place) = surroundings.asks.begin(budgets.asks) else {
            surroundings.exceeded.add(Budget::Asks);
            return Ok(Err(AskError::Busy));
        };
        let within = time_of(timeout_ms, budgets.ask_time);
        let asked = async {
            let (answer, answered) = tokio::sync::oneshot::channel();
            questions.send(ShardQuestion::AskClient { hub, question, within, answer }).await.ok()?;
            answered.await.ok()
        };
        let paused = self.pause();
        let (answered, took) = self.absence.clone().while_away(asked).await;
        self.deadline += took;
        self.go_on(paused).await;
        match answered {
            Some(Ok(Some(value))) => {
                let wanted = surroundings.settings.payloads;
                Ok(Ok(Some(convert::owned_payload(&value, wanted, &surroundings.offload).await?)))
            }
            Some(Ok(None)) => Ok(Ok(None)),
            Some(Err(error)) => Ok(Err(convert::ask_error(error))),
            None => refuse(UNANSWERED),
        }
    }
}

/// How long an answer is waited for: as long as the guest says, and no longer than it may; 0 says nothing.
fn time_of(timeout_ms: u32, most: Duration) -> Duration {
    match timeout_ms {
        0 => most,
        _ => Duration::from_millis(timeout_ms.into()).min(most),
    }
}

/// How many calls of a plugin wait for what clients answer, on all shards.
#[derive(Debug, Clone, Default)]
pub(super) struct Asks(Arc<AtomicUsize>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct AskPlace(Asks);

impl Asks {
    /// One more, if there are fewer than `most`.
    fn begin(&self, most: usize) -> Option<AskPlace> {
        let one_more = |count: usize| (count < most).then_some(count + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(AskPlace(self.clone()))
    }
}

impl Drop for AskPlace {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_waited_for_as_long_as_the_guest_says_and_no_longer_than_it_may() {
        let most = Duration::from_secs(60);
        let milliseconds = |timeout_ms| time_of(timeout_ms, most).as_millis();
        assert_eq!([0, 1, 59_999, 60_000, u32::MAX].map(milliseconds), [60_000, 1, 59_999, 60_000, 60_000]);
    }

    #[test]
    fn so_many_calls_wait_at_a_time_and_others_once_these_do_not() {
        let asks = Asks::default();
        let first = asks.begin(2);
        let second = asks.begin(2);
        assert!(first.is_some() && second.is_some() && asks.begin(2).is_none());
        drop(first);
        assert!(asks.begin(2).is_some());
        assert!(asks.begin(1).is_none(), "the bound may have changed");
    }
}
