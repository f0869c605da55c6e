//! Components become machine code in a process of its own, which gives way to everything that serves: what a compiler
//! takes of memory and time, and what it may break over somebody's file, stays there.
//!
//! What was compiled is kept in a private folder. Machine code that is loaded is run, so nothing is ever loaded that
//! another user could have put there.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::component::{Digest, LoadError};
use crate::engine;
use crate::limits::REASON_BYTES;
use crate::log::printable;

/// How long the compilation of one component may take.
const LONGEST: Duration = Duration::from_secs(180);
/// How often a compilation under way is looked at.
const PERIOD: Duration = Duration::from_millis(10);
/// Compiled components that are kept; the oldest goes when one more comes.
const MOST_KEPT: usize = 64;
/// How much machine code one component may come to, in bytes.
const LARGEST: u64 = 1 << 30;

/// Where components are compiled, and where the outcome is kept.
#[derive(Debug, Clone, Default)]
pub struct Compilation {
    /// A program that calls [`compile_here`], and its arguments. None: this process compiles.
    pub program: Option<(PathBuf, Vec<String>)>,
    /// A folder, made private when it is first needed. None: nothing is kept.
    pub cache: Option<PathBuf>,
}

/// Makes machine code of components.
#[derive(Debug)]
pub(crate) struct Compiler {
    engine: Engine,
    compilation: Compilation,
}

impl Compiler {
    pub(crate) fn new(engine: &Engine, compilation: Compilation) -> Compiler {
        Compiler { engine: engine.clone(), compilation }
    }

    /// Compiles a component, or finds it compiled. Blocks for as long as that takes.
    pub(crate) fn compile(&self, component: &[u8]) -> Result<Component, LoadError> {
        let Some((program, arguments)) = &self.compilation.program else {
            return compile_in_process(&self.engine, component);
        };
        let kept = self.compilation.cache.as_ref().map(|folder| Kept::new(folder, &self.engine, component));
        if let Some(compiled) = kept.as_ref().and_then(Kept::read)
            && let Some(compiled) = self.load(&compiled)
        {
            return Ok(compiled);
        }
        let compiled = compile_in_child(program, arguments, component)?;
        // A program of another version makes what this one cannot load; that is no fault of the component.
        let Some(loaded) = self.load(&compiled) else {
            return compile_in_process(&self.engine, component);
        };
        if let Some(kept) = kept
            && let Err(error) = kept.write(&compiled)
        {
            tracing::warn!(folder = %kept.folder.display(), %error, "a compiled component cannot be kept");
        }
        Ok(loaded)
    }

    fn load(&self, compiled: &[u8]) -> Option<Component> {
        // SAFETY: the bytes come from our own program, through a pipe or a folder that only this user can write to.
        unsafe { Component::deserialize(&self.engine, compiled) }.ok()
    }
}

/// A compiler's panic over somebody's file must not take the gateway's plugins with it.
fn compile_in_process(engine: &Engine, component: &[u8]) -> Result<Component, LoadError> {
    match catch_unwind(AssertUnwindSafe(|| Component::from_binary(engine, component))) {
        Ok(compiled) => compiled.map_err(|error| LoadError::Invalid(reason(&error))),
        Err(_) => Err(LoadError::Invalid(PANICKED.to_owned())),
    }
}

const PANICKED: &str = "the compiler panicked over it";

fn reason(error: &impl fmt::Display) -> String {
    printable(&format!("{error:#}"), REASON_BYTES)
}

/// What the child process does: reads a component from its standard input, and writes machine code to its standard output,
/// or to its standard error why there is none. Gives its exit code.
pub fn compile_here() -> u8 {
    give_way_wholly();
    let mut component = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut component);
    let compiled = read.map_err(|error| error.to_string()).and_then(|_| {
        let engine = engine::compiling().map_err(|error| reason(&error))?;
        engine.precompile_component(&component).map_err(|error| reason(&error))
    });
    match compiled {
        Ok(compiled) => match io::stdout().lock().write_all(&compiled) {
            Ok(()) => 0,
            // Nobody waits for it any more.
            Err(_) => 1,
        },
        Err(reason) => {
            // It is all that this process has to say.
            drop(io::stderr().lock().write_all(reason.as_bytes()));
            REFUSED
        }
    }
}

/// The exit code that says that the component is bad.
const REFUSED: u8 = 3;

fn compile_in_child(program: &Path, arguments: &[String], component: &[u8]) -> Result<Vec<u8>, LoadError> {
    let failed = |error: io::Error| LoadError::Init(format!("the compiler could not be run: {error}"));
    let mut child = Command::new(program)
        .args(arguments)
        // Nothing in there is its business: access keys may be.
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (compiled, said, status) = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A child that has ended says so by its exit code.
            input.map(|mut input| input.write_all(component))
        });
        let compiled = scope.spawn(move || read_all(output, LARGEST));
        let said = scope.spawn(move || read_all(errors, REASON_BYTES as u64));
        let status = wait(&mut child);
        (compiled.join().unwrap_or_default(), said.join().unwrap_or_default(), status)
    });
    match status.map_err(failed)?.and_then(|status| status.code()) {
        Some(0) => Ok(compiled),
        Some(code) if code == i32::from(REFUSED) => {
            Err(LoadError::Invalid(printable(&String::from_utf8_lossy(&said), REASON_BYTES)))
        }
        Some(_) => Err(LoadError::Invalid(PANICKED.to_owned())),
        None => {
            Err(LoadError::Invalid(format!("the compiler did not come to an end within {LONGEST:?}, or was killed")))
        }
    }
}

/// Waits until the child is over; `None` if it had to be killed.
fn wait(child: &mut Child) -> io::Result<Option<std::process::ExitStatus>> {
    let deadline = Instant::now() + LONGEST;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(PERIOD);
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

/// Lowers the priority of this whole process as far as it goes, and lets it end with the one that started it.
fn give_way_wholly() {
    // SAFETY: system calls without pointers. Process id 0 is the calling process.
    #[cfg(target_os = "linux")]
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 19);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
}

/// A compiled component's place in the folder.
struct Kept {
    folder: PathBuf,
    file: PathBuf,
}

impl Kept {
    fn new(folder: &Path, engine: &Engine, component: &[u8]) -> Kept {
        // Other versions of the program and other processors need other machine code.
        let mut compatible = Fnv::default();
        std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut compatible);
        let digest = Digest::of(component).to_string().replace(':', "-");
        let name = format!("{digest}-{:016x}", std::hash::Hasher::finish(&compatible));
        Kept { folder: folder.to_owned(), file: folder.join(name) }
    }

    /// The bytes, if they are there and nobody else can have put them there.
    fn read(&self) -> Option<Vec<u8>> {
        let mut file = File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(&self.file).ok()?;
        let is_ours = is_private(&fs::symlink_metadata(&self.folder).ok()?) && is_private(&file.metadata().ok()?);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        // The folder keeps what was used last.
        drop(file.set_modified(std::time::SystemTime::now()));
        is_ours.then_some(bytes)
    }

    fn write(&self, compiled: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        if !is_private(&fs::symlink_metadata(&self.folder)?) {
            let problem = "it must belong to this user, and nobody else may have access (mode 0700)";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
        }
        // Of this process alone: another gateway may use the same folder.
        let new = self.file.with_extension(std::process::id().to_string());
        drop(fs::remove_file(&new));
        File::options().write(true).create_new(true).mode(0o600).open(&new)?.write_all(compiled)?;
        fs::rename(&new, &self.file)?;
        self.forget_the_oldest()
    }

    fn forget_the_oldest(&self) -> io::Result<()> {
        let mut files: Vec<_> = fs::read_dir(&self.folder)?
            .filter_map(|entry| {
                entry.ok().and_then(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            })
            .collect();
        files.sort();
        let excess = files.len().saturating_sub(MOST_KEPT);
        files.iter().take(excess).try_for_each(|(_, file)| fs::remove_file(file))
    }
}

/// Whether only this user can have written it.
pub(crate) fn is_private(metadata: &fs::Metadata) -> bool {
    // SAFETY: a system call without arguments that cannot fail.
    let user = unsafe { libc::geteuid() };
    metadata.uid() == user && metadata.permissions().mode() & 0o077 == 0
}

/// The hash of Fowler, Noll and Vo in 64 bits: the same in each run, which a name of a file must be.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl std::hash::Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_private_and_nothing_else_is_loaded() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let cache = folder.path().join("cache");
        let engine = engine::on_demand().expect("an engine");
        let kept = Kept::new(&cache, &engine, b"a component");
        assert_eq!(kept.read(), None);
        kept.write(b"machine code").expect("the folder can be made");
        assert_eq!(kept.read().as_deref(), Some(&b"machine code"[..]));
        assert_eq!(fs::metadata(&cache).expect("it is there").permissions().mode() & 0o777, 0o700);
        assert_eq!(Kept::new(&cache, &engine, b"another").read(), None);

        fs::set_permissions(&kept.file, fs::Permissions::from_mode(0o620)).expect("it is ours");
        assert_eq!(kept.read(), None, "others could write to it");
        fs::set_permissions(&kept.file, fs::Permissions::from_mode(0o600)).expect("it is ours");
        fs::set_permissions(&cache, fs::Permissions::from_mode(0o770)).expect("it is ours");
        assert_eq!(kept.read(), None, "others could put a file there");
        assert!(kept.write(b"more").is_err());
    }

    #[test]
    fn the_folder_keeps_what_was_used_last() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let cache = folder.path().join("cache");
        let engine = engine::on_demand().expect("an engine");
        let kept = |number: usize| Kept::new(&cache, &engine, &number.to_be_bytes());
        for number in 0..=MOST_KEPT {
            kept(number).write(b"machine code").expect("the folder can be written");
        }
        assert_eq!(fs::read_dir(&cache).expect("it is there").count(), MOST_KEPT);
        assert!(kept(MOST_KEPT).read().is_some());
    }
}
