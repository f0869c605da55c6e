//! What operators are told of their orders, and whether they still wait for that.

use std::sync::{Arc, Weak};

use tokio::sync::oneshot;

/// Told what came of an order: once all threads go by it, or why everything stays as it is. Dropped where the gateway stops before either is
/// known.
pub type OrderAnswer<T> = oneshot::Sender<Result<T, OrderRefusal>>;

/// Why everything stays as it is, and where it can be changed; a text for operators.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OrderRefusal(pub String);

/// Whether whoever asked still waits. The answer is for the log, too, and is waited for in any case.
#[derive(Debug, Clone)]
pub struct Caller(Weak<()>);

/// What a caller keeps as long as it waits.
#[derive(Debug)]
pub struct Waiting {
    _waits: Arc<()>,
}

impl Caller {
    pub fn waiting() -> (Waiting, Caller) {
        let waiting = Arc::new(());
        let caller = Caller(Arc::downgrade(&waiting));
        (Waiting { _waits: waiting }, caller)
    }

    pub fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_gone_when_it_waits_no_longer() {
        let (waiting, caller) = Caller::waiting();
        assert!(!caller.is_gone());
        drop(waiting);
        assert!(caller.is_gone());
    }
}
