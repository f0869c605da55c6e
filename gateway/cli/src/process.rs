//! What the operating system may show of this process, and what it gives it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Does work that leaves something behind when the process ends in the middle of it. Ctrl-C reaches the programs that it runs, which end,
/// and this process after them, when the work is over.
pub(crate) fn uninterrupted<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    extern "C" fn note(_: libc::c_int) {
        IS_INTERRUPTED.store(true, Ordering::SeqCst);
    }
    // SAFETY: the handler only stores a flag. Programs that are started do not inherit a handler.
    let before = unsafe { libc::signal(libc::SIGINT, note as *const () as libc::sighandler_t) };
    let done = work();
    // SAFETY: as it was before.
    unsafe { libc::signal(libc::SIGINT, before) };
    match IS_INTERRUPTED.swap(false, Ordering::SeqCst) {
        true => Err(anyhow::anyhow!("it was interrupted")),
        false => done,
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
