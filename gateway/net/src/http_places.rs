//! The places of connections that are no client's, or not yet. Whoever has no token keeps nobody out with them: when they are
//! all taken, somebody who has shown none for long gives way to a newcomer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use http::Extensions;
use tokio::sync::Notify;

use crate::settings::Limits;

/// The part of an IPv6 address that is a network's: whoever has one address of it has all.
const NETWORK: u128 = !0 << 64;

/// By which limit there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpLimit {
    Connections,
    ConnectionsPerIp,
    Descriptors,
}

impl HttpLimit {
    /// The name that those are counted by who are refused or give way: the limit's key, if it has one.
    pub(crate) fn key(self) -> &'static str {
        match self {
            HttpLimit::Descriptors => "descriptors",
            HttpLimit::Connections => "http-connections",
            HttpLimit::ConnectionsPerIp => "http-connections-per-ip",
        }
    }
}

/// All places, for all threads.
#[derive(Debug, Default)]
pub(crate) struct HttpPlaces(Mutex<Taken>);

/// Who wants a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Newcomer {
    pub(crate) address: IpAddr,
    /// Of a trusted proxy: others come through it, so it has no limit of its own.
    pub(crate) is_proxy: bool,
    /// Whether file descriptors are so short that somebody has to give way whatever the limits say.
    pub(crate) is_surplus: bool,
}

/// A connection's place, for as long as a clone of it lives.
#[derive(Debug, Clone)]
pub(crate) struct HttpPlace(Arc<Holder>);

/// The place of a connection that carries an admitted client, a hub server or a call of the REST API. It gives way to nobody,
/// and is not counted by its address.
#[derive(Debug)]
pub(crate) struct Carrying(HttpPlace);

#[derive(Debug)]
struct Holder {
    places: Arc<HttpPlaces>,
    seat: Arc<Seat>,
}

/// Changed under the lock of [`HttpPlaces`] alone.
#[derive(Debug)]
struct Seat {
    /// None for what has no limit of its own.
    address: Option<IpAddr>,
    /// Its place in the order of those that may have to give way; 0 while it need not.
    turn: AtomicU64,
    /// How much it carries.
    carried: AtomicUsize,
    /// The limit because of which it had to give way.
    lost: OnceLock<HttpLimit>,
    is_lost: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    count: usize,
    last_turn: u64,
    /// Those that may have to give way, beginning with whoever has been without a valid token for longest.
    strangers: BTreeMap<u64, Stranger>,
    /// Their turns by address.
    by_address: HashMap<IpAddr, BTreeSet<u64>>,
    /// The addresses by how many of them they have, and among those that have as many by who has waited longest, who comes last.
    by_number: BTreeSet<(usize, Reverse<u64>, IpAddr)>,
}

#[derive(Debug)]
struct Stranger {
    seat: Arc<Seat>,
    /// When it came, or last had a valid token.
    since: Instant,
}

impl HttpPlaces {
    /// A place for one more connection, if there is one, or somebody gives way: of the address that has most of them, if that
    /// is more than the newcomer's has, or else whoever has been without a valid token for longer than `grace`.
    pub(crate) fn enter(
        self: &Arc<Self>,
        limits: &Limits,
        grace: Duration,
        newcomer: Newcomer,
        now: Instant,
    ) -> Result<HttpPlace, HttpLimit> {
        let address = (!newcomer.is_proxy).then(|| network(newcomer.address));
        let mut taken = self.taken();
        // Before anybody gives way: whoever does so for the newcomer's address makes room here, too.
        let (most, limit) = match newcomer.is_surplus && taken.count <= limits.http_connections {
            true => (taken.count, HttpLimit::Descriptors),
            false => (limits.http_connections, HttpLimit::Connections),
        };
        if let (Some(address), 1..) = (address, limits.http_connections_per_ip)
            && taken.number(address) >= limits.http_connections_per_ip
        {
            let patient = taken.longest_of(address).filter(|turn| taken.is_past(*turn, grace, now));
            taken.dismiss(patient.ok_or(HttpLimit::ConnectionsPerIp)?, HttpLimit::ConnectionsPerIp);
        }
        while taken.count >= most {
            let own = address.map_or(0, |address| taken.number(address));
            let who = taken.of_most(own).or_else(|| taken.longest().filter(|turn| taken.is_past(*turn, grace, now)));
            taken.dismiss(who.ok_or(limit)?, limit);
        }
        let (turn, carried) = (AtomicU64::new(0), AtomicUsize::new(0));
        let seat = Arc::new(Seat { address, turn, carried, lost: OnceLock::new(), is_lost: Notify::new() });
        taken.count += 1;
        taken.line_up(&seat, now);
        drop(taken);
        Ok(HttpPlace(Arc::new(Holder { places: self.clone(), seat })))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpPlace {
    /// That of the connection on which a request came.
    pub(crate) fn of(extensions: &Extensions) -> &HttpPlace {
        extensions.get().expect("each connection notes its place in its requests")
    }

    /// A request with a valid token has come.
    pub(crate) fn vouch(&self) {
        let mut taken = self.0.places.taken();
        if taken.step_out(&self.0.seat) {
            taken.line_up(&self.0.seat, Instant::now());
        }
    }

    /// It carries an admitted client, a hub server or a call of the REST API from now on.
    pub(crate) fn carry(&self) -> Carrying {
        let mut taken = self.0.places.taken();
        self.0.seat.carried.fetch_add(1, Ordering::Relaxed);
        taken.step_out(&self.0.seat);
        Carrying(self.clone())
    }

    /// Until it has to give way; gives the limit.
    pub(crate) async fn lost(&self) -> HttpLimit {
        loop {
            if let Some(limit) = self.0.seat.lost.get() {
                return *limit;
            }
            self.0.seat.is_lost.notified().await;
        }
    }
}

impl Drop for Carrying {
    fn drop(&mut self) {
        let Holder { places, seat } = &*self.0.0;
        let mut taken = places.taken();
        if seat.carried.fetch_sub(1, Ordering::Relaxed) == 1 && seat.lost.get().is_none() {
            taken.line_up(seat, Instant::now());
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.step_out(&self.seat);
        if self.seat.lost.get().is_none() {
            taken.count -= 1;
        }
    }
}

impl Taken {
    /// How many strangers an address has.
    fn number(&self, address: IpAddr) -> usize {
        self.by_address.get(&address).map_or(0, BTreeSet::len)
    }

    /// The turn of whoever has been without a valid token for longest.
    fn longest(&self) -> Option<u64> {
        self.strangers.first_key_value().map(|(turn, _)| *turn)
    }

    fn longest_of(&self, address: IpAddr) -> Option<u64> {
        self.by_address.get(&address)?.first().copied()
    }

    /// Of the address that has most, if it has more than `own`.
    fn of_most(&self, own: usize) -> Option<u64> {
        let (number, Reverse(longest), _) = self.by_number.last()?;
        (*number > own).then_some(*longest)
    }

    fn is_past(&self, turn: u64, grace: Duration, now: Instant) -> bool {
        self.strangers.get(&turn).is_some_and(|stranger| now.saturating_duration_since(stranger.since) >= grace)
    }

    /// Puts it last.
    fn line_up(&mut self, seat: &Arc<Seat>, now: Instant) {
        self.last_turn += 1;
        let turn = self.last_turn;
        seat.turn.store(turn, Ordering::Relaxed);
        self.strangers.insert(turn, Stranger { seat: seat.clone(), since: now });
        if let Some(address) = seat.address {
            self.recount(address, |turns| turns.insert(turn));
        }
    }

    /// Says whether it was a stranger.
    fn step_out(&mut self, seat: &Seat) -> bool {
        let turn = seat.turn.swap(0, Ordering::Relaxed);
        if self.strangers.remove(&turn).is_none() {
            return false;
        }
        if let Some(address) = seat.address {
            self.recount(address, |turns| turns.remove(&turn));
        }
        true
    }

    fn recount(&mut self, address: IpAddr, change: impl FnOnce(&mut BTreeSet<u64>) -> bool) {
        let turns = self.by_address.entry(address).or_default();
        let key = |turns: &BTreeSet<u64>| turns.first().map(|longest| (turns.len(), Reverse(*longest), address));
        if let Some(before) = key(turns) {
            self.by_number.remove(&before);
        }
        change(turns);
        match key(turns) {
            Some(after) => drop(self.by_number.insert(after)),
            None => drop(self.by_address.remove(&address)),
        }
    }

    /// Takes the place away from whoever has this turn.
    fn dismiss(&mut self, turn: u64, limit: HttpLimit) {
        let Some(seat) = self.strangers.get(&turn).map(|stranger| stranger.seat.clone()) else {
            return;
        };
        self.step_out(&seat);
        self.count -= 1;
        // It is lost once.
        let _ = seat.lost.set(limit);
        seat.is_lost.notify_one();
    }
}

/// What is counted as one address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    struct House {
        places: Arc<HttpPlaces>,
        limits: Limits,
        start: Instant,
    }

    impl House {
        fn new(http_connections: usize, http_connections_per_ip: usize) -> House {
            let limits = Limits { http_connections, http_connections_per_ip, ..crate::settings::tests::limits() };
            House { places: Arc::default(), limits, start: Instant::now() }
        }

        /// Somebody comes after so many seconds.
        fn enter(&self, address: &str, seconds: u64) -> Result<HttpPlace, HttpLimit> {
            self.enter_as(address, false, seconds)
        }

        fn enter_as(&self, address: &str, is_proxy: bool, seconds: u64) -> Result<HttpPlace, HttpLimit> {
            self.enter_when(address, is_proxy, false, seconds)
        }

        fn enter_when(
            &self,
            address: &str,
            is_proxy: bool,
            is_surplus: bool,
            seconds: u64,
        ) -> Result<HttpPlace, HttpLimit> {
            let newcomer = Newcomer { address: address.parse().expect("an address"), is_proxy, is_surplus };
            self.places.enter(&self.limits, GRACE, newcomer, self.start + Duration::from_secs(seconds))
        }

        fn many(&self, count: usize, address: &str) -> Vec<HttpPlace> {
            (0..count).map(|_| self.enter(address, 0).expect("there is room")).collect()
        }
    }

    fn lost(place: &HttpPlace) -> Option<HttpLimit> {
        place.0.seat.lost.get().copied()
    }

    fn are_lost(places: &[HttpPlace]) -> Vec<bool> {
        places.iter().map(|place| lost(place).is_some()).collect()
    }

    #[test]
    fn the_address_that_has_most_gives_way_to_one_that_has_fewer() {
        let house = House::new(5, 0);
        let (crowd, pair) = (house.many(3, "10.0.0.1"), house.many(2, "10.0.0.2"));
        let _first = house.enter("10.0.0.3", 0).expect("the crowd gives way");
        assert_eq!((are_lost(&crowd), are_lost(&pair)), (vec![true, false, false], vec![false, false]));
        assert_eq!(house.enter("10.0.0.1", 0).expect_err("nobody has more"), HttpLimit::Connections);
        assert_eq!(house.enter("10.0.0.2", 0).expect_err("nobody has more"), HttpLimit::Connections);
    }

    #[test]
    fn among_addresses_that_have_as_many_the_one_that_has_waited_longest_gives_way() {
        let house = House::new(4, 0);
        let (first, second) = (house.many(2, "10.0.0.1"), house.many(2, "10.0.0.9"));
        let _newcomer = house.enter("10.0.0.5", 0).expect("somebody gives way");
        assert_eq!((are_lost(&first), are_lost(&second)), (vec![true, false], vec![false, false]));
        let _other = house.enter("10.0.0.6", 0).expect("the second has most now");
        assert_eq!((are_lost(&first), are_lost(&second)), (vec![true, false], vec![true, false]));
    }

    #[test]
    fn who_has_been_without_a_token_for_long_gives_way_to_anybody() {
        let house = House::new(3, 0);
        let crowd = house.many(3, "10.0.0.1");
        crowd[0].vouch();
        assert!(house.enter("10.0.0.1", 9).is_err());
        let _newcomer = house.enter("10.0.0.1", 10).expect("the longest gives way");
        assert_eq!(are_lost(&crowd), [false, true, false], "the first one has had a token since");
    }

    #[test]
    fn who_carries_something_gives_way_to_nobody_until_it_does_not() {
        let house = House::new(2, 0);
        let crowd = house.many(2, "10.0.0.1");
        let carrying: Vec<Carrying> = crowd.iter().map(HttpPlace::carry).collect();
        assert_eq!(house.enter("10.0.0.2", 3600).expect_err("full"), HttpLimit::Connections);
        drop(carrying);
        let _newcomer = house.enter("10.0.0.2", 3600).expect("they carry nothing any more");
        assert_eq!(are_lost(&crowd), [true, false]);
    }

    #[test]
    fn an_address_has_its_own_limit_and_what_carries_something_is_not_counted() {
        let house = House::new(100, 2);
        let crowd = house.many(2, "10.0.0.1");
        assert_eq!(house.enter("::ffff:10.0.0.1", 9).expect_err("full"), HttpLimit::ConnectionsPerIp);
        let _other = house.enter("10.0.0.2", 9).expect("another address");
        let carrying = crowd[0].carry();
        let third = house.enter("10.0.0.1", 9).expect("one is not counted");
        assert!(house.enter("10.0.0.1", 9).is_err());
        drop((third, carrying));
        assert!(house.enter("10.0.0.1", 9).is_err(), "it is counted again");
        let _newcomer = house.enter("10.0.0.1", 10).expect("the longest gives way");
        assert_eq!(lost(&crowd[1]), Some(HttpLimit::ConnectionsPerIp));
    }

    #[test]
    fn ipv6_is_counted_by_network_and_proxies_are_not_counted() {
        let house = House::new(100, 1);
        let _first = house.enter("2001:db8::1", 0).expect("the first one");
        assert!(house.enter("2001:db8::ffff:2", 0).is_err());
        let _neighbour = house.enter("2001:db8:0:1::1", 0).expect("another network");
        let _proxied: Vec<HttpPlace> = (0..10).map(|_| house.enter_as("10.0.0.1", true, 0).expect("a proxy")).collect();
    }

    #[test]
    fn without_descriptors_somebody_gives_way_below_the_limit() {
        let house = House::new(100, 0);
        let crowd = house.many(2, "10.0.0.1");
        let newcomer = house.enter_when("10.0.0.2", false, true, 0).expect("the crowd gives way");
        assert_eq!((lost(&crowd[0]), lost(&newcomer)), (Some(HttpLimit::Descriptors), None));
        let refused = house.enter_when("10.0.0.1", false, true, 0);
        assert_eq!(refused.expect_err("nobody has more"), HttpLimit::Descriptors);
    }

    #[test]
    fn who_gives_way_for_the_limit_of_an_address_makes_room_for_descriptors_too() {
        let house = House::new(100, 2);
        let crowd = [0, 5].map(|seconds| house.enter("10.0.0.1", seconds).expect("there is room"));
        let newcomer = house.enter_when("10.0.0.1", false, true, 10).expect("the longest gives way");
        assert_eq!(are_lost(&crowd), [true, false]);
        assert_eq!((lost(&crowd[0]), lost(&newcomer)), (Some(HttpLimit::ConnectionsPerIp), None));
    }

    #[test]
    fn nothing_stays_of_who_has_left_or_given_way() {
        let house = House::new(2, 0);
        let crowd = house.many(2, "10.0.0.1");
        let carrying = crowd[1].carry();
        let newcomer = house.enter("10.0.0.2", 0).expect("the first one gives way");
        drop((crowd, newcomer));
        assert_eq!(house.places.taken().count, 1, "the stream outlives its request");
        drop(carrying);
        let taken = house.places.taken();
        assert_eq!(taken.count, 0);
        assert!(taken.strangers.is_empty() && taken.by_address.is_empty() && taken.by_number.is_empty());
    }
}
