//! Frames that are kept for clients that may resume, and what they take up together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hubgate_wire::websocket::Frame;

use super::dialect::Dialect;

/// What a log takes up for a frame that it keeps, which others may keep as well: a slot in a queue that doubles as it grows.
pub(super) const SLOT: usize = 2 * size_of::<KeptFrame>();

/// What is kept for all clients of a shard, in bytes. What is kept for many of them counts once; so it is what would be free if none of them
/// were there.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeptAccount(Arc<AtomicUsize>);

/// A frame that one client, or several, may have to be sent again.
#[derive(Debug, Clone)]
pub(crate) struct KeptFrame(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    frame: Frame,
    /// How many messages in it count: a hub server may send several in one.
    messages: u64,
    account: KeptAccount,
}

/// A frame for one client, or for several that speak alike, with what those of them share that may resume.
#[derive(Debug)]
pub(crate) struct Copies<'f> {
    pub(super) frame: &'f Frame,
    kept: Option<KeptFrame>,
}

impl KeptAccount {
    pub(crate) fn total(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl KeptFrame {
    pub(super) fn new(frame: &Frame, messages: u64, account: &KeptAccount) -> KeptFrame {
        account.add(frame.cost());
        KeptFrame(Arc::new(Kept { frame: frame.clone(), messages, account: account.clone() }))
    }

    pub(super) fn frame(&self) -> &Frame {
        &self.0.frame
    }

    pub(super) fn messages(&self) -> u64 {
        self.0.messages
    }

    /// What it takes up as if nobody shared it.
    pub(super) fn cost(&self) -> usize {
        self.0.frame.cost() + SLOT
    }

    /// The part of that which is its holder's if all who share it have the same part.
    pub(super) fn part(&self) -> usize {
        self.0.frame.cost() / Arc::strong_count(&self.0) + SLOT
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.account.subtract(self.frame.cost());
    }
}

impl<'f> Copies<'f> {
    pub(super) fn of(frame: &'f Frame) -> Copies<'f> {
        Copies { frame, kept: None }
    }

    /// The same for all who keep it.
    pub(super) fn kept(&mut self, dialect: Dialect, account: &KeptAccount) -> &KeptFrame {
        self.kept.get_or_insert_with(|| KeptFrame::new(self.frame, dialect.counted(self.frame), account))
    }
}
