//! When the core wants to look at its deadlines between two ticks of the clock.

use std::cell::RefCell;
use std::collections::BTreeSet;

use hubgate_core::time::Millis;
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Wakes {
    due: RefCell<BTreeSet<Millis>>,
    /// Another one is the first now.
    is_earlier: Notify,
}

impl Wakes {
    pub(super) fn add(&self, at: Millis) {
        let mut due = self.due.borrow_mut();
        due.insert(at);
        if due.first() == Some(&at) {
            self.is_earlier.notify_one();
        }
    }

    /// Waits for the next one, and takes all that are due then. Nothing is lost when this is dropped.
    pub(super) async fn next(&self, now: impl Fn() -> Millis) {
        loop {
            let first = self.due.borrow().first().copied();
            let Some(first) = first else {
                self.is_earlier.notified().await;
                continue;
            };
            let now = now();
            if first <= now {
                self.due.borrow_mut().retain(|at| *at > now);
                return;
            }
            tokio::select! {
                () = tokio::time::sleep((first - now).into()) => {}
                () = self.is_earlier.notified() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::ready;

    use super::*;

    /// Whether one is due at this time, which is taken then.
    async fn is_due(wakes: &Wakes, now: u64) -> bool {
        tokio::select! {
            biased;
            () = wakes.next(|| Millis(now)) => true,
            () = ready(()) => false,
        }
    }

    #[tokio::test]
    async fn each_wake_comes_once_in_its_time_whatever_the_order_in_which_they_were_wanted() {
        let wakes = Wakes::default();
        assert!(!is_due(&wakes, 0).await);
        [500, 200, 200, 900].into_iter().for_each(|at| wakes.add(Millis(at)));
        let mut due = Vec::new();
        for now in (0..1_000).step_by(100) {
            while is_due(&wakes, now).await {
                due.push(now);
            }
        }
        assert_eq!(due, [200, 500, 900]);
    }

    #[tokio::test]
    async fn who_waits_for_a_later_one_hears_of_one_that_is_earlier() {
        let (wakes, clock) = (Wakes::default(), Cell::new(Millis(0)));
        wakes.add(Millis(u64::from(u32::MAX)));
        let earlier = async {
            clock.set(Millis(100));
            wakes.add(Millis(100));
        };
        tokio::join!(wakes.next(|| clock.get()), earlier);
        assert!(!is_due(&wakes, 100).await, "it is taken");
    }
}
