//! Who may come in: how many connections there are, in all and of one address, user, token or claim, and how many may be.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use hubgate_core::id::{HubName, UserId};
use hubgate_core::pairs::Pairs;

use crate::retries::Retries;
use crate::settings::Limits;

/// When a client that found no room may come again at the soonest.
const SOONEST_RETRY: Duration = Duration::from_secs(5);
/// How far those are apart that found the gateway full.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Counts of what is connected now, for all threads. Only limits that are set are counted by address, user, token or claim: a
/// limit that comes while the gateway runs counts the clients that come behind it.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    clients: AtomicUsize,
    by: Mutex<HashMap<Counted, usize>>,
    negotiates: Mutex<Negotiates>,
    retries: Mutex<Retries>,
}

/// Whose clients are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Counted {
    Address(IpAddr),
    User(HubName, UserId),
    /// The beginning of the token's SHA-256 digest: tokens are secrets, and long.
    Token([u8; 16]),
    /// The same of a hub's name, a claim's and its value.
    Claim([u8; 16]),
}

/// Why a client may not come in. Each names its limit's key below `server.limits`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Connections,
    ConnectionsPerIp,
    ConnectionsPerUser,
    ConnectionsPerToken,
    /// Of the claim of this name.
    ConnectionsPerClaim(Arc<str>),
}

impl NoRoom {
    /// The limit's key below `server.limits`.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            NoRoom::Connections => "connections",
            NoRoom::ConnectionsPerIp => "connections-per-ip",
            NoRoom::ConnectionsPerUser => "connections-per-user",
            NoRoom::ConnectionsPerToken => "connections-per-token",
            NoRoom::ConnectionsPerClaim(_) => "connections-per-claim",
        }
    }

    /// The path, below `server.limits`, of what is full.
    pub(crate) fn rule(&self) -> String {
        match self {
            NoRoom::ConnectionsPerClaim(claim) => format!("{}.{claim}", self.key()),
            _ => self.key().to_owned(),
        }
    }
}

/// A client's place; given up when dropped.
#[derive(Debug)]
pub(crate) struct ClientPlace {
    admission: Arc<Admission>,
    counted: RefCell<Vec<Counted>>,
}

/// Where else a client is counted that has a place and comes again, by another address or with another token. Given up when dropped, unless
/// its client [moves](ClientPlace::move_to) there.
#[derive(Debug)]
pub(crate) struct Move {
    admission: Arc<Admission>,
    /// All that the client is to be counted by.
    wanted: Vec<Counted>,
    /// Those by which it was not counted before, and is now.
    added: Vec<Counted>,
}

/// Who comes, from where, and with which token and claims.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visitor<'a> {
    pub(crate) address: IpAddr,
    pub(crate) hub: &'a HubName,
    pub(crate) user: Option<&'a UserId>,
    pub(crate) claims: &'a Pairs,
    pub(crate) token: &'a str,
}

/// What a client is to be counted by, how many of it there may be, and what says so.
type Wanted = Vec<(Counted, usize, NoRoom)>;

impl Admission {
    /// How many clients are connected.
    pub(crate) fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Counts one more client, if `limits` allow one more from this address, of this user, with this token and with
    /// each of these claims.
    pub(crate) fn enter_client(self: &Arc<Self>, limits: &Limits, visitor: Visitor<'_>) -> Result<ClientPlace, NoRoom> {
        let wanted = wanted(limits, visitor);
        self.count(&wanted)?;
        let counted: Vec<Counted> = wanted.into_iter().map(|(counted, ..)| counted).collect();
        if !enter(&self.clients, limits.connections) {
            self.leave(counted);
            return Err(NoRoom::Connections);
        }
        Ok(ClientPlace { admission: self.clone(), counted: RefCell::new(counted) })
    }

    /// Counts a client that has a place already where it has not been counted before, if `limits` allow it.
    pub(crate) fn enter_again(
        self: &Arc<Self>,
        limits: &Limits,
        place: &ClientPlace,
        visitor: Visitor<'_>,
    ) -> Result<Move, NoRoom> {
        let wanted = wanted(limits, visitor);
        let new = |(counted, ..): &&(Counted, usize, NoRoom)| !place.counted.borrow().contains(counted);
        let added: Wanted = wanted.iter().filter(new).cloned().collect();
        self.count(&added)?;
        let only_counted = |wanted: Wanted| wanted.into_iter().map(|(counted, ..)| counted).collect();
        Ok(Move { admission: self.clone(), wanted: only_counted(wanted), added: only_counted(added) })
    }

    /// Counts one more of each, if there is room for one more of all.
    fn count(&self, wanted: &Wanted) -> Result<(), NoRoom> {
        if wanted.is_empty() {
            return Ok(());
        }
        let mut by = self.by();
        let full =
            |(counted, limit, _): &&(Counted, usize, NoRoom)| by.get(counted).is_some_and(|count| count >= limit);
        if let Some((_, _, full)) = wanted.iter().find(full) {
            return Err(full.clone());
        }
        for (counted, ..) in wanted {
            *by.entry(counted.clone()).or_default() += 1;
        }
        Ok(())
    }

    /// When a client that found no room may come again.
    pub(crate) fn retry_after(&self, full: &NoRoom, now: Instant) -> Duration {
        match full {
            NoRoom::Connections => {
                let mut retries = self.retries.lock().unwrap_or_else(PoisonError::into_inner);
                retries.join(SOONEST_RETRY, RETRY_INTERVAL, now)
            }
            // Those who share one of these limits are few, and no reason to keep others waiting.
            NoRoom::ConnectionsPerIp
            | NoRoom::ConnectionsPerUser
            | NoRoom::ConnectionsPerToken
            | NoRoom::ConnectionsPerClaim(_) => SOONEST_RETRY,
        }
    }

    /// Counts one more negotiation, if `limits` allow one more in this second; else says when one may come.
    pub(crate) fn negotiate(&self, limits: &Limits, now: Instant) -> Result<(), Duration> {
        match limits.negotiates_per_second {
            0 => Ok(()),
            rate => self.negotiates.lock().unwrap_or_else(PoisonError::into_inner).take(rate, now),
        }
    }

    fn leave(&self, counted: Vec<Counted>) {
        if counted.is_empty() {
            return;
        }
        let mut by = self.by();
        for counted in counted {
            if let Some(count) = by.get_mut(&counted) {
                *count -= 1;
                if *count == 0 {
                    by.remove(&counted);
                }
            }
        }
    }

    fn by(&self) -> MutexGuard<'_, HashMap<Counted, usize>> {
        self.by.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn enter(count: &AtomicUsize, limit: usize) -> bool {
    let more = |count| (count < limit).then_some(count + 1);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

fn wanted(limits: &Limits, Visitor { address, hub, user, claims, token }: Visitor<'_>) -> Wanted {
    let mut wanted = Vec::new();
    if limits.connections_per_ip > 0 {
        wanted.push((Counted::Address(address), limits.connections_per_ip, NoRoom::ConnectionsPerIp));
    }
    if let (Some(user), 1..) = (user, limits.connections_per_user) {
        let counted = Counted::User(hub.clone(), user.clone());
        wanted.push((counted, limits.connections_per_user, NoRoom::ConnectionsPerUser));
    }
    if limits.connections_per_token > 0 {
        let counted = Counted::Token(digest_of([token]));
        wanted.push((counted, limits.connections_per_token, NoRoom::ConnectionsPerToken));
    }
    for (claim, limit) in &limits.connections_per_claim {
        let values = claims.iter().filter(|(name, _)| **name == **claim).map(|(_, value)| value);
        // One that is there twice counts once.
        for value in values.collect::<HashSet<_>>() {
            let counted = Counted::Claim(digest_of([hub.as_str(), claim, value]));
            wanted.push((counted, *limit, NoRoom::ConnectionsPerClaim(claim.clone())));
        }
    }
    wanted
}

/// The beginning of a digest of texts, each of which counts with its length: no other list has the same one.
fn digest_of<const N: usize>(texts: [&str; N]) -> [u8; 16] {
    let mut context = Context::new(&SHA256);
    for text in texts {
        context.update(&text.len().to_le_bytes());
        context.update(text.as_bytes());
    }
    *context.finish().as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

impl ClientPlace {
    /// The client is counted there from now on, and no more where it was.
    pub(crate) fn move_to(&self, mut to: Move) {
        let mut before = std::mem::take(&mut to.added);
        before.append(&mut self.counted.borrow_mut());
        // What another move has given up meanwhile is not counted again: there may be no room for it any more.
        let mut take =
            |wanted: &Counted| before.iter().position(|each| each == wanted).map(|at| before.swap_remove(at));
        let now = to.wanted.iter().filter_map(&mut take).collect();
        self.counted.replace(now);
        self.admission.leave(before);
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        self.admission.clients.fetch_sub(1, Ordering::Relaxed);
        self.admission.leave(self.counted.take());
    }
}

impl Drop for Move {
    fn drop(&mut self) {
        self.admission.leave(std::mem::take(&mut self.added));
    }
}

/// When the next negotiation is due, if they came evenly: a second's worth of them may come at once.
#[derive(Debug, Default)]
struct Negotiates {
    due: Option<Instant>,
    retries: Retries,
}

impl Negotiates {
    fn take(&mut self, per_second: u32, now: Instant) -> Result<(), Duration> {
        const BURST: Duration = Duration::from_secs(1);
        let interval = BURST / per_second;
        let due = self.due.map_or(now, |due| due.max(now));
        let ahead = due + interval - now;
        if ahead > BURST {
            return Err(self.retries.join(ahead - BURST, interval, now));
        }
        self.due = Some(due + interval);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { connections: 3, ..crate::settings::tests::limits() }
    }

    fn enter(
        admission: &Arc<Admission>,
        limits: &Limits,
        address: u8,
        user: &str,
        token: &str,
    ) -> Result<ClientPlace, NoRoom> {
        let (hub, claims) = (HubName::parse("chat").expect("a name"), Pairs::from_iter([("tenant", user)]));
        admission.enter_client(limits, visitor(address, &hub, (&UserId::new(user), &claims), token))
    }

    fn visitor<'a>(
        address: u8,
        hub: &'a HubName,
        (user, claims): (&'a UserId, &'a Pairs),
        token: &'a str,
    ) -> Visitor<'a> {
        Visitor { address: IpAddr::from([127, 0, 0, address]), hub, user: Some(user), claims, token }
    }

    fn per_claim(limits: &[(&str, usize)]) -> Limits {
        let limits = limits.iter().map(|(claim, limit)| (Arc::from(*claim), *limit)).collect();
        Limits { connections_per_claim: limits, connections: 100, ..self::limits() }
    }

    #[test]
    fn each_value_of_a_claim_is_counted_once_and_by_its_hub_and_name() {
        let limits = per_claim(&[("tenant", 2), ("plan", 1)]);
        let admission: Arc<Admission> = Arc::default();
        let enter = |hub: &str, claims: &[(&str, &str)]| {
            let (hub, claims) = (HubName::parse(hub).expect("a name"), claims.iter().copied().collect());
            admission.enter_client(&limits, visitor(1, &hub, (&UserId::new("u"), &claims), "t"))
        };
        let of_tenant = NoRoom::ConnectionsPerClaim("tenant".into());
        let both = enter("chat", &[("tenant", "a"), ("tenant", "b"), ("tenant", "a")]).expect("room");
        let first = enter("chat", &[("tenant", "a")]).expect("its value counts once, however often it is there");
        assert_eq!(enter("chat", &[("tenant", "c"), ("tenant", "a")]).expect_err("no room"), of_tenant);
        let second = enter("chat", &[("tenant", "b")]).expect("each value for itself");
        let others =
            [("other", ("tenant", "a")), ("chat", ("role", "a")), ("chat", ("plan", "a")), ("chat", ("tenant", "c"))]
                .map(|(hub, claim)| enter(hub, &[claim]).expect("another hub, claim or value"));
        assert_eq!(enter("chat", &[("plan", "a")]).expect_err("no room"), NoRoom::ConnectionsPerClaim("plan".into()));
        drop(both);
        drop(enter("chat", &[("tenant", "a"), ("tenant", "b")]).expect("both are free again"));
        drop((first, second, others));
        assert!(admission.by().is_empty(), "nothing stays behind");
    }

    #[test]
    fn who_comes_again_with_other_values_of_a_claim_is_counted_by_those() {
        let (limits, admission) = (per_claim(&[("tenant", 1)]), Arc::<Admission>::default());
        let (hub, user) = (HubName::parse("chat").expect("a name"), UserId::new("u"));
        let of = |tenant: &str| Pairs::from_iter([("tenant", tenant)]);
        let place = enter(&admission, &limits, 1, "a", "t").expect("the first one");
        let other = enter(&admission, &limits, 1, "b", "t").expect("another value");
        let again = |tenant: &str| {
            let claims = of(tenant);
            admission.enter_again(&limits, &place, visitor(1, &hub, (&user, &claims), "t"))
        };
        assert!(again("b").is_err(), "the other one has it");
        place.move_to(again("c").expect("nobody has it"));
        drop(enter(&admission, &limits, 1, "a", "t").expect("it is counted there no more"));
        assert!(enter(&admission, &limits, 1, "c", "t").is_err());
        drop((place, other));
        assert!(admission.by().is_empty(), "nothing stays behind");
    }

    /// One that has a place as [`enter`] gives it comes again.
    fn enter_again(
        admission: &Arc<Admission>,
        limits: &Limits,
        place: &ClientPlace,
        address: u8,
        token: &str,
    ) -> Result<Move, NoRoom> {
        let (hub, user) = (HubName::parse("chat").expect("a name"), UserId::new("u"));
        let claims = Pairs::from_iter([("tenant", "u")]);
        admission.enter_again(limits, place, visitor(address, &hub, (&user, &claims), token))
    }

    #[test]
    fn who_comes_again_is_counted_once_where_it_comes_from_now() {
        let limits = Limits { connections_per_ip: 1, connections_per_user: 1, connections_per_token: 1, ..limits() };
        let admission = Arc::default();
        let place = enter(&admission, &limits, 1, "u", "t").expect("the first one");
        place.move_to(enter_again(&admission, &limits, &place, 1, "t").expect("it is counted there already"));
        place.move_to(enter_again(&admission, &limits, &place, 2, "v").expect("there is room"));
        assert_eq!(admission.clients(), 1);
        let at_its_first = enter(&admission, &limits, 1, "another", "t").expect("it is counted there no more");
        assert!(enter(&admission, &limits, 2, "another", "w").is_err());
        drop((place, at_its_first));
        assert!(admission.by().is_empty(), "nothing stays behind");
    }

    #[test]
    fn who_comes_again_where_there_is_no_room_keeps_its_place() {
        let limits = Limits { connections_per_ip: 1, ..limits() };
        let admission = Arc::default();
        let place = enter(&admission, &limits, 1, "u", "t").expect("the first one");
        let other = enter(&admission, &limits, 2, "v", "w").expect("another one");
        assert_eq!(enter_again(&admission, &limits, &place, 2, "t").expect_err("full"), NoRoom::ConnectionsPerIp);
        assert!(enter(&admission, &limits, 1, "w", "x").is_err(), "its place is taken by itself");
        drop(other);
        drop(enter_again(&admission, &limits, &place, 2, "t").expect("there is room"));
        drop(enter(&admission, &limits, 2, "v", "w").expect("it did not move there after all"));
        drop(place);
        assert!(admission.by().is_empty(), "nothing stays behind");
    }

    #[test]
    fn who_comes_again_twice_at_once_is_counted_once() {
        let limits = Limits { connections_per_ip: 2, ..limits() };
        let admission = Arc::default();
        let place = enter(&admission, &limits, 1, "u", "t").expect("the first one");
        let moves = [1, 2].map(|_| enter_again(&admission, &limits, &place, 2, "t").expect("there is room"));
        moves.into_iter().for_each(|each| place.move_to(each));
        assert_eq!(admission.by().values().collect::<Vec<_>>(), [&1]);
        drop(place);
        assert!(admission.by().is_empty(), "nothing stays behind");
    }

    #[test]
    fn each_limit_counts_what_it_names_and_a_place_given_up_is_free_again() {
        for (limits, full) in [
            (Limits { connections_per_ip: 1, ..limits() }, NoRoom::ConnectionsPerIp),
            (Limits { connections_per_user: 1, ..limits() }, NoRoom::ConnectionsPerUser),
            (Limits { connections_per_token: 1, ..limits() }, NoRoom::ConnectionsPerToken),
            (per_claim(&[("tenant", 1)]), NoRoom::ConnectionsPerClaim("tenant".into())),
            (Limits { connections: 1, ..limits() }, NoRoom::Connections),
        ] {
            let admission = Arc::default();
            let first = enter(&admission, &limits, 1, "u", "t").expect("the first one");
            assert_eq!(enter(&admission, &limits, 1, "u", "t").expect_err("the second one"), full);
            drop(first);
            drop(enter(&admission, &limits, 1, "u", "t").expect("the place is free"));
            assert!(admission.by().is_empty(), "nothing stays behind");
        }
    }

    #[test]
    fn others_are_counted_apart() {
        let limits = Limits { connections_per_ip: 1, connections_per_user: 1, connections_per_token: 1, ..limits() };
        let admission = Arc::default();
        let _first = enter(&admission, &limits, 1, "u", "t").expect("the first one");
        let _second = enter(&admission, &limits, 2, "v", "w").expect("another one");
        assert!(enter(&admission, &limits, 3, "v", "x").is_err());
    }

    #[test]
    fn who_is_refused_in_all_is_counted_nowhere() {
        let limits = Limits { connections: 0, connections_per_ip: 1, ..limits() };
        let admission = Arc::default();
        assert_eq!(enter(&admission, &limits, 1, "u", "t").expect_err("full"), NoRoom::Connections);
        assert!(admission.by().is_empty());
    }

    #[test]
    fn a_seconds_worth_of_negotiations_may_come_at_once() {
        let mut negotiates = Negotiates::default();
        let now = Instant::now();
        assert!((0..5).all(|_| negotiates.take(5, now).is_ok()));
        assert_eq!(negotiates.take(5, now), Err(Duration::from_millis(200)));
        assert_eq!(negotiates.take(5, now + Duration::from_millis(200)), Ok(()));
        assert!(negotiates.take(5, now + Duration::from_millis(200)).is_err());
        let later = now + Duration::from_secs(60);
        assert_eq!((0..9).filter(|_| negotiates.take(5, later).is_ok()).count(), 5);
    }
}
