//! The settings that the core decides by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use hubgate_wire::webhook::UrlTemplate;

use crate::id::{HubName, PluginName};
use crate::mode::Mode;
use crate::stream::StreamBounds;
use crate::time::Millis;

/// The settings of all hubs.
#[derive(Debug, Clone)]
pub struct Settings {
    pub hubs: BTreeMap<HubName, HubSettings>,
    /// Of hubs that are not named.
    pub other_hubs: HubSettings,
    /// The first item that matches an event gets it.
    pub upstream: Vec<UpstreamItem>,
    /// What plugins may watch: of all that are configured.
    pub presence: BTreeMap<PluginName, PresenceSettings>,
    /// Of plugins; the default ones of those that are not here.
    pub streams: BTreeMap<PluginName, StreamBounds>,
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// Whether clients are told the text of a failure that is not theirs.
    pub detailed_errors: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubSettings {
    pub mode: Mode,
    /// In the order in which messages meet them.
    pub filters: Vec<FilterSettings>,
    /// Messages that all of its clients may say in a second, in number; 0: no limit. They are read later beyond it.
    pub messages_per_second: u32,
}

/// How a plugin is told who joins and leaves groups that it watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresenceSettings {
    /// Groups that it may watch, in number, in all hubs.
    pub groups: usize,
    /// From the first change until it is told, with all that has changed meanwhile.
    pub batch: Millis,
}

/// Where events go, by hub, category and event.
#[derive(Debug, Clone)]
pub struct UpstreamItem {
    pub hubs: Pattern,
    pub categories: Pattern,
    pub events: Pattern,
    pub handler: Handler,
}

/// Who gets an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handler {
    Plugin(PluginName),
    Webhook(Arc<Webhook>),
}

/// A webhook of the configuration.
#[derive(Debug, PartialEq, Eq)]
pub struct Webhook {
    pub url: UrlTemplate,
    /// From the beginning of the request to the end of its answer.
    pub timeout: Millis,
    /// How often an event is sent again, in number: a connection event whose failure may pass, a call that was not sent.
    pub retries: u32,
    pub on_connect_failure: ConnectFailure,
    pub claim_names: ClaimNames,
    pub stream_calls: StreamCalls,
}

/// What becomes of clients' calls for streams at a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamCalls {
    /// They get an error at once.
    Refused,
    /// The webhook hears of them, and an application sends the streams over the REST API.
    Told,
}

/// How a webhook knows the claims of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimNames {
    /// As the token has them.
    Token,
    /// By the long names that .NET gives them, as hub servers do.
    Dotnet,
}

/// What a webhook's failure at `connected` means for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectFailure {
    /// It is closed.
    Close,
    /// It stays; the log has the failure.
    Log,
}

/// A list of names, or all of them. Compared with case; hubs are compared in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    Any,
    OneOf(Vec<String>),
}

impl Pattern {
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::OneOf(names) => names.iter().any(|each| each == name),
        }
    }
}

/// Bounds of what one client may make the gateway hold, in bytes unless the name says otherwise.
#[derive(Debug, Clone)]
pub struct Limits {
    /// One hub message.
    pub message: usize,
    /// Messages of one client in a second, in number; 0: no limit. The client is read later beyond it.
    pub messages_per_second: u32,
    /// Calls of one client that wait for their turn, in number. Reading stops beyond it.
    pub queued_calls: usize,
    /// What those calls hold, overhead included. Reading stops beyond it.
    pub queued_bytes: usize,
    /// What the waiting calls of all clients that have left hold together, on one shard. Calls are dropped beyond it.
    pub departed_bytes: usize,
    /// Calls that run at once, on one shard, for clients that have left, in number. Others wait for their turn.
    pub departed_calls: usize,
    /// What is held for a client until its handshake is answered, or while filters look at what goes before. One that gets
    /// more is closed as slow.
    pub held: usize,
    /// What is kept for a client that may resume, until the client acknowledges it. One for which more is kept is closed as slow.
    pub replay: usize,
    /// One message of a hub server.
    pub server_message: usize,
    /// Clients of all shards that are closed in a second when their hub's mode was changed, in number.
    pub mode_switch_closes: usize,
    /// Groups that one connection may be in, in number; a join beyond it has no effect.
    pub groups_per_connection: usize,
    /// Memberships of users that one hub may have, in number, on all shards together; a plugin may make half of it, over all
    /// hubs. One whose names are long counts as several.
    pub user_memberships: usize,
}

#[derive(Debug, Clone)]
pub struct Timeouts {
    /// From negotiate to connect.
    pub negotiate: Millis,
    /// From connect to the end of the hub handshake request.
    pub handshake: Millis,
    /// A client that says nothing for so long is gone.
    pub client: Millis,
    /// A client to which nothing was sent for so long gets a ping.
    pub keep_alive: Millis,
    /// How long a client that may resume is waited for after its transport broke.
    pub reconnect: Millis,
}

impl Settings {
    pub fn hub(&self, hub: &HubName) -> &HubSettings {
        self.hubs.get(hub.configured()).unwrap_or(&self.other_hubs)
    }

    /// How many streams a plugin may have, and how much may wait in each.
    pub(crate) fn stream_bounds(&self, plugin: &PluginName) -> &StreamBounds {
        static DEFAULT: LazyLock<StreamBounds> = LazyLock::new(StreamBounds::default);
        self.streams.get(plugin).unwrap_or(&DEFAULT)
    }

    /// Whether a webhook hears of clients of the hub.
    pub fn tells_webhook(&self, hub: &HubName) -> bool {
        let is_webhook = |item: &UpstreamItem| matches!(item.handler, Handler::Webhook(_));
        self.hub(hub).mode.asks_upstream()
            && self.upstream.iter().any(|item| is_webhook(item) && item.hubs.matches(hub.as_str()))
    }

    /// Whether a plugin may be told who joins and leaves groups of the hub.
    pub(crate) fn tells_presence(&self, hub: &HubName, plugin: &PluginName) -> bool {
        self.presence.contains_key(plugin) && self.hub(hub).mode.asks_upstream()
    }

    /// Whether the configuration names the hub.
    pub fn names(&self, hub: &HubName) -> bool {
        let is_in = |pattern: &Pattern| *pattern != Pattern::Any && pattern.matches(hub.as_str());
        self.hubs.contains_key(hub.configured()) || self.upstream.iter().any(|item| is_in(&item.hubs))
    }

    /// The hubs that the configuration names.
    pub fn named_hubs(&self) -> BTreeSet<HubName> {
        let of_upstream = self.upstream.iter().flat_map(|item| match &item.hubs {
            Pattern::Any => &[][..],
            Pattern::OneOf(names) => names,
        });
        let of_upstream = of_upstream.filter_map(|name| HubName::parse(name).ok());
        self.hubs.keys().cloned().chain(of_upstream).collect()
    }

    /// Whether events of the hub go to upstream.
    pub fn asks_upstream(&self, hub: &HubName) -> bool {
        self.hub(hub).mode.asks_upstream()
    }

    /// The hubs that upstream items name for plugins, whose events go to upstream: each with its plugin, once.
    pub fn hubs_of_plugins(&self) -> Vec<(PluginName, HubName)> {
        let mut hubs = BTreeSet::new();
        for item in &self.upstream {
            if let (Handler::Plugin(plugin), Pattern::OneOf(names)) = (&item.handler, &item.hubs) {
                let named = names.iter().filter_map(|name| HubName::parse(name).ok());
                hubs.extend(named.filter(|hub| self.asks_upstream(hub)).map(|hub| (plugin.clone(), hub)));
            }
        }
        hubs.into_iter().collect()
    }

    /// Who gets an event, if anybody does.
    pub fn route(&self, hub: &HubName, category: &str, event: &str) -> Option<&Handler> {
        let item = self.upstream.iter().find(|item| {
            item.hubs.matches(hub.as_str()) && item.categories.matches(category) && item.events.matches(event)
        })?;
        Some(&item.handler)
    }
}

/// A filter of a hub, as the configuration describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterSettings {
    pub plugin: PluginName,
    pub targets: Targets,
    pub on_error: OnError,
}

/// The hub methods that a filter sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// Every message, those that name no method (stream items and completions) among them.
    All,
    /// Calls of these methods alone. Compared without case, as hub servers find their methods.
    OneOf(Vec<String>),
}

/// What becomes of a message when its filter fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// It is refused.
    Closed,
    /// It passes.
    Open,
}

impl Targets {
    pub(crate) fn wants(&self, target: Option<&str>) -> bool {
        match (self, target) {
            (Targets::All, _) => true,
            (Targets::OneOf(_), None) => false,
            (Targets::OneOf(names), Some(target)) => names.iter().any(|name| is_same_method(name, target)),
        }
    }
}

fn is_same_method(name: &str, target: &str) -> bool {
    let upper_case = |text: &str| text.chars().flat_map(char::to_uppercase).collect::<String>();
    name.eq_ignore_ascii_case(target)
        || (!(name.is_ascii() && target.is_ascii()) && upper_case(name) == upper_case(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_compared_without_case_as_hub_servers_find_them() {
        let targets = Targets::OneOf(vec!["send".to_owned(), "größe".to_owned()]);
        assert!(targets.wants(Some("SEND")) && targets.wants(Some("GRÖSSE")));
        assert!(!targets.wants(Some("sends")) && !targets.wants(None));
        assert!(Targets::All.wants(None));
    }
}
