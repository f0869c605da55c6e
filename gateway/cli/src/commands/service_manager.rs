//! What the service manager is told, where one asks to be told (systemd, `Type=notify`).
//!
//! Source: systemd, `sd_notify(3)` and `sd_watchdog_enabled(3)`.

use std::cell::Cell;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// Everything listens.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is read again; [`ready`] says that this is over.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager is not told of the reload"),
    }
}

/// Clients are sent away.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// To be called while all is well, as often as one likes: tells the service manager as often as it wants to hear
/// (`WatchdogSec`), if it does.
pub(super) fn signs_of_life() -> impl Fn() + Send + 'static {
    // It should hear twice in that time, as systemd asks for; one more may come late.
    let period = longest_silence().map(|time| time / 3);
    let last: Cell<Option<Instant>> = Cell::new(None);
    move || {
        if let Some(period) = period
            && last.get().is_none_or(|last| last.elapsed() >= period)
        {
            last.set(Some(Instant::now()));
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// How long the service manager takes this process for alive without a word, if it watches it.
fn longest_silence() -> Option<Duration> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    // The variables may be meant for the process that has started this one.
    let is_for_another = number("WATCHDOG_PID").is_some_and(|process| process != u64::from(std::process::id()));
    let time = number("WATCHDOG_USEC").filter(|_| !is_for_another);
    time.map(Duration::from_micros)
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
