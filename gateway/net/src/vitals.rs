//! Signs of life of what must go on, and whether the gateway can serve.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hubgate_plugin_host::{PluginHost, VitalSign};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

/// How often a thread that is watched gives a sign of life.
const BEAT: Duration = Duration::from_millis(250);

/// What the gateway's threads tell of themselves, and what the watchdog has found.
#[derive(Debug)]
pub(crate) struct Vitals {
    /// Of the thread that accepts connections.
    pub(crate) main: Pulse,
    shards: Vec<Pulse>,
    /// Of the thread that speaks to other nodes, if there is one.
    cluster: Option<Pulse>,
    is_ready: AtomicBool,
    /// The gateway is to join a cluster, and has not yet.
    is_joining: AtomicBool,
    has_joined: Notify,
    /// It does not reach other nodes that may be there.
    is_degraded: AtomicBool,
    /// The first part that broke, if one did.
    failure: OnceLock<String>,
    has_failed: Notify,
    /// Whose threads are watched, too; nothing is watched any more when it is gone, because threads end then as they are told to.
    plugins: Mutex<Option<PluginHost>>,
    /// How long the end may take at most, once it has begun.
    end_within: OnceLock<Duration>,
}

/// The signs of life of one thread.
#[derive(Debug)]
pub(crate) struct Pulse {
    pub(crate) name: String,
    beats: AtomicU64,
    /// The watchdog has waited for a beat in vain.
    is_silent: AtomicBool,
}

/// Whether a load balancer should send clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    /// It serves, but does not reach other nodes that may be there.
    Degraded,
    /// The gateway has not joined its cluster yet.
    Joining,
    /// The gateway is stopping, or has not begun.
    Draining,
    /// A part of the gateway has broken, or does not answer.
    Unwell,
}

impl Vitals {
    pub(crate) fn new(shards: u16, plugins: Option<PluginHost>) -> Vitals {
        Vitals {
            main: Pulse::new("main".to_owned()),
            shards: (0..shards).map(|index| Pulse::new(format!("shard-{index}"))).collect(),
            cluster: None,
            is_ready: AtomicBool::new(false),
            is_joining: AtomicBool::new(false),
            has_joined: Notify::new(),
            is_degraded: AtomicBool::new(false),
            failure: OnceLock::new(),
            has_failed: Notify::new(),
            plugins: Mutex::new(plugins),
            end_within: OnceLock::new(),
        }
    }

    /// Those of a gateway that is to join a cluster.
    pub(crate) fn in_a_cluster(mut self) -> Vitals {
        self.cluster = Some(Pulse::new("cluster".to_owned()));
        *self.is_joining.get_mut() = true;
        self
    }

    /// The sign of life of the thread that speaks to other nodes.
    pub(crate) fn cluster(&self) -> Option<&Pulse> {
        self.cluster.as_ref()
    }

    pub(crate) fn shard(&self, index: usize) -> &Pulse {
        &self.shards[index]
    }

    pub(crate) fn pulses(&self) -> impl Iterator<Item = &Pulse> {
        std::iter::once(&self.main).chain(&self.shards).chain(&self.cluster)
    }

    /// The gateway wants clients, or does so no more.
    pub(crate) fn set_ready(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Ordering::Relaxed);
    }

    /// Whether the gateway has yet to join its cluster. Until then it serves nobody.
    pub(crate) fn is_joining(&self) -> bool {
        self.is_joining.load(Ordering::Relaxed)
    }

    pub(crate) fn set_joining(&self, is_joining: bool) {
        self.is_joining.store(is_joining, Ordering::Relaxed);
        if !is_joining {
            self.has_joined.notify_waiters();
        }
    }

    /// Waits until the gateway has joined its cluster, if it is to be of one.
    pub(crate) async fn joined(&self) {
        loop {
            let joined = self.has_joined.notified();
            if !self.is_joining() {
                return;
            }
            joined.await;
        }
    }

    /// Whether other nodes may be there that the gateway does not reach.
    pub(crate) fn set_degraded(&self, is_degraded: bool) {
        self.is_degraded.store(is_degraded, Ordering::Relaxed);
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let is_unwell = self.failure.get().is_some() || self.pulses().any(Pulse::is_silent);
        match self.is_ready.load(Ordering::Relaxed) {
            _ if is_unwell => Readiness::Unwell,
            false => Readiness::Draining,
            true if self.is_joining() => Readiness::Joining,
            true if self.is_degraded.load(Ordering::Relaxed) => Readiness::Degraded,
            true => Readiness::Ready,
        }
    }

    /// A part without which the gateway cannot go on is gone: it stops, in order.
    pub(crate) fn fail(&self, what: String) {
        self.fail_unsaid(what)();
    }

    /// The same; gives what says so in the log, which holds up its thread when nobody reads the log.
    pub(crate) fn fail_unsaid(&self, what: String) -> impl FnOnce() + Send + use<> {
        // The first one is the reason; others may follow from it.
        let _ = self.failure.set(what.clone());
        self.has_failed.notify_one();
        move || tracing::error!(what, "a vital part of the gateway is gone: it stops")
    }

    /// What has broken, once something has.
    pub(crate) async fn failed(&self) -> &str {
        loop {
            if let Some(what) = self.failure.get() {
                return what;
            }
            self.has_failed.notified().await;
        }
    }

    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// The process must have ended after so long.
    pub(crate) fn end_within(&self, limit: Duration) {
        let _ = self.end_within.set(limit);
    }

    pub(crate) fn end_limit(&self) -> Option<Duration> {
        self.end_within.get().copied()
    }

    /// Threads end from now on because they are told to. The plugin host is held no longer: what it keeps is closed by its
    /// last owner.
    pub(crate) fn begin_to_stop(&self) {
        drop(self.plugins.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// What the threads of plugins show; nothing once threads end as they are told to.
    pub(crate) fn plugin_signs(&self) -> Option<Vec<(&'static str, VitalSign)>> {
        self.plugins.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(PluginHost::vital_signs)
    }
}

impl Pulse {
    fn new(name: String) -> Pulse {
        Pulse { name, beats: AtomicU64::new(0), is_silent: AtomicBool::new(false) }
    }

    /// The thread is not held up.
    pub(crate) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// Beats for as long as the thread's runtime goes round.
    pub(crate) async fn keep_beating(&self) -> std::convert::Infallible {
        let mut beats = tokio::time::interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            self.beat();
        }
    }

    pub(crate) fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::Relaxed)
    }

    pub(crate) fn set_silent(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_silent_or_gone_makes_the_gateway_unready() {
        let vitals = Vitals::new(2, None);
        assert_eq!(vitals.readiness(), Readiness::Draining);
        vitals.set_ready(true);
        assert_eq!(vitals.readiness(), Readiness::Ready);
        for pulse in vitals.pulses() {
            pulse.set_silent(true);
            assert_eq!(vitals.readiness(), Readiness::Unwell, "{}", pulse.name);
            pulse.set_silent(false);
        }
        assert_eq!(vitals.readiness(), Readiness::Ready);
        vitals.set_joining(true);
        assert_eq!(vitals.readiness(), Readiness::Joining);
        vitals.set_degraded(true);
        vitals.set_joining(false);
        assert_eq!(vitals.readiness(), Readiness::Degraded);
        let _unsaid = vitals.fail_unsaid("the clock".to_owned());
        vitals.fail("what depends on it".to_owned());
        assert_eq!((vitals.readiness(), vitals.failure()), (Readiness::Unwell, Some("the clock")));
    }
}
