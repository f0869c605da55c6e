//! What passes between a hub and its filters: messages on their way, and what a filter makes of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hubgate_wire::signalr::HubMessage;

use crate::delivery::Action;
use crate::event::{ConnectionFacts, UpstreamFailure};
use crate::filter_message::method;
pub use crate::filter_message::{FilterMessage, MessageKind};
use crate::id::{HubName, PluginName, ServerId};
use crate::pairs::Pairs;
use crate::settings::Handler;
pub use crate::settings::{FilterSettings, OnError, Targets};
use crate::target::Target;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From a client.
    Inbound,
    /// To clients.
    Outbound,
}

/// What the component of a plugin has that serves now, beside answers to calls: the halves of a filter, and streams. A swap may change
/// them.
#[derive(Debug, Default)]
pub struct Halves {
    inbound: AtomicBool,
    outbound: AtomicBool,
    streams: AtomicBool,
}

/// The halves of all plugins that may be filters.
pub type HalvesByPlugin = BTreeMap<PluginName, Arc<Halves>>;

/// The filters of a hub, in the order in which messages meet them. A clone shares them.
#[derive(Debug, Clone, Default)]
pub struct Filters(Option<Arc<[Filter]>>);

/// One filter of a hub.
#[derive(Debug)]
pub struct Filter {
    pub settings: FilterSettings,
    halves: Arc<Halves>,
}

/// A message on its way through a hub's filters.
#[derive(Debug)]
pub struct Inspection {
    pub filters: Filters,
    pub subject: Subject,
    pub message: FilterMessage,
    /// Headers of the hub message.
    pub headers: Pairs,
}

/// Whose message it is.
#[derive(Debug)]
pub enum Subject {
    /// What this client says.
    Client(Arc<ConnectionFacts>),
    /// What is sent to clients.
    Delivery { hub: HubName, to: Vec<Target>, origin: Origin },
}

/// Who sends something to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    HubServer(ServerId),
    Plugin(PluginName),
    Webhook,
    Rest,
    /// A management connection.
    Management,
}

/// What a hub's filters made of a message.
#[derive(Debug, Clone)]
pub struct Inspected {
    pub verdict: Verdict,
    /// What the filters asked for, in order. Filters do not see it.
    pub actions: Vec<Action>,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on as it came.
    Pass,
    /// This goes on in its place. It has the same kind.
    Replace(FilterMessage),
    /// Nobody gets it, and who waits for an answer gets an error.
    Refuse(Refusal),
    /// Nobody gets it, and the client that sent it, or the single connections that it was for, are closed with this error.
    Close(String),
}

/// Why a message goes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// With this error for who waits for an answer.
    Rejected(String),
    Dropped,
    /// A filter failed whose messages are refused then.
    Failed(UpstreamFailure),
}

/// Tells an [`crate::Effect::Inspect`] from others of its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InspectionNumber {
    pub(crate) lane: LaneKind,
    pub(crate) number: u64,
}

/// What waits in a lane while filters look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LaneKind {
    /// What clients say.
    FromClients,
    /// What senders send.
    Sends,
    /// The completions of clients' calls.
    Completions,
    /// What hub servers say to single clients.
    FromServers,
    /// What plugins ask clients.
    Questions,
    /// Items and ends of streams to clients.
    Streams,
}

impl Halves {
    pub fn set(&self, inbound: bool, outbound: bool) {
        self.inbound.store(inbound, Ordering::Relaxed);
        self.outbound.store(outbound, Ordering::Relaxed);
    }

    /// Whether it answers streams.
    pub fn set_streams(&self, streams: bool) {
        self.streams.store(streams, Ordering::Relaxed);
    }

    pub(crate) fn has_streams(&self) -> bool {
        self.streams.load(Ordering::Relaxed)
    }

    fn has(&self, direction: Direction) -> bool {
        match direction {
            Direction::Inbound => self.inbound.load(Ordering::Relaxed),
            Direction::Outbound => self.outbound.load(Ordering::Relaxed),
        }
    }
}

impl Filter {
    /// Whether the filter looks at messages in this direction that call `target`.
    pub fn wants(&self, direction: Direction, target: Option<&str>) -> bool {
        self.halves.has(direction) && self.settings.targets.wants(target)
    }
}

impl Filters {
    pub fn new(settings: &[FilterSettings], halves: &HalvesByPlugin) -> Filters {
        let filter = |settings: &FilterSettings| Filter {
            settings: settings.clone(),
            halves: halves.get(&settings.plugin).cloned().unwrap_or_default(),
        };
        Filters((!settings.is_empty()).then(|| settings.iter().map(filter).collect()))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Filter> {
        self.0.iter().flat_map(|filters| filters.iter())
    }

    /// Whether any of them looks at messages in this direction.
    #[inline]
    pub(crate) fn inspects(&self, direction: Direction) -> bool {
        self.0.as_ref().is_some_and(|filters| filters.iter().any(|filter| filter.halves.has(direction)))
    }

    /// The message as those that want to see it do, and its headers; `None` if there are none.
    pub(crate) fn to_filter_message(
        &self,
        direction: Direction,
        message: &HubMessage<'_>,
    ) -> Option<(FilterMessage, Pairs)> {
        match self.iter().any(|filter| filter.wants(direction, method(message))) {
            true => FilterMessage::of(message),
            false => None,
        }
    }
}

impl From<Handler> for Origin {
    fn from(handler: Handler) -> Origin {
        match handler {
            Handler::Plugin(plugin) => Origin::Plugin(plugin),
            Handler::Webhook(_) => Origin::Webhook,
        }
    }
}

impl Inspected {
    /// Nothing is changed.
    pub fn pass() -> Inspected {
        Inspected { verdict: Verdict::Pass, actions: Vec::new() }
    }
}
