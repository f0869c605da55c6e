//! What waits for all peers together (`server.limits.outboxes`), and what is kept for those that may come back. When that is too much, those
//! with the most waiting are let go.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use hubgate_wire::websocket::FRAME_OVERHEAD;
use slab::Slab;

/// A peer for which less than so many bytes wait is never let go because of others.
const LARGE: usize = 8 << 10;
/// One more look for peers to let go for each such part of the limit that comes in beyond it.
const LOOKS: usize = 64;
/// How far a part may be from what is known of it, in bytes: what leaves at once is never counted.
const GRAIN: usize = 4 << 10;

/// The account of all outboxes, on all shards.
#[derive(Debug, Default)]
pub(crate) struct Outboxes {
    /// In bytes.
    limit: AtomicUsize,
    /// What is in one outbox only.
    alone: AtomicUsize,
    /// What outboxes share, once.
    in_common: AtomicUsize,
    /// How much was held when it was last looked for peers to let go; 0 while it is not too much.
    looked_at: AtomicUsize,
    large: Mutex<Slab<Arc<Holder>>>,
    /// By where bytes are in memory, on how many shards outboxes share them: a message that goes to clients of several shards is
    /// encoded once for all of them.
    shared: Mutex<HashMap<usize, usize>>,
    /// Whether the log has heard that it is too much.
    has_told: AtomicBool,
}

/// How much is held of what may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Half of it at most.
    Little,
    Much,
    TooMuch,
}

/// Whom an outbox is for. Whoever comes later here is let go later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Receiver {
    Client,
    /// Many clients depend on it, and what waits for it is what they have said. It has a limit of its own, and its clients are not
    /// read when it is congested.
    HubServer,
}

/// A peer for which much waits.
#[derive(Debug)]
struct Holder {
    receiver: Receiver,
    /// In bytes, those included that others wait for, too.
    waiting: AtomicUsize,
    /// Those that nobody else waits for.
    alone: AtomicUsize,
    must_go: AtomicBool,
    /// Lets it notice that it must go.
    waker: Waker,
}

/// One outbox's part in the account; nothing once this is dropped.
#[derive(Debug)]
pub(crate) struct Part {
    all: Arc<Outboxes>,
    receiver: Receiver,
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
                self.all.in_common.fetch_sub(self.bytes.len() + FRAME_OVERHEAD, Ordering::Relaxed);
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
        self.alone.load(Ordering::Relaxed) + self.in_common.load(Ordering::Relaxed)
    }

    /// How much would be held if one that has `before` bytes of it had `after`.
    pub(crate) fn level_with(&self, before: usize, after: usize) -> Level {
        let (held, limit) = (self.held().saturating_sub(before) + after, self.limit.load(Ordering::Relaxed));
        match held {
            held if held > limit => Level::TooMuch,
            held if held > limit / 2 => Level::Much,
            _ => Level::Little,
        }
    }

    /// Bytes that are to be in several outboxes, and may be in others on other shards.
    pub(crate) fn share(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        let mut shared = self.shared();
        let shards = shared.entry(bytes.as_ptr().addr()).or_default();
        *shards += 1;
        if *shards == 1 {
            self.in_common.fetch_add(bytes.len() + FRAME_OVERHEAD, Ordering::Relaxed);
        }
        drop(shared);
        Bytes::from_owner(Shared { bytes, all: self.clone() })
    }

    /// The part of an outbox that is empty.
    pub(crate) fn part(self: &Arc<Self>, receiver: Receiver) -> Part {
        Part { all: self.clone(), receiver, held: 0, waiting: 0, place: None }
    }

    /// Looks again when so much more waits that it is worth it: a look goes through all large ones. The clock [looks](Outboxes::relieve)
    /// in any case.
    fn relieve_when_grown(&self) {
        let (limit, looked_at) = (self.limit.load(Ordering::Relaxed), self.looked_at.load(Ordering::Relaxed));
        if looked_at == 0 || self.held() >= looked_at + limit / LOOKS {
            self.relieve();
        }
    }

    /// Lets peers go for which most waits, if there is too much in all.
    pub(crate) fn relieve(&self) {
        let (limit, held) = (self.limit.load(Ordering::Relaxed), self.held());
        if held <= limit {
            self.looked_at.store(0, Ordering::Relaxed);
            if held <= limit / 2 {
                self.has_told.store(false, Ordering::Relaxed);
            }
            return;
        }
        self.looked_at.store(held, Ordering::Relaxed);
        if self.let_go(limit, held) && !self.has_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                limit,
                held,
                "more waits for clients and hub servers than `server.limits.outboxes` allows: those with the most waiting are let go"
            );
        }
    }

    /// Lets peers go until what is left of `held` is within `limit`; whether those that go already are not enough.
    fn let_go(&self, limit: usize, held: usize) -> bool {
        let large = self.large();
        let in_common = self.in_common.load(Ordering::Relaxed);
        let shares = large.iter().map(|(_, holder)| holder.shares()).sum();
        let (going, mut staying): (Vec<_>, Vec<_>) =
            large.iter().map(|(_, holder)| holder).partition(|holder| holder.must_go.load(Ordering::Relaxed));
        let going: usize = going.iter().map(|holder| holder.frees(in_common, shares)).sum();
        let mut left = held.saturating_sub(going);
        if left <= limit {
            return false;
        }
        staying.sort_by_cached_key(|holder| (holder.receiver, Reverse(holder.waiting.load(Ordering::Relaxed))));
        for holder in staying {
            // A little more than needed, so that not every byte makes another one go.
            if left <= limit - limit / 8 {
                break;
            }
            left = left.saturating_sub(holder.frees(in_common, shares));
            holder.must_go.store(true, Ordering::Relaxed);
            holder.waker.wake_by_ref();
        }
        true
    }

    fn shared(&self) -> MutexGuard<'_, HashMap<usize, usize>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn large(&self) -> MutexGuard<'_, Slab<Arc<Holder>>> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holder {
    /// What it shares with others, in bytes.
    fn shares(&self) -> usize {
        self.waiting.load(Ordering::Relaxed).saturating_sub(self.alone.load(Ordering::Relaxed))
    }

    /// What there is more room for without it, about: what it has alone, and its part of what is held in common. All large ones
    /// share `shares` bytes, each counted for itself.
    fn frees(&self, in_common: usize, shares: usize) -> usize {
        let part = in_common as u128 * self.shares() as u128 / (shares as u128).max(1);
        self.alone.load(Ordering::Relaxed) + part as usize
    }
}

impl Part {
    /// Whether anything of it is counted.
    pub(crate) fn is_counted(&self) -> bool {
        self.waiting > 0
    }

    /// Another outbox's part in the same account.
    pub(crate) fn another(&self) -> Part {
        self.all.part(self.receiver)
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
            true => self.all.alone.fetch_add(held - before, Ordering::Relaxed),
            false => self.all.alone.fetch_sub(before - held, Ordering::Relaxed),
        };
        let has_grown = waiting > std::mem::replace(&mut self.waiting, waiting);
        match (&self.place, waker) {
            (Some((place, _)), _) if waiting < GRAIN => {
                self.all.large().remove(*place);
                self.place = None;
            }
            (Some((_, holder)), _) => {
                holder.waiting.store(waiting, Ordering::Relaxed);
                holder.alone.store(held, Ordering::Relaxed);
            }
            (None, Some(waker)) if waiting >= LARGE => {
                let (waiting, alone) = (AtomicUsize::new(waiting), AtomicUsize::new(held));
                let must_go = AtomicBool::new(false);
                let holder = Holder { receiver: self.receiver, waiting, alone, must_go, waker: waker.clone() };
                let holder = Arc::new(holder);
                self.place = Some((self.all.large().insert(holder.clone()), holder));
            }
            (None, _) => {}
        }
        if has_grown {
            self.all.relieve_when_grown();
        } else {
            self.all.looked_at.fetch_min(self.all.held(), Ordering::Relaxed);
        }
    }

    /// What it takes up alone, as the account has it, in bytes.
    pub(crate) fn held(&self) -> usize {
        self.held
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
        part_of(all, Receiver::Client, kib)
    }

    fn part_of(all: &Arc<Outboxes>, receiver: Receiver, kib: usize) -> (Part, Arc<Wakes>) {
        let (mut part, wakes) = (all.part(receiver), Arc::<Wakes>::default());
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
    fn a_hub_server_for_which_most_waits_goes_after_the_clients_and_only_if_they_are_not_enough() {
        let all = Arc::new(Outboxes::new(100 * KIB));
        let (server, _) = part_of(&all, Receiver::HubServer, 60);
        let clients = [20, 15, 10].map(|kib| part(&all, kib));
        assert_eq!(clients.each_ref().map(|(client, _)| client.must_go()), [true, false, false]);
        assert!(!server.must_go(), "there is room when the largest client has gone");
        let (other, _) = part_of(&all, Receiver::HubServer, 90);
        assert_eq!(clients.each_ref().map(|(client, _)| client.must_go()), [true; 3]);
        assert_eq!((other.must_go(), server.must_go()), (true, false), "of servers, too, the largest goes first");
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
    fn as_many_are_let_go_as_make_room_when_they_share_what_waits() {
        let all = Arc::new(Outboxes::new(100 * KIB));
        let bytes = all.share(vec![0; 90 * KIB].into());
        let mut parts: Vec<_> = (0..9).map(|_| all.part(Receiver::Client)).collect();
        parts.iter_mut().for_each(|part| part.settle(KIB, 91 * KIB, Some(Waker::noop())));
        let (last, _) = part(&all, 20);
        // 119 KiB are held, and one that shares 90 KiB with eight others frees 11.
        let going = parts.iter().filter(|part| part.must_go()).count();
        assert_eq!((going, last.must_go()), (3, false));
        drop(bytes);
    }

    #[test]
    fn a_little_more_beyond_the_limit_is_no_reason_to_look_again_before_the_clock_does() {
        let all = Arc::new(Outboxes::new(1_000 * KIB));
        let (first, _) = part(&all, 600);
        let (second, _) = part(&all, 500);
        assert!(first.must_go() && !second.must_go());
        let looked_at = || all.looked_at.load(Ordering::Relaxed);
        assert_eq!(looked_at(), 1_100 * KIB);
        let (third, _) = part(&all, 7);
        assert_eq!(looked_at(), 1_100 * KIB);
        let (fourth, _) = part(&all, 15);
        assert_eq!(looked_at(), 1_122 * KIB);
        drop(fourth);
        assert_eq!(looked_at(), 1_107 * KIB, "what comes after less waited is more again");
        drop((first, second, third));
        assert_eq!(looked_at(), 0);
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
