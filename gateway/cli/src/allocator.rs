//! The allocator of the process: one that gives memory back after a burst.
//!
//! jemalloc, with a thread of its own that returns what has not been used for a second. glibc's allocator keeps nearly all of it;
//! `bench/README.md` has the figures. On musl, where jemalloc cannot start its thread, the system's own allocator stays.

#![cfg(not(target_env = "musl"))]

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const OPTIONS: &[u8; 63] = b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:1000\0";

/// What jemalloc reads before its first allocation (`malloc_conf` in its manual, with the prefix of `tikv-jemalloc-sys`).
// SAFETY: the name is jemalloc's own, for a pointer to a text that ends with a zero, and a reference to an array is one.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub(crate) static MALLOC_CONF: &[u8; 63] = OPTIONS;
