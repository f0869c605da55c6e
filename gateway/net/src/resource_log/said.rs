//! Hears what clients say, before whoever else follows it.

use std::sync::Arc;

use hubgate_core::event::ConnectionFacts;
use hubgate_core::follower::Follower;
use hubgate_core::trace::TraceMark;
use hubgate_wire::signalr::HubMessage;

use super::ResourceLog;

#[derive(Debug)]
pub(crate) struct Hearing {
    log: Arc<ResourceLog>,
    /// Who decides whether messages are followed, if anybody does.
    next: Option<Arc<dyn Follower>>,
}

impl Hearing {
    /// Who hears what clients say: the log, if there is one, and then `next`.
    pub(crate) fn before(next: Option<Arc<dyn Follower>>, log: Option<&Arc<ResourceLog>>) -> Option<Arc<dyn Follower>> {
        match log {
            Some(log) => Some(Arc::new(Hearing { log: log.clone(), next })),
            None => next,
        }
    }
}

impl Follower for Hearing {
    fn said(&self, client: &Arc<ConnectionFacts>, message: &HubMessage<'_>) -> Option<TraceMark> {
        self.log.said(client, message);
        self.next.as_ref()?.said(client, message)
    }

    fn reads_what_passes(&self) -> bool {
        true
    }

    fn passes(&self, client: &Arc<ConnectionFacts>, message: &HubMessage<'_>) -> Option<TraceMark> {
        self.log.said(client, message);
        self.next.as_ref()?.passes(client, message)
    }
}
