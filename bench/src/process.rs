//! What a process costs, as Linux tells it.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Processor time of a process, up to a moment.
#[derive(Debug, Clone)]
pub(crate) struct ProcessorTime {
    pid: u32,
    /// Scheduled time of each thread, to the nanosecond.
    threads: HashMap<String, Duration>,
    user: Duration,
    system: Duration,
}

/// Processor time that a process took between two moments.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) total: Duration,
    /// The part in the program's own code, and that in the kernel, by the kernel's coarser clock.
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl ProcessorTime {
    /// Reads the time; `None` if there is no such process, or it is not ours to look at.
    pub(crate) fn of(pid: u32) -> Option<ProcessorTime> {
        let mut threads = HashMap::new();
        for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
            // A thread may end between the two reads.
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else {
                continue;
            };
            let time = Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?);
            threads.insert(task.file_name().to_string_lossy().into_owned(), time);
        }
        let (user, system) = ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
        Some(ProcessorTime { pid, threads, user: ticks_long(user)?, system: ticks_long(system)? })
    }

    /// What was spent since; `None` if the process has ended. Of a thread that has ended since, the last is not known.
    pub(crate) fn spent(&self) -> Option<Spent> {
        let now = ProcessorTime::of(self.pid)?;
        let earlier = |thread| self.threads.get(thread).copied().unwrap_or_default();
        Some(Spent {
            total: now.threads.iter().map(|(thread, time)| time.saturating_sub(earlier(thread))).sum(),
            user: now.user.saturating_sub(self.user),
            system: now.system.saturating_sub(self.system),
        })
    }
}

/// User and system time in `/proc/PID/stat`, in ticks.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    // The name in parentheses may hold blanks; the fields are counted behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn ticks_long(ticks: u64) -> Option<Duration> {
    // SAFETY: the call takes a number and gives one.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Some(Duration::from_nanos(ticks.saturating_mul(1_000_000_000u64.checked_div(u64::try_from(per_second).ok()?)?)))
}

/// Resident memory, in kilobytes.
pub(crate) fn resident_kilobytes(pid: u32) -> Option<u64> {
    kilobytes(pid, "VmRSS:")
}

/// The most resident memory that the process has had since it started, in kilobytes.
pub(crate) fn peak_kilobytes(pid: u32) -> Option<u64> {
    kilobytes(pid, "VmHWM:")
}

fn kilobytes(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse().ok())
}

/// The process that listens at an address, if this is one of this machine.
pub(crate) fn listener(address: SocketAddr) -> Option<u32> {
    // An address of another machine is none that a socket can be bound to.
    UdpSocket::bind((address.ip(), 0)).ok()?;
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let inode = tables.iter().find_map(|table| listening_inode(table, address))?;
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(|pid: &u32| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        descriptors.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|link| link.as_os_str() == socket.as_str())
    })
}

/// The socket that listens at an address, or at its port on all addresses, in a table of `/proc/net`.
fn listening_inode(table: &str, address: SocketAddr) -> Option<&str> {
    const LISTENING: &str = "0A";
    let port = format!("{:04X}", address.port());
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (ip, listening_port) = fields.next()?.split_once(':')?;
        let (_remote, state) = (fields.next()?, fields.next()?);
        let is_here = ip.bytes().all(|digit| digit == b'0') || ip == as_in_table(address.ip());
        (listening_port == port && is_here && state == LISTENING).then(|| fields.nth(5))?
    })
}

/// An address as the kernel writes it there: 32 bits at a time, in the machine's order of bytes.
fn as_in_table(ip: IpAddr) -> String {
    let bytes = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| format!("{:08X}", u32::from_ne_bytes(*word))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_and_its_time_grows() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let Ok(socket) = std::net::TcpListener::bind(address) else {
                continue;
            };
            let port = socket.local_addr().unwrap().port();
            let ip = if address.starts_with('[') { "[::1]" } else { "127.0.0.1" };
            assert_eq!(listener(format!("{ip}:{port}").parse().unwrap()), Some(std::process::id()), "{address}");
        }
        let before = ProcessorTime::of(std::process::id()).unwrap();
        let mut sum = 0u64;
        while before.spent().unwrap().total.is_zero() {
            sum = std::hint::black_box((0..100_000).fold(sum, u64::wrapping_add));
        }
        let (own, peak) =
            (resident_kilobytes(std::process::id()).unwrap(), peak_kilobytes(std::process::id()).unwrap());
        assert!(own > 0 && peak > 0);
    }

    #[test]
    fn nothing_is_found_where_nobody_listens() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(listener(free), None);
        // A documentation address, so none of this machine's.
        assert_eq!(listener("192.0.2.1:22".parse().unwrap()), None);
    }

    #[test]
    fn the_table_is_searched_for_address_port_and_state() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:22B8 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  0 0 111 1\n\
            1: 0200007F:22B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 222 1\n\
            2: 0100007F:22B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 333 1\n";
        assert_eq!(listening_inode(table, "127.0.0.1:8888".parse().unwrap()), Some("333"));
        assert_eq!(listening_inode(table, "127.0.0.3:8888".parse().unwrap()), None);
        assert_eq!(listening_inode(table, "127.0.0.1:8889".parse().unwrap()), None);
    }

    #[test]
    fn a_name_with_blanks_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(ticks(stat), Some((250, 50)));
        assert_eq!(ticks("7 (a) S 1"), None);
    }
}
