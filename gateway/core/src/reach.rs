//! How many connections a send reaches.

use std::fmt::Debug;
use std::sync::Arc;

use crate::id::HubName;
use crate::target::Target;
use crate::trace::TraceMark;

/// What is told how many connections one send reaches. It is dropped when all shards have sent.
pub trait Reach: Debug + Send + Sync {
    /// A shard has queued the message for so many connections, or holds it back until they may have it.
    fn reached(&self, connections: usize);
}

/// What is told of all sends to clients, whoever sends.
pub trait SendLog: Debug + Send + Sync {
    /// A send begins, for the message with this mark, if that is followed. `None`: it is of no interest.
    fn begin(&self, hub: &HubName, to: &Target, mark: Option<&TraceMark>) -> Option<Arc<dyn Reach>>;
}
