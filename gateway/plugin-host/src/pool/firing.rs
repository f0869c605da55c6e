//! What comes to a shard's plugins when its time has come: their timers, and that one of their versions begins to serve a hub.

use std::rc::Rc;

use hubgate_core::event::{UpstreamAnswer, UpstreamFailure};
use hubgate_core::id::ShardIndex;

use super::{Pool, ShardPlugins, failed};
use crate::timers::{Firing, Wanted};

impl ShardPlugins {
    /// What is due next on the lane of this shard, once it is. One may wait at a time.
    pub async fn next_firing(&self, shard: ShardIndex) -> Firing {
        self.host.timers().next(shard.0.into()).await
    }

    /// Tells the plugin, in the same way. The answer says that it is unavailable as long as it is not to be told.
    pub fn fire(&self, firing: &Firing) -> impl Future<Output = UpstreamAnswer> + use<> {
        let pool = self.pools.borrow().get(firing.plugin()).map(Rc::clone);
        let (call, wanted) = (firing.call(), firing.wanted());
        async move {
            match pool {
                Some(pool) if pool.takes(wanted) => pool.answer_for_hub(call).await,
                Some(_) | None => failed(UpstreamFailure::Unavailable("no version can be told of it".to_owned())),
            }
        }
    }

    /// Something came of it: a timer is over, or due again. A durable one is with the operating system then.
    pub async fn settle(&self, firing: Firing, result: Result<(), &UpstreamFailure>) {
        let pool = self.pools.borrow().get(firing.plugin()).map(Rc::clone);
        match pool {
            Some(pool) if pool.has_passed(firing.wanted()) => firing.forget(),
            Some(pool) => firing.settle(result, &pool.plugin.surroundings.timers).await,
            // A timer of a plugin that is gone is gone, too; one that is to come is waited for.
            None => firing.wait(),
        }
    }
}

impl Pool {
    /// Whether the version that serves can be told.
    fn takes(&self, wanted: Wanted) -> bool {
        let versions = self.plugin.versions();
        let Some(version) = &versions.serving else { return false };
        match wanted {
            Wanted::Scheduled => {
                let takes = version.exports.scheduled.is_some();
                self.note_waiting_timers(!takes);
                takes
            }
            Wanted::Lifetime(generation) => version.generation == generation && version.exports.hub_lifetime.is_some(),
        }
    }

    /// Whether only an earlier version was to be told.
    fn has_passed(&self, wanted: Wanted) -> bool {
        matches!(wanted, Wanted::Lifetime(generation) if self.plugin.versions().generation > generation)
    }

    fn note_waiting_timers(&self, wait: bool) {
        let (plugin, account) = (self.plugin.name(), self.plugin.surroundings.timers.account());
        if account.set_waiting(wait) && wait {
            tracing::warn!(%plugin, "timers of the plugin wait: the version that serves exports no `scheduled`");
        }
    }
}
