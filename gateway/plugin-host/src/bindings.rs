//! What wasmtime makes of the plugin contract in `wit/`. Only [`crate::convert`] and the traits' implementations in
//! [`crate::host`] name these types.
#![allow(unreachable_pub, missing_debug_implementations)]

wasmtime::component::bindgen!({
    path: "../../wit",
    // All that a plugin may import and export: which of it a component has is found out when it is loaded.
    inline: "
        package hubgate:gateway;
        world everything {
            include hubgate:plugin/whole-hub-with-http@0.1.0;
            include hubgate:plugin/filter@0.1.0;
        }
    ",
    world: "hubgate:gateway/everything",
    // Arguments of exports are lent to the guest and not cloned for it.
    ownership: Borrowing { duplicate_if_necessary: true },
    // What takes a moment at most is answered in place. All else may let the shard go on meanwhile.
    imports: {
        "hubgate:plugin/context.now": trappable,
        "hubgate:plugin/context.event-id": trappable,
        "hubgate:plugin/context.message-headers": trappable,
        "hubgate:plugin/context.time-left": trappable,
        default: async | trappable,
    },
    exports: { default: async },
    additional_derives: [PartialEq],
});
