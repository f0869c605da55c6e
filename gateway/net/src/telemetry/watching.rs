//! Operators who watch messages on their way: what each wants to see, and what waits for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use hubgate_core::id::{ConnectionId, HubName, UserId};
use opentelemetry_proto::tonic::trace::v1 as otlp;
use tokio::sync::mpsc;

/// Who may watch at once, in number, and how many of these places are for holders of the admin token alone.
pub(crate) const MAX_WATCHERS: usize = 8;
const RESERVED: usize = 2;
/// Spans that wait for one of them, in number.
pub(crate) const MAX_WAITING: usize = 512;

/// Which traces are wanted; what is not given narrows nothing.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) hub: Option<HubName>,
    pub(crate) user: Option<UserId>,
    pub(crate) connection: Option<ConnectionId>,
    /// In any case, as hub servers read it.
    pub(crate) method: Option<String>,
    pub(crate) payloads: bool,
    /// Whether the one that watches has the admin token.
    pub(crate) is_for_operator: bool,
}

/// What a trace begins with.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) hub: &'a HubName,
    pub(crate) user: Option<&'a UserId>,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) method: Option<&'a str>,
}

impl Wanted {
    fn covers(&self, subject: &Subject<'_>) -> bool {
        let is_method = |wanted: &String| subject.method.is_some_and(|method| wanted.eq_ignore_ascii_case(method));
        self.hub.as_ref().is_none_or(|hub| hub == subject.hub)
            && self.user.as_ref().is_none_or(|user| subject.user == Some(user))
            && self.connection.is_none_or(|connection| subject.connection == Some(connection))
            && self.method.as_ref().is_none_or(is_method)
    }
}

/// A span that is over.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) span: otlp::Span,
    /// What the call carries, if that is wanted and known.
    pub(crate) payload: Option<String>,
}

/// One that watches.
#[derive(Debug)]
pub(super) struct Watcher {
    wanted: Wanted,
    queue: mpsc::Sender<Watched>,
    missed: AtomicU64,
}

impl Watcher {
    pub(super) fn wants_payloads(&self) -> bool {
        self.wanted.payloads
    }

    pub(super) fn tell(&self, span: &otlp::Span, payload: Option<&str>) {
        let Ok(place) = self.queue.try_reserve() else { return self.miss() };
        let payload = payload.filter(|_| self.wanted.payloads).map(str::to_owned);
        place.send(Watched { span: span.clone(), payload });
    }

    fn miss(&self) {
        self.missed.fetch_add(1, Ordering::Relaxed);
    }
}

/// All that watch.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    all: ArcSwap<Vec<Arc<Watcher>>>,
    /// Looked at for every send.
    are_there: AtomicBool,
    /// One changes them at a time.
    changing: Mutex<()>,
}

impl Watchers {
    pub(super) fn is_empty(&self) -> bool {
        !self.are_there.load(Ordering::Relaxed)
    }

    /// Those for a trace that begins, without these. One for which as much waits as there is room for misses the trace as a whole.
    pub(super) fn of(&self, subject: &Subject<'_>, without: &[Arc<Watcher>]) -> Vec<Arc<Watcher>> {
        let has_room = |watcher: &&Arc<Watcher>| {
            let has_room = watcher.queue.capacity() > 0;
            if !has_room {
                watcher.miss();
            }
            has_room
        };
        let is_without = |watcher: &Arc<Watcher>| without.iter().any(|other| Arc::ptr_eq(other, watcher));
        let is_wanted = |watcher: &&Arc<Watcher>| watcher.wanted.covers(subject) && !is_without(watcher);
        self.all.load().iter().filter(is_wanted).filter(has_room).cloned().collect()
    }

    /// One more, unless there are as many as may be.
    fn add(&self, watcher: &Arc<Watcher>) -> bool {
        let with = |all: &[Arc<Watcher>]| {
            let most = if watcher.wanted.is_for_operator { MAX_WATCHERS } else { MAX_WATCHERS - RESERVED };
            let more = (all.len() < most).then_some(watcher);
            all.iter().chain(more).cloned().collect()
        };
        self.change(with);
        self.all.load().iter().any(|other| Arc::ptr_eq(other, watcher))
    }

    fn remove(&self, watcher: &Arc<Watcher>) {
        self.change(|all| all.iter().filter(|other| !Arc::ptr_eq(other, watcher)).cloned().collect());
    }

    fn change(&self, change: impl Fn(&[Arc<Watcher>]) -> Vec<Arc<Watcher>>) {
        // What is looked at for every send always says how it is in the end.
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let all = change(&self.all.load());
        self.are_there.store(!all.is_empty(), Ordering::Relaxed);
        self.all.store(Arc::new(all));
    }
}

/// What one that watches gets, until this is dropped.
#[derive(Debug)]
pub(crate) struct Watching {
    telemetry: Arc<super::Telemetry>,
    watcher: Arc<Watcher>,
    spans: mpsc::Receiver<Watched>,
}

impl Watching {
    /// `None`: as many watch as may.
    pub(super) fn begin(telemetry: Arc<super::Telemetry>, wanted: Wanted) -> Option<Watching> {
        let (queue, spans) = mpsc::channel(MAX_WAITING);
        let watcher = Arc::new(Watcher { wanted, queue, missed: AtomicU64::new(0) });
        telemetry.watchers.add(&watcher).then_some(Watching { telemetry, watcher, spans })
    }

    /// Waits for the next span.
    pub(crate) async fn next(&mut self) -> Option<Watched> {
        self.spans.recv().await
    }

    /// One that is there already.
    pub(crate) fn next_now(&mut self) -> Option<Watched> {
        self.spans.try_recv().ok()
    }

    /// How many spans and traces have found no room since this was asked last.
    pub(crate) fn take_missed(&self) -> u64 {
        self.watcher.missed.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.telemetry.watchers.remove(&self.watcher);
    }
}
