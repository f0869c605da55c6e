//! Timers of plugins, and versions that begin to serve a hub: what is due on this shard.

use std::rc::Rc;

use hubgate_core::Input;
use hubgate_core::event::{UpstreamAnswer, UpstreamFailure};
use hubgate_core::filter::Origin;
use hubgate_plugin_host::Firing;

use super::{ShardHandle, ShardThread};
use crate::peer_task::PeerTask;

impl ShardThread {
    /// Tells plugins what is due, each in a task of its own.
    pub(super) async fn fire_timers(self: Rc<Self>) {
        // What a plugin asks then is answered for all nodes.
        self.shared.vitals.joined().await;
        loop {
            let firing = self.plugins.next_firing(self.index).await;
            // If it panics, the timer is fired again later.
            self.tasks.spawn(PeerTask::Timer, self.clone().fire(firing), || ());
            // However many are due: whoever else is ready has a turn, this one first.
            tokio::task::yield_now().await;
        }
    }

    /// Tells a plugin, does what it asks for, and lets the timer go on only then.
    async fn fire(self: Rc<Self>, firing: Firing) {
        let UpstreamAnswer { result, actions } = match self.shared.settings().core.asks_upstream(firing.hub()) {
            true => self.plugins.fire(&firing).await,
            false => unasked(),
        };
        if !actions.is_empty() {
            self.peers.may_read().await;
            let (hub, origin) = (firing.hub().clone(), Origin::Plugin(firing.plugin().clone()));
            let submit = |ticket| Input::Submit { hub, origin, actions, ticket };
            // Where nobody answers, the shard is about to end.
            let _ = ShardHandle::new(self.clone()).ask(submit).await;
        }
        self.plugins.settle(firing, result.as_ref().map(drop)).await;
    }
}

/// The answer in a hub whose events hub servers hear of.
fn unasked() -> UpstreamAnswer {
    let reason = "hub servers answer in the hub".to_owned();
    UpstreamAnswer { result: Err(UpstreamFailure::Unavailable(reason)), actions: Vec::new() }
}
