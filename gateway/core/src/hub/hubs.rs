//! The hubs of a shard. Their names come from outside, so a hub that nobody uses is forgotten.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use slab::Slab;

use crate::filter::{Filters, HalvesByPlugin};
use crate::follower::Follower;
use crate::hash::{HashSeed, SeededMap};
use crate::id::{HubIndex, HubName, PluginName};
use crate::reach::SendLog;
use crate::settings::Settings;
use crate::time::Millis;

use super::Hub;
use super::directory::{Directory, HubDirectory};
use super::status::{HubCounters, HubStatus, ShardStatus};

/// The hubs that a shard knows, by index and by name. An index is good for as long as something on the shard occupies the
/// hub: a client, a connection of a hub server, or a sender that waits.
#[derive(Debug)]
pub(crate) struct Hubs {
    all: Slab<Hub>,
    by_name: SeededMap<HubName, HubIndex>,
    directory: Arc<Directory>,
    /// What was counted in hubs that were forgotten.
    forgotten: HubCounters,
    /// How many hubs had been forgotten, on all shards, when this one last looked.
    seen_forgotten: u64,
    seed: HashSeed,
    /// Of the plugins that are there.
    halves: HalvesByPlugin,
    send_log: Option<Arc<dyn SendLog>>,
    follower: Option<Arc<dyn Follower>>,
    /// What that says of itself.
    reads_what_passes: bool,
}

impl Hubs {
    pub(crate) fn new(directory: Arc<Directory>, halves: HalvesByPlugin, seed: HashSeed) -> Hubs {
        Hubs {
            all: Slab::new(),
            by_name: SeededMap::with_hasher(seed.clone()),
            seed,
            halves,
            send_log: None,
            follower: None,
            reads_what_passes: false,
            directory,
            forgotten: HubCounters::default(),
            seen_forgotten: 0,
        }
    }

    /// Tells this log of all sends from now on.
    pub(crate) fn log_sends(&mut self, log: Arc<dyn SendLog>) {
        self.send_log = Some(log);
    }

    pub(crate) fn send_log(&self) -> Option<&dyn SendLog> {
        self.send_log.as_deref()
    }

    /// Lets this one decide which messages are followed from now on; `None`: none are.
    pub(crate) fn follow_messages(&mut self, follower: Option<Arc<dyn Follower>>) {
        self.reads_what_passes = follower.as_ref().is_some_and(|follower| follower.reads_what_passes());
        self.follower = follower;
    }

    /// Whether somebody follows what hub servers answer.
    #[inline]
    pub(crate) fn reads_what_passes(&self) -> bool {
        self.reads_what_passes
    }

    #[inline]
    pub(crate) fn follower(&self) -> Option<&dyn Follower> {
        self.follower.as_deref()
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Whether the version of a plugin that serves answers streams.
    pub(crate) fn has_streams(&self, plugin: &PluginName) -> bool {
        self.halves.get(plugin).is_some_and(|halves| halves.has_streams())
    }

    /// The hub, if this shard knows it.
    pub(crate) fn find(&self, name: &HubName) -> Option<HubIndex> {
        self.by_name.get(name).copied()
    }

    /// The hub, which begins when it is first asked for.
    pub(crate) fn get(&mut self, name: &HubName, settings: &Settings) -> HubIndex {
        if let Some(index) = self.find(name) {
            self.notice_that_it_is_forgotten(index, settings);
            return index;
        }
        let directory = self.directory.hub(name, settings.names(name));
        let own = settings.hub(name);
        let filters = Filters::new(&own.filters, &self.halves);
        let has_own_label = settings.names(name) || directory.has_own_label();
        let hub = Hub::new(name.clone(), directory, filters, own.messages_per_second, has_own_label, self.seed.clone());
        let index = HubIndex(self.all.insert(hub) as u32);
        self.by_name.insert(name.clone(), index);
        index
    }

    /// The hub, for something that stays until it is [vacated](Hubs::vacate).
    pub(crate) fn occupy(&mut self, name: &HubName, settings: &Settings) -> HubIndex {
        let index = self.get(name, settings);
        self.occupy_again(index, settings);
        index
    }

    /// The same for a hub whose index is known.
    pub(crate) fn occupy_again(&mut self, index: HubIndex, settings: &Settings) {
        let hub = &mut self.all[index.0 as usize];
        hub.occupants += 1;
        if hub.occupants == 1 {
            let directory = self.directory.occupy(&hub.name, settings.names(&hub.name));
            self.begin_again(index, directory, settings);
        }
    }

    /// A hub that other shards have forgotten, and may have begun again, is the one that they know.
    fn notice_that_it_is_forgotten(&mut self, index: HubIndex, settings: &Settings) {
        let hub = &self.all[index.0 as usize];
        if hub.directory.is_forgotten() {
            let directory = self.directory.hub(&hub.name, settings.names(&hub.name));
            self.begin_again(index, directory, settings);
        }
    }

    /// The hub goes on in this directory, if its own was forgotten.
    fn begin_again(&mut self, index: HubIndex, directory: Arc<HubDirectory>, settings: &Settings) {
        let hub = &mut self.all[index.0 as usize];
        if hub.directory.is_forgotten() {
            self.forgotten += &std::mem::take(&mut hub.counters);
            hub.has_own_label = settings.names(&hub.name) || directory.has_own_label();
            hub.directory = directory;
        }
    }

    pub(crate) fn vacate(&mut self, index: HubIndex) {
        let hub = &mut self.all[index.0 as usize];
        hub.occupants -= 1;
        if hub.occupants == 0 {
            self.directory.vacate(&hub.name, &hub.directory);
        }
    }

    /// Time passed: hubs that no shard has used for a while are forgotten.
    pub(crate) fn tick(&mut self, now: Millis, settings: &Settings) {
        self.directory.tick(now, |name| settings.names(name));
        let forgotten = self.directory.forgotten();
        if std::mem::replace(&mut self.seen_forgotten, forgotten) == forgotten {
            return;
        }
        let Hubs { all, by_name, forgotten, .. } = self;
        all.retain(|_, hub| {
            let is_over = hub.occupants == 0 && hub.directory.is_forgotten();
            if is_over {
                *forgotten += &hub.counters;
                by_name.remove(&hub.name);
            }
            !is_over
        });
    }

    /// Goes on with other settings.
    pub(crate) fn configure(&mut self, settings: &Settings, halves: HalvesByPlugin) {
        self.halves = halves;
        for (_, hub) in &mut self.all {
            let own = settings.hub(&hub.name);
            hub.filters = Filters::new(&own.filters, &self.halves);
            hub.messages_per_second = own.messages_per_second;
            let has_own_label = settings.names(&hub.name) || hub.directory.has_own_label();
            if has_own_label && !hub.has_own_label {
                // What was counted with others stays there: no count goes back.
                self.forgotten += &std::mem::take(&mut hub.counters);
            }
            hub.has_own_label = has_own_label;
        }
        self.directory.keep_watches(|hub, plugin| settings.tells_presence(hub, plugin));
        self.directory.reconfigured();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (HubIndex, &Hub)> {
        self.all.iter().map(|(index, hub)| (HubIndex(index as u32), hub))
    }

    /// What operators want to know.
    pub(crate) fn status(&self, settings: &Settings) -> ShardStatus {
        let status = |hub: &Hub| HubStatus {
            hub: hub.name.clone(),
            mode: settings.hub(&hub.name).mode,
            clients: hub.clients_by_transport(),
            waiting_clients: hub.waiting_clients,
            server_connections: hub.server_connections,
            user_memberships: self.directory.memberships.of_hub(&hub.name),
            counters: hub.counters.clone(),
            has_own_label: hub.has_own_label,
            directory: Some(hub.directory.clone()),
        };
        ShardStatus { hubs: self.iter().map(|(_, hub)| status(hub)).collect(), forgotten: self.forgotten.clone() }
    }
}

impl Index<HubIndex> for Hubs {
    type Output = Hub;

    #[inline]
    fn index(&self, index: HubIndex) -> &Hub {
        &self.all[index.0 as usize]
    }
}

impl IndexMut<HubIndex> for Hubs {
    #[inline]
    fn index_mut(&mut self, index: HubIndex) -> &mut Hub {
        &mut self.all[index.0 as usize]
    }
}
