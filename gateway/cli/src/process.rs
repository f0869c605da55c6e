//! What the operating system may show of this process, what it gives it, and the programs that it runs.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Keeps the memory of this process, which holds keys, out of core files, and out of reach of other processes of its user:
/// whoever attaches a debugger or reads `/proc/PID/mem` needs to be root, or to have `CAP_SYS_PTRACE`.
pub(crate) fn hide_memory() -> io::Result<()> {
    // A limit does not hold for core files that are piped to a program, and the flag is Linux's alone: so both.
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a value that outlives the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a system call without pointers.
    #[cfg(target_os = "linux")]
    if unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// The process group of the program that `run` waits for; 0 for none.
static GROUP: AtomicI32 = AtomicI32::new(0);

/// Does work that leaves something behind when the process ends in the middle of it. SIGINT and SIGTERM end the program that `run` waits
/// for, and no other is run; this process ends after it, when the work is over.
pub(crate) fn uninterrupted<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    extern "C" fn note(_: libc::c_int) {
        IS_INTERRUPTED.store(true, Ordering::SeqCst);
        end_group();
    }
    let signals = [libc::SIGINT, libc::SIGTERM];
    // SAFETY: the handler uses atomics and one system call. Programs that are started do not inherit a handler.
    let before = signals.map(|signal| unsafe { libc::signal(signal, note as *const () as libc::sighandler_t) });
    let done = work();
    for (signal, before) in signals.into_iter().zip(before) {
        // SAFETY: as it was before.
        unsafe { libc::signal(signal, before) };
    }
    match IS_INTERRUPTED.swap(false, Ordering::SeqCst) {
        true => Err(anyhow::anyhow!("it was interrupted")),
        false => done,
    }
}

/// Runs a program to its end, inside of `uninterrupted`. It gets a process group of its own, so that the programs that it runs
/// itself end with it.
pub(crate) fn run(command: &mut Command) -> io::Result<Output> {
    let child = command.process_group(0).spawn()?;
    GROUP.store(i32::try_from(child.id()).unwrap_or_default(), Ordering::SeqCst);
    // A signal may have come before the group was known.
    if IS_INTERRUPTED.load(Ordering::SeqCst) {
        end_group();
    }
    let output = child.wait_with_output();
    GROUP.store(0, Ordering::SeqCst);
    output
}

fn end_group() {
    let group = GROUP.load(Ordering::SeqCst);
    if group > 0 {
        // SAFETY: a system call without pointers.
        unsafe { libc::killpg(group, libc::SIGTERM) };
    }
}

/// The program that runs, even when another version has been put in its place.
pub(crate) fn own_program() -> io::Result<PathBuf> {
    let own = Path::new("/proc/self/exe");
    match own.exists() {
        true => Ok(own.to_owned()),
        false => std::env::current_exe(),
    }
}

/// How many files and sockets this process may have open at once.
pub(crate) fn max_descriptors() -> io::Result<usize> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a value that outlives the call.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } {
        0 => Ok(usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn the_memory_is_hidden_from_other_processes_of_the_user() {
        super::hide_memory().expect("Linux lets a process hide");
        // SAFETY: a system call without pointers.
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }, 0);
    }
}
