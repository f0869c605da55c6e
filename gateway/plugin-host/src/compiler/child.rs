//! The process that compiles one component: what it may use, and what its end says.
//!
//! Components come from outside, and one of a kilobyte can describe more machine code than any machine has memory for. So the
//! process has a bound of address space and of processor time, and is the first that the kernel ends when memory runs out.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::reason;
use crate::engine::{self, Allocation};
use crate::limits::{MAX_COMPILER_CPU_TIME, MAX_COMPILER_MEMORY_BYTES, REASON_BYTES};
use crate::load_error::LoadError;
use crate::printable::printable;
use crate::worker::start_scoped;

/// How long a compilation may take by the clock, on a machine that has little time for it.
const COMPILATION_TIMEOUT: Duration = Duration::from_secs(300);
/// Threads that compile at a time. The memory that a component takes does not depend on the machine's cores, then.
const MAX_COMPILER_THREADS: usize = 4;
/// How often a compilation under way is looked at.
const POLL_PERIOD: Duration = Duration::from_millis(10);
/// How much machine code one component may come to, in bytes.
pub(super) const MAX_MACHINE_CODE_BYTES: u64 = 1 << 30;

/// The exit code that says that the component is bad.
const EXIT_INVALID: u8 = 3;
/// The exit code that says that [`MAX_COMPILER_MEMORY_BYTES`] were not enough.
const EXIT_OUT_OF_MEMORY: u8 = 4;
/// What Rust says before it aborts because memory cannot be allocated.
const ALLOCATION_FAILED: &str = "memory allocation of ";

/// What the child process does: reads a component from its standard input, and writes machine code to its standard output,
/// or to its standard error why there is none. `allocation` is the last argument that it was started with. Gives its exit code.
pub fn compile_here(allocation: &str) -> u8 {
    let Some(allocation) = Allocation::parse(allocation) else {
        // It is all that this process has to say.
        drop(io::stderr().lock().write_all(b"the argument is not a kind of allocation"));
        return 2;
    };
    if let Err(error) = confine() {
        drop(io::stderr().lock().write_all(format!("the compiler cannot be confined: {error}").as_bytes()));
        return 1;
    }
    let mut component = Vec::new();
    let compiled = match io::stdin().lock().read_to_end(&mut component) {
        Ok(_) => engine::compiling(allocation).and_then(|engine| engine.precompile_component(&component)),
        Err(error) => Err(error.into()),
    };
    match compiled {
        Ok(compiled) => match io::stdout().lock().write_all(&compiled) {
            Ok(()) => 0,
            // Nobody waits for it any more.
            Err(_) => 1,
        },
        Err(error) => {
            drop(io::stderr().lock().write_all(reason(&error).as_bytes()));
            let is_out_of_memory = |cause: &(dyn std::error::Error + 'static)| {
                cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::OutOfMemory)
            };
            if error.chain().any(is_out_of_memory) { EXIT_OUT_OF_MEMORY } else { EXIT_INVALID }
        }
    }
}

/// Bounds what this process may use, makes it the first to go when the machine is short of something, and lets it end with the
/// one that started it.
fn confine() -> io::Result<()> {
    set_limit(libc::RLIMIT_AS, MAX_COMPILER_MEMORY_BYTES)?;
    set_limit(libc::RLIMIT_CPU, MAX_COMPILER_CPU_TIME.as_secs())?;
    set_limit(libc::RLIMIT_CORE, 0)?;
    #[cfg(target_os = "linux")]
    {
        // The kernel ends the process with the highest score first. Where it cannot be told, the bounds still hold.
        drop(std::fs::write("/proc/self/oom_score_adj", "1000"));
        // SAFETY: system calls without pointers. Process id 0 is the calling process.
        unsafe {
            libc::setpriority(libc::PRIO_PROCESS, 0, 19);
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        }
    }
    Ok(())
}

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

fn set_limit(resource: Resource, most: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: most as libc::rlim_t, rlim_max: most as libc::rlim_t };
    // SAFETY: the pointer is to a value that outlives the call.
    match unsafe { libc::setrlimit(resource, &limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets a child process compile, and waits for it, or until `is_cancelled` says that nobody wants the outcome any more.
pub(super) fn compile(
    program: &Path,
    arguments: &[String],
    allocation: Allocation,
    component: &[u8],
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Vec<u8>, LoadError> {
    let failed = |error: io::Error| LoadError::Transient(format!("the compiler could not be run: {error}"));
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_COMPILER_THREADS);
    let mut child = Command::new(program)
        .args(arguments)
        .arg(allocation.name())
        // Nothing in there is its business: access keys may be.
        .env_clear()
        .env("RAYON_NUM_THREADS", threads.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (compiled, said, end) = thread::scope(|scope| {
        let threads = start_scoped(scope, move || input.map(|mut input| input.write_all(component)))
            // A child that has ended says so by its exit code.
            .and_then(|_| start_scoped(scope, move || read_all(output, MAX_MACHINE_CODE_BYTES)))
            .and_then(|compiled| Ok((compiled, start_scoped(scope, move || read_all(errors, REASON_BYTES as u64))?)));
        match threads {
            Ok((compiled, said)) => {
                let end = wait(&mut child, is_cancelled);
                (compiled.join().unwrap_or_default(), said.join().unwrap_or_default(), end)
            }
            Err(error) => {
                // The threads that there are come to their end when the child does.
                let killed = child.kill().and_then(|()| child.wait());
                (Vec::new(), Vec::new(), killed.and(Err(error)))
            }
        }
    });
    match end.map_err(failed)? {
        End::Exited(status) if status.success() => Ok(compiled),
        End::Exited(status) => Err(failure(status, &String::from_utf8_lossy(&said))),
        End::TimedOut => {
            Err(LoadError::Transient(format!("compiling it took longer than {} s", COMPILATION_TIMEOUT.as_secs())))
        }
        End::Cancelled => Err(LoadError::Cancelled),
    }
}

/// What an unsuccessful end says about the component. A compiler that crashes does so over this component each time; one that
/// was killed may fare better later.
fn failure(status: ExitStatus, said: &str) -> LoadError {
    if let Some(code) = status.code() {
        return match u8::try_from(code) {
            Ok(EXIT_INVALID) => LoadError::Invalid(printable(said, REASON_BYTES)),
            Ok(EXIT_OUT_OF_MEMORY) => LoadError::CompilerMemory,
            Ok(_) | Err(_) => LoadError::Transient(format!("the compiler failed: {}", printable(said, REASON_BYTES))),
        };
    }
    match status.signal().unwrap_or_default() {
        libc::SIGABRT if said.contains(ALLOCATION_FAILED) => LoadError::CompilerMemory,
        libc::SIGXCPU => LoadError::CompilerCpuTime,
        signal @ (libc::SIGABRT | libc::SIGBUS | libc::SIGFPE | libc::SIGILL | libc::SIGSEGV | libc::SIGTRAP) => {
            LoadError::Invalid(format!("the compiler crashed (signal {signal})"))
        }
        libc::SIGKILL => LoadError::Transient(
            "the compiler was killed, as the kernel does with it first when memory runs out".to_owned(),
        ),
        signal => LoadError::Transient(format!("the compiler was ended by signal {signal}")),
    }
}

/// How a compilation came to its end.
enum End {
    Exited(ExitStatus),
    TimedOut,
    Cancelled,
}

/// Waits until the child is over, and kills it when it may go on no longer.
fn wait(child: &mut Child, is_cancelled: &dyn Fn() -> bool) -> io::Result<End> {
    let deadline = Instant::now() + COMPILATION_TIMEOUT;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(End::Exited(status));
        }
        let end = if is_cancelled() {
            End::Cancelled
        } else if Instant::now() > deadline {
            End::TimedOut
        } else {
            thread::sleep(POLL_PERIOD);
            continue;
        };
        child.kill()?;
        child.wait()?;
        return Ok(end);
    }
}

fn read_all(pipe: Option<impl Read>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        drop(pipe.by_ref().take(most).read_to_end(&mut bytes));
        // What is too much is read, too: the other side must come to its end.
        drop(io::copy(&mut pipe, &mut io::sink()));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An end by a signal, as `wait` tells it.
    fn killed_by(signal: i32, said: &str) -> LoadError {
        failure(ExitStatus::from_raw(signal), said)
    }

    #[test]
    fn a_failure_is_the_files_fault_unless_somebody_else_ended_the_compiler() {
        let exited = |code: u8, said: &str| failure(ExitStatus::from_raw(i32::from(code) << 8), said);
        assert!(matches!(exited(EXIT_INVALID, "no"), LoadError::Invalid(why) if why == "no"));
        assert!(matches!(exited(EXIT_OUT_OF_MEMORY, ""), LoadError::CompilerMemory));
        assert!(matches!(killed_by(libc::SIGABRT, "memory allocation of 9 bytes failed"), LoadError::CompilerMemory));
        assert!(matches!(killed_by(libc::SIGXCPU, ""), LoadError::CompilerCpuTime));
        assert!(matches!(killed_by(libc::SIGSEGV, ""), LoadError::Invalid(_)));
        for transient in [exited(1, "no room"), killed_by(libc::SIGKILL, ""), killed_by(libc::SIGTERM, "")] {
            assert!(transient.is_transient(), "{transient}");
        }
        for lasting in [LoadError::CompilerMemory, LoadError::CompilerCpuTime] {
            assert!(!lasting.is_transient(), "{lasting}");
        }
    }
}
