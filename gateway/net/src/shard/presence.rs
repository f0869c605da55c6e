//! How plugins are told who joins and leaves groups that they watch.

use std::rc::Rc;

use hubgate_core::Input;
use hubgate_core::event::{HubCall, UpstreamAnswer};
use hubgate_core::filter::Origin;

use super::{ShardHandle, ShardThread};
use crate::peer_task::PeerTask;
use crate::tasks::Caught;

impl ShardThread {
    /// Tells a plugin, does what its answer asks for, and lets the core know that it may be told more.
    pub(super) fn tell_presence(self: &Rc<Self>, call: HubCall) {
        let (hub, plugin) = (call.hub.clone(), call.plugin.clone());
        let (told_hub, told_plugin) = (hub.clone(), plugin.clone());
        let told = move |shard: &Rc<ShardThread>| {
            shard.feed(Input::PresenceTold { hub: told_hub, plugin: told_plugin });
        };
        let (shard, told_after_panic) = (self.clone(), told.clone());
        // A failed call is logged where it ends.
        let call = Box::pin(Caught::new(self.plugins.call_hub(call)));
        let tell = async move {
            if let Ok(UpstreamAnswer { actions, .. }) = call.await
                && !actions.is_empty()
            {
                shard.peers.may_read().await;
                let submit = |ticket| Input::Submit { hub, origin: Origin::Plugin(plugin), actions, ticket };
                let _ = ShardHandle::new(shard.clone()).ask(submit).await;
            }
            told(&shard);
        };
        let shard = self.clone();
        self.tasks.spawn(PeerTask::Call, tell, move || told_after_panic(&shard));
    }
}
