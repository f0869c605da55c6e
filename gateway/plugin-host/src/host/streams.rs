//! The `streams` import: what clients are sent item by item.

use hubgate_core::stream::{StreamCommand, StreamDeed, StreamError, StreamId, StreamReply};

use super::call::HostCall;
use super::{Guest, ShardQuestion, UNANSWERED};
use crate::bindings::hubgate::plugin::streams::{self, PushError, Room};
use crate::bindings::hubgate::plugin::types;
use crate::convert;
use crate::metrics::Budget;

/// How a stream ends, as a guest says it.
pub(crate) type Outcome = Result<Option<types::PayloadResult>, types::Error>;

impl streams::Host for Guest {
    async fn push(
        &mut self,
        id: String,
        items: Vec<types::PayloadResult>,
    ) -> wasmtime::Result<Result<Room, PushError>> {
        self.perform(HostCall::Push { id, items }).await
    }

    async fn finish(&mut self, id: String, outcome: Outcome) -> wasmtime::Result<Result<(), PushError>> {
        self.perform(HostCall::Finish { id, outcome }).await
    }
}

impl Guest {
    pub(super) async fn push_items(
        &mut self,
        id: &str,
        items: Vec<types::PayloadResult>,
    ) -> wasmtime::Result<Result<Room, PushError>> {
        let (count, bytes) = (items.len(), items.iter().map(convert::payload_bytes).sum());
        let budgets = &self.surroundings.settings.budgets.streams;
        if count > budgets.items || bytes > budgets.bytes {
            let exceeded = if count > budgets.items { Budget::StreamItems } else { Budget::StreamBytes };
            self.surroundings.exceeded.add(exceeded);
            return Ok(Err(PushError::TooLarge));
        }
        let items = match self.offload(bytes, || convert::items(items)).await? {
            Ok(items) => items,
            Err(reason) => return Ok(Err(PushError::Invalid(reason))),
        };
        let pushed = self.do_to_stream(id, StreamDeed::Push(items)).await;
        match &pushed {
            Err(PushError::Full(room)) if count > room.items as usize => {
                self.surroundings.exceeded.add(Budget::StreamItems);
            }
            // What is too large only there is more than all streams of a client may have.
            Err(PushError::Full(_) | PushError::TooLarge) => self.surroundings.exceeded.add(Budget::StreamBytes),
            Ok(_) | Err(PushError::NoSuchStream | PushError::Invalid(_)) => {}
        }
        Ok(pushed)
    }

    pub(super) async fn finish_stream(
        &mut self,
        id: &str,
        outcome: Outcome,
    ) -> wasmtime::Result<Result<(), PushError>> {
        let bytes = convert::answer_bytes(&outcome);
        // What is no value is for the plugin to hear, and not for the client.
        let finish = match self.offload(bytes, || convert::finish(outcome)).await? {
            Ok(finish) => finish,
            Err(reason) => return Ok(Err(PushError::Invalid(reason))),
        };
        Ok(self.do_to_stream(id, StreamDeed::Finish(finish)).await.map(drop))
    }

    async fn do_to_stream(&mut self, id: &str, does: StreamDeed) -> Result<Room, PushError> {
        // Before its first event an instance knows of no stream.
        let (Some(event), Some(stream)) = (&self.event, StreamId::parse(id)) else {
            return Err(PushError::NoSuchStream);
        };
        let (hub, plugin) = (event.of.hub().clone(), self.surroundings.name().clone());
        let command = StreamCommand { stream, plugin, does };
        let reply: Option<StreamReply> = self.ask_shard(|answer| ShardQuestion::Stream { hub, command, answer }).await;
        match reply {
            Some(reply) => reply.map(convert::room).map_err(push_error),
            None => Err(PushError::Invalid(format!("it is unknown whether it was done: {UNANSWERED}"))),
        }
    }
}

fn push_error(error: StreamError) -> PushError {
    match error {
        StreamError::NoSuchStream => PushError::NoSuchStream,
        StreamError::Full(room) => PushError::Full(convert::room(room)),
        StreamError::TooLarge => PushError::TooLarge,
        StreamError::Invalid(unsuited) => PushError::Invalid(unsuited.to_string()),
    }
}
