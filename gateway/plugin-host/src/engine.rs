//! The one wasmtime engine of the gateway.

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::limits::{
    CORE_INSTANCES, KEPT_MEMORY, KEPT_STACK, KEPT_TABLES, MEMORIES, STACK_BYTES, TABLE_ELEMENTS, TABLES,
};

/// The bounds of the number of instances that slots are set aside for. A slot costs address space and no memory.
const FEWEST_SLOTS: usize = 1024;
const MOST_SLOTS: usize = 4096;

/// How instances get their memory. Machine code is made for one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allocation {
    /// From slots that are set aside.
    Pooled,
    /// As they need it.
    OnDemand,
}

impl Allocation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Allocation::Pooled => "pooled",
            Allocation::OnDemand => "on-demand",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Allocation> {
        [Allocation::Pooled, Allocation::OnDemand].into_iter().find(|allocation| allocation.name() == name)
    }
}

/// An engine with slots for about `instances` component instances at a time. Where their address space cannot be
/// reserved (a limit on virtual memory), memory is allocated as instances need it, which is slower.
pub(crate) fn pooling(instances: usize) -> wasmtime::Result<(Engine, Allocation)> {
    let instances = instances.clamp(FEWEST_SLOTS, MOST_SLOTS) as u32;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(instances)
        // A number to stay below, which reserves nothing.
        .total_core_instances(instances * CORE_INSTANCES as u32)
        .total_memories(instances + instances / 4)
        // Nearly every component has two: its own, and one that ties its imports to its memory.
        .total_tables(instances * 4)
        .total_gc_heaps(instances)
        .max_core_instances_per_component(CORE_INSTANCES as u32)
        .max_memories_per_component(MEMORIES as u32)
        .max_tables_per_component(TABLES as u32)
        .max_tables_per_module(TABLES as u32)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(KEPT_MEMORY)
        .table_keep_resident(KEPT_TABLES)
        .async_stack_keep_resident(KEPT_STACK)
        .pagemap_scan(Enabled::Auto);
    let mut config = base();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    match Engine::new(&config) {
        Ok(engine) => Ok((engine, Allocation::Pooled)),
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "no address space for pooled instances: calls are slower");
            Ok((on_demand()?, Allocation::OnDemand))
        }
    }
}

/// An engine that only compiles, for engines that allocate in this way: what its machine code counts on is the same.
pub(crate) fn compiling(allocation: Allocation) -> wasmtime::Result<Engine> {
    match allocation {
        Allocation::Pooled => Engine::new(&base()),
        Allocation::OnDemand => on_demand(),
    }
}

/// An engine that reserves nothing ahead.
pub(crate) fn on_demand() -> wasmtime::Result<Engine> {
    let mut config = base();
    config.memory_reservation(0).memory_reservation_for_growth(1 << 20).memory_guard_size(64 << 10);
    Engine::new(&config)
}

fn base() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // Exports are synchronous: without the bookkeeping of concurrent ones a call costs a third.
        .concurrency_support(false)
        .epoch_interruption(true)
        .memory_init_cow(true)
        .max_wasm_stack(STACK_BYTES)
        // What a deep recursion has touched is given back with the instance.
        .async_stack_zeroing(true)
        // Its default reads an environment variable, which only the command line does here.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}
