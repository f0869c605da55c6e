//! Whether a guest is at its call, or waits for somebody who may take his time: then the call has no place among those that run, and its
//! time stands still. So does that of a call that waits for the disk, which keeps its place.
//!
//! A guest and the pool that has called it share one of these, on one thread.

use std::pin::pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

/// Of the calls of one instance, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Absence {
    whereabouts: AtomicU8,
    /// For how long it has been away, in nanoseconds, in all calls.
    total: AtomicU64,
    /// For how long it has waited for the disk.
    held: AtomicU64,
}

/// Where a guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    Here,
    /// It waits.
    Away,
    /// It waits, and its call's place is given up.
    Displaced,
    /// It has what it has waited for, and goes on once its call has a place again.
    Returning,
    /// It waits for the disk, and its call keeps its place.
    Held,
}

impl Whereabouts {
    const ALL: [Whereabouts; 5] =
        [Whereabouts::Here, Whereabouts::Away, Whereabouts::Displaced, Whereabouts::Returning, Whereabouts::Held];
}

/// For the guest.
impl Absence {
    /// Waits for `what`; gives also how long that took. The guest goes on when its call has a place.
    pub(crate) async fn while_away<T>(&self, what: impl Future<Output = T>) -> (T, Duration) {
        let began = Instant::now();
        self.set(Whereabouts::Away);
        let output = what.await;
        let took = began.elapsed();
        add(&self.total, took);
        self.set(match self.whereabouts() {
            Whereabouts::Displaced => Whereabouts::Returning,
            Whereabouts::Here | Whereabouts::Away | Whereabouts::Returning | Whereabouts::Held => Whereabouts::Here,
        });
        // Whoever has taken the place wakes the call when there is another one.
        std::future::poll_fn(|_| match self.whereabouts() {
            Whereabouts::Here => Poll::Ready(()),
            Whereabouts::Away | Whereabouts::Displaced | Whereabouts::Returning | Whereabouts::Held => Poll::Pending,
        })
        .await;
        (output, took)
    }

    /// Waits for `what` in its call's place; gives also for how long of that the call's time has stood still: `most` of it.
    pub(crate) async fn while_held<T>(&self, most: Duration, what: impl Future<Output = T>) -> (T, Duration) {
        let began = Instant::now();
        let mut what = pin!(what);
        self.set(Whereabouts::Held);
        let output = tokio::time::timeout(most, what.as_mut()).await;
        let took = began.elapsed();
        add(&self.held, took);
        self.set(Whereabouts::Here);
        match output {
            Ok(output) => (output, took),
            Err(_) => (what.await, took),
        }
    }

    fn set(&self, whereabouts: Whereabouts) {
        self.whereabouts.store(whereabouts as u8, Ordering::Relaxed);
    }
}

/// One thread adds to it.
fn add(total: &AtomicU64, time: Duration) {
    let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    total.store(total.load(Ordering::Relaxed).saturating_add(nanoseconds), Ordering::Relaxed);
}

/// For the pool.
impl Absence {
    pub(crate) fn whereabouts(&self) -> Whereabouts {
        Whereabouts::ALL[usize::from(self.whereabouts.load(Ordering::Relaxed))]
    }

    /// For how long the guest has been away, in all calls of its instance.
    pub(crate) fn total(&self) -> Duration {
        Duration::from_nanos(self.total.load(Ordering::Relaxed))
    }

    /// For how long it has waited for the disk, in all calls of its instance.
    pub(crate) fn held(&self) -> Duration {
        Duration::from_nanos(self.held.load(Ordering::Relaxed))
    }

    /// The place of the call is given up.
    pub(crate) fn displace(&self) {
        self.set(Whereabouts::Displaced);
    }

    /// The call has a place again.
    pub(crate) fn let_back(&self) {
        self.set(Whereabouts::Here);
    }
}
