//! Who may come in: how many connections there are, in all and of one address, user or token, and how many may be.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use hubgate_core::id::{HubName, UserId};

use crate::retries::Retries;
use crate::settings::Limits;

/// When a client that found no room may come again at the soonest.
const SOONEST_RETRY: Duration = Duration::from_secs(5);
/// How far those are apart that found the gateway full.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Counts of what is connected now, for all threads. Only limits that are set are counted by address, user or token: a
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
}

/// Why a client may not come in. Each names its limit's key below `server.limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Connections,
    ConnectionsPerIp,
    ConnectionsPerUser,
    ConnectionsPerToken,
}

impl NoRoom {
    /// The limit's key below `server.limits`.
    pub(crate) fn key(self) -> &'static str {
        match self {
            NoRoom::Connections => "connections",
            NoRoom::ConnectionsPerIp => "connections-per-ip",
            NoRoom::ConnectionsPerUser => "connections-per-user",
            NoRoom::ConnectionsPerToken => "connections-per-token",
        }
    }
}

/// A client's place; given up when dropped.
#[derive(Debug)]
pub(crate) struct ClientPlace {
    admission: Arc<Admission>,
    counted: Box<[Counted]>,
}

impl Admission {
    /// How many clients are connected.
    pub(crate) fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Counts one more client, if `limits` allow one more from this address, of this user and with this token.
    pub(crate) fn enter_client(
        self: &Arc<Self>,
        limits: &Limits,
        address: IpAddr,
        hub: &HubName,
        user: Option<&UserId>,
        token: &str,
    ) -> Result<ClientPlace, NoRoom> {
        let mut wanted = Vec::new();
        if limits.connections_per_ip > 0 {
            wanted.push((Counted::Address(address), limits.connections_per_ip, NoRoom::ConnectionsPerIp));
        }
        if let (Some(user), 1..) = (user, limits.connections_per_user) {
            let counted = Counted::User(hub.clone(), user.clone());
            wanted.push((counted, limits.connections_per_user, NoRoom::ConnectionsPerUser));
        }
        if limits.connections_per_token > 0 {
            let digest = digest(&SHA256, token.as_bytes());
            let beginning = *digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes");
            wanted.push((Counted::Token(beginning), limits.connections_per_token, NoRoom::ConnectionsPerToken));
        }
        if !wanted.is_empty() {
            let mut by = self.by();
            let full =
                |(counted, limit, _): &&(Counted, usize, NoRoom)| by.get(counted).is_some_and(|count| count >= limit);
            if let Some((_, _, full)) = wanted.iter().find(full) {
                return Err(*full);
            }
            for (counted, _, _) in &wanted {
                *by.entry(counted.clone()).or_default() += 1;
            }
        }
        let counted = wanted.into_iter().map(|(counted, _, _)| counted).collect();
        if !enter(&self.clients, limits.connections) {
            self.leave(counted);
            return Err(NoRoom::Connections);
        }
        Ok(ClientPlace { admission: self.clone(), counted })
    }

    /// When a client that found no room may come again.
    pub(crate) fn retry_after(&self, full: NoRoom, now: Instant) -> Duration {
        match full {
            NoRoom::Connections => {
                let mut retries = self.retries.lock().unwrap_or_else(PoisonError::into_inner);
                retries.join(SOONEST_RETRY, RETRY_INTERVAL, now)
            }
            // Those who share one of these limits are few, and no reason to keep others waiting.
            NoRoom::ConnectionsPerIp | NoRoom::ConnectionsPerUser | NoRoom::ConnectionsPerToken => SOONEST_RETRY,
        }
    }

    /// Counts one more negotiation, if `limits` allow one more in this second; else says when one may come.
    pub(crate) fn negotiate(&self, limits: &Limits, now: Instant) -> Result<(), Duration> {
        match limits.negotiates_per_second {
            0 => Ok(()),
            rate => self.negotiates.lock().unwrap_or_else(PoisonError::into_inner).take(rate, now),
        }
    }

    fn leave(&self, counted: Box<[Counted]>) {
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

impl Drop for ClientPlace {
    fn drop(&mut self) {
        self.admission.clients.fetch_sub(1, Ordering::Relaxed);
        self.admission.leave(std::mem::take(&mut self.counted));
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
        let hub = HubName::parse("chat").expect("a name");
        admission.enter_client(limits, IpAddr::from([127, 0, 0, address]), &hub, Some(&UserId::new(user)), token)
    }

    #[test]
    fn each_limit_counts_what_it_names_and_a_place_given_up_is_free_again() {
        for (limits, full) in [
            (Limits { connections_per_ip: 1, ..limits() }, NoRoom::ConnectionsPerIp),
            (Limits { connections_per_user: 1, ..limits() }, NoRoom::ConnectionsPerUser),
            (Limits { connections_per_token: 1, ..limits() }, NoRoom::ConnectionsPerToken),
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
