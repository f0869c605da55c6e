//! Where the answers of the core go that others wait for.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use hubgate_core::Ticket;
use hubgate_core::event::HubAnswer;
use tokio::sync::oneshot;

#[derive(Debug, Default)]
pub(super) struct Asked {
    waiting: RefCell<HashMap<Ticket, oneshot::Sender<HubAnswer>>>,
    next_ticket: Cell<u64>,
}

impl Asked {
    /// The ticket of one more that waits.
    pub(super) fn begin(&self, asker: oneshot::Sender<HubAnswer>) -> Ticket {
        let ticket = Ticket(self.next_ticket.replace(self.next_ticket.get() + 1));
        self.waiting.borrow_mut().insert(ticket, asker);
        ticket
    }

    pub(super) fn answered(&self, ticket: Ticket, answer: HubAnswer) {
        if let Some(asker) = self.waiting.borrow_mut().remove(&ticket) {
            // Whoever asked may be gone.
            let _ = asker.send(answer);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }
}
