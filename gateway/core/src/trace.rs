//! Messages that somebody follows on their way, from the client that says them to all that comes of them.
//!
//! The core carries marks and does not look at them. What it does for a message that has one leaves as [`crate::Effect::Traced`], and what
//! comes of that is fed as [`crate::Input::Traced`].

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

/// What is behind a mark: whoever follows messages knows it.
pub trait Traced: Any + Debug + Send + Sync {}

/// The mark of a message that is followed. The message is over once the last clone is dropped, on whatever thread that is.
#[derive(Debug, Clone)]
pub struct TraceMark(Arc<dyn Traced>);

/// What whoever follows a message may note of it while a call waits, in bytes: names of the method and the user, and what others keep in the trace.
pub(crate) const MARK_WEIGHT: usize = 2 << 10;

impl TraceMark {
    pub fn new(traced: Arc<impl Traced>) -> TraceMark {
        TraceMark(traced)
    }

    /// What is behind it, if it is of this type.
    pub fn traced<T: Traced>(&self) -> Option<Arc<T>> {
        let traced: Arc<dyn Any + Send + Sync> = self.0.clone();
        traced.downcast().ok()
    }
}
