//! Writes what a turn has queued, once, at the turn's end.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use hubgate_core::id::HubName;

use crate::links::{DirtySockets, WebSocket};

#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Sockets to which something was queued in this turn.
    dirty: DirtySockets,
    /// Wakes the task that writes.
    task: RefCell<Option<Waker>>,
}

impl Writer {
    /// What is queued leaves at the end of the turn.
    pub(super) fn flush_later(&self, socket: &Rc<WebSocket>) {
        if socket.is_dirty.replace(true) {
            return;
        }
        if self.dirty.add(socket)
            && let Some(task) = self.task.borrow().as_ref()
        {
            task.wake_by_ref();
        }
    }

    /// Writes what was queued, once for all that a turn queued: the task runs after all others that were ready. Hubs that `has_more`
    /// to say may wait for it. `on_turn` is called first.
    pub(super) async fn flush_at_the_end_of_each_turn(&self, on_turn: impl Fn(), has_more: impl Fn(&HubName) -> bool) {
        poll_fn(|cx| {
            let mut task = self.task.borrow_mut();
            match task.as_mut() {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *task = Some(cx.waker().clone()),
            }
            drop(task);
            on_turn();
            if self.dirty.flush(&has_more).is_pending() {
                // What is ready now goes first.
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        })
        .await;
    }
}
