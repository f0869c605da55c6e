//! The contract itself, for what this crate does not wrap. Each interface that a plugin may export has bindings of its own, so
//! that a plugin exports what it has and no more.
#![allow(missing_docs)]

wit_bindgen::generate!({
    path: "wit",
    inline: "
        package hubgate:sdk;
        world plugin {
            include hubgate:plugin/imports@0.1.0;
            import hubgate:plugin/http@0.1.0;
            import hubgate:plugin/filtering@0.1.0;
            export hubgate:plugin/lifecycle@0.1.0;
        }
    ",
    world: "hubgate:sdk/plugin",
    generate_all,
    pub_export_macro: true,
    export_macro_name: "export_lifecycle",
    default_bindings_module: "hubgate_plugin::bindings",
});

pub mod upstream {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package hubgate:sdk; world upstream { export hubgate:plugin/upstream@0.1.0; }",
        world: "hubgate:sdk/upstream",
        with: { "hubgate:plugin/types@0.1.0": super::hubgate::plugin::types, "hubgate:plugin/upstream@0.1.0": generate },
        pub_export_macro: true,
        export_macro_name: "export_upstream",
        default_bindings_module: "hubgate_plugin::bindings::upstream",
    });
}

pub mod inbound_filter {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package hubgate:sdk; world inbound-filter { export hubgate:plugin/inbound-filter@0.1.0; }",
        world: "hubgate:sdk/inbound-filter",
        with: {
            "hubgate:plugin/types@0.1.0": super::hubgate::plugin::types,
            "hubgate:plugin/filtering@0.1.0": super::hubgate::plugin::filtering,
            "hubgate:plugin/inbound-filter@0.1.0": generate,
        },
        pub_export_macro: true,
        export_macro_name: "export_inbound",
        default_bindings_module: "hubgate_plugin::bindings::inbound_filter",
    });
}

pub mod outbound_filter {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package hubgate:sdk; world outbound-filter { export hubgate:plugin/outbound-filter@0.1.0; }",
        world: "hubgate:sdk/outbound-filter",
        with: {
            "hubgate:plugin/types@0.1.0": super::hubgate::plugin::types,
            "hubgate:plugin/filtering@0.1.0": super::hubgate::plugin::filtering,
            "hubgate:plugin/outbound-filter@0.1.0": generate,
        },
        pub_export_macro: true,
        export_macro_name: "export_outbound",
        default_bindings_module: "hubgate_plugin::bindings::outbound_filter",
    });
}
