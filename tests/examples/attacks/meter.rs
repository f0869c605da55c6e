//! What the gateway's processes hold, sampled from outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the gateway is looked at.
const PERIOD: Duration = Duration::from_millis(20);
/// The data folder is walked at every so many-th look.
const LOOKS_PER_WALK: u64 = 10;
/// A compiler process that holds more than this is killed, to protect the machine.
const MAX_CHILD_BYTES: u64 = 5 << 29;

/// What the gateway holds at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Holding {
    /// Resident memory of the gateway and of the processes that it has started, in bytes.
    pub(crate) memory: u64,
    /// Open file descriptors of the gateway.
    pub(crate) descriptors: u64,
    /// Files in its data folder, in bytes.
    pub(crate) disk: u64,
}

/// Samples a gateway on a thread of its own until it is dropped.
#[derive(Debug)]
pub(crate) struct Meter {
    watched: Arc<Watched>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Watched {
    process: u32,
    data: PathBuf,
    is_over: AtomicBool,
    children_killed: AtomicU64,
    now: Mutex<Holding>,
    peak: Mutex<Holding>,
}

impl Meter {
    /// Begins to watch `process`, whose data folder is `data`.
    pub(crate) fn start(process: u32, data: PathBuf) -> Meter {
        let watched = Arc::new(Watched {
            process,
            data,
            is_over: AtomicBool::new(false),
            children_killed: AtomicU64::new(0),
            now: Mutex::default(),
            peak: Mutex::default(),
        });
        let thread = {
            let watched = watched.clone();
            std::thread::spawn(move || {
                for look in 0.. {
                    if watched.is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    watched.look(look % LOOKS_PER_WALK == 0);
                    std::thread::sleep(PERIOD);
                }
            })
        };
        Meter { watched, thread: Some(thread) }
    }

    pub(crate) fn now(&self) -> Holding {
        *self.watched.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most of each that was held since [`Meter::start`].
    pub(crate) fn peak(&self) -> Holding {
        *self.watched.peak.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many processes of the gateway were killed because they held too much.
    pub(crate) fn children_killed(&self) -> u64 {
        self.watched.children_killed.load(Ordering::Relaxed)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.watched.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed already.
            drop(thread.join());
        }
    }
}

impl Watched {
    fn look(&self, walk: bool) {
        let mut memory = resident_bytes(self.process);
        for child in children(self.process) {
            let held = resident_bytes(child);
            memory += held;
            if held > MAX_CHILD_BYTES && kill(child) {
                self.children_killed.fetch_add(1, Ordering::Relaxed);
            }
        }
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.process)).map_or(0, |all| all.count() as u64);
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let disk = if walk { folder_bytes(&self.data) } else { now.disk };
        *now = Holding { memory, descriptors, disk };
        let mut peak = self.peak.lock().unwrap_or_else(PoisonError::into_inner);
        *peak = Holding {
            memory: peak.memory.max(memory),
            descriptors: peak.descriptors.max(descriptors),
            disk: peak.disk.max(disk),
        };
    }
}

/// 0 for a process that has ended.
fn resident_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix(" kB"));
    line.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or_default() * 1024
}

fn children(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let of_each = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    of_each.flat_map(|ids| ids.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

fn kill(process: u32) -> bool {
    let killed = std::process::Command::new("kill").args(["-KILL", &process.to_string()]).status();
    killed.is_ok_and(|status| status.success())
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        // The file went away in between.
        Err(_) => 0,
    };
    entries.map(size).sum()
}
