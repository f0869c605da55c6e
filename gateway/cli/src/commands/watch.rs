//! `hubgate dev --watch`: a project that is built again on each save, and swapped in.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow};
use hubgate_net::on_a_thread;
use hubgate_plugin_host::{PluginHost, PluginStatus};
use tokio::process::Command;
use tokio::time::MissedTickBehavior;

use crate::process::{self, own_program, uninterrupted};
use crate::tell;

/// How often the folder is looked at. What has changed is built once nothing has changed for so long.
const ROUND: Duration = Duration::from_millis(250);
/// How often the gateway is asked what has become of a component.
const ASKING: Duration = Duration::from_millis(50);
/// How long a component may take until it serves or is refused: compiling ends before.
const LONGEST_SWAP: Duration = Duration::from_secs(300);
/// Files that are looked at; a project has fewer.
const MOST_FILES: usize = 20_000;
/// What tools write is no reason to build; neither are hidden folders.
const OF_TOOLS: [&str; 5] = ["node_modules", "venv", "__pycache__", "zig-cache", "Cargo.lock"];
/// The same at the top of a project alone: below, sources may be called so.
const OF_TOOLS_AT_THE_TOP: [&str; 3] = ["target", "dist", "build"];
const MADE: [&str; 4] = ["wasm", "o", "pyc", "tmp"];

/// A project, and where its component goes.
#[derive(Debug)]
pub(crate) struct WatchedProject {
    folder: PathBuf,
    /// Is removed at the end.
    place: tempfile::TempDir,
    /// The files as they were when the last build began.
    built: Files,
}

/// Files by when they were changed, and their sizes.
type Files = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

impl WatchedProject {
    /// Builds it for the first time. Only a folder that is not there is an error: what does not build is mended while the gateway
    /// runs.
    pub(crate) fn new(folder: &Path) -> Result<WatchedProject> {
        let folder = match folder.canonicalize() {
            Ok(folder) if folder.is_dir() => folder,
            _ => return Err(anyhow!("--watch {}: there is no such folder", folder.display())),
        };
        let place = tempfile::Builder::new().prefix("hubgate-watch-").tempdir();
        let place = place.context("the temporary folder cannot be written")?;
        let project = WatchedProject { built: files(&folder), folder, place };
        let mut build = project.command(std::process::Command::new(own_program()?));
        let built = uninterrupted(|| Ok(process::run(&mut build)?.status));
        match built.context("the build has no end")?.success() {
            true => {}
            false => say("it is built again when a file is saved; until then no new version serves"),
        }
        Ok(project)
    }

    /// The component's file.
    pub(crate) fn component(&self) -> PathBuf {
        self.place.path().join(self.file_name())
    }

    /// Builds it again whenever it has changed, and says what has become of that; for ever.
    pub(crate) async fn follow(mut self, plugin: String, plugins: PluginHost, clients: impl Fn() -> usize) {
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = self.built.clone();
        loop {
            rounds.tick().await;
            let folder = self.folder.clone();
            // A disk may take its time.
            let Ok(looking) = on_a_thread("watch", move || files(&folder)) else { continue };
            let Ok(now) = looking.await else { continue };
            let before = std::mem::replace(&mut seen, now);
            if seen == self.built || seen != before {
                continue;
            }
            // What is saved during the build differs from this afterwards, and is built then.
            self.built.clone_from(&seen);
            if let Err(error) = self.build_and_swap(&plugin, &plugins, &clients).await {
                say(format_args!("{error:#}"));
            }
        }
    }

    async fn build_and_swap(&self, plugin: &str, plugins: &PluginHost, clients: &impl Fn() -> usize) -> Result<()> {
        let status = || plugins.statuses().into_iter().find(|status| status.name.as_str() == plugin);
        let before = status().context("there is no such plugin")?;
        let content = tokio::fs::read(self.component()).await.ok();
        let (stay, was) = (clients(), before.clone());
        if !self.build().await?.success() {
            say(match was.digest {
                Some(_) => format!("generation {} goes on", was.generation),
                None => "no version serves yet".to_owned(),
            });
            return Ok(());
        }
        if tokio::fs::read(self.component()).await.ok() == content {
            say("the component is the same as before");
            return Ok(());
        }
        let swapped = async {
            loop {
                if let Some(now) = status().filter(|now| is_settled(&before, now)) {
                    return now;
                }
                tokio::time::sleep(ASKING).await;
            }
        };
        let now = tokio::time::timeout(LONGEST_SWAP, swapped).await.context("the component is not compiled yet")?;
        match &now.last_error {
            Some(error) => {
                // The component's file is the watch's own, and temporary: its path helps nobody.
                let reason = error.reason.replace(&format!("{}: ", self.component().display()), "");
                say(format_args!("it cannot serve: {reason}; generation {} goes on", now.generation))
            }
            None => say(told(&now, stay.min(clients()))),
        }
        Ok(())
    }

    /// The build is asked to end with the future: it ends its tools, and takes away what is half done.
    async fn build(&self) -> Result<ExitStatus> {
        let mut command = self.command(std::process::Command::new(own_program()?));
        // Of its own group, so that Ctrl-C reaches it by the gateway alone.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = Command::from(command).spawn().context("the build cannot be run")?;
        let build = Build(child.id());
        let status = child.wait().await.context("the build cannot be waited for")?;
        std::mem::forget(build);
        Ok(status)
    }

    fn command(&self, mut program: std::process::Command) -> std::process::Command {
        program.args(["plugin", "build"]).arg(&self.folder).arg("-o").arg(self.file_name());
        // So that it calls the file by its name.
        program.current_dir(self.place.path()).stdin(Stdio::null());
        program
    }

    fn file_name(&self) -> OsString {
        let mut name = self.folder.file_name().unwrap_or(OsStr::new("plugin")).to_owned();
        name.push(".wasm");
        name
    }
}

/// The process of a build, which is asked to end when this is dropped.
struct Build(Option<u32>);

impl Drop for Build {
    fn drop(&mut self) {
        if let Some(process) = self.0.and_then(|process| i32::try_from(process).ok()) {
            // SAFETY: a system call without pointers. The process was not waited for, so that its number is nobody else's.
            unsafe { libc::kill(process, libc::SIGTERM) };
        }
    }
}

/// Whether the gateway has taken the file over or refused it.
fn is_settled(before: &PluginStatus, now: &PluginStatus) -> bool {
    let error = |status: &PluginStatus| status.last_error.as_ref().map(|error| error.at);
    now.generation != before.generation || error(now) != error(before)
}

/// What serves now. The time is of all calls until then, since a new version has had none.
fn told(now: &PluginStatus, stayed: usize) -> String {
    let calls = match (now.calls, now.half_within) {
        (1.., Some(time)) => format!("median call within {} µs", time.as_micros()),
        _ => "no calls yet".to_owned(),
    };
    let clients = match stayed {
        1 => "1 client stayed".to_owned(),
        stayed => format!("{stayed} clients stayed"),
    };
    format!("generation {}, {calls}, {clients}", now.generation)
}

fn say(text: impl Display) {
    tell(format_args!("watch: {text}"));
}

/// The project's files, those in its folders too.
fn files(project: &Path) -> Files {
    files_in(project, vec![project.to_owned()])
}

/// Those in `folders`, and in folders in these.
fn files_in(project: &Path, mut folders: Vec<PathBuf>) -> Files {
    let mut found = Files::new();
    while let Some(folder) = folders.pop() {
        let is_top = folder == project;
        // One that cannot be read, or is there no more, hides none of the others.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let (name, path) = (entry.file_name(), entry.path());
            let name = name.to_string_lossy();
            let is_made = path.extension().is_some_and(|kind| MADE.iter().any(|made| kind == *made));
            let is_of_tools = OF_TOOLS.contains(&&*name) || is_top && OF_TOOLS_AT_THE_TOP.contains(&&*name);
            if name.starts_with('.') || name.ends_with('~') || is_made || is_of_tools {
                continue;
            }
            // Links are not followed: they may lead round in a circle.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                _ if found.len() < MOST_FILES => {
                    let stamp = entry.metadata().map(|file| (file.modified().ok(), file.len()));
                    found.extend(stamp.ok().map(|stamp| (path, stamp)));
                }
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for path in files {
            let file = folder.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        folder
    }

    fn names(folder: &Path, found: Files) -> Vec<String> {
        let name = |path: PathBuf| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
        found.into_keys().map(name).collect()
    }

    #[test]
    fn what_tools_write_is_not_looked_at_but_sources_may_be_called_as_their_folders() {
        let sources = ["src/a.c", "src/build/c.c", "src/deep/b.h", "src/dist/d.js", "src/target/e.rs"];
        let made = ["node_modules/x.js", "target/y.rs", "build/y.o", "dist/y.js", ".venv/z.py", "made.wasm", ".a.swp"];
        let hidden = [".hubgate-x4Xhi5/entry.js", "src/node_modules/x.js"];
        let project = project(&[&sources[..], &made, &hidden].concat());
        assert_eq!(names(project.path(), files(project.path())), sources);
    }

    #[test]
    fn a_folder_that_cannot_be_read_hides_no_other() {
        let project = project(&["a.c", "src/b.c"]);
        let folders = ["", "gone"].map(|folder| project.path().join(folder));
        assert_eq!(names(project.path(), files_in(project.path(), folders.to_vec())), ["a.c", "src/b.c"]);
    }
}
