//! What a plugin writes, and what the host writes about its calls: bounded in size and in rate.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use hubgate_core::event::UpstreamFailure;
use hubgate_core::id::{ConnectionId, HubName, PluginName};

use crate::limits::{FAILURE_LINES, LOG_LINE_BYTES, REASON_BYTES};
use crate::metrics::Outcome;
use crate::printable::printable;
use crate::rate_limit::RateLimit;

/// Of the name that a client calls, in a line about a failure.
const EVENT_BYTES: usize = 100;

/// Lines that are kept of each plugin, in number, and how much of each, in bytes.
const KEPT_LINES: usize = 100;
const KEPT_BYTES: usize = 1 << 10;

/// A line of the log about a plugin.
#[derive(Debug, Clone)]
pub struct PluginLogLine {
    pub at: SystemTime,
    pub level: tracing::Level,
    /// One line.
    pub text: String,
}

/// The log of one plugin, shared by all its instances.
#[derive(Debug)]
pub(crate) struct PluginLog {
    plugin: PluginName,
    /// The last lines, for operators, the oldest first.
    kept: Mutex<VecDeque<PluginLogLine>>,
    lines: Mutex<RateLimit>,
    failures: Mutex<RateLimit>,
}

impl PluginLog {
    /// `lines`: that it may write in a second, and at once after a pause.
    pub(crate) fn new(plugin: PluginName, lines: (u32, u32)) -> PluginLog {
        let now = Instant::now();
        PluginLog {
            plugin,
            kept: Mutex::default(),
            lines: Mutex::new(RateLimit::new(lines, now)),
            failures: Mutex::new(RateLimit::new(FAILURE_LINES, now)),
        }
    }

    /// The last lines that were written, the oldest first.
    pub(crate) fn kept(&self) -> Vec<PluginLogLine> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn keep(&self, level: tracing::Level, text: &str) {
        let text = text[..text.floor_char_boundary(KEPT_BYTES)].to_owned();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT_LINES {
            kept.pop_front();
        }
        kept.push_back(PluginLogLine { at: SystemTime::now(), level, text });
    }

    /// Writes a line of the plugin's own, unless it writes too many; says whether that is not so.
    pub(crate) fn write<'a>(
        &self,
        level: tracing::Level,
        message: &str,
        fields: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> bool {
        let wanted = match level {
            tracing::Level::ERROR => tracing::enabled!(target: "plugin", tracing::Level::ERROR),
            tracing::Level::WARN => tracing::enabled!(target: "plugin", tracing::Level::WARN),
            tracing::Level::INFO => tracing::enabled!(target: "plugin", tracing::Level::INFO),
            _ => tracing::enabled!(target: "plugin", tracing::Level::DEBUG),
        };
        if !wanted {
            return true;
        }
        let Some(dropped) = admit(&self.lines) else { return false };
        if dropped > 0 {
            tracing::warn!(target: "plugin", plugin = %self.plugin, dropped, "lines dropped: the plugin logs too many");
        }
        let line = line(message, fields);
        self.keep(level, &line);
        let plugin = &self.plugin;
        match level {
            tracing::Level::ERROR => tracing::error!(target: "plugin", %plugin, "{line}"),
            tracing::Level::WARN => tracing::warn!(target: "plugin", %plugin, "{line}"),
            tracing::Level::INFO => tracing::info!(target: "plugin", %plugin, "{line}"),
            _ => tracing::debug!(target: "plugin", %plugin, "{line}"),
        }
        true
    }

    /// Writes why a call of the plugin failed, unless that happens too often. A rejection is the plugin's answer and not
    /// a failure of it.
    pub(crate) fn failure(
        &self,
        hub: &HubName,
        connection: Option<ConnectionId>,
        event: &str,
        (outcome, failure): (Outcome, &UpstreamFailure),
    ) {
        let reason = match failure {
            UpstreamFailure::Rejected(_) => return,
            UpstreamFailure::Failed(reason) | UpstreamFailure::Unavailable(reason) => {
                format!("failed: {}", printable(reason, REASON_BYTES))
            }
            UpstreamFailure::Trapped(reason) => format!("broke off: {}", printable(reason, REASON_BYTES)),
            UpstreamFailure::TimedOut => "ran longer than its call-time".to_owned(),
            UpstreamFailure::OutOfCpuTime { ticks } => {
                format!("used more processor time than its cpu-time: {ticks} ms")
            }
            UpstreamFailure::OutOfMemory if outcome == Outcome::OutOfPluginMemory => {
                "wanted memory that other instances have: `server.limits.plugin-memory` is used up".to_owned()
            }
            UpstreamFailure::OutOfMemory => "wanted more than its memory".to_owned(),
            UpstreamFailure::NotServing => "found no version that serves".to_owned(),
            UpstreamFailure::Busy => "had no free instance within its call-time".to_owned(),
        };
        let Some(dropped) = admit(&self.failures) else { return };
        if dropped > 0 {
            tracing::warn!(plugin = %self.plugin, dropped, "calls of the plugin failed in the meantime");
        }
        let (plugin, event) = (&self.plugin, printable(event, EVENT_BYTES));
        let is_trap = matches!(failure, UpstreamFailure::Trapped(_));
        let level = if is_trap { tracing::Level::ERROR } else { tracing::Level::WARN };
        self.keep(level, &format!("hub {hub}, {event}: a call of the plugin {reason}"));
        let connection = connection.map(tracing::field::display);
        if is_trap {
            tracing::error!(%plugin, %hub, connection, event, "a call of the plugin {reason}");
            return;
        }
        tracing::warn!(%plugin, %hub, connection, event, "a call of the plugin {reason}");
    }
}

fn admit(limit: &Mutex<RateLimit>) -> Option<u64> {
    limit.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now())
}

/// The message and its fields as one line of at most [`LOG_LINE_BYTES`].
fn line<'a>(message: &str, fields: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut line = printable(message, LOG_LINE_BYTES);
    for (name, value) in fields {
        if line.len() >= LOG_LINE_BYTES {
            break;
        }
        let room = LOG_LINE_BYTES - line.len();
        write!(line, " {}={}", printable(name, room), printable(value, room)).expect("a String takes all");
    }
    line.truncate(line.floor_char_boundary(LOG_LINE_BYTES));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_bounded() {
        let fields = [("name", "value\r\n"), ("other", "x")];
        assert_eq!(line("a\nb", fields.into_iter()), "a\\nb name=value\\r\\n other=x");
        let long = "ä".repeat(LOG_LINE_BYTES);
        assert!(line(&long, [("name", long.as_str())].into_iter()).len() <= LOG_LINE_BYTES);
        assert!(line("short", [("name", long.as_str())].into_iter()).len() <= LOG_LINE_BYTES);
    }

    #[test]
    fn the_last_lines_are_kept_each_up_to_a_bound() {
        let log = PluginLog::new(PluginName::new("chat"), (1_000, 1_000));
        for number in 0..KEPT_LINES + 3 {
            log.keep(tracing::Level::INFO, &format!("{number} {}", "ä".repeat(KEPT_BYTES)));
        }
        let kept = log.kept();
        assert_eq!(kept.len(), KEPT_LINES);
        assert!(kept[0].text.starts_with("3 ") && kept.iter().all(|line| line.text.len() <= KEPT_BYTES));
    }
}
