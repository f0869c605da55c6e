//! The toolchains' programs: which ones, what is told of those that are missing or too old, and how they are run.

use std::fmt::Display;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail};

use super::order::Order;
use crate::process;

/// A program that builds projects.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    /// What it builds.
    projects: &'static str,
    /// How it is installed, after "install it".
    cure: &'static str,
    /// The first version that builds plugins, as far as it has been tried.
    oldest: Version,
    says: Says,
}

/// What a tool says that succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    /// Warnings about the project, on standard error.
    Warnings,
    /// What nobody needs to know.
    Chatter,
}

pub(super) const CARGO: Tool = Tool {
    name: "cargo",
    projects: "projects in Rust",
    cure: "from https://rustup.rs, or newer with `rustup update`",
    oldest: Version([1, 95, 0]),
    says: Says::Warnings,
};
pub(super) const COMPONENTIZE_QJS: Tool = Tool {
    name: "componentize-qjs",
    projects: "projects in JavaScript",
    cure: "with `npm install --save-dev componentize-qjs@0.4.5` in the project",
    oldest: Version([0, 4, 5]),
    says: Says::Chatter,
};
pub(super) const ESBUILD: Tool = Tool {
    name: "esbuild",
    projects: "projects in TypeScript",
    cure: "with `npm install --save-dev esbuild@0.28.2` in the project",
    oldest: Version([0, 18, 0]),
    says: Says::Warnings,
};
pub(super) const NPM: Tool = Tool {
    name: "npm",
    projects: "projects in JavaScript",
    cure: "with Node.js, from https://nodejs.org",
    oldest: Version([7, 0, 0]),
    says: Says::Chatter,
};
/// What runs the packages of npm.
const NODE: Tool = Tool {
    name: "Node.js",
    projects: "projects in JavaScript and TypeScript",
    cure: "from https://nodejs.org, or with your system's package `nodejs`",
    oldest: Version([18, 0, 0]),
    says: Says::Chatter,
};
pub(super) const COMPONENTIZE_PY: Tool = Tool {
    name: "componentize-py",
    projects: "projects in Python",
    cure: "with `pip install componentize-py==0.25.1`, in the project's .venv or for all",
    oldest: Version([0, 25, 0]),
    says: Says::Chatter,
};
pub(super) const GO: Tool = Tool {
    name: "go",
    projects: "projects in Go",
    cure: "from https://go.dev/dl",
    // The first that exports functions from a module.
    oldest: Version([1, 24, 0]),
    says: Says::Warnings,
};
pub(super) const MAKE: Tool = Tool {
    name: "make",
    projects: "projects in C with a Makefile",
    cure: "with your system's package of this name",
    oldest: Version([3, 81, 0]),
    says: Says::Warnings,
};
/// Of the WASI SDK.
pub(super) const CLANG: Tool = Tool {
    name: "clang",
    projects: "projects in C",
    cure: "with the WASI SDK, and set WASI_SDK_PATH to its folder",
    oldest: Version([16, 0, 0]),
    says: Says::Warnings,
};
pub(super) const ZIG: Tool = Tool {
    name: "zig",
    projects: "projects in C",
    cure: "with `pip install ziglang==0.17.1` or from https://ziglang.org (or set WASI_SDK_PATH to a WASI SDK)",
    oldest: Version([0, 13, 0]),
    says: Says::Warnings,
};

impl Tool {
    /// What is told where it cannot be found.
    pub(super) fn missing(&self) -> Error {
        anyhow!("{} are built by {}, which is not installed; install it {}", self.projects, self.name, self.cure)
    }

    /// Fails for a version that is too old, of what the tool says of itself: what comes of one is hard to understand.
    pub(super) fn check_version(&self, said: &str) -> Result<()> {
        match Version::in_text(said) {
            Some(found) if found < self.oldest => bail!(
                "{} {found} is too old: {} need {} or newer; install it {}",
                self.name,
                self.projects,
                self.oldest,
                self.cure
            ),
            // One that cannot be read is a version of its developers.
            Some(_) | None => Ok(()),
        }
    }

    /// As `check_version`, of what a command prints.
    pub(super) fn check_version_of(&self, mut command: Command) -> Result<()> {
        let output = command.stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("{} cannot be run", self.name))?;
        self.check_version(&String::from_utf8_lossy(&output.stdout))
    }

    /// Runs it, and says so; what it says itself is part of the error when it fails.
    pub(super) fn run(&self, mut command: Command, order: &Order) -> Result<()> {
        if order.verbose {
            command.stdout(std::io::stderr().as_fd().try_clone_to_owned()?);
        } else {
            command.stdout(Stdio::piped());
        }
        let output = self.output(command, order)?;
        match output.status.success() {
            true => Ok(()),
            false => {
                let said = [output.stdout, output.stderr].concat();
                let said = String::from_utf8_lossy(&said);
                if lacks_node(&said) {
                    return Err(NODE.missing());
                }
                let said = [":\n", said.trim_end()].concat();
                bail!("{} has failed ({}){}", self.name, output.status, if said.len() > 2 { &said } else { "" })
            }
        }
    }

    /// Runs it, and says so; gives what it has printed, where that is piped.
    pub(super) fn output(&self, mut command: Command, order: &Order) -> Result<Output> {
        match order.verbose {
            true => command.stderr(Stdio::inherit()),
            false => command.stderr(Stdio::piped()),
        };
        let (begun, after) = (Instant::now(), if order.verbose { "\n" } else { "" });
        say(format_args!("{} …{after}", self.name));
        let child = process::run(command.stdin(Stdio::null()));
        match order.verbose {
            true => say(format_args!("{}: {}\n", self.name, Seconds(begun.elapsed()))),
            false => say(format_args!(" {}\n", Seconds(begun.elapsed()))),
        }
        let output = match child {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(self.missing()),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be run", self.name)),
        };
        if output.status.success() && self.says == Says::Warnings {
            say(String::from_utf8_lossy(&output.stderr));
        }
        Ok(output)
    }
}

/// Whether a script of npm's has not found what runs it, in the words of `env`.
fn lacks_node(said: &str) -> bool {
    ["env: 'node': No such file", "env: node: No such file", "env: can't execute 'node'"]
        .iter()
        .any(|words| said.contains(words))
}

/// Says on standard error how far the build is; nothing is lost where that is closed.
pub(super) fn say(text: impl Display) {
    let _ = write!(std::io::stderr(), "{text}");
}

/// A time as people read it.
pub(super) struct Seconds(pub(super) Duration);

impl Display for Seconds {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:.1} s", self.0.as_secs_f64())
    }
}

/// Bytes as people read them.
pub(super) struct Size(pub(super) usize);

impl Display for Size {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes @ ..1_000_000 => write!(formatter, "{:.1} kB", bytes as f64 / 1e3),
            bytes => write!(formatter, "{:.1} MB", bytes as f64 / 1e6),
        }
    }
}

/// Major, minor, and patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version([u32; 3]);

impl Version {
    /// The first one in a text, such as `go1.26.8`.
    fn in_text(text: &str) -> Option<Version> {
        let words = text.split(|letter: char| !letter.is_ascii_digit() && letter != '.');
        let numbers = |word: &str| word.split('.').map_while(|number| number.parse().ok()).collect::<Vec<u32>>();
        let numbers = words.map(numbers).find(|numbers| numbers.len() >= 2)?;
        Some(Version(std::array::from_fn(|place| numbers.get(place).copied().unwrap_or_default())))
    }
}

impl Display for Version {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Version([major, minor, patch]) = self;
        write!(formatter, "{major}.{minor}.{patch}")
    }
}

/// The program `name` in one of the folders of `PATH`.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A folder inside of the system's temporary one, gone with the value.
pub(super) fn temporary_folder() -> Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("hubgate-").tempdir().context("the temporary folder cannot be written")
}

/// The file's absolute path; fails if it is not there.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("{}: cannot be found", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_of_whatever_a_tool_says() {
        for (text, version) in [
            ("componentize-py 0.25.1\n", Some([0, 25, 1])),
            ("0.17.1", Some([0, 17, 1])),
            ("go1.26rc1", Some([1, 26, 0])),
            ("rustc 1.95.0 (59807616e 2026-04-14)", Some([1, 95, 0])),
            ("0.14.0-dev.2+abc", Some([0, 14, 0])),
            ("a tool of 2026", None),
            ("", None),
        ] {
            assert_eq!(Version::in_text(text), version.map(Version), "{text}");
        }
    }

    #[test]
    fn a_script_of_npms_that_does_not_find_node_is_told_apart() {
        assert!(lacks_node("/usr/bin/env: 'node': No such file or directory\n"));
        assert!(!lacks_node("/usr/bin/env: 'python3': No such file or directory\n"));
        assert!(NODE.missing().to_string().contains("install it from https://nodejs.org"));
    }

    #[test]
    fn a_tool_that_is_too_old_is_told_with_what_was_found_and_what_is_needed() {
        COMPONENTIZE_PY.check_version("componentize-py 0.25.0").unwrap();
        COMPONENTIZE_PY.check_version("componentize-py 1.0.0").unwrap();
        let error = COMPONENTIZE_PY.check_version("componentize-py 0.13.5").unwrap_err().to_string();
        for mark in ["componentize-py 0.13.5 is too old", "need 0.25.0 or newer", "pip install componentize-py=="] {
            assert!(error.contains(mark), "{error}");
        }
    }
}
