//! The sockets to which something was queued in this turn.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use hubgate_core::id::HubName;

use super::WebSocket;

/// Sockets of one hub that are flushed before those of others.
const SOCKETS_PER_HUB: usize = 32;
/// How long sockets are flushed before whoever else is ready has a turn.
const FLUSH_TURN: Duration = Duration::from_micros(400);

/// By hub, so that those of a quiet hub do not wait for all of a noisy one.
#[derive(Debug, Default)]
pub(crate) struct DirtySockets {
    hubs: RefCell<VecDeque<(HubName, VecDeque<Rc<WebSocket>>)>>,
}

impl DirtySockets {
    /// Gives whether it is the first one.
    pub(crate) fn add(&self, socket: &Rc<WebSocket>) -> bool {
        let mut hubs = self.hubs.borrow_mut();
        // As a rule it is the hub of the one before; few hubs have sockets here at once.
        match hubs.iter_mut().rev().find(|(hub, _)| *hub == socket.hub) {
            Some((_, sockets)) => sockets.push_back(socket.clone()),
            None => hubs.push_back((socket.hub.clone(), VecDeque::from([socket.clone()]))),
        }
        hubs.len() == 1 && hubs[0].1.len() == 1
    }

    /// Flushes sockets, some of each hub in turn. Pending: some are left.
    pub(crate) fn flush(&self) -> Poll<()> {
        let began = Instant::now();
        while let Some((hub, mut sockets)) = self.next_hub() {
            for socket in sockets.drain(..SOCKETS_PER_HUB.min(sockets.len())) {
                socket.is_dirty.set(false);
                socket.flush();
            }
            if !sockets.is_empty() {
                self.put_back(hub, sockets);
            }
            if began.elapsed() >= FLUSH_TURN && !self.hubs.borrow().is_empty() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    fn next_hub(&self) -> Option<(HubName, VecDeque<Rc<WebSocket>>)> {
        self.hubs.borrow_mut().pop_front()
    }

    /// Behind the other hubs. A flush may have made sockets of it dirty.
    fn put_back(&self, hub: HubName, mut sockets: VecDeque<Rc<WebSocket>>) {
        let mut hubs = self.hubs.borrow_mut();
        match hubs.iter_mut().find(|(each, _)| *each == hub) {
            Some((_, added)) => {
                sockets.append(added);
                *added = sockets;
            }
            None => hubs.push_back((hub, sockets)),
        }
    }
}
