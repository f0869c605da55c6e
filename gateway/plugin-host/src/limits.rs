//! What a plugin may use, whatever its configuration says. What that can change is in [`budgets`](crate::budgets).

use std::time::Duration;

/// The largest component that is loaded, in bytes.
pub const MAX_COMPONENT_BYTES: usize = 256 << 20;
/// The address space that compiling one component may take, in bytes. Components of 12 to 18 MiB, with the engines of
/// JavaScript or Python inside, take 0.5 GiB.
pub const MAX_COMPILER_MEMORY_BYTES: u64 = 2 << 30;
/// The processor time that compiling one component may take. The same components take 15 s.
pub(crate) const MAX_COMPILER_CPU_TIME: Duration = Duration::from_secs(120);
/// How long `init` may take when a new component is tried out, or as long as a call if that is less: in a call it counts
/// towards the call's own time.
pub(crate) const TRIAL_TIME: Duration = Duration::from_secs(5);
/// Calls that an instance answers before a fresh one takes its place, so that what leaks in a guest stays bounded.
pub(crate) const CALLS_PER_INSTANCE: u32 = 10_000;
/// What a guest may pass to the host in one call of an import, and as its result, in bytes: so much, and as much again as the
/// message that its call is about. The call is broken off.
pub(crate) const HOST_CALL_BYTES: usize = HTTP_BODY_BYTES + (64 << 10);
/// How long a guest may hold its shard with calls of imports, without executing anything of its own that could be interrupted.
pub(crate) const MAX_HOST_CALL_HOLD: Duration = Duration::from_millis(2);
/// How long one call may wait for the disk without its time passing: longer than a busy disk takes, so that calls do not fail because of it.
pub(crate) const DISK_TIME: Duration = Duration::from_secs(10);
/// What the actions that a call has queued may weigh together, with everything that they name, in bytes.
pub(crate) const ACTION_BYTES_PER_CALL: usize = 16 << 20;
/// What an action takes up beside the texts and payloads in it, in bytes.
pub(crate) const ACTION_OVERHEAD_BYTES: usize = 256;
/// The body of a request of the `http` import, and of its answer, in bytes.
pub(crate) const HTTP_BODY_BYTES: usize = 4 << 20;
/// Random bytes that one host call gives.
pub(crate) const RANDOM_BYTES: usize = 64 << 10;
/// The longest line a plugin may log, its fields included, in bytes; the rest is cut off.
pub(crate) const LOG_LINE_BYTES: usize = 8 << 10;
/// So many times the lines of a second may a plugin log at once after a pause.
pub(crate) const LOG_BURST: u32 = 5;
/// Lines that the host logs about a plugin's failed calls in a second, and at once after a pause.
pub(crate) const FAILURE_LINES: (u32, u32) = (5, 20);
/// The longest reason of a failed call that is logged or shown, in bytes.
pub(crate) const REASON_BYTES: usize = 1 << 10;
/// WASI resources (streams, pollables) that an instance may hold at a time, and pollables that one call may wait for.
pub(crate) const WASI_RESOURCES: usize = 1_000;
/// What an instance may write to its standard streams before the shard's other work has its turn, in bytes: the permit that
/// `check-write` gives. A write beyond it is a trap.
pub(crate) const WASI_WRITE_BYTES: usize = 4 << 10;

/// What a journal of a call may hold of what its guest asked and was told, in bytes; one that would be longer is of no use.
pub(crate) const JOURNAL_BYTES: usize = 16 << 20;

/// The longest key of the `state` import, in bytes.
pub(crate) const STATE_KEY_BYTES: usize = 1 << 10;
/// The largest value of the `state` import, in bytes.
pub(crate) const STATE_VALUE_BYTES: usize = 1 << 20;
/// The longest page of timers.
pub(crate) const TIMERS_PER_PAGE: usize = 1_000;
/// The longest page of keys, and the number of values that are looked at in one go to find them.
pub(crate) const STATE_KEYS_PER_PAGE: usize = 1_000;
/// The longest page of the `presence` import, in connections.
pub(crate) const PRESENCE_PAGE: usize = 1_000;

/// Core instances, memories and tables that one component instance may consist of. Components made of interpreters
/// link some 25 modules.
pub(crate) const CORE_INSTANCES: usize = 100;
pub(crate) const MEMORIES: usize = 8;
pub(crate) const TABLES: usize = 32;
/// Elements of all the tables of one instance, and of one of them.
pub(crate) const TABLE_ELEMENTS: usize = 200_000;
pub(crate) const TABLE_ELEMENT_BYTES: usize = 8;

/// The stack that a guest may use, in bytes.
pub(crate) const STACK_BYTES: usize = 512 << 10;
/// What an instance takes up beside its memories and tables, in bytes: its stack, and what is known of it.
pub(crate) const INSTANCE_BYTES: usize = STACK_BYTES + (64 << 10);
/// The bytes of an instance's memory, tables and stack that stay with its slot for the next instance, which finds them mapped.
pub(crate) const KEPT_MEMORY: usize = 256 << 10;
pub(crate) const KEPT_TABLES: usize = 32 << 10;
pub(crate) const KEPT_STACK: usize = 16 << 10;
