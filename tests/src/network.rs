//! Machines of a test, each with a network of its own (a namespace of Linux), and links between them that are cut for real.
//!
//! A machine has two links: the test reaches it by one, which stays, and machines reach each other by the inner one, which can be cut. Namespaces
//! have no names: whatever becomes of a test, the kernel takes them away with the last process in them.

use std::fs::File;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::private_network;

/// How many machines a network has room for.
const MACHINES: u8 = 9;
/// What the number of a machine's inner address grows by when it gets another one.
const SECOND: u8 = 100;
/// The machine that a network's test runs on.
const TEST: u8 = 254;

/// The test's own network, to which machines are added.
#[derive(Debug)]
pub struct Network {
    machines: u8,
}

/// A machine. It is there for as long as it is named, or something runs on it.
#[derive(Debug, Clone)]
pub struct Machine {
    number: u8,
    namespace: Arc<File>,
}

impl Network {
    /// Takes the calling thread, and all that it starts from now on, into a network of its own, as [`private_network::enter`] does. Gives nothing
    /// where there can be none, or the test runs as somebody else instead: it is over then.
    pub fn enter() -> Option<Network> {
        if !private_network::enter() {
            return None;
        }
        let bridges = format!(
            "link add name outer type bridge\nlink add name inner type bridge\nlink set outer up\nlink set inner up\n\
             addr add {}/24 dev outer\n",
            outer_address(TEST)
        );
        match ip(None, &bridges) {
            Ok(()) => Some(Network { machines: 0 }),
            Err(error) => {
                private_network::cannot_be(&error);
                None
            }
        }
    }

    /// One more machine, which reaches all others.
    pub fn machine(&mut self) -> Machine {
        self.machines += 1;
        let number = self.machines;
        assert!(number <= MACHINES, "a network has room for {MACHINES} machines");
        let machine = Machine { number, namespace: Arc::new(private_network::another()) };
        let namespace = format!("/proc/{}/fd/{}", std::process::id(), machine.namespace.as_raw_fd());
        let link = |bridge: &str| {
            format!(
                "link add name {bridge}{number} type veth peer name {bridge} address {} netns {namespace}\n\
                 link set {bridge}{number} master {bridge} up\n",
                hardware_address(number)
            )
        };
        // By the link to the test, machines do not reach each other.
        let isolated = format!("link set outer{number} type bridge_slave isolated on\n");
        run(None, &(link("outer") + &link("inner") + &isolated));
        // Whose address belongs to which machine need not be asked for: what is sent by a cut link vanishes, and nobody hears that a machine is not there.
        let others = (1..=MACHINES).filter(|other| *other != number).flat_map(|other| {
            [other, other + SECOND].map(|last| {
                let (address, hardware) = (inner_address(last), hardware_address(other));
                format!("neigh replace {address} lladdr {hardware} dev inner nud permanent\n")
            })
        });
        let own = format!(
            "addr add {}/24 dev outer\nlink set outer up\naddr add {}/24 dev inner\nlink set inner up\n",
            outer_address(number),
            inner_address(number)
        );
        run(Some(&machine), &(own + &others.collect::<String>()));
        machine
    }
}

impl Machine {
    /// By which the test reaches it, whatever becomes of its inner link.
    pub fn address(&self) -> Ipv4Addr {
        outer_address(self.number)
    }

    /// By which other machines reach it.
    pub fn inner_address(&self) -> Ipv4Addr {
        inner_address(self.number)
    }

    /// Lets a command that is started later run on this machine.
    pub fn runs(&self, command: &mut Command) {
        let namespace = self.namespace.clone();
        // SAFETY: between fork and exec there is one system call and nothing else.
        unsafe { command.pre_exec(move || enter(namespace.as_raw_fd())) };
    }

    /// From now on what it sends to other machines, or they to it, vanishes without a word, as behind a router that drops it.
    pub fn silence(&self) {
        run(None, &format!("link set inner{} nomaster\n", self.number));
    }

    /// The end of [`Machine::silence`].
    pub fn is_heard_again(&self) {
        run(None, &format!("link set inner{} master inner\n", self.number));
    }

    /// Its inner link goes down, as when the cable is pulled out.
    pub fn unplug(&self) {
        run(None, &format!("link set inner{} down\n", self.number));
    }

    /// The end of [`Machine::unplug`].
    pub fn plug_in(&self) {
        run(None, &format!("link set inner{} up\n", self.number));
    }

    /// Gives it another inner address. It reaches the others by new connections; those that it has are dead, and neither side hears of it.
    pub fn loses_its_connections(&self) {
        let after = inner_address(self.number + SECOND);
        run(Some(self), &format!("addr flush dev inner\naddr add {after}/24 dev inner\n"));
    }
}

fn outer_address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, 1, last)
}

fn inner_address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, 2, last)
}

fn hardware_address(number: u8) -> String {
    format!("02:00:00:00:00:{number:02x}")
}

fn run(on: Option<&Machine>, commands: &str) {
    ip(on, commands).unwrap_or_else(|error| panic!("{error}\n{commands}"));
}

/// Runs `ip` with these commands, one a line, on a machine or on that of the test.
fn ip(on: Option<&Machine>, commands: &str) -> io::Result<()> {
    let mut command = Command::new("ip");
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    if let Some(machine) = on {
        machine.runs(&mut command);
    }
    let named = |error: io::Error| io::Error::new(error.kind(), format!("`ip`, of the package iproute2: {error}"));
    let mut process = command.spawn().map_err(named)?;
    process.stdin.take().expect("it is piped").write_all(commands.as_bytes())?;
    let output = process.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("`ip`: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

fn enter(namespace: RawFd) -> io::Result<()> {
    // SAFETY: it changes nothing but the network of this thread.
    private_network::result(unsafe { libc::setns(namespace, libc::CLONE_NEWNET) })
}
