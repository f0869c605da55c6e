//! One call on its way to a guest and back: its time, and its place among those that run.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Sleep;

use crate::absence::{Absence, Whereabouts};
use crate::breakers::{Caller, Passages};
use crate::ticker;

/// A call that is to be over by then, and the version that it came to. What its guest waits for a client, or for the disk, adds to its time.
pub(crate) struct Attempt<'a> {
    pub(crate) caller: Caller<'a>,
    pub(crate) started: Instant,
    /// When the guest began, or began to wait for its turn.
    pub(crate) began: Cell<Instant>,
    deadline: Instant,
    /// Whether it is not over at once.
    pub(crate) waits: Cell<bool>,
    /// 0 as long as there is none.
    pub(crate) generation: Cell<u64>,
    pub(crate) passages: Cell<Passages>,
    /// That of the instance that has the call, and how long it had waited before.
    absence: RefCell<Option<(Arc<Absence>, Waits)>>,
    /// How long the guest has waited that has had the call.
    absent: Cell<Waits>,
}

/// How long a guest has waited.
#[derive(Debug, Clone, Copy, Default)]
struct Waits {
    /// For others, away from its call.
    away: Duration,
    /// For the disk.
    held: Duration,
}

impl Waits {
    fn of(absence: &Absence) -> Waits {
        Waits { away: absence.total(), held: absence.held() }
    }

    fn since(self, before: Waits) -> Waits {
        Waits { away: self.away.saturating_sub(before.away), held: self.held.saturating_sub(before.held) }
    }
}

/// What a call has while it runs.
pub(crate) struct Place<'a> {
    permits: &'a Semaphore,
    caller: &'a ticker::Caller,
    taken: Option<(SemaphorePermit<'a>, ticker::Running<'a>)>,
}

/// Waits for a permit.
type Acquiring<'a> = Pin<Box<dyn Future<Output = SemaphorePermit<'a>> + 'a>>;

/// Goes off at a deadline, which may be put off.
#[derive(Default)]
struct Timer(Option<(Instant, Pin<Box<Sleep>>)>);

impl<'a> Attempt<'a> {
    pub(crate) fn new(started: Instant, deadline: Instant, caller: Caller<'a>) -> Attempt<'a> {
        Attempt {
            caller,
            started,
            began: Cell::new(started),
            deadline,
            waits: Cell::new(false),
            generation: Cell::new(0),
            passages: Cell::new(Passages::FREE),
            absence: RefCell::new(None),
            absent: Cell::default(),
        }
    }

    /// An instance has the call from now on, whose guest may be away.
    pub(crate) fn begin(&self, absence: Option<Arc<Absence>>) {
        self.absence.replace(absence.map(|absence| {
            let before = Waits::of(&absence);
            (absence, before)
        }));
    }

    /// The instance has answered.
    pub(crate) fn end(&self) -> Option<Arc<Absence>> {
        self.absent.set(self.waited());
        self.absence.take().map(|(absence, _)| absence)
    }

    /// How long the guest was away.
    pub(crate) fn absent(&self) -> Duration {
        self.waited().away
    }

    fn waited(&self) -> Waits {
        match &*self.absence.borrow() {
            Some((absence, before)) => Waits::of(absence).since(*before),
            None => self.absent.get(),
        }
    }

    /// When the call must be over, as far as is known.
    pub(crate) fn deadline(&self) -> Instant {
        let Waits { away, held } = self.waited();
        self.deadline + away + held
    }

    /// The future's output, or `None` when it takes longer than until the deadline. A future that is ready at once, as most
    /// calls are, makes no timer; each poll polls it once, because that is how long a guest holds the thread.
    pub(crate) async fn within<F: Future>(&self, mut future: Pin<&mut F>) -> Option<F::Output> {
        let mut timer = Timer::default();
        std::future::poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                self.waits.set(true);
                timer.poll(self.deadline(), context).map(|()| None)
            }
        })
        .await
    }

    /// The same of a call of a guest, which gives its place up while the guest is away.
    pub(crate) async fn run<F: Future>(&self, mut work: Pin<&mut F>, mut place: Place<'_>) -> Option<F::Output> {
        let (mut timer, mut acquiring) = (Timer::default(), None::<Acquiring<'_>>);
        std::future::poll_fn(|context| {
            loop {
                if let Some(next) = &mut acquiring {
                    let Poll::Ready(permit) = next.as_mut().poll(context) else {
                        return timer.poll(self.deadline(), context).map(|()| None);
                    };
                    acquiring = None;
                    place.take(permit);
                    self.absence(Absence::let_back);
                }
                if let Poll::Ready(output) = work.as_mut().poll(context) {
                    return Poll::Ready(Some(output));
                }
                self.waits.set(true);
                match self.absence(Absence::whereabouts) {
                    Some(Whereabouts::Away | Whereabouts::Displaced) => {
                        // It waits for no longer than it may.
                        place.give_up();
                        self.absence(Absence::displace);
                        return Poll::Pending;
                    }
                    // Its wait has a bound of its own.
                    Some(Whereabouts::Held) => return Poll::Pending,
                    Some(Whereabouts::Returning) => acquiring = Some(place.acquire()),
                    Some(Whereabouts::Here) | None => return timer.poll(self.deadline(), context).map(|()| None),
                }
            }
        })
        .await
    }

    fn absence<T>(&self, what: impl FnOnce(&Absence) -> T) -> Option<T> {
        self.absence.borrow().as_ref().map(|(absence, _)| what(absence))
    }
}

impl<'a> Place<'a> {
    /// Of a call that has this permit. A guest may run from now on.
    pub(crate) fn new(permits: &'a Semaphore, permit: SemaphorePermit<'a>, caller: &'a ticker::Caller) -> Place<'a> {
        Place { permits, caller, taken: Some((permit, caller.run())) }
    }

    fn take(&mut self, permit: SemaphorePermit<'a>) {
        self.taken = Some((permit, self.caller.run()));
    }

    fn give_up(&mut self) {
        self.taken = None;
    }

    fn acquire(&self) -> Acquiring<'a> {
        let permits = self.permits;
        Box::pin(async move { permits.acquire().await.expect("the semaphore is never closed") })
    }
}

impl Timer {
    fn poll(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        let timer = match &mut self.0 {
            Some((at, timer)) if *at == deadline => timer,
            _ => &mut self.0.insert((deadline, Box::pin(tokio::time::sleep_until(deadline.into())))).1,
        };
        timer.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Waker;

    use hubgate_core::id::HubName;
    use tokio::sync::oneshot;
    use wasmtime::Engine;

    use super::*;
    use crate::peers::Peer;
    use crate::ticker::Ticker;

    /// Whether a call ends well whose time is over when its guest begins to wait for somebody; a place is free for it then, or not.
    async fn ends_well(is_free: bool) -> bool {
        let (ticker, permits) = (Ticker::start(Engine::default()).unwrap(), Semaphore::new(1));
        let (ticks, hub, now) = (ticker.caller(), HubName::parse("chat").unwrap(), Instant::now());
        let attempt = Attempt::new(now, now, Caller { hub: &hub, peer: Peer::numbered(1) });
        let absence = Arc::<Absence>::default();
        attempt.begin(Some(absence.clone()));
        let (answer, answered) = oneshot::channel();
        let mut work = pin!(absence.while_away(answered));
        let place = Place::new(&permits, permits.try_acquire().unwrap(), &ticks);
        let mut run = pin!(attempt.run(work.as_mut(), place));
        for _ in 0..2 {
            assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "its time stands still");
        }
        let others = permits.try_acquire().expect("it has given its place up");
        answer.send(()).unwrap();
        if is_free {
            drop(others);
        }
        let output = run.await;
        assert!(attempt.deadline() > now, "what it has waited is added");
        assert_eq!(absence.whereabouts() == Whereabouts::Here, is_free);
        output.is_some()
    }

    #[tokio::test]
    async fn a_call_whose_guest_is_away_has_no_place_and_no_time_passes_for_it() {
        assert!(ends_well(true).await);
    }

    #[tokio::test]
    async fn a_call_whose_guest_comes_back_waits_for_a_place_in_its_own_time() {
        assert!(!ends_well(false).await);
    }

    #[tokio::test]
    async fn a_call_that_waits_for_the_disk_keeps_its_place_and_no_time_passes_for_it() {
        let (ticker, permits) = (Ticker::start(Engine::default()).unwrap(), Semaphore::new(1));
        let (ticks, hub, now) = (ticker.caller(), HubName::parse("chat").unwrap(), Instant::now());
        let attempt = Attempt::new(now, now, Caller { hub: &hub, peer: Peer::numbered(1) });
        let absence = Arc::<Absence>::default();
        attempt.begin(Some(absence.clone()));
        let (written, disk) = oneshot::channel();
        let mut work = pin!(absence.while_held(Duration::from_secs(3_600), disk));
        let place = Place::new(&permits, permits.try_acquire().unwrap(), &ticks);
        let mut run = pin!(attempt.run(work.as_mut(), place));
        for _ in 0..2 {
            assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "its time stands still");
        }
        assert!(permits.try_acquire().is_err());
        written.send(()).unwrap();
        assert!(run.await.is_some());
        assert!(attempt.deadline() > now, "what it has waited is added");
        assert_eq!(attempt.absent(), Duration::ZERO, "and is time that it has taken");
    }

    #[tokio::test]
    async fn the_time_of_a_call_passes_again_when_the_disk_takes_too_long() {
        let (ticker, permits) = (Ticker::start(Engine::default()).unwrap(), Semaphore::new(1));
        let (ticks, hub, now) = (ticker.caller(), HubName::parse("chat").unwrap(), Instant::now());
        let attempt = Attempt::new(now, now, Caller { hub: &hub, peer: Peer::numbered(1) });
        let absence = Arc::<Absence>::default();
        attempt.begin(Some(absence.clone()));
        let most = Duration::from_millis(1);
        let mut work = pin!(absence.while_held(most, std::future::pending::<()>()));
        let place = Place::new(&permits, permits.try_acquire().unwrap(), &ticks);
        assert!(attempt.run(work.as_mut(), place).await.is_none());
        assert!(attempt.deadline() >= now + most);
    }

    #[tokio::test]
    async fn what_calls_before_have_waited_is_no_time_of_a_call() {
        let (absence, hub, now) = (Arc::<Absence>::default(), HubName::parse("chat").unwrap(), Instant::now());
        absence.while_away(tokio::task::yield_now()).await;
        assert!(absence.total() > Duration::ZERO);
        let attempt = Attempt::new(now, now, Caller { hub: &hub, peer: Peer::numbered(1) });
        attempt.begin(Some(absence.clone()));
        assert_eq!((attempt.absent(), attempt.deadline()), (Duration::ZERO, now));
        absence.while_away(tokio::task::yield_now()).await;
        let absent = attempt.absent();
        assert!(absent > Duration::ZERO && attempt.end().is_some());
        assert_eq!(attempt.absent(), absent);
    }
}
