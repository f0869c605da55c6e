//! Who decides which messages of clients are followed.

use std::fmt::Debug;
use std::sync::Arc;

use hubgate_wire::signalr::HubMessage;

use crate::event::ConnectionFacts;
use crate::trace::TraceMark;

/// What is told of what clients say, where that is read here.
pub trait Follower: Debug + Send + Sync {
    /// A client says something that is answered here. `None`: it is not followed.
    fn said(&self, client: &Arc<ConnectionFacts>, message: &HubMessage<'_>) -> Option<TraceMark>;

    /// Whether also what hub servers answer is read for this.
    fn reads_what_passes(&self) -> bool;

    /// A client says something that a hub server answers. The mark is dropped once it is queued for that.
    fn passes(&self, client: &Arc<ConnectionFacts>, message: &HubMessage<'_>) -> Option<TraceMark>;
}
