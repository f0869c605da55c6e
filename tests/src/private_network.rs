//! A network that a test has for itself, so that commands with fixed ports run as they are printed, and reach nothing outside.

use std::io;
use std::process::Command;

use libc::{AF_INET, CLONE_NEWNET, IFF_UP, SIOCSIFFLAGS, SOCK_DGRAM};

/// Whether the calling thread, and all that it starts from now on, has a network with nothing but loopback in it.
///
/// This needs root. Anybody else's test runs once more as root of a namespace of its own, and is over here (false). Where the
/// system allows neither, the test says so and is over as well.
pub fn enter() -> bool {
    match leave_all_networks() {
        Ok(()) => true,
        Err(_) if may_be_root_elsewhere() => {
            run_as_root_elsewhere();
            false
        }
        Err(error) => {
            println!("nothing is run here: a test cannot have a network of its own ({error})");
            false
        }
    }
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

fn result(code: libc::c_int) -> io::Result<()> {
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
    let this = std::thread::current();
    let name = this.name().expect("a test's thread has its name");
    let test = std::env::current_exe().expect("a test knows its own file");
    let mut command = Command::new(AS_ROOT[0]);
    command.args(&AS_ROOT[1..]).arg(test).args(["--exact", name, "--nocapture"]);
    assert!(command.status().expect("it has run before").success(), "{name}, as root of a namespace");
}
