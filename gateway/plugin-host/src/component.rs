//! From the bytes of a component to a version that can serve, or the reason why it cannot.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::compiler::{Compilation, Compiler};
use crate::digest::Digest;
use crate::engine::Allocation;
use crate::host::{self, Guest, Surroundings};
use crate::instance::{Broken, Instance};
use crate::limits::{MAX_COMPONENT_BYTES, REASON_BYTES, TRIAL_TIME};
use crate::load_error::LoadError;
use crate::printable::printable;
use crate::sections::{Numbers, PREAMBLE_BYTES, Truncated, sections};
use crate::settings::{PluginSettings, Uses};
use crate::ticker::{Caller, Ticker};
use crate::version::{
    AUTHORIZER, Exports, INBOUND_FILTER, LIFECYCLE, Loaded, OUTBOUND_FILTER, UPSTREAM, has, is_http, other_contract,
};
use crate::worker::start_scoped;

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
        let trial = async || {
            let started = Instant::now();
            // In a call it has no longer.
            let time = TRIAL_TIME.min(surroundings.settings.budgets.call_time);
            let guest = Guest::new(surroundings.clone(), None, exports.numbers, started + time);
            let instance = match tokio::time::timeout(time, Instance::start(exports, 0, guest)).await {
                Ok(instance) => instance?,
                Err(_) => return Err(Broken::OutOfTime),
            };
            Ok(instance.memory_bytes())
        };
        let transient = |reason: String| LoadError::Transient(format!("it could not be tried out: {reason}"));
        self.run(trial).map_err(transient)?.map_err(|broken| match broken {
            Broken::NotReady(reason) => LoadError::NotReady(reason),
            // A busy machine can be why, and other plugins.
            Broken::OutOfTime | Broken::OutOfPluginMemory | Broken::NoRoom | Broken::NotServing | Broken::Resting => {
                transient(broken.to_string())
            }
            Broken::OutOfCpuTime(_) | Broken::OutOfMemory | Broken::Trapped(_) => LoadError::Init(broken.to_string()),
        })
    }

    /// Runs guests to their end on a thread of its own: the caller's may belong to a runtime, which must not block.
    pub(crate) fn run<T: Send>(&self, guests: impl AsyncFnOnce() -> T + Send) -> Result<T, String> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|error| error.to_string())?;
        let _running = self.caller.run();
        std::thread::scope(|scope| {
            let running = start_scoped(scope, move || runtime.block_on(guests())).map_err(|error| error.to_string())?;
            running.join().map_err(|_| "the host panicked while it tried the component out".to_owned())
        })
    }
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

/// Does it export what it is used for, and may it have everything that it imports? The linker checks the rest.
fn check_names(imports: &[String], exports: &[String], settings: &PluginSettings) -> Result<(), LoadError> {
    if let Some(found) = other_contract(exports.iter().chain(imports)) {
        return Err(LoadError::OtherContract { found: printable(&found, REASON_BYTES) });
    }
    if let Some(import) = imports.iter().find(|name| name.starts_with("wasi:http/")) {
        return Err(LoadError::WasiHttp(printable(import, REASON_BYTES)));
    }
    let is_filter = has(exports, INBOUND_FILTER) || has(exports, OUTBOUND_FILTER);
    let is_handler = has(exports, UPSTREAM);
    let is_authorizer = has(exports, AUTHORIZER);
    let missing = match settings.uses {
        _ if !has(exports, LIFECYCLE) && (is_filter || is_handler || is_authorizer) => {
            return Err(LoadError::NoLifecycle);
        }
        Uses { authorizer: true, .. } if !is_authorizer && (is_filter || is_handler) => {
            return Err(LoadError::NoAuthorizer);
        }
        Uses { upstream: Some(place), .. } if is_filter && !is_handler => return Err(LoadError::IsAFilter(place)),
        Uses { filter: true, .. } if is_handler && !is_filter => return Err(LoadError::IsAHandler),
        Uses { upstream: Some(_), .. } if !is_handler => "`hubgate:plugin/upstream@0.1`",
        Uses { filter: true, .. } if !is_filter => {
            "`hubgate:plugin/inbound-filter@0.1` or `hubgate:plugin/outbound-filter@0.1`"
        }
        _ if !is_filter && !is_handler && !is_authorizer => {
            "`hubgate:plugin/upstream@0.1`, `hubgate:plugin/inbound-filter@0.1`, `hubgate:plugin/outbound-filter@0.1` or \
             `hubgate:plugin/authorizer@0.1`"
        }
        _ if imports.iter().any(|name| is_http(name)) && settings.allow_http.is_empty() => {
            return Err(LoadError::NeedsHttp(settings.allow_http.key.clone()));
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
        check(b"\0asm\x0d\0\x01\0\x07\x05abc", "ends 2 bytes after its end");
        assert!(check_format(b"\0asm\x0d\0\x01\0\x00\x03abc\x07\x00").is_ok());
    }
}
