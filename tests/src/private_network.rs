//! A network that a test has for itself, so that commands with fixed ports run as they are printed, and reach nothing outside.

use std::fs::File;
use std::io;
use std::process::Command;
use std::thread;

use libc::{AF_INET, CLONE_NEWNET, IFF_UP, SIOCSIFFLAGS, SOCK_DGRAM};

/// Set to `1`, it lets tests that cannot have a network of their own pass without having run.
const MAY_SKIP: &str = "HUBGATE_SKIP_PRIVATE_NETWORK";

/// Whether the calling thread, and all that it starts from now on, has a network with nothing but loopback in it.
///
/// This needs root. Anybody else's test runs once more as root of a namespace of its own, and is over here (false). Where the
/// system allows neither, the test fails, unless [`MAY_SKIP`] lets it be over as well.
pub fn enter() -> bool {
    match leave_all_networks() {
        Ok(()) => true,
        Err(_) if may_be_root_elsewhere() => {
            run_as_root_elsewhere();
            false
        }
        Err(error) => {
            cannot_be(&error);
            false
        }
    }
}

/// Where there can be no network of a test's own: it fails, unless [`MAY_SKIP`] lets it be over.
pub(crate) fn cannot_be(error: &io::Error) {
    skip(error, std::env::var(MAY_SKIP).is_ok_and(|value| value == "1"));
}

/// One more network with nothing but loopback in it, which is there for as long as it is used. The caller has [entered](enter) one.
pub(crate) fn another() -> File {
    let make = || {
        leave_all_networks()?;
        File::open("/proc/thread-self/ns/net")
    };
    let made = thread::spawn(make).join().expect("making a network does not panic");
    made.expect("who has one network can have another")
}

/// Says that nothing is run; a test that must not be skipped fails.
fn skip(error: &io::Error, may_skip: bool) {
    assert!(
        may_skip,
        "the test cannot have a network of its own ({error}): run it as root, let users make namespaces \
         (`unshare --user --map-root-user true` must succeed), or set {MAY_SKIP}=1 to go without it"
    );
    println!("{MAY_SKIP} is set: nothing is run here, as a test cannot have a network of its own ({error})");
}

fn leave_all_networks() -> io::Result<()> {
    // SAFETY: it changes nothing but the network of this thread.
    result(unsafe { libc::unshare(CLONE_NEWNET) })?;
    // SAFETY: plain calls; the request is a plain structure, whose name is shorter than its field, and lives until the end.
    unsafe {
        let socket = libc::socket(AF_INET, SOCK_DGRAM, 0);
        result(socket)?;
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = *from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = IFF_UP as libc::c_short;
        let up = result(libc::ioctl(socket, SIOCSIFFLAGS, &request));
        libc::close(socket);
        up
    }
}

pub(crate) fn result(code: libc::c_int) -> io::Result<()> {
    match code {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

const AS_ROOT: [&str; 3] = ["unshare", "--user", "--map-root-user"];

fn may_be_root_elsewhere() -> bool {
    // SAFETY: it only asks.
    let is_root = unsafe { libc::geteuid() } == 0;
    !is_root && Command::new(AS_ROOT[0]).args(&AS_ROOT[1..]).arg("true").status().is_ok_and(|status| status.success())
}

fn run_as_root_elsewhere() {
    let this = thread::current();
    let name = this.name().expect("a test's thread has its name");
    let test = std::env::current_exe().expect("a test knows its own file");
    let mut command = Command::new(AS_ROOT[0]);
    command.args(&AS_ROOT[1..]).arg(test).args(["--exact", name, "--nocapture"]);
    assert!(command.status().expect("it has run before").success(), "{name}, as root of a namespace");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "set HUBGATE_SKIP_PRIVATE_NETWORK=1 to go without it")]
    fn a_test_that_cannot_have_a_network_of_its_own_fails() {
        skip(&io::Error::from_raw_os_error(libc::EPERM), false);
    }

    #[test]
    fn a_test_that_may_go_without_its_network_is_over() {
        skip(&io::Error::from_raw_os_error(libc::EPERM), true);
    }
}
