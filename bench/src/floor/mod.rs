//! A floor server in a process of its own, so that its processor time can be read.

pub(crate) mod server;

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::arguments::FloorKind;
use crate::target::Target;

pub(crate) struct Floor {
    process: Child,
    pub(crate) target: Target,
}

impl Floor {
    /// Starts this program once more, as a floor server; `says` is what clients receive when one of them sends.
    pub(crate) fn start(kind: FloorKind, says: &str) -> Result<Floor> {
        let kind = kind.to_possible_value().context("a kind has a name")?;
        // The file of this program may have been replaced since; this names what runs.
        let mut process = Command::new("/proc/self/exe")
            .arg0("hubgate-floor")
            .args(["bench", "floor-server", kind.get_name(), "--attached", "--says", says])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a floor server")?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        match line.trim().parse() {
            Ok(address) => Ok(Floor { target: Target::floor(address, process.id()), process }),
            Err(_) => {
                drop(process.kill());
                let status = process.wait()?;
                anyhow::bail!("the floor server does not say where it listens ({status})")
            }
        }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
