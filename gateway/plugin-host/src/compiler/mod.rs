//! Turns components into machine code, in a process of its own that gives way to everything that serves: what a compiler takes
//! of memory and time, and what it may break over somebody's file, stays there.
//!
//! Machine code is kept in a private folder. What is loaded is executed, so nothing is loaded that another user could have put
//! there, or that is not what was written.

mod cache;
mod child;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use hubgate_core::id::PluginName;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::engine::Allocation;
use crate::limits::REASON_BYTES;
use crate::load_error::LoadError;
use crate::printable::printable;
use cache::{CacheEntry, CacheMiss};
pub use child::compile_here;

/// Where components are compiled, and where the outcome is kept.
#[derive(Debug, Clone, Default)]
pub struct Compilation {
    /// A program that calls [`compile_here`] with its last argument, and its other arguments. None: this process compiles.
    pub program: Option<(PathBuf, Vec<String>)>,
    /// A folder, made private when it is first needed. None: nothing is kept.
    pub cache: Option<PathBuf>,
}

/// Turns components into machine code for one engine.
#[derive(Debug)]
pub(crate) struct Compiler {
    engine: Engine,
    allocation: Allocation,
    compilation: Compilation,
    is_stopped: AtomicBool,
}

impl Compiler {
    pub(crate) fn new((engine, allocation): (&Engine, Allocation), compilation: Compilation) -> Compiler {
        Compiler { engine: engine.clone(), allocation, compilation, is_stopped: AtomicBool::new(false) }
    }

    /// Compiles a plugin's component, or finds it compiled. Blocks for as long as that takes, or until `is_cancelled` says that
    /// nobody wants it any more.
    pub(crate) fn compile(
        &self,
        plugin: &PluginName,
        component: &[u8],
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Component, LoadError> {
        let Some((program, arguments)) = &self.compilation.program else {
            return compile_in_process(&self.engine, component);
        };
        let entry = self.compilation.cache.as_ref().map(|folder| CacheEntry::new(folder, &self.engine, component));
        if let Some(loaded) = entry.as_ref().and_then(|entry| self.load_cached(entry)) {
            return Ok(loaded);
        }
        let is_cancelled = || self.is_stopped.load(Ordering::SeqCst) || is_cancelled();
        // A gateway keeps what comes of it, and somebody may wait for it to start; whoever only checks a component knows.
        if entry.is_some() {
            tracing::info!(%plugin, bytes = component.len(), "compiling a component: large ones take seconds");
        }
        let compiled = child::compile(program, arguments, self.allocation, component, &is_cancelled)?;
        let Some(loaded) = self.load(&compiled) else {
            let reason = "the compiler's output cannot be loaded: is its program of another version?";
            return Err(LoadError::Transient(reason.to_owned()));
        };
        if let Some(entry) = entry
            && let Err(error) = entry.write(&compiled)
        {
            tracing::warn!(folder = %entry.folder().display(), %error, "a compiled component cannot be kept");
        }
        Ok(loaded)
    }

    /// Ends a compilation under way, and refuses further ones.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
    }

    fn load_cached(&self, entry: &CacheEntry) -> Option<Component> {
        match entry.read() {
            Ok(compiled) => self.load(&compiled),
            Err(CacheMiss::Absent) => None,
            Err(CacheMiss::Damaged) => {
                tracing::warn!(
                    file = %entry.file().display(),
                    "a compiled component is damaged and is compiled again: is the disk sound?"
                );
                None
            }
        }
    }

    fn load(&self, compiled: &[u8]) -> Option<Component> {
        // SAFETY: the bytes come from our own program: through a pipe, or through a folder that only this user can write to,
        // with a digest that says that they are still what was written.
        unsafe { Component::deserialize(&self.engine, compiled) }.ok()
    }
}

/// A compiler's panic over somebody's file must not take the gateway's plugins with it.
fn compile_in_process(engine: &Engine, component: &[u8]) -> Result<Component, LoadError> {
    match catch_unwind(AssertUnwindSafe(|| Component::from_binary(engine, component))) {
        Ok(compiled) => compiled.map_err(|error| LoadError::Invalid(reason(&error))),
        Err(_) => Err(LoadError::Invalid("the compiler panicked".to_owned())),
    }
}

fn reason(error: &impl fmt::Display) -> String {
    printable(&format!("{error:#}"), REASON_BYTES)
}
