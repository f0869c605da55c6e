//! What waits for all peers together (`server.limits.outboxes`). When that is too much, those for whom most waits are let go.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use hubgate_wire::websocket::FRAME_OVERHEAD;
use slab::Slab;

/// A peer for which less than so many bytes wait is never let go because of others.
const LARGE: usize = 8 << 10;
/// How far a part may be from what is known of it, in bytes: what leaves at once is never counted.
const GRAIN: usize = 4 << 10;

/// The account of all outboxes, on all shards.
#[derive(Debug, Default)]
pub(crate) struct Outboxes {
    /// In bytes.
    limit: AtomicUsize,
    held: AtomicUsize,
    large: Mutex<Slab<Arc<Holder>>>,
    /// By where bytes are in memory, on how many shards outboxes share them: a message that goes to clients of several shards is
    /// encoded once for all of them.
    shared: Mutex<HashMap<usize, usize>>,
    /// Whether the log has heard that it is too much.
    has_told: AtomicBool,
}

/// A peer for which much waits.
#[derive(Debug)]
struct Holder {
    /// In bytes, those included that others wait for, too.
    waiting: AtomicUsize,
    must_go: AtomicBool,
    /// Lets it notice that it must go.
    waker: Waker,
}

/// One outbox's part in the account; nothing once this is dropped.
#[derive(Debug)]
pub(crate) struct Part {
    all: Arc<Outboxes>,
    /// What it takes up alone, as the account has it, in bytes.
    held: usize,
    /// The same with what it shares.
    waiting: usize,
    /// Its place among the large ones.
    place: Option<(usize, Arc<Holder>)>,
}

/// Bytes that many outboxes of one shard share. They count once for all shards, until the last outbox lets go of them.
struct Shared {
    bytes: Bytes,
    all: Arc<Outboxes>,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The bytes are still there, so that no others can be in their place.
        let mut shared = self.all.shared();
        let place = self.bytes.as_ptr().addr();
        match shared.get_mut(&place) {
            Some(shards) if *shards > 1 => *shards -= 1,
            _ => {
                shared.remove(&place);
                self.all.held.fetch_sub(self.bytes.len() + FRAME_OVERHEAD, Ordering::Relaxed);
            }
        }
    }
}

impl Outboxes {
    pub(crate) fn new(limit: usize) -> Outboxes {
        Outboxes { limit: AtomicUsize::new(limit), ..Outboxes::default() }
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// What waits, in bytes, as far as it is counted.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Bytes that are to be in several outboxes, and may be in others on other shards.
    pub(crate) fn share(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        let mut shared = self.shared();
        let shards = shared.entry(bytes.as_ptr().addr()).or_default();
        *shards += 1;
        if *shards == 1 {
            self.held.fetch_add(bytes.len() + FRAME_OVERHEAD, Ordering::Relaxed);
        }
        drop(shared);
        Bytes::from_owner(Shared { bytes, all: self.clone() })
    }

    /// The part of an outbox that is empty.
    pub(crate) fn part(self: &Arc<Self>) -> Part {
        Part { all: self.clone(), held: 0, waiting: 0, place: None }
    }

    /// Lets peers go for which most waits, if there is too much in all.
    pub(crate) fn relieve(&self) {
        let (limit, held) = (self.limit.load(Ordering::Relaxed), self.held());
        if held <= limit {
            if held <= limit / 2 {
                self.has_told.store(false, Ordering::Relaxed);
            }
            return;
        }
        let large = self.large();
        let (going, mut staying): (Vec<_>, Vec<_>) =
            large.iter().map(|(_, holder)| holder).partition(|holder| holder.must_go.load(Ordering::Relaxed));
        let waiting = |holder: &&Arc<Holder>| holder.waiting.load(Ordering::Relaxed);
        let going: usize = going.iter().map(waiting).sum();
        let mut left = held.saturating_sub(going);
        if left <= limit {
            return;
        }
        staying.sort_by_cached_key(|holder| std::cmp::Reverse(waiting(holder)));
        for holder in staying {
            // A little more than needed, so that not every byte makes another one go.
            if left <= limit - limit / 8 {
                break;
            }
            left = left.saturating_sub(waiting(&holder));
            holder.must_go.store(true, Ordering::Relaxed);
            holder.waker.wake_by_ref();
        }
        drop(large);
        if !self.has_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                limit,
                held,
                "more waits for clients and hub servers than `server.limits.outboxes` allows: those for whom most waits are let go"
            );
        }
    }

    fn shared(&self) -> MutexGuard<'_, HashMap<usize, usize>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn large(&self) -> MutexGuard<'_, Slab<Arc<Holder>>> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    /// Whether anything of it is counted.
    pub(crate) fn is_counted(&self) -> bool {
        self.waiting > 0
    }

    /// Another outbox's part in the same account.
    pub(crate) fn another(&self) -> Part {
        self.all.part()
    }

    /// The outbox takes up `held` bytes alone, and `waiting` with what it shares. `waker` is the peer's; without one it does not become
    /// one that may be let go.
    pub(crate) fn settle(&mut self, held: usize, waiting: usize, waker: Option<&Waker>) {
        let is_settled = waiting.abs_diff(self.waiting) < GRAIN && (waiting > 0 || self.waiting == 0);
        if is_settled {
            return;
        }
        let before = std::mem::replace(&mut self.held, held);
        match held >= before {
            true => self.all.held.fetch_add(held - before, Ordering::Relaxed),
            false => self.all.held.fetch_sub(before - held, Ordering::Relaxed),
        };
        let has_grown = waiting > std::mem::replace(&mut self.waiting, waiting);
        match (&self.place, waker) {
            (Some((place, _)), _) if waiting < GRAIN => {
                self.all.large().remove(*place);
                self.place = None;
            }
            (Some((_, holder)), _) => holder.waiting.store(waiting, Ordering::Relaxed),
            (None, Some(waker)) if waiting >= LARGE => {
                let (waiting, waker) = (AtomicUsize::new(waiting), waker.clone());
                let holder = Arc::new(Holder { waiting, must_go: AtomicBool::new(false), waker });
                self.place = Some((self.all.large().insert(holder.clone()), holder));
            }
            (None, _) => {}
        }
        if has_grown {
            self.all.relieve();
        }
    }

    /// Whether its peer is to be let go.
    pub(crate) fn must_go(&self) -> bool {
        self.place.as_ref().is_some_and(|(_, holder)| holder.must_go.load(Ordering::Relaxed))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.settle(0, 0, None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

    use hubgate_core::Outgoing;
    use hubgate_wire::signalr::HubProtocol;

    use super::*;

    const KIB: usize = 1 << 10;

    #[derive(Default)]
    struct Wakes(AtomicU32);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn part(all: &Arc<Outboxes>, kib: usize) -> (Part, Arc<Wakes>) {
        let (mut part, wakes) = (all.part(), Arc::<Wakes>::default());
        part.settle(kib * KIB, kib * KIB, Some(&Waker::from(wakes.clone())));
        (part, wakes)
    }

    #[test]
    fn those_for_whom_most_waits_are_let_go_until_there_is_room_again_and_nobody_else() {
        let all = Arc::new(Outboxes::new(100 * KIB));
        let parts = [5, 30, 40, 20, 5].map(|kib| part(&all, kib));
        assert_eq!(parts.each_ref().map(|(part, _)| part.must_go()), [false; 5], "all of it is allowed");
        let (mut last, _) = part(&all, 10);
        assert_eq!(parts.each_ref().map(|(part, _)| part.must_go()), [false, false, true, false, false]);
        assert_eq!(parts.each_ref().map(|(_, wakes)| wakes.0.load(Ordering::Relaxed)), [0, 0, 1, 0, 0]);
        last.settle(30 * KIB, 30 * KIB, Some(Waker::noop()));
        assert!(!last.must_go() && !parts[1].0.must_go(), "there is room when the largest has gone");
        drop(parts);
        drop(last);
        assert_eq!((all.held(), all.large().len()), (0, 0));
    }

    #[test]
    fn a_peer_for_which_little_waits_stays_however_many_there_are() {
        let all = Arc::new(Outboxes::new(10 * KIB));
        let parts: Vec<_> = (0..100).map(|_| part(&all, 7)).collect();
        assert!(parts.iter().all(|(part, _)| !part.must_go()));
        assert_eq!(all.held(), 700 * KIB);
    }

    #[test]
    fn what_many_wait_for_counts_once() {
        let all = Arc::new(Outboxes::new(100 * KIB));
        let bytes = all.share(vec![0; 50 * KIB].into());
        let copies = vec![bytes; 1_000];
        assert_eq!(all.held(), 50 * KIB + FRAME_OVERHEAD);
        drop(copies);
        assert_eq!(all.held(), 0);
    }

    #[test]
    fn what_clients_of_several_shards_wait_for_counts_once() {
        let all = Arc::new(Outboxes::new(100 * KIB));
        let message = Outgoing::encoded([(HubProtocol::Json, vec![b'x'; 50 * KIB])]);
        let shards = [message.clone(), message].map(|message| {
            let frame = message.frame(HubProtocol::Json).expect("it is encoded").clone();
            frame.kept_by(|bytes| all.share(bytes))
        });
        let [first, second] = shards;
        let once = first.cost();
        assert_eq!(all.held(), once);
        drop(first);
        assert_eq!(all.held(), once, "the other shard's clients wait for it");
        drop(second);
        assert_eq!((all.held(), all.shared().len()), (0, 0));
    }

    #[test]
    fn a_limit_that_was_lowered_holds_from_the_next_look_on() {
        let all = Arc::new(Outboxes::new(100 * KIB));
        let (part, _) = part(&all, 50);
        all.set_limit(10 * KIB);
        all.relieve();
        assert!(part.must_go());
    }
}
