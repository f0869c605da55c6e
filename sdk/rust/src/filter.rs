//! Look at the messages of a hub: implement [`Filter`], and say with [`export_filter!`](crate::export_filter),
//! [`export_inbound_filter!`](crate::export_inbound_filter) or [`export_outbound_filter!`](crate::export_outbound_filter)
//! which of its halves the plugin has. A half that is not exported costs nothing.
//!
//! ```no_run
//! use hubgate_plugin::Connection;
//! use hubgate_plugin::filter::{Filter, Message, Verdict};
//!
//! struct Quiet;
//!
//! impl Filter for Quiet {
//!     fn inbound(_: Connection, message: Message) -> Verdict {
//!         match message.target.as_deref() {
//!             Some("shout") => Verdict::Reject("Please do not shout.".to_owned()),
//!             _ => Verdict::Pass,
//!         }
//!     }
//! }
//!
//! hubgate_plugin::export_inbound_filter!(Quiet);
//! ```

pub use crate::bindings::hubgate::plugin::filtering::{Delivery, Kind, Message, Origin, Verdict};

use crate::Connection;

/// A filter of hubs. One instance serves a shard as a rule, but any may be thrown away between two messages.
pub trait Filter {
    /// Runs once in each new instance. An error keeps the plugin from serving.
    fn init() -> Result<(), String> {
        Ok(())
    }

    /// Looks at what a client says.
    fn inbound(client: Connection, message: Message) -> Verdict {
        let _ = (client, message);
        Verdict::Pass
    }

    /// Looks at what is sent to clients, once whomever it is for.
    fn outbound(delivery: Delivery, message: Message) -> Verdict {
        let _ = (delivery, message);
        Verdict::Pass
    }
}

/// A method's name as one compares it: hub servers find their methods without regard to case.
pub fn folded(method: &str) -> String {
    method.chars().flat_map(char::to_uppercase).collect()
}

/// Makes a [`Filter`] the plugin that this crate builds, with both of its halves.
///
/// Where the plugin is a handler as well, [`export!`](crate::export) has its `init`, and filters are exported beside it, this macro's
/// and those of one half alike: `export_filter!(Chat, beside handler)`. [`Filter::init`] is not called then.
#[macro_export]
macro_rules! export_filter {
    ($filter:ty, beside handler) => {
        const _: () = {
            struct Component;
    $crate::export_filter!(@inbound $filter);
    $crate::export_filter!(@outbound $filter);
        };
    };
    ($filter:ty) => {
        const _: () = {
            struct Component;
    $crate::export_filter!(@lifecycle $filter);
    $crate::export_filter!(@inbound $filter);
    $crate::export_filter!(@outbound $filter);
        };
    };
    (@lifecycle $filter:ty) => {
        impl $crate::bindings::exports::hubgate::plugin::lifecycle::Guest for Component {
            fn init() -> Result<(), String> {
                $crate::log_panics();
                <$filter as $crate::filter::Filter>::init()
            }
        }

        $crate::bindings::export_lifecycle! { Component with_types_in $crate::bindings }
    };
    (@inbound $filter:ty) => {
        impl $crate::bindings::inbound_filter::exports::hubgate::plugin::inbound_filter::Guest for Component {
            fn inspect(client: $crate::Connection, message: $crate::filter::Message) -> $crate::filter::Verdict {
                <$filter as $crate::filter::Filter>::inbound(client, message)
            }
        }

        $crate::bindings::inbound_filter::export_inbound! {
            Component with_types_in $crate::bindings::inbound_filter
        }
    };
    (@outbound $filter:ty) => {
        impl $crate::bindings::outbound_filter::exports::hubgate::plugin::outbound_filter::Guest for Component {
            fn inspect(
                delivery: $crate::filter::Delivery,
                message: $crate::filter::Message,
            ) -> $crate::filter::Verdict {
                <$filter as $crate::filter::Filter>::outbound(delivery, message)
            }
        }

        $crate::bindings::outbound_filter::export_outbound! {
            Component with_types_in $crate::bindings::outbound_filter
        }
    };
}

/// Makes a [`Filter`] the plugin that this crate builds, to look at what clients say and at nothing else.
#[macro_export]
macro_rules! export_inbound_filter {
    ($filter:ty, beside handler) => {
        const _: () = {
            struct Component;
    $crate::export_filter!(@inbound $filter);
        };
    };
    ($filter:ty) => {
        const _: () = {
            struct Component;
    $crate::export_filter!(@lifecycle $filter);
    $crate::export_filter!(@inbound $filter);
        };
    };
}

/// Makes a [`Filter`] the plugin that this crate builds, to look at what is sent to clients and at nothing else.
#[macro_export]
macro_rules! export_outbound_filter {
    ($filter:ty, beside handler) => {
        const _: () = {
            struct Component;
    $crate::export_filter!(@outbound $filter);
        };
    };
    ($filter:ty) => {
        const _: () = {
            struct Component;
    $crate::export_filter!(@lifecycle $filter);
    $crate::export_filter!(@outbound $filter);
        };
    };
}
