//! What wasmtime makes of the plugin contract in `wit/`. Only [`crate::convert`] and the traits' implementations in
//! [`crate::host`] name these types.
#![allow(unreachable_pub, missing_debug_implementations)]

wasmtime::component::bindgen!({
    path: "../../wit",
    // All that a plugin may import and export: which of it a component has is found out when it is loaded.
    inline: "
        package hubgate:gateway;
        world everything {
            include hubgate:plugin/handler-with-http@0.1.0;
            include hubgate:plugin/filter@0.1.0;
        }
    ",
    world: "hubgate:gateway/everything",
    // Arguments of exports are lent to the guest and not cloned for it.
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: {
        "hubgate:plugin/connections": async | trappable,
        "hubgate:plugin/hub.flush": async | trappable,
        "hubgate:plugin/hub.exists": async | trappable,
        "hubgate:plugin/state.set": async | trappable,
        "hubgate:plugin/state.compare-and-set": async | trappable,
        "hubgate:plugin/state.delete": async | trappable,
        "hubgate:plugin/state.increment": async | trappable,
        "hubgate:plugin/http": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});
