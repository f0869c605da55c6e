//! A thread of the gateway that stands still, as one does that waits for a device that does not answer.

use std::sync::mpsc;
use std::time::Instant;
use std::{fs, io, ptr, thread};

use crate::wait::DEADLINE;

/// A thread that goes on only when its process ends.
#[derive(Debug)]
pub struct Frozen {
    tracer: thread::JoinHandle<()>,
}

impl Frozen {
    /// Stops the thread of this name. A debugger's means are used, and the gateway's memory is hidden from its own user: so
    /// the test runs as root, or has `CAP_SYS_PTRACE`.
    pub fn thread(process: u32, name: &str) -> Frozen {
        let thread = thread_of(process, name);
        let (stopped, is_stopped) = mpsc::channel();
        // What follows must all be asked by one thread.
        let tracer = thread::spawn(move || {
            stopped.send(stop(thread)).expect("the test waits");
            match thread == process as i32 {
                // Who has started the process waits for it.
                true => drop(wait_for_end(thread)),
                // Its end is told to who has stopped it, and its process does not end before that has heard of it.
                false => while wait(thread).is_ok_and(|has_ended| !has_ended) {},
            }
        });
        if let Err(error) = is_stopped.recv().expect("it tells") {
            panic!(
                "thread {name} of the gateway cannot be stopped: {error}; run the tests as root, or with CAP_SYS_PTRACE"
            );
        }
        Frozen { tracer }
    }

    /// After the end of the process.
    pub fn is_gone(self) {
        self.tracer.join().expect("it only waits");
    }
}

/// Waits for the thread: each gives itself its name when it first runs, which may be after the gateway listens.
fn thread_of(process: u32, name: &str) -> i32 {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let threads = fs::read_dir(format!("/proc/{process}/task")).expect("the process runs, and root may look");
        let named = threads
            .flatten()
            .find(|thread| fs::read_to_string(thread.path().join("comm")).is_ok_and(|comm| comm.trim() == name));
        if let Some(thread) = named {
            return thread.file_name().to_string_lossy().parse().expect("Linux lists numbers");
        }
        assert!(Instant::now() < deadline, "no thread {name}");
        thread::yield_now();
    }
}

fn stop(thread: i32) -> io::Result<()> {
    for request in [libc::PTRACE_SEIZE, libc::PTRACE_INTERRUPT] {
        // SAFETY: neither request has pointers.
        if unsafe { libc::ptrace(request, thread, ptr::null_mut::<libc::c_void>(), ptr::null_mut::<libc::c_void>()) }
            != 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    wait(thread).map(drop)
}

/// Waits for the next news of a thread; says whether it has ended.
fn wait(thread: i32) -> io::Result<bool> {
    let mut status = 0;
    // SAFETY: the pointer is to a value that outlives the call.
    match unsafe { libc::waitpid(thread, &mut status, libc::__WALL) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(libc::WIFEXITED(status) || libc::WIFSIGNALED(status)),
    }
}

/// Waits for the end of a process, of which others will still hear.
fn wait_for_end(process: i32) -> io::Result<()> {
    // SAFETY: zeros are a value of this type, and the pointer is to a value that outlives the call.
    let waited = unsafe {
        let mut end: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, process as libc::id_t, &mut end, libc::WEXITED | libc::WNOWAIT)
    };
    match waited {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
