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
            import hubgate:plugin/streams@0.1.0;
            import hubgate:plugin/client-results@0.1.0;
            import hubgate:plugin/timers@0.1.0;
            import hubgate:plugin/presence@0.1.0;
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

pub mod upstream_streams {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package hubgate:sdk; world upstream-streams { export hubgate:plugin/upstream-streams@0.1.0; }",
        world: "hubgate:sdk/upstream-streams",
        with: {
            "hubgate:plugin/types@0.1.0": super::hubgate::plugin::types,
            "hubgate:plugin/streams@0.1.0": super::hubgate::plugin::streams,
            "hubgate:plugin/upstream-streams@0.1.0": generate,
        },
        pub_export_macro: true,
        export_macro_name: "export_upstream_streams",
        default_bindings_module: "hubgate_plugin::bindings::upstream_streams",
    });
}

pub mod scheduled {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package hubgate:sdk; world scheduled { export hubgate:plugin/scheduled@0.1.0; }",
        world: "hubgate:sdk/scheduled",
        with: {
            "hubgate:plugin/scheduled@0.1.0": generate,
        },
        pub_export_macro: true,
        export_macro_name: "export_scheduled",
        default_bindings_module: "hubgate_plugin::bindings::scheduled",
    });
}

pub mod presence_events {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package hubgate:sdk; world presence-events { export hubgate:plugin/presence-events@0.1.0; }",
        world: "hubgate:sdk/presence-events",
        with: {
            "hubgate:plugin/types@0.1.0": super::hubgate::plugin::types,
            "hubgate:plugin/presence@0.1.0": super::hubgate::plugin::presence,
            "hubgate:plugin/presence-events@0.1.0": generate,
        },
        pub_export_macro: true,
        export_macro_name: "export_presence_events",
        default_bindings_module: "hubgate_plugin::bindings::presence_events",
    });
}

pub mod hub_lifetime {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package hubgate:sdk; world hub-lifetime { export hubgate:plugin/hub-lifetime@0.1.0; }",
        world: "hubgate:sdk/hub-lifetime",
        with: {
            "hubgate:plugin/hub-lifetime@0.1.0": generate,
        },
        pub_export_macro: true,
        export_macro_name: "export_hub_lifetime",
        default_bindings_module: "hubgate_plugin::bindings::hub_lifetime",
    });
}

pub mod authorizer {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package hubgate:sdk; world authorizer { export hubgate:plugin/authorizer@0.1.0; }",
        world: "hubgate:sdk/authorizer",
        with: {
            "hubgate:plugin/types@0.1.0": super::hubgate::plugin::types,
            "hubgate:plugin/authorizer@0.1.0": generate,
        },
        pub_export_macro: true,
        export_macro_name: "export_authorizer",
        default_bindings_module: "hubgate_plugin::bindings::authorizer",
    });
}
