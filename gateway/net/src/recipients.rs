//! How many connections of this gateway a send reaches: for callers that ask, and for the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hubgate_core::delivery::Target;
use hubgate_core::id::HubName;
use hubgate_core::reach::{Reach, SendLog};

/// The recipients of one send. Dropped once all shards have sent; the log is told then.
#[derive(Debug)]
pub(crate) struct Recipients {
    hub: HubName,
    to: Target,
    count: AtomicUsize,
}

impl Recipients {
    pub(crate) fn of(hub: &HubName, to: &Target) -> Arc<Recipients> {
        Arc::new(Recipients { hub: hub.clone(), to: to.clone(), count: AtomicUsize::new(0) })
    }

    /// How many there are so far.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl Reach for Recipients {
    fn reached(&self, connections: usize) {
        self.count.fetch_add(connections, Ordering::Relaxed);
    }
}

impl Drop for Recipients {
    fn drop(&mut self) {
        let (kind, name) = match &self.to {
            Target::All => ("all", None),
            Target::Group(group) => ("group", Some(group.as_str())),
            Target::User(user) => ("user", Some(user.as_str())),
            Target::Connection(id) => ("connection", Some(id.as_str())),
        };
        tracing::debug!(hub = %self.hub, to = kind, name, recipients = self.count(), "sent");
    }
}

/// Tells the log of all sends where it takes such lines.
#[derive(Debug)]
pub(crate) struct SentLines;

impl SendLog for SentLines {
    fn begin(&self, hub: &HubName, to: &Target) -> Option<Arc<dyn Reach>> {
        tracing::enabled!(tracing::Level::DEBUG).then(|| Recipients::of(hub, to) as Arc<dyn Reach>)
    }
}
