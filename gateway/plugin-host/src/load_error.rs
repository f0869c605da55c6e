//! Why a component cannot serve.

use crate::limits::{MAX_COMPILER_CPU_TIME, MAX_COMPILER_MEMORY_BYTES, MAX_COMPONENT_BYTES};
use crate::version::CONTRACT;

/// Why a component cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("it is larger than {MAX_COMPONENT_BYTES} bytes")]
    TooLarge,
    #[error("it is not a WebAssembly component: `hubgate plugin build` makes one of a project, or of a core module")]
    NotAComponent,
    #[error("it is a core WebAssembly module and not a component: `hubgate plugin build` makes one of it")]
    CoreModule,
    #[error("it is truncated: its last section ends {missing} bytes after its end")]
    Truncated { missing: u64 },
    #[error("it is not a valid component: {0}")]
    Invalid(String),
    #[error(
        "it was built for contract {found}, and this gateway serves {CONTRACT}: build it with this gateway's contract, which `hubgate \
         plugin wit` writes"
    )]
    OtherContract { found: String },
    #[error(
        "it exports no `hubgate:plugin/lifecycle@0.1`, which each world of the contract has: export its `init`, which may do nothing"
    )]
    NoLifecycle,
    #[error(
        "it asks for HTTP by `{0}`, which no plugin gets: use the contract's import `http` (world `handler-with-http` or \
         `filter-with-http`), and say what it may reach in `allow-http`"
    )]
    WasiHttp(String),
    #[error(
        "it serves no world that this gateway has: it needs the export {missing}, it has {has}; build it for the world `handler` or \
         `filter` of `hubgate plugin wit` (in Rust, `export!` names what is exported)"
    )]
    WrongWorld { missing: &'static str, has: String },
    #[error(
        "it is a filter, and `{0}` names it as a handler, without the export `hubgate:plugin/upstream@0.1`: name it in \
         the `filters` of a hub instead"
    )]
    IsAFilter(&'static str),
    #[error(
        "it is a handler, and a hub names it among its `filters`, without the export `hubgate:plugin/inbound-filter@0.1` or \
         `hubgate:plugin/outbound-filter@0.1`: name it in `[[upstream]]` instead"
    )]
    IsAHandler,
    #[error(
        "`hubs.NAME.negotiate.plugin` names it as the authorizer of a hub, and it has no export `hubgate:plugin/authorizer@0.1`: build \
         it for the world `negotiator` or `whole-hub` of `hubgate plugin wit`"
    )]
    NoAuthorizer,
    #[error("it needs the `http` import: say what it may reach in `{0}`, or build it without")]
    /// What would say so.
    NeedsHttp(String),
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
