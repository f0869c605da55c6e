//! What wasmtime makes of the plugin contract in `wit/`. Only [`crate::convert`] and the traits' implementations in
//! [`crate::host`] name these types.
#![allow(unreachable_pub, missing_debug_implementations)]

// A second world (a filter) gets its own `bindgen!` here, with `with: { "hubgate:plugin": self::hubgate::plugin }`, so
// that the imports are implemented once.
wasmtime::component::bindgen!({
    path: "../../wit",
    world: "handler",
    // Arguments of exports are lent to the guest and not cloned for it.
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: {
        "hubgate:plugin/context.random": trappable,
        "hubgate:plugin/connections": async,
        "hubgate:plugin/hub.flush": async,
        "hubgate:plugin/hub.exists": async,
    },
    exports: { default: async },
});
