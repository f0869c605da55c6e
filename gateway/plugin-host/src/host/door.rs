//! The one door of the host: every call of an import of the contract, and what WASI has of time, chance and waiting, comes in here as
//! data and goes out as data. So it can be written down, and answered again without a host. It is counted here, and metered where it may
//! take a while. The rest of WASI needs nothing of the outside, and is answered and counted in [`wasi`](super::wasi).

use wasmtime::format_err;

use super::Guest;
use super::call::{Fact, Glance, HostCall, HostReply, Reply};
use super::tape::Tape;
use super::wasi;
use crate::convert;

impl Guest {
    /// Answers a call that may take a while. An error traps.
    pub(super) async fn perform<T: Reply>(&mut self, call: HostCall) -> wasmtime::Result<T> {
        self.meter().await?;
        let reply = match &self.tape {
            Tape::Off => self.answer(call).await?,
            // Boxed, so that the future of every call is not as large as these.
            Tape::Recording(_) | Tape::Playing(_) => Box::pin(self.answer_on_tape(call)).await?,
        };
        read(reply)
    }

    /// Answers a call that takes a moment at most.
    pub(super) fn glance<T: Reply>(&mut self, call: Glance) -> wasmtime::Result<T> {
        self.count_host_call()?;
        let tape = self.tape.clone();
        read(tape.answer(HostCall::Glance(call), || self.answer_glance(call))?)
    }

    async fn answer_on_tape(&mut self, call: HostCall) -> wasmtime::Result<HostReply> {
        match self.tape.clone() {
            Tape::Off => self.answer(call).await,
            Tape::Recording(recording) => {
                let reply = self.answer(call.clone()).await;
                recording.add(call, &reply);
                reply
            }
            Tape::Playing(playback) => {
                let reply = playback.next(&call)?;
                self.repeat(call, &reply).await?;
                Ok(reply)
            }
        }
    }

    /// Does what a call that is replayed does to the instance and to the answer of its event.
    async fn repeat(&mut self, call: HostCall, reply: &HostReply) -> wasmtime::Result<()> {
        match (call, reply) {
            (HostCall::Submit(actions), _) => drop(self.queue(actions).await?),
            (HostCall::Flush, _) => drop(self.take_actions()),
            (HostCall::Poll(pollables), HostReply::Ready(ready)) => {
                for pollable in ready.iter().filter_map(|index| pollables.get(*index as usize)) {
                    self.poll_wasi(vec![*pollable]).await?;
                }
            }
            (HostCall::IsReady(pollable), HostReply::IsReady(true)) => drop(self.poll_wasi(vec![pollable]).await?),
            // All else it only tells the guest.
            _ => {}
        }
        Ok(())
    }

    async fn answer(&mut self, call: HostCall) -> wasmtime::Result<HostReply> {
        Ok(match call {
            HostCall::Glance(glance) => self.answer_glance(glance),
            HostCall::Random { length } => self.surroundings.random(length as usize)?.into_reply(),
            HostCall::Config { key } => self.surroundings.config(&key).into_reply(),
            HostCall::Log { level, message, fields } => {
                let fields = convert::fields(&fields);
                self.surroundings.log_line(convert::level(level), &message, fields);
                HostReply::Done(())
            }
            HostCall::Fact { fact, connection } => {
                let facts = self.facts(&connection).await?;
                match fact {
                    Fact::Claims => facts.map(|facts| convert::pairs(&facts.claims)).into_reply(),
                    Fact::Query => facts.map(|facts| facts.query.to_string()).into_reply(),
                    Fact::Headers => facts.map(|facts| convert::pairs(&facts.headers)).into_reply(),
                    Fact::RemoteAddress => facts.map(|facts| facts.remote_address.to_string()).into_reply(),
                    Fact::Protocol => facts.map(|facts| facts.protocol.name().to_owned()).into_reply(),
                }
            }
            HostCall::Submit(actions) => self.queue(actions).await?.into_reply(),
            HostCall::Flush => {
                self.run_what_is_queued().await;
                HostReply::Done(())
            }
            HostCall::Exists(target) => self.target_exists(target).await.into_reply(),
            HostCall::Get { key } => self.kept_value(&key).into_reply(),
            HostCall::Change { key, operation, ttl_ms } => {
                Box::pin(self.keep(key, operation, ttl_ms)).await.into_reply()
            }
            HostCall::Keys { prefix, after, limit } => {
                Box::pin(self.kept_keys(&prefix, after, limit)).await?.into_reply()
            }
            HostCall::Push { id, items } => Box::pin(self.push_items(&id, items)).await?.into_reply(),
            HostCall::Finish { id, outcome } => Box::pin(self.finish_stream(&id, outcome)).await?.into_reply(),
            HostCall::Http(request) => Box::pin(self.fetch(request)).await.into_reply(),
            HostCall::SetTimer { name, when, payload, durable } => {
                Box::pin(self.set_timer(name, when, payload, durable)).await.into_reply()
            }
            HostCall::CancelTimer { name } => Box::pin(self.cancel_timer(&name)).await.into_reply(),
            HostCall::Timers { after, limit } => self.timers(after.as_deref(), limit).into_reply(),
            HostCall::Count(target) => self.count(target).await.into_reply(),
            HostCall::Members { group, after, limit } => {
                Box::pin(self.members(&group, after.as_deref(), limit)).await.into_reply()
            }
            HostCall::ConnectionsOf { user, after, limit } => {
                Box::pin(self.connections_of(&user, after.as_deref(), limit)).await.into_reply()
            }
            HostCall::Watch { group } => self.watch_group(&group).await.into_reply(),
            HostCall::Unwatch { group } => self.unwatch_group(&group).await.into_reply(),
            HostCall::Outside(call) => wasi::answer(&*self.surroundings.source, call),
            HostCall::Poll(pollables) => self.poll_wasi(pollables).await?.into_reply(),
            HostCall::IsReady(pollable) => self.quiet_wasi().is_ready(pollable).await?.into_reply(),
            HostCall::Ask { connection, method, arguments, timeout_ms } => {
                Box::pin(self.ask_client(connection, method, arguments, timeout_ms)).await?.into_reply()
            }
        })
    }

    fn answer_glance(&mut self, glance: Glance) -> HostReply {
        match glance {
            Glance::Now => {
                let source = &self.surroundings.source;
                let now = || source.wall_clock().as_millis().try_into().unwrap_or(u64::MAX);
                self.now.get_or_insert_with(now).into_reply()
            }
            Glance::EventId => {
                self.event_id.get_or_insert_with(|| self.surroundings.event_ids.make()).clone().into_reply()
            }
            Glance::MessageHeaders => {
                self.event.as_ref().map_or_else(Vec::new, |event| convert::pairs(&event.headers)).into_reply()
            }
            Glance::TimeLeft => {
                let left = self.surroundings.source.until(self.deadline);
                u32::try_from(left.as_millis()).unwrap_or(u32::MAX).into_reply()
            }
        }
    }
}

fn read<T: Reply>(reply: HostReply) -> wasmtime::Result<T> {
    T::of(reply).ok_or_else(|| format_err!("the host has replied to another call"))
}
