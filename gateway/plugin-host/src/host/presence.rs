//! The `presence` import: who is in the hub of the event.

use hubgate_core::WatchRefusal;
use hubgate_core::delivery::Target;
use hubgate_core::id::{ConnectionId, GroupName, HubName, UserId};
use hubgate_core::question::Members;

use super::call::HostCall;
use super::{Guest, ShardQuestion, UNANSWERED};
use crate::bindings::hubgate::plugin::presence::{self, MemberResult, WatchError};
use crate::bindings::hubgate::plugin::types;
use crate::convert;
use crate::limits::PRESENCE_PAGE;
use crate::metrics::Budget;

/// What a call without an event is told: while a component starts, it is in no hub.
const NO_HUB: &str = "there is no event, so there is no hub to ask";
const NO_ID: &str = "`after` is not the id of a connection";

impl presence::Host for Guest {
    async fn count(&mut self, target: types::TargetResult) -> wasmtime::Result<Result<u64, String>> {
        self.perform(HostCall::Count(target)).await
    }

    async fn members(
        &mut self,
        group: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<MemberResult>, String>> {
        self.perform(HostCall::Members { group, after, limit }).await
    }

    async fn connections(
        &mut self,
        user: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<String>, String>> {
        self.perform(HostCall::ConnectionsOf { user, after, limit }).await
    }

    async fn watch(&mut self, group: String) -> wasmtime::Result<Result<(), WatchError>> {
        self.perform(HostCall::Watch { group }).await
    }

    async fn unwatch(&mut self, group: String) -> wasmtime::Result<Result<(), WatchError>> {
        self.perform(HostCall::Unwatch { group }).await
    }
}

impl Guest {
    pub(super) async fn count(&mut self, target: types::TargetResult) -> Result<u64, String> {
        let hub = self.present_hub()?;
        let Some(target) = convert::target(target)? else { return Ok(0) };
        let count = self.ask_shard(|answer| ShardQuestion::Count { hub, target, answer }).await;
        count.ok_or_else(|| UNANSWERED.to_owned())
    }

    pub(super) async fn members(
        &mut self,
        group: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<MemberResult>, String> {
        let of = Target::Group(convert::group(group)?);
        let members = self.page(of, after, limit).await?;
        let member = |(id, user): (ConnectionId, Option<UserId>)| MemberResult {
            connection: id.to_string(),
            user_id: user.map(|user| user.to_string()),
        };
        Ok(members.into_iter().map(member).collect())
    }

    pub(super) async fn connections_of(
        &mut self,
        user: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, String> {
        let of = Target::User(convert::user(user)?);
        let connections = self.page(of, after, limit).await?;
        Ok(connections.into_iter().map(|(id, _)| id.to_string()).collect())
    }

    pub(super) async fn watch_group(&mut self, group: &str) -> Result<(), WatchError> {
        let (hub, group) = self.watched(group)?;
        let plugin = self.surroundings.name().clone();
        let watched = self.ask_shard(|answer| ShardQuestion::Watch { hub, plugin, group, answer }).await;
        match watched {
            Some(Ok(())) => Ok(()),
            Some(Err(WatchRefusal::TooMany)) => {
                self.surroundings.exceeded.add(Budget::PresenceGroups);
                Err(WatchError::TooMany)
            }
            Some(Err(WatchRefusal::NotServerless(mode))) => {
                let mode = mode.name();
                Err(WatchError::Invalid(format!(
                    "the hub is in {mode} mode: hub servers answer it, and presence is told of serverless hubs alone"
                )))
            }
            None => Err(WatchError::Invalid(UNANSWERED.to_owned())),
        }
    }

    pub(super) async fn unwatch_group(&mut self, group: &str) -> Result<(), WatchError> {
        let (hub, group) = self.watched(group)?;
        let plugin = self.surroundings.name().clone();
        let ended = self.ask_shard(|done| ShardQuestion::Unwatch { hub, plugin, group, done }).await;
        ended.ok_or_else(|| WatchError::Invalid(UNANSWERED.to_owned()))
    }

    fn watched(&self, group: &str) -> Result<(HubName, GroupName), WatchError> {
        let hub = self.present_hub().map_err(WatchError::Invalid)?;
        Ok((hub, convert::group(group).map_err(WatchError::Invalid)?))
    }

    /// At most [`PRESENCE_PAGE`] connections, however many are asked for.
    async fn page(&mut self, of: Target, after: Option<&str>, limit: u32) -> Result<Members, String> {
        let hub = self.present_hub()?;
        let after = after.map(|after| ConnectionId::parse(after).ok_or(NO_ID)).transpose()?;
        let most = (limit as usize).min(PRESENCE_PAGE);
        if most == 0 {
            return Ok(Vec::new());
        }
        let members = self.ask_shard(|answer| ShardQuestion::Members { hub, of, after, most, answer }).await;
        members.ok_or_else(|| UNANSWERED.to_owned())
    }

    fn present_hub(&self) -> Result<HubName, String> {
        self.event.as_ref().map(|event| event.of.hub().clone()).ok_or_else(|| NO_HUB.to_owned())
    }
}
