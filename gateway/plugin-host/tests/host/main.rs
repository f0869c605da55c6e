//! Plugins as a shard uses them: components made of WAT, and those of the repository. One program for all tests, because each program
//! has the whole WebAssembly engine in it and takes long to build.

mod calls;
mod client_results;
mod dry_run;
mod filters;
mod hub;
mod inspect;
mod logs;
mod memory;
mod metering;
mod probe;
mod replay;
mod support;
mod swap;
mod wasi;
