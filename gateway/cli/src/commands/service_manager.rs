//! What the service manager is told, where one asks to be told (systemd, `Type=notify`).
//!
//! Source: systemd, `sd_notify(3)`, `sd_watchdog_enabled(3)` and `sd_listen_fds(3)`.

use std::cell::Cell;
use std::net::TcpListener;
use std::os::fd::FromRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hubgate_net::Inherited;
use sd_notify::NotifyState;

/// The name of the socket for operators.
const ADMIN: &str = "admin";

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

/// Clients are sent away; the process has ended after this time.
pub(super) fn stopping(within: Duration) {
    let time = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(time)]);
}

/// The listening sockets that the service manager has made: one for clients, and one that is named `admin` for operators.
/// To be asked once.
pub(super) fn sockets() -> Result<Inherited> {
    let passed =
        sd_notify::listen_fds_with_names(false).context("LISTEN_FDS and LISTEN_FDNAMES do not fit together")?;
    let mut sockets = Inherited::default();
    for (descriptor, name) in passed {
        // SAFETY: the service manager has opened it for this process, and nobody else here takes it.
        let socket = unsafe { TcpListener::from_raw_fd(descriptor) };
        let (place, what) = match name.as_str() {
            ADMIN => (&mut sockets.admin, "operators"),
            _ => (&mut sockets.clients, "clients"),
        };
        if place.replace(socket).is_some() {
            bail!("the service manager has passed two sockets for {what}: one needs `FileDescriptorName={ADMIN}`");
        }
    }
    Ok(sockets)
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
