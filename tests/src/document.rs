//! A document as its reader goes through it: what it shows is written and run as it is printed.
//!
//! - A block that follows "`PATH`:" is that file. The reader writes it.
//! - A block of `sh` is typed into a terminal, in a clone of the repository. One that ends with a running gateway goes on,
//!   and what follows is typed into another terminal. Where the text says Ctrl-C, the reader stops it.
//! - `sh ignore` is shown only, as `ignore` says in Rust's documents: it speaks of another machine.
//! - A block of another language is a [snippet](Reader::snippet).

use std::collections::VecDeque;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::Connecting;
use crate::command::{binary, leavings, repository};
use crate::gateway::Ready;
use crate::token::Token;
use crate::wait::{LONG_DEADLINE, pause, until};

/// A fenced block of a document.
#[derive(Debug, Clone)]
pub struct Block {
    pub language: String,
    /// What follows the language.
    pub note: String,
    /// What stands between the block before and this one.
    pub before: String,
    pub text: String,
}

impl Block {
    /// Those of a document, in their order.
    pub fn all_of(document: &str) -> Vec<Block> {
        let page =
            fs::read_to_string(repository().join(document)).unwrap_or_else(|error| panic!("{document}: {error}"));
        let (mut blocks, mut before) = (Vec::new(), String::new());
        let mut lines = page.lines();
        while let Some(line) = lines.next() {
            let fence = line.split_once("```").filter(|(indent, _)| indent.trim().is_empty());
            let Some((indent, opening)) = fence else {
                before += line;
                before += "\n";
                continue;
            };
            let (language, note) = opening.split_once(' ').unwrap_or((opening, ""));
            let inside = lines.by_ref().take_while(|line| line.trim() != "```");
            let text = inside.map(|line| line.strip_prefix(indent).unwrap_or(line).to_owned() + "\n").collect();
            let (language, note, before) = (language.to_owned(), note.to_owned(), std::mem::take(&mut before));
            blocks.push(Block { language, note, before, text });
        }
        blocks
    }

    /// The file that it is.
    pub fn file(&self) -> Option<&str> {
        let last = self.before.trim_end().strip_suffix("`:")?;
        let path = last.rsplit_once('`').map(|(_, path)| path);
        path.filter(|_| self.language != "sh")
    }

    /// Whether a reader types it into a terminal.
    pub fn is_typed(&self) -> bool {
        self.language == "sh" && self.note != "ignore"
    }
}

/// Somebody who reads a document and does what it says.
#[derive(Debug)]
pub struct Reader {
    document: &'static str,
    blocks: VecDeque<Block>,
    /// Holds the clone, and what stands for the root of the file system.
    place: PathBuf,
    environment: Vec<(String, String)>,
    gateway: Option<Running>,
    /// What else goes on in terminals.
    others: Vec<Child>,
}

/// A gateway that one of the reader's terminals shows.
#[derive(Debug)]
struct Running {
    shell: Child,
    ready: Ready,
}

/// Paths outside of the reader's own folder, which a test must not touch.
const OF_THE_SYSTEM: [&str; 4] = ["/etc/hubgate", "/etc/systemd/system", "/usr/local/bin", "/run/hubgate"];
/// What is not copied into the clone: what was built, and what is not the document's.
const NOT_CLONED: [&str; 5] = [".git", "target", "node_modules", "hubgate-data", "fuzz"];
/// How long a program may take to end at Ctrl-C once its test is over.
const LONGEST_END: Duration = Duration::from_secs(10);
const ACCESS_KEYS: [&str; 2] = ["HUBGATE_ACCESS_KEYS", "HUBGATE_ACCESS_KEYS_FILE"];

impl Reader {
    /// Somebody who has a clone of the repository, has built the gateway, and begins with the document.
    pub fn of(document: &'static str) -> Reader {
        let place = leavings("documents").join(document.replace('/', "-"));
        let _ = fs::remove_dir_all(&place);
        let clone = place.join("clone");
        copy(repository(), &clone);
        let programs = place.join("bin");
        fs::create_dir_all(&programs).expect("there is room");
        for (name, script) in PROGRAMS {
            let file = programs.join(name);
            fs::write(&file, script).expect("there is room");
            make_executable(&file);
        }
        fs::create_dir_all(clone.join("target/release")).expect("there is room");
        for folder in ["usr/local/bin", "etc/systemd/system"] {
            fs::create_dir_all(place.join(folder)).expect("there is room");
        }
        symlink(programs.join("hubgate"), clone.join("target/release/hubgate")).expect("it is new");
        Reader {
            document,
            blocks: Block::all_of(document).into(),
            environment: environment(&place, &programs),
            place,
            gateway: None,
            others: Vec::new(),
        }
    }

    /// With a variable in the environment of the terminals.
    pub fn with(mut self, name: &str, value: &str) -> Reader {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The folder in which commands are typed.
    pub fn folder(&self) -> PathBuf {
        self.place.join("clone")
    }

    /// What stands for a path of the system.
    pub fn path(&self, path: &str) -> PathBuf {
        self.place.join(path.trim_start_matches('/'))
    }

    /// Writes files until there are commands, and types these. Gives what they print, or have printed until a gateway runs.
    pub async fn types(&mut self) -> String {
        let block = self.reaches_commands().await;
        let mut shell = self.shell(&block);
        let output = self.terminal(&mut shell);
        self.runs(shell, &output).await;
        fs::read_to_string(&output).expect("it is there")
    }

    /// The same with commands that end with an application of the reader's own, which goes on.
    pub async fn types_and_leaves_running(&mut self) {
        let block = self.reaches_commands().await;
        let mut shell = self.shell(&block);
        self.terminal(&mut shell);
        self.others.push(shell.spawn().unwrap_or_else(|error| panic!("{shell:?}: {error}")));
    }

    async fn reaches_commands(&mut self) -> Block {
        loop {
            let block = self.next().unwrap_or_else(|| panic!("{} has no more commands", self.document));
            if block.before.contains("Ctrl-C") {
                self.stops().await;
            }
            match block.file() {
                Some(file) => self.write(file, &block.text),
                None if block.is_typed() => return block,
                None => {}
            }
        }
    }

    /// Goes on to the next block in this language, which is no file, and gives it.
    pub fn snippet(&mut self, language: &str) -> String {
        loop {
            let block = self.next().unwrap_or_else(|| panic!("{} has no more of {language}", self.document));
            match block.file() {
                Some(file) => self.write(file, &block.text),
                None if block.language == language => return block.text,
                None => assert!(!block.is_typed(), "{} comes before {language}", block.text),
            }
        }
    }

    /// Reads to the end, where nothing is left to be typed.
    pub fn ends(mut self) {
        while let Some(block) = self.next() {
            match block.file() {
                Some(file) => self.write(file, &block.text),
                None => assert!(!block.is_typed(), "{}: nobody types\n{}", self.document, block.text),
            }
        }
    }

    /// The gateway that runs.
    pub fn gateway(&self) -> &Ready {
        &self.gateway.as_ref().expect("a gateway runs").ready
    }

    /// A client of that gateway, by the URL that the document gives.
    pub fn client(&self, hub: &str) -> Connecting {
        let fields: Vec<&str> = self.gateway().connection_string.split(';').collect();
        let field = |name: &str| {
            fields
                .iter()
                .find_map(|field| field.strip_prefix(name))
                .unwrap_or_else(|| panic!("no {name} in {fields:?}"))
        };
        let token = Token::new(&format!("{}/client/?hub={hub}", field("Endpoint=")), field("AccessKey="));
        Connecting::to(self.gateway().listen, hub, token)
    }

    /// Starts `command`, which becomes a gateway, in a further terminal.
    pub async fn starts(&mut self, mut command: Command) {
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let output = self.terminal(&mut command);
        assert!(self.runs(command, &output).await, "{}: it ends", self.document);
    }

    /// Stops by Ctrl-C what runs.
    pub async fn stops(&mut self) {
        for mut other in self.others.drain(..) {
            interrupt(&other);
            ended(&mut other).await;
        }
        let Some(mut gateway) = self.gateway.take() else { return };
        interrupt(&gateway.shell);
        let ended = ended(&mut gateway.shell).await;
        assert!(ended.success(), "{}: the gateway ends with {ended}", self.document);
    }

    fn next(&mut self) -> Option<Block> {
        self.blocks.pop_front()
    }

    fn write(&self, file: &str, text: &str) {
        let file = match file.starts_with('/') {
            true => self.path(file),
            false => self.folder().join(file),
        };
        fs::create_dir_all(file.parent().expect("a file is in a folder")).expect("there is room");
        fs::write(&file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    fn shell(&self, block: &Block) -> Command {
        let mut text = format!("eval \"$READER_TARGET\"\n{}", block.text);
        for path in OF_THE_SYSTEM {
            text = text.replace(path, &self.path(path).display().to_string());
        }
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &text]).envs(self.environment.iter().map(|(name, value)| (name, value)));
        shell
    }

    /// A command's output goes into this file.
    fn terminal(&self, command: &mut Command) -> PathBuf {
        let output = self.place.join(format!("output-{}", self.blocks.len()));
        let file = || File::options().create(true).append(true).open(&output).expect("there is room");
        command.current_dir(self.folder()).stdin(Stdio::null()).stdout(file()).stderr(file()).process_group(0);
        hear_interrupts(command);
        for name in ACCESS_KEYS {
            if !command.get_envs().any(|(set, _)| set == name) {
                command.env_remove(name);
            }
        }
        output
    }

    /// Whether a gateway runs in the end; otherwise the command has succeeded.
    async fn runs(&mut self, mut command: Command, output: &Path) -> bool {
        let told = self.place.join("ready-at");
        let _ = fs::remove_file(&told);
        let mut shell = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let deadline = Instant::now() + LONG_DEADLINE;
        loop {
            let ready = fs::read_to_string(&told).ok().and_then(|path| fs::read_to_string(path.trim()).ok());
            if let Some(ready) = ready {
                let before = self.gateway.replace(Running { shell, ready: parsed(&ready) });
                assert!(before.is_none(), "{}: another gateway runs already", self.document);
                return true;
            }
            if let Some(status) = shell.try_wait().expect("a child can be waited for") {
                let said = fs::read_to_string(output).unwrap_or_default();
                assert!(status.success(), "{}: {command:?} ends with {status}\n{said}", self.document);
                return false;
            }
            if Instant::now() >= deadline {
                interrupt(&shell);
                panic!("{}: {command:?} takes longer than {LONG_DEADLINE:?}", self.document);
            }
            pause().await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.others.iter_mut().for_each(end);
        if let Some(mut gateway) = self.gateway.take() {
            end(&mut gateway.shell);
        }
        if std::thread::panicking() {
            for line in 0..=self.blocks.len() + 1 {
                let said = fs::read_to_string(self.place.join(format!("output-{line}"))).unwrap_or_default();
                eprintln!("--- a terminal of {} ---\n{said}", self.document);
            }
        }
    }
}

fn parsed(ready: &str) -> Ready {
    let value: Value = serde_json::from_str(ready).unwrap_or_else(|error| panic!("{error}: {ready}"));
    Ready::parse(&value).unwrap_or_else(|| panic!("the ready file lacks something: {ready}"))
}

/// What a terminal does at Ctrl-C.
fn interrupt(shell: &Child) {
    signal(shell, "-INT");
}

/// To all processes of the shell.
fn signal(shell: &Child, signal: &str) {
    let _ = Command::new("kill").args([signal, "--", &format!("-{}", shell.id())]).status();
}

/// Ends what a terminal runs, whatever it thinks of Ctrl-C.
fn end(shell: &mut Child) {
    interrupt(shell);
    let deadline = Instant::now() + LONGEST_END;
    while matches!(shell.try_wait(), Ok(None)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    signal(shell, "-KILL");
    // Either way it is over with it.
    let _ = shell.wait();
}

/// Ctrl-C reaches what the terminal runs even if the tests were started where interrupts are ignored, as in the background of a
/// script: a program that is started there keeps to that.
fn hear_interrupts(command: &mut Command) {
    let reset = || {
        // SAFETY: setting a signal's default action has no preconditions.
        match unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) } {
            libc::SIG_ERR => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // SAFETY: the closure makes one system call, and allocates nothing.
    unsafe { command.pre_exec(reset) };
}

async fn ended(shell: &mut Child) -> ExitStatus {
    until("a program to stop", async || shell.try_wait().expect("a child can be waited for")).await
}

/// What stands for programs that a reader has. The built gateway says where it is ready, and builds one component at a time, since
/// those of one name have one file in the folder that all readers share; what is there is neither built nor installed once more.
const PROGRAMS: [(&str, &str); 4] = [
    (
        "hubgate",
        r#"#!/usr/bin/env bash
set -eu
case "${1-} ${2-}" in
"dev "* | "serve "*) ;;
"plugin build") exec flock "$CARGO_TARGET_DIR/reader" "$READER_GATEWAY" "$@" ;;
*) exec "$READER_GATEWAY" "$@" ;;
esac
ready=
for ((index = 1; index < $#; index++)); do
    if [ "${!index}" = --ready-file ]; then next=$((index + 1)) && ready=$(realpath -m "${!next}"); fi
done
if [ -z "$ready" ]; then ready=$READER_PLACE/ready.json && set -- "$@" --ready-file "$ready"; fi
rm -f "$ready"
echo "$ready" >"$READER_PLACE/ready-at"
exec "$READER_GATEWAY" "$@"
"#,
    ),
    (
        "cargo",
        r#"#!/usr/bin/env bash
set -eu
case "$*" in
"build --release") ;;
"run --release -- "*) exec hubgate "${@:4}" ;;
*) PATH=$READER_PATH exec cargo "$@" ;;
esac
"#,
    ),
    (
        "rustup",
        r#"#!/usr/bin/env bash
set -eu
[ "$*" = "target add wasm32-unknown-unknown" ]
"#,
    ),
    (
        "systemctl",
        r#"#!/usr/bin/env bash
echo "$*" >>"$READER_PLACE/systemctl"
"#,
    ),
];

fn environment(place: &Path, programs: &Path) -> Vec<(String, String)> {
    let path = std::env::var("PATH").expect("there is a PATH");
    // Components are built for a target that not every toolchain brings along.
    let script = repository().join("scripts/wasm-target.sh");
    let printed = Command::new(script).stderr(Stdio::inherit()).output().expect("it can be run");
    assert!(printed.status.success(), "scripts/wasm-target.sh finds a target");
    let target = String::from_utf8_lossy(&printed.stdout).into_owned();
    let own = [
        ("PATH", format!("{}:{path}:{}", programs.display(), leavings("languages").join("bin").display())),
        ("READER_PATH", path.clone()),
        ("READER_PLACE", place.display().to_string()),
        ("READER_GATEWAY", binary().display().to_string()),
        // Kept from run to run, and shared, so that what components are made of is built once.
        ("CARGO_TARGET_DIR", leavings("documents-target").display().to_string()),
        ("CARGO_NET_OFFLINE", "true".to_owned()),
        ("READER_TARGET", target),
    ];
    own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Copies what a clone has. All of it is newer than what an earlier reader has built, and so it is built anew.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("there is room");
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.expect("it can be listed");
        let (source, copied) = (entry.path(), to.join(entry.file_name()));
        if NOT_CLONED.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        match source.is_dir() {
            true => copy(&source, &copied),
            false => {
                fs::copy(&source, &copied).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
            }
        }
    }
}

fn make_executable(file: &Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(file, mode).expect("it is ours");
}
