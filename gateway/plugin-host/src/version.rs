//! A version of a plugin: a component that can serve, and what it exports.

use std::sync::Arc;
use std::time::SystemTime;

use wasmtime::component::InstancePre;

use crate::bindings::exports::hubgate::plugin::{
    authorizer, hub_lifetime, inbound_filter, lifecycle, outbound_filter, presence_events, scheduled, upstream,
    upstream_streams,
};
use crate::digest::Digest;
use crate::host::Guest;
use crate::sections::Numbers;

/// The version of the contract that is served.
pub(crate) const CONTRACT: &str = "0.1";

pub(crate) const LIFECYCLE: &str = "hubgate:plugin/lifecycle@0.1";
pub(crate) const UPSTREAM: &str = "hubgate:plugin/upstream@0.1";
pub(crate) const UPSTREAM_STREAMS: &str = "hubgate:plugin/upstream-streams@0.1";
pub(crate) const SCHEDULED: &str = "hubgate:plugin/scheduled@0.1";
pub(crate) const PRESENCE_EVENTS: &str = "hubgate:plugin/presence-events@0.1";
pub(crate) const HUB_LIFETIME: &str = "hubgate:plugin/hub-lifetime@0.1";
pub(crate) const AUTHORIZER: &str = "hubgate:plugin/authorizer@0.1";
pub(crate) const INBOUND_FILTER: &str = "hubgate:plugin/inbound-filter@0.1";
pub(crate) const OUTBOUND_FILTER: &str = "hubgate:plugin/outbound-filter@0.1";

/// A compiled, linked and tried component at its place in the plugin's history.
pub(crate) struct Version {
    /// From 1; each swap adds 1.
    pub(crate) generation: u64,
    pub(crate) digest: Digest,
    pub(crate) loaded_at: SystemTime,
    pub(crate) exports: Arc<Exports>,
}

/// A linked component, and what it exports.
pub(crate) struct Exports {
    pub(crate) linked: InstancePre<Guest>,
    pub(crate) lifecycle: lifecycle::GuestIndices,
    pub(crate) upstream: Option<upstream::GuestIndices>,
    pub(crate) upstream_streams: Option<upstream_streams::GuestIndices>,
    pub(crate) scheduled: Option<scheduled::GuestIndices>,
    pub(crate) presence_events: Option<presence_events::GuestIndices>,
    pub(crate) hub_lifetime: Option<hub_lifetime::GuestIndices>,
    pub(crate) authorizer: Option<authorizer::GuestIndices>,
    pub(crate) inbound_filter: Option<inbound_filter::GuestIndices>,
    pub(crate) outbound_filter: Option<outbound_filter::GuestIndices>,
    pub(crate) numbers: Numbers,
}

/// What was seen of a component that can serve.
pub(crate) struct Loaded {
    pub(crate) digest: Digest,
    pub(crate) exports: Exports,
    pub(crate) imports: Vec<String>,
    /// The names of what it exports.
    pub(crate) interfaces: Vec<String>,
}

impl Version {
    /// One that serves from now on.
    pub(crate) fn new(generation: u64, digest: Digest, exports: Arc<Exports>) -> Version {
        Version { generation, digest, loaded_at: SystemTime::now(), exports }
    }
}

impl Exports {
    pub(crate) fn new(linked: InstancePre<Guest>, exports: &[String], numbers: Numbers) -> wasmtime::Result<Exports> {
        let has = |interface| has(exports, interface);
        Ok(Exports {
            lifecycle: lifecycle::GuestIndices::new(&linked)?,
            upstream: has(UPSTREAM).then(|| upstream::GuestIndices::new(&linked)).transpose()?,
            upstream_streams: has(UPSTREAM_STREAMS)
                .then(|| upstream_streams::GuestIndices::new(&linked))
                .transpose()?,
            scheduled: has(SCHEDULED).then(|| scheduled::GuestIndices::new(&linked)).transpose()?,
            presence_events: has(PRESENCE_EVENTS).then(|| presence_events::GuestIndices::new(&linked)).transpose()?,
            hub_lifetime: has(HUB_LIFETIME).then(|| hub_lifetime::GuestIndices::new(&linked)).transpose()?,
            authorizer: has(AUTHORIZER).then(|| authorizer::GuestIndices::new(&linked)).transpose()?,
            inbound_filter: has(INBOUND_FILTER).then(|| inbound_filter::GuestIndices::new(&linked)).transpose()?,
            outbound_filter: has(OUTBOUND_FILTER).then(|| outbound_filter::GuestIndices::new(&linked)).transpose()?,
            linked,
            numbers,
        })
    }
}

/// The worlds that a component with these exports serves.
pub(crate) fn worlds(exports: &[String]) -> Vec<&'static str> {
    let filter = match (has(exports, INBOUND_FILTER), has(exports, OUTBOUND_FILTER)) {
        (true, true) => Some("filter"),
        (true, false) => Some("filter-inbound"),
        (false, true) => Some("filter-outbound"),
        (false, false) => None,
    };
    let handler = match has(exports, UPSTREAM) {
        true if has(exports, UPSTREAM_STREAMS) => Some("whole-hub"),
        true => Some("handler"),
        false => has(exports, AUTHORIZER).then_some("negotiator"),
    };
    handler.into_iter().chain(filter).collect()
}

/// Whether an import is what may ask others by HTTP.
pub(crate) fn is_http(import: &str) -> bool {
    import.starts_with("hubgate:plugin/http@")
}

/// The version of another contract that an import or export is of.
pub(crate) fn other_contract<'a>(mut names: impl Iterator<Item = &'a String>) -> Option<String> {
    names.find_map(|name| {
        let (_, version) = name.strip_prefix("hubgate:plugin/")?.split_once('@')?;
        let served = version.strip_prefix(CONTRACT).is_some_and(|rest| rest.starts_with('.'));
        // Of a version 0.2.0 the contract is 0.2.
        let contract = version.rsplit_once('.').map_or(version, |(contract, _)| contract);
        (!served).then(|| contract.to_owned())
    })
}

pub(crate) fn has(exports: &[String], interface: &str) -> bool {
    exports.iter().any(|name| name.strip_prefix(interface).is_some_and(|rest| rest.starts_with('.')))
}
