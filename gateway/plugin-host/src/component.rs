//! From the bytes of a component to a version that can serve, or the reason why it cannot.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use hubgate_core::id::PluginName;
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::bindings::exports::hubgate::plugin::{inbound_filter, lifecycle, outbound_filter, upstream};
use crate::compiler::{Compilation, Compiler, MAX_COMPILER_CPU_TIME, MAX_COMPILER_MEMORY_BYTES};
use crate::engine::Allocation;
use crate::host::{self, Guest, Surroundings};
use crate::instance::{Broken, Instance};
use crate::limits::{MAX_COMPONENT_BYTES, REASON_BYTES, TRIAL_TIME};
use crate::log::printable;
use crate::sections::{Numbers, PREAMBLE_BYTES, Truncated, sections};
use crate::settings::{PluginSettings, Uses};
use crate::ticker::{Caller, Ticker};
use crate::worker::start_scoped;

/// Why a component cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("it is larger than {MAX_COMPONENT_BYTES} bytes")]
    TooLarge,
    #[error("it is not a WebAssembly component")]
    NotAComponent,
    #[error("it is a core WebAssembly module and not a component")]
    CoreModule,
    #[error("it is truncated: its last section ends {missing} bytes behind its end")]
    Truncated { missing: u64 },
    #[error("it is no valid component: {0}")]
    Invalid(String),
    #[error("it serves no world that this gateway has: it needs the export {missing}, it has {has}")]
    WrongWorld { missing: &'static str, has: String },
    #[error("it needs the `http` import: say what it may reach in `plugins.{0}.allow-http`, or build it without")]
    NeedsHttp(PluginName),
    #[error("it imports what this gateway does not have: {0}")]
    UnknownImport(String),
    #[error("compiling it takes more than {} MiB of memory, the most that the compiler may use", MAX_COMPILER_MEMORY_BYTES >> 20)]
    CompilerMemory,
    #[error("compiling it takes more than {} s of processor time, the most that the compiler may use", MAX_COMPILER_CPU_TIME.as_secs())]
    CompilerCpuTime,
    #[error("it could not be tried out: {0}")]
    Init(String),
    #[error("loading it was broken off")]
    Cancelled,
    /// The machine's fault: the same component may serve later.
    #[error("{0}")]
    Transient(String),
    #[error("it could not be tried out: `init` failed: {0}")]
    NotReady(String),
}

impl LoadError {
    /// Whether the same component may serve later: the machine or its state was at fault, and not the file.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, LoadError::Transient(_))
    }
}

/// The SHA-256 of a component, or of what was made of one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u8; Digest::BYTES]);

impl Digest {
    pub(crate) const BYTES: usize = 32;

    pub(crate) fn of(bytes: &[u8]) -> Digest {
        Digest(digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Reads what its `Display` writes.
    pub(crate) fn parse(text: &str) -> Option<Digest> {
        let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 2 * Digest::BYTES)?;
        let byte = |index: usize| u8::from_str_radix(digits.get(2 * index..2 * index + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..Digest::BYTES).map(byte).collect();
        Some(Digest(bytes?.try_into().ok()?))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; Digest::BYTES] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A compiled, linked and tried component at its place in the plugin's history.
pub(crate) struct Version {
    /// From 1; each swap adds 1.
    pub(crate) generation: u64,
    pub(crate) digest: Digest,
    pub(crate) loaded_at: SystemTime,
    pub(crate) exports: Arc<Exports>,
}

/// A linked component, and what it exports.
pub(crate) struct Exports {
    pub(crate) linked: InstancePre<Guest>,
    pub(crate) lifecycle: lifecycle::GuestIndices,
    pub(crate) upstream: Option<upstream::GuestIndices>,
    pub(crate) inbound_filter: Option<inbound_filter::GuestIndices>,
    pub(crate) outbound_filter: Option<outbound_filter::GuestIndices>,
    pub(crate) numbers: Numbers,
}

/// What was seen of a component that can serve.
pub(crate) struct Loaded {
    pub(crate) digest: Digest,
    pub(crate) exports: Exports,
    pub(crate) imports: Vec<String>,
    /// The names of what it exports.
    pub(crate) interfaces: Vec<String>,
}

impl Version {
    /// One that serves from now on.
    pub(crate) fn new(generation: u64, digest: Digest, exports: Arc<Exports>) -> Version {
        Version { generation, digest, loaded_at: SystemTime::now(), exports }
    }
}

/// Makes versions.
pub(crate) struct Loader {
    linker: Linker<Guest>,
    compiler: Compiler,
    caller: Caller,
}

impl Loader {
    pub(crate) fn new(
        (engine, allocation): (&Engine, Allocation),
        ticker: &Ticker,
        compilation: Compilation,
    ) -> Result<Loader, String> {
        let mut linker = Linker::new(engine);
        host::link(&mut linker).map_err(|error| format!("{error:#}"))?;
        let compiler = Compiler::new((engine, allocation), compilation);
        Ok(Loader { linker, compiler, caller: ticker.caller() })
    }

    /// Ends a compilation under way, and refuses further ones.
    pub(crate) fn stop(&self) {
        self.compiler.stop();
    }

    /// Compiles, checks, links and tries out a component. Blocks for as long as that takes: seconds for the interpreters
    /// of some languages. A compilation under way ends when `is_cancelled` says so.
    pub(crate) fn load(
        &self,
        component: &[u8],
        surroundings: &Arc<Surroundings>,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Loaded, LoadError> {
        let loaded = self.link(component, surroundings, is_cancelled)?;
        self.try_out(&loaded.exports, surroundings)?;
        Ok(loaded)
    }

    /// The same without trying it out.
    pub(crate) fn link(
        &self,
        component: &[u8],
        surroundings: &Arc<Surroundings>,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Loaded, LoadError> {
        check_format(component)?;
        let compiled = self.compiler.compile(surroundings.name(), component, is_cancelled)?;
        let (imports, exports) = names(&compiled);
        check_names(&imports, &exports, &surroundings.settings)?;
        let linked = self.linker.instantiate_pre(&compiled).map_err(|error| LoadError::UnknownImport(text(&error)))?;
        let numbers = Numbers::of(component);
        let indices = Exports::new(linked, &exports, numbers).map_err(|error| LoadError::Invalid(text(&error)))?;
        Ok(Loaded { digest: Digest::of(component), exports: indices, imports, interfaces: exports })
    }

    /// Makes an instance and lets its `init` run; gives what it holds then, in bytes.
    pub(crate) fn try_out(&self, exports: &Exports, surroundings: &Arc<Surroundings>) -> Result<usize, LoadError> {
        let trial = async {
            let _running = self.caller.run();
            let started = Instant::now();
            // In a call it has no longer.
            let time = TRIAL_TIME.min(surroundings.settings.budgets.call_time);
            let start = Instance::start(exports, 0, surroundings, None, started + time);
            let instance = match tokio::time::timeout(time, start).await {
                Ok(instance) => instance?,
                Err(_) => return Err(Broken::OutOfTime),
            };
            Ok(instance.memory_bytes())
        };
        let transient = |reason: String| LoadError::Transient(format!("it could not be tried out: {reason}"));
        block_on(trial).map_err(transient)?.map_err(|broken| match broken {
            Broken::NotReady(reason) => LoadError::NotReady(reason),
            // A busy machine can be why, and other plugins.
            Broken::OutOfTime | Broken::OutOfPluginMemory | Broken::NoRoom | Broken::NotServing | Broken::Resting => {
                transient(broken.to_string())
            }
            Broken::OutOfCpuTime { .. } | Broken::OutOfMemory | Broken::Trapped(_) => {
                LoadError::Init(broken.to_string())
            }
        })
    }
}

/// Runs a future to its end on a thread of its own: the caller's thread may belong to a runtime, which must not block.
fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> Result<T, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|error| error.to_string())?;
    std::thread::scope(|scope| {
        let running = start_scoped(scope, move || runtime.block_on(future)).map_err(|error| error.to_string())?;
        running.join().map_err(|_| "the host panicked while it tried the component out".to_owned())
    })
}

/// Lowers the priority of this thread beneath that of the shards.
pub(crate) fn give_way() {
    // SAFETY: a system call without pointers. On Linux process id 0 is the calling thread.
    #[cfg(target_os = "linux")]
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 10);
    }
}

/// Looks at a file's outermost structure, to say what is wrong with it better than a parser would.
fn check_format(component: &[u8]) -> Result<(), LoadError> {
    if component.len() > MAX_COMPONENT_BYTES {
        return Err(LoadError::TooLarge);
    }
    let Some(preamble) = component.first_chunk::<PREAMBLE_BYTES>() else {
        // What is shorter than its preamble, the empty file among them, has begun to be written perhaps.
        return match b"\0asm\x0d\0\x01\0".starts_with(component) {
            true => Err(LoadError::Truncated { missing: (PREAMBLE_BYTES - component.len()) as u64 }),
            false => Err(LoadError::NotAComponent),
        };
    };
    match preamble {
        b"\0asm\x0d\0\x01\0" => sections(component)
            .try_for_each(|section| section.map(drop))
            .map_err(|Truncated(missing)| LoadError::Truncated { missing }),
        b"\0asm\x01\0\0\0" => Err(LoadError::CoreModule),
        _ => Err(LoadError::NotAComponent),
    }
}

fn names(component: &Component) -> (Vec<String>, Vec<String>) {
    let (kind, engine) = (component.component_type(), component.engine());
    let imports = kind.imports(engine).map(|(name, _)| name.to_owned()).collect();
    let exports = kind.exports(engine).map(|(name, _)| name.to_owned()).collect();
    (imports, exports)
}

const LIFECYCLE: &str = "hubgate:plugin/lifecycle@0.1";
const UPSTREAM: &str = "hubgate:plugin/upstream@0.1";
const INBOUND_FILTER: &str = "hubgate:plugin/inbound-filter@0.1";
const OUTBOUND_FILTER: &str = "hubgate:plugin/outbound-filter@0.1";

impl Exports {
    fn new(linked: InstancePre<Guest>, exports: &[String], numbers: Numbers) -> wasmtime::Result<Exports> {
        let has = |interface| has(exports, interface);
        Ok(Exports {
            lifecycle: lifecycle::GuestIndices::new(&linked)?,
            upstream: has(UPSTREAM).then(|| upstream::GuestIndices::new(&linked)).transpose()?,
            inbound_filter: has(INBOUND_FILTER).then(|| inbound_filter::GuestIndices::new(&linked)).transpose()?,
            outbound_filter: has(OUTBOUND_FILTER).then(|| outbound_filter::GuestIndices::new(&linked)).transpose()?,
            linked,
            numbers,
        })
    }
}

/// The worlds that a component with these exports serves.
pub(crate) fn worlds(exports: &[String]) -> Vec<&'static str> {
    let filter = match (has(exports, INBOUND_FILTER), has(exports, OUTBOUND_FILTER)) {
        (true, true) => Some("filter"),
        (true, false) => Some("filter-inbound"),
        (false, true) => Some("filter-outbound"),
        (false, false) => None,
    };
    has(exports, UPSTREAM).then_some("handler").into_iter().chain(filter).collect()
}

/// Whether an import is what may ask others by HTTP.
pub(crate) fn is_http(import: &str) -> bool {
    import.starts_with("hubgate:plugin/http@")
}

fn has(exports: &[String], interface: &str) -> bool {
    exports.iter().any(|name| name.strip_prefix(interface).is_some_and(|rest| rest.starts_with('.')))
}

/// Does it export what it is used for, and may it have everything that it imports? The linker checks the rest.
fn check_names(imports: &[String], exports: &[String], settings: &PluginSettings) -> Result<(), LoadError> {
    if imports.iter().any(|name| is_http(name)) && settings.allow_http.is_empty() {
        return Err(LoadError::NeedsHttp(settings.name.clone()));
    }
    let is_filter = has(exports, INBOUND_FILTER) || has(exports, OUTBOUND_FILTER);
    let missing = match settings.uses {
        _ if !has(exports, LIFECYCLE) => "`hubgate:plugin/lifecycle@0.1`",
        Uses { upstream: true, .. } if !has(exports, UPSTREAM) => "`hubgate:plugin/upstream@0.1`",
        Uses { filter: true, .. } if !is_filter => {
            "`hubgate:plugin/inbound-filter@0.1` or `hubgate:plugin/outbound-filter@0.1`"
        }
        _ if !is_filter && !has(exports, UPSTREAM) => {
            "`hubgate:plugin/upstream@0.1`, `hubgate:plugin/inbound-filter@0.1` or `hubgate:plugin/outbound-filter@0.1`"
        }
        _ => return Ok(()),
    };
    let has = match exports.is_empty() {
        true => "none".to_owned(),
        false => printable(&exports.join(", "), REASON_BYTES),
    };
    Err(LoadError::WrongWorld { missing, has })
}

fn text(error: &wasmtime::Error) -> String {
    printable(&format!("{error:#}"), REASON_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_whole_component_is_called_what_it_is() {
        let check = |bytes: &[u8], expected: &str| {
            let reason = check_format(bytes).unwrap_err().to_string();
            assert!(reason.contains(expected), "{bytes:?}: {reason}");
        };
        check(b"", "truncated");
        check(b"\0as", "truncated");
        check(b"#!/bin/sh", "not a WebAssembly component");
        check(b"#!/", "not a WebAssembly component");
        check(b"\0asm\x01\0\0\0", "core WebAssembly module");
        check(b"\0asm\x02\0\0\0", "not a WebAssembly component");
        check(b"\0asm\x0d\0\x01\0\x07", "truncated");
        check(b"\0asm\x0d\0\x01\0\x07\x05abc", "ends 2 bytes behind its end");
        assert!(check_format(b"\0asm\x0d\0\x01\0\x00\x03abc\x07\x00").is_ok());
    }
}
