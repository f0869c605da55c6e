//! The HTTP connections of a shard, which end when the gateway does.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

/// How many there are, and whether they are to end.
#[derive(Debug, Default)]
pub(crate) struct HttpConnections {
    open: Cell<usize>,
    are_ending: Cell<bool>,
    end_begins: Notify,
    all_gone: Notify,
}

/// One that is open.
#[derive(Debug)]
pub(crate) struct OpenConnection(Rc<HttpConnections>);

impl HttpConnections {
    pub(crate) fn enter(self: &Rc<Self>) -> OpenConnection {
        self.open.set(self.open.get() + 1);
        OpenConnection(self.clone())
    }

    /// Each ends after the request that it is at. One on which none has come waits for it, so that nobody who was accepted is
    /// turned away.
    pub(crate) fn end(&self) {
        self.are_ending.set(true);
        self.end_begins.notify_waiters();
    }

    pub(crate) fn are_ending(&self) -> bool {
        self.are_ending.get()
    }

    pub(crate) async fn end_has_begun(&self) {
        let begins = self.end_begins.notified();
        if !self.are_ending() {
            begins.await;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.get() == 0
    }

    /// The last one that was open has gone.
    pub(crate) async fn all_gone(&self) {
        self.all_gone.notified().await;
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        if self.0.is_empty() {
            self.0.all_gone.notify_waiters();
        }
    }
}
