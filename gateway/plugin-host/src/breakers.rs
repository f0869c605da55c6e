//! The breakers of one plugin: calls that run into their budget make the plugin busy for the peer whose calls they are, or for the
//! hub if they are calls of several; never for other hubs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hubgate_core::id::HubName;

use crate::breaker::{Breaker, Passage};
use crate::peers::Peer;

/// One peer's calls in vain are at most this part of those that a hub's breaker opens for.
const PEERS: u64 = 4;
/// Hubs of a plugin that have breakers at a time, and peers of one hub that have. Calls of further hubs are not counted, those of further
/// peers count for the hub alone.
const MAX_HUBS: usize = 1_000;
const MAX_PEERS: usize = 100;

/// Of a plugin's version, on all shards.
#[derive(Debug)]
pub(crate) struct Breakers {
    calls: u64,
    window: Duration,
    /// How many hubs have had calls in vain of late: as long as there is none, nothing else is looked at.
    wary: AtomicUsize,
    hubs: Mutex<Hubs>,
}

type Hubs = HashMap<HubName, HubBreakers, foldhash::fast::RandomState>;

#[derive(Debug)]
struct HubBreakers {
    hub: Breaker,
    peers: HashMap<Peer, Breaker, foldhash::fast::RandomState>,
}

/// Whose call it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) hub: &'a HubName,
    pub(crate) peer: Peer,
}

/// What became of a call at the two breakers that it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passages {
    hub: Passage,
    peer: Passage,
}

/// For whom a plugin has become busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opened {
    Hub,
    Peer,
}

impl Passages {
    pub(crate) const FREE: Passages = Passages { hub: Passage::Free, peer: Passage::Free };
    pub(crate) const CLOSED: Passages = Passages { hub: Passage::Closed, peer: Passage::Closed };

    pub(crate) fn are_closed(self) -> bool {
        self.hub == Passage::Closed || self.peer == Passage::Closed
    }

    /// Whether the call is to show that calls end again.
    pub(crate) fn are_on_trial(self) -> bool {
        self.hub == Passage::OnTrial || self.peer == Passage::OnTrial
    }

    fn are_free(self) -> bool {
        self == Passages::FREE
    }
}

impl Breakers {
    pub(crate) fn new(calls: u64, window: Duration) -> Breakers {
        Breakers { calls, window, wary: AtomicUsize::new(0), hubs: Mutex::default() }
    }

    /// A call is to begin, which ends within `call_time`.
    pub(crate) fn pass(&self, caller: Caller<'_>, now: Instant, call_time: Duration) -> Passages {
        if !self.is_wary() {
            return Passages::FREE;
        }
        let hubs = self.hubs();
        let Some(breakers) = hubs.get(caller.hub) else { return Passages::FREE };
        let (hub, peer) = (&breakers.hub, breakers.peers.get(&caller.peer));
        // A call that does not pass the one must not be the other's trial.
        if !hub.lets_pass(now) || peer.is_some_and(|peer| !peer.lets_pass(now)) {
            return Passages::CLOSED;
        }
        let pass = |breaker: &Breaker| breaker.pass(now, call_time);
        Passages { hub: pass(hub), peer: peer.map_or(Passage::Free, pass) }
    }

    /// Whether calls of the caller are answered as busy; of a hub alone where the peer is not known.
    pub(crate) fn are_open(&self, hub: &HubName, peer: Option<Peer>) -> bool {
        if !self.is_wary() {
            return false;
        }
        let hubs = self.hubs();
        let Some(breakers) = hubs.get(hub) else { return false };
        breakers.hub.is_open() || peer.and_then(|peer| breakers.peers.get(&peer)).is_some_and(Breaker::is_open)
    }

    /// Whether a call that passed must not go on, because others have ended in vain since.
    pub(crate) fn have_closed(&self, caller: Caller<'_>, passages: Passages) -> bool {
        passages.are_free() && self.are_open(caller.hub, Some(caller.peer))
    }

    /// Whether it matters how a call has ended that was not in vain.
    pub(crate) fn are_wary(&self, passages: Passages) -> bool {
        !passages.are_free() || self.is_wary()
    }

    /// A call has run into its budget; says for whom further ones are answered as busy because of it.
    pub(crate) fn in_vain(&self, caller: Caller<'_>, passages: Passages, now: Instant) -> Option<Opened> {
        let mut hubs = self.hubs();
        if hubs.len() >= MAX_HUBS && !hubs.contains_key(caller.hub) {
            self.forget_idle(&mut hubs, now);
        }
        if hubs.len() >= MAX_HUBS && !hubs.contains_key(caller.hub) {
            return None;
        }
        let breakers = hubs.entry(caller.hub.clone()).or_insert_with(|| self.hub_breakers());
        let (opens_for_peer, is_one_of_few) = match breakers.peer(caller.peer, now, || self.breaker()) {
            Some(peer) => (peer.in_vain(passages.peer, now), peer.calls_in_vain() <= self.calls.div_ceil(PEERS)),
            None => (false, true),
        };
        let counts = passages.hub == Passage::OnTrial || (passages.peer == Passage::Free && is_one_of_few);
        let opens_for_hub = counts && breakers.hub.in_vain(passages.hub, now);
        self.wary.store(hubs.len(), Ordering::Relaxed);
        match opens_for_hub {
            true => Some(Opened::Hub),
            false => opens_for_peer.then_some(Opened::Peer),
        }
    }

    /// A call has ended otherwise; says for whom all pass again because of it.
    pub(crate) fn ended(&self, caller: Caller<'_>, passages: Passages, now: Instant) -> Option<Opened> {
        let mut hubs = self.hubs();
        let breakers = hubs.get_mut(caller.hub)?;
        let closes_for_hub = breakers.hub.ended(passages.hub);
        let peer = breakers.peers.get(&caller.peer);
        let closes_for_peer = peer.is_some_and(|peer| peer.ended(passages.peer));
        if peer.is_some_and(|peer| peer.is_idle(now)) {
            breakers.peers.remove(&caller.peer);
        }
        if breakers.are_idle(now) {
            hubs.remove(caller.hub);
            self.wary.store(hubs.len(), Ordering::Relaxed);
        }
        match closes_for_hub {
            true => Some(Opened::Hub),
            false => closes_for_peer.then_some(Opened::Peer),
        }
    }

    /// All calls pass from now on, whatever came of those before.
    pub(crate) fn close(&self) {
        self.hubs().clear();
        self.wary.store(0, Ordering::Relaxed);
    }

    /// Whether calls of anybody are answered as busy.
    pub(crate) fn is_any_open(&self, now: Instant) -> bool {
        let mut hubs = self.hubs();
        self.forget_idle(&mut hubs, now);
        hubs.values().any(|breakers| breakers.hub.is_open() || breakers.peers.values().any(Breaker::is_open))
    }

    fn is_wary(&self) -> bool {
        self.wary.load(Ordering::Relaxed) > 0
    }

    fn forget_idle(&self, hubs: &mut Hubs, now: Instant) {
        hubs.retain(|_, breakers| {
            breakers.forget_idle(now);
            !breakers.are_idle(now)
        });
        self.wary.store(hubs.len(), Ordering::Relaxed);
    }

    fn hub_breakers(&self) -> HubBreakers {
        HubBreakers { hub: self.breaker(), peers: HashMap::default() }
    }

    fn breaker(&self) -> Breaker {
        Breaker::new(self.calls, self.window)
    }

    fn hubs(&self) -> MutexGuard<'_, Hubs> {
        self.hubs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HubBreakers {
    /// The peer's own, which is made if there is room.
    fn peer(&mut self, peer: Peer, now: Instant, make: impl FnOnce() -> Breaker) -> Option<&Breaker> {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&peer) {
            self.forget_idle(now);
        }
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&peer) {
            return None;
        }
        Some(self.peers.entry(peer).or_insert_with(make))
    }

    fn are_idle(&self, now: Instant) -> bool {
        self.peers.is_empty() && self.hub.is_idle(now)
    }

    fn forget_idle(&mut self, now: Instant) {
        self.peers.retain(|_, peer| !peer.is_idle(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const CALLS: u64 = 20;

    struct Rig {
        breakers: Breakers,
        now: Instant,
    }

    impl Rig {
        fn new() -> Rig {
            Rig { breakers: Breakers::new(CALLS, 10 * SECOND), now: Instant::now() }
        }

        /// Calls of a peer that hang one after the other, until they are not tried any more.
        fn hang(&self, hub: &str, peer: u64, calls: u64) -> Vec<Opened> {
            let hub = HubName::parse(hub).unwrap();
            let caller = Caller { hub: &hub, peer: Peer::numbered(peer) };
            let call = |_| match self.breakers.pass(caller, self.now, SECOND) {
                passages if passages.are_closed() => None,
                passages => self.breakers.in_vain(caller, passages, self.now),
            };
            (0..calls).filter_map(call).collect()
        }

        fn passes(&self, hub: &str, peer: u64) -> bool {
            self.passages(hub, peer).are_free()
        }

        fn passages(&self, hub: &str, peer: u64) -> Passages {
            let hub = HubName::parse(hub).unwrap();
            self.breakers.pass(Caller { hub: &hub, peer: Peer::numbered(peer) }, self.now, SECOND)
        }
    }

    #[test]
    fn a_peer_whose_calls_hang_finds_the_plugin_busy_and_nobody_else_does() {
        let rig = Rig::new();
        assert_eq!(rig.hang("chat", 1, 1_000), [Opened::Peer]);
        assert!(!rig.passes("chat", 1) && rig.passes("chat", 2) && rig.passes("other", 1));
        assert!(rig.breakers.is_any_open(rig.now));
    }

    #[test]
    fn a_hub_whose_peers_calls_hang_finds_the_plugin_busy_and_no_other_hub_does() {
        let rig = Rig::new();
        for peer in 1..PEERS {
            assert_eq!(rig.hang("chat", peer, 1_000), [Opened::Peer]);
            assert!(rig.passes("chat", 99), "{peer} peers are few");
        }
        assert_eq!(rig.hang("chat", PEERS, 1_000), [Opened::Hub]);
        assert!(!rig.passes("chat", 99) && rig.passes("other", 99));
    }

    #[test]
    fn a_call_that_one_breaker_closes_to_is_not_the_trial_of_the_other() {
        let mut rig = Rig::new();
        let start = rig.now + 1_000 * SECOND;
        let at = |tenths: u32| start + SECOND / 10 * tenths;
        let on_trial = Passages { hub: Passage::OnTrial, peer: Passage::OnTrial };

        rig.now = at(0);
        assert_eq!(rig.hang("chat", 1, 1_000), [Opened::Peer]);
        rig.now = at(5);
        let others: Vec<Opened> = (2..=PEERS).flat_map(|peer| rig.hang("chat", peer, 1_000)).collect();
        assert_eq!(others.last(), Some(&Opened::Hub));
        // One more, whose calls had begun before.
        let hub = HubName::parse("chat").unwrap();
        let late = Caller { hub: &hub, peer: Peer::numbered(99) };
        let mut in_vain = (0..CALLS).filter_map(|_| rig.breakers.in_vain(late, Passages::FREE, at(10)));
        assert_eq!(in_vain.next(), Some(Opened::Peer));

        rig.now = at(12);
        assert!(rig.passages("chat", 1).are_closed(), "the peer's trial is due, the hub's is not");
        rig.now = at(16);
        assert!(rig.passages("chat", 99).are_closed(), "the hub's trial is due, the peer's is not");
        assert_eq!(rig.passages("chat", 1), on_trial, "both are, and neither was used up");
        assert!(rig.passages("chat", 1).are_closed(), "one at a time");
    }

    #[test]
    fn a_call_that_ends_lets_its_caller_pass_and_idle_breakers_are_forgotten() {
        let rig = Rig::new();
        rig.hang("chat", 1, CALLS);
        let hub = HubName::parse("chat").unwrap();
        let caller = Caller { hub: &hub, peer: Peer::numbered(1) };
        let trial = Passages { peer: Passage::OnTrial, hub: Passage::Free };
        assert_eq!(rig.breakers.ended(caller, trial, rig.now), Some(Opened::Peer));
        assert!(rig.passes("chat", 1) && !rig.breakers.is_any_open(rig.now));
        for _ in 0..CALLS {
            rig.breakers.ended(caller, Passages::FREE, rig.now);
        }
        assert!(!rig.breakers.are_wary(Passages::FREE));
    }

    #[test]
    fn a_caller_that_never_comes_again_is_forgotten() {
        let rig = Rig::new();
        rig.hang("chat", 1, CALLS);
        assert!(rig.breakers.is_any_open(rig.now + 10 * SECOND));
        assert!(!rig.breakers.is_any_open(rig.now + 100 * SECOND));
        assert!(!rig.breakers.are_wary(Passages::FREE));
    }

    #[test]
    fn hubs_and_peers_that_are_invented_are_bounded() {
        let rig = Rig::new();
        let in_vain = |hub: &HubName, peer| {
            // They had begun before the plugin was busy for anybody.
            rig.breakers.in_vain(Caller { hub, peer: Peer::numbered(peer) }, Passages::FREE, rig.now)
        };
        let chat = HubName::parse("chat").unwrap();
        for number in 0..2 * MAX_HUBS as u64 {
            in_vain(&chat, number);
            in_vain(&HubName::parse(&format!("hub{number}")).unwrap(), 1);
        }
        let hubs = rig.breakers.hubs();
        assert_eq!((hubs.len(), hubs[&chat].peers.len()), (MAX_HUBS, MAX_PEERS));
    }
}
