//! What a process costs, as Linux tells it.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

/// Processor time of all threads of a process since it started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ProcessorTime {
    /// Scheduled time, to the nanosecond.
    pub(crate) total: Duration,
    /// The part in the program's own code, by the kernel's coarser clock.
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl ProcessorTime {
    /// Reads the time; `None` if there is no such process, or it is not ours to look at.
    pub(crate) fn of(pid: u32) -> Option<ProcessorTime> {
        let mut total = Duration::ZERO;
        for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
            // A thread may end between the two reads.
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else {
                continue;
            };
            total += Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?);
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold blanks; the fields are counted behind it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |index: usize| Some(Duration::from_millis(fields.get(index)?.parse::<u64>().ok()? * 10));
        Some(ProcessorTime { total, user: ticks(11)?, system: ticks(12)? })
    }

    pub(crate) fn since(self, earlier: ProcessorTime) -> ProcessorTime {
        ProcessorTime {
            total: self.total.saturating_sub(earlier.total),
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

/// Resident memory, in kilobytes.
pub(crate) fn resident_kilobytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok())
}

/// The process that listens at a local address.
pub(crate) fn listener(address: SocketAddr) -> Option<u32> {
    const LISTENING: &str = "0A";
    let port = format!(":{:04X}", address.port());
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let inode = tables.iter().flat_map(|table| table.lines().skip(1)).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1)?.ends_with(&port) && *fields.get(3)? == LISTENING).then(|| fields.get(9).copied())?
    })?;
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(|pid: &u32| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        descriptors.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|link| link.as_os_str() == socket.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_and_its_time_grows() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listener(socket.local_addr().unwrap()), Some(std::process::id()));
        let before = ProcessorTime::of(std::process::id()).unwrap();
        let mut sum = 0u64;
        while ProcessorTime::of(std::process::id()).unwrap().since(before).total.is_zero() {
            sum = std::hint::black_box((0..100_000).fold(sum, u64::wrapping_add));
        }
        assert!(resident_kilobytes(std::process::id()).unwrap() > 0);
    }
}
