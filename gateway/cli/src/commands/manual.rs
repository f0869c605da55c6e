//! `hubgate man`: the pages of the manual, made from what the parser of arguments knows.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap_mangen::Man;

use crate::{Failure, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A folder for the pages of all commands, hubgate.1, hubgate-serve.1 and so on. Without it, hubgate.1 is printed.
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, command: clap::Command) -> Result<(), Failure> {
    if let Some(folder) = &arguments.output {
        let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
        return Ok(written.with_context(|| format!("--output {}: cannot be written", folder.display()))?);
    }
    let mut page = Vec::new();
    Man::new(command).render(&mut page).map_err(|error| Failure::Failed(anyhow!(error)))?;
    print(String::from_utf8_lossy(&page).trim_end())
}
