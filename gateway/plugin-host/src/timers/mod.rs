//! The timers of plugins: of each plugin and hub by name, whatever version serves.
//!
//! They are dealt out to lanes, one for each shard, by plugin and hub: a lane fires its timers on its shard alone, so that those of a hub
//! fire in their order. Durable timers are rows of the [`Store`], too. What changes a row changes memory after that, in the same order,
//! on the store's thread; a row is removed or moved on only after its timer has fired. So each fires at least once.

mod account;
mod firing;
mod queue;
mod starts;

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hubgate_core::id::{HubName, PluginName, is_short_enough};
use tokio::sync::Notify;

use crate::budgets::Budgets;
use crate::clock::Clock;
use crate::limits::STATE_VALUE_BYTES;
use crate::state::StateError;
use crate::store::{Store, TimerChange, TimerRow, TimerWrite};
use crate::timer::{Lifetime, Schedule, Timer, TimerKey};
pub(crate) use account::TimerEvent;
use account::{Account, Place, weight};
pub use firing::Firing;
pub(crate) use firing::Wanted;
use queue::Queue;
use starts::Starts;

/// The timers of all plugins.
pub(crate) struct Timers {
    clock: Clock,
    /// A moment by both clocks, from which the time of timers is counted: it does not jump.
    began: (Instant, Duration),
    lanes: Box<[Arc<Lane>]>,
    hasher: foldhash::fast::RandomState,
    accounts: Mutex<HashMap<PluginName, Arc<Account>>>,
    numbers: AtomicU64,
    starts: Starts,
}

/// The timers of one shard.
#[derive(Default)]
struct Lane {
    waiting: Mutex<Waiting>,
    /// Something is to be looked at earlier than it was.
    is_earlier: Notify,
}

/// What waits for its time.
#[derive(Default)]
struct Waiting {
    timers: Queue,
    starts: starts::Queue,
}

/// The timers of one plugin.
#[derive(Clone)]
pub(crate) struct PluginTimers {
    timers: Arc<Timers>,
    store: Arc<Store>,
    account: Arc<Account>,
}

/// What a guest wants to be told of.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) name: String,
    pub(crate) when: Schedule,
    pub(crate) payload: Vec<u8>,
    pub(crate) lifetime: Lifetime,
}

/// Why a timer was not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TimerError {
    TooMany,
    TooShort,
    TooLarge,
    /// The plugin's timers and values would weigh more than allowed.
    Quota,
    /// In words.
    Unavailable(String),
}

impl Timers {
    /// Dealt out to so many lanes.
    pub(crate) fn new(lanes: usize, clock: Clock) -> Timers {
        let since_1970 = clock.since_1970();
        Timers {
            began: (clock.now(), since_1970),
            lanes: (0..lanes.max(1)).map(|_| Arc::default()).collect(),
            hasher: foldhash::fast::RandomState::default(),
            accounts: Mutex::default(),
            // Above those of all timers that are kept, unless the clock was set back; they differ for the same name alone.
            numbers: AtomicU64::new(u64::try_from(since_1970.as_micros()).unwrap_or(0)),
            starts: Starts::default(),
            clock,
        }
    }

    /// The timers of a plugin, with those that `store` has of it. Blocks while they are read.
    pub(crate) fn of(self: &Arc<Timers>, plugin: &PluginName, store: &Arc<Store>) -> PluginTimers {
        let mut accounts = lock(&self.accounts);
        let account = match accounts.get(plugin) {
            Some(account) => account.clone(),
            None => {
                let account = Arc::new(Account::new(plugin.clone()));
                self.load(&account, store);
                accounts.insert(plugin.clone(), account.clone());
                account
            }
        };
        PluginTimers { timers: self.clone(), store: store.clone(), account }
    }

    /// Ends the timers of all plugins but these. Durable ones are there again when the plugin is.
    pub(crate) fn retain<'a>(&self, plugins: impl Iterator<Item = &'a PluginName>) {
        let plugins: Vec<&PluginName> = plugins.collect();
        let mut accounts = lock(&self.accounts);
        accounts.retain(|plugin, account| {
            let is_kept = plugins.contains(&plugin);
            if !is_kept {
                account.close();
            }
            is_kept
        });
        self.starts.retain(|plugin| accounts.contains_key(plugin));
        for lane in &self.lanes {
            let mut waiting = lane.waiting();
            waiting.timers.retain(|plugin| accounts.contains_key(plugin));
            waiting.starts.retain(|plugin| accounts.contains_key(plugin));
        }
    }

    /// Whether the configuration has the plugin.
    fn has(&self, plugin: &PluginName) -> bool {
        lock(&self.accounts).contains_key(plugin)
    }

    /// The time by which timers are due, in milliseconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        let (began, since_1970) = self.began;
        let now = since_1970 + self.clock.now().saturating_duration_since(began);
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
    }

    fn load(&self, account: &Arc<Account>, store: &Store) {
        let rows = match store.timers(&account.plugin) {
            Ok(rows) => rows,
            Err(error) => {
                return tracing::error!(plugin = %account.plugin, error, "the durable timers of the plugin cannot be read");
            }
        };
        for TimerRow { hub, name, when, due, payload, number } in rows {
            // One that is kept was admitted.
            let admitted = account.admit(weight(&name, &payload), (usize::MAX, usize::MAX), None);
            let (Ok(hub), Ok(place)) = (HubName::parse(&hub), admitted) else { continue };
            self.numbers.fetch_max(number.saturating_add(1), Ordering::Relaxed);
            let key = TimerKey { plugin: account.plugin.clone(), hub, name: name.into() };
            let timer = Timer { when, due, payload: payload.into(), lifetime: Lifetime::Durable, number };
            self.lane_of(&key.plugin, &key.hub).set(key, timer, place);
        }
    }

    fn lane_of(&self, plugin: &PluginName, hub: &HubName) -> &Arc<Lane> {
        let hash = self.hasher.hash_one((plugin.as_str(), hub.as_str()));
        &self.lanes[(hash % self.lanes.len() as u64) as usize]
    }
}

impl Lane {
    fn set(&self, key: TimerKey, timer: Timer, place: Place) {
        self.change(|waiting| waiting.timers.set(key, timer, place));
    }

    /// Changes what waits, and wakes who waits for it if something is to be looked at earlier.
    fn change<T>(&self, change: impl FnOnce(&mut Waiting) -> T) -> T {
        let mut waiting = self.waiting();
        let before = waiting.wakes();
        let output = change(&mut waiting);
        let is_earlier = waiting.wakes().is_some_and(|wakes| before.is_none_or(|before| wakes < before));
        drop(waiting);
        if is_earlier {
            self.is_earlier.notify_one();
        }
        output
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }
}

impl Waiting {
    fn wakes(&self) -> Option<u64> {
        self.timers.wakes().into_iter().chain(self.starts.wakes()).min()
    }
}

impl PluginTimers {
    /// Sets a timer of a hub, in the place of the one with its name; a durable one is with the operating system then. The plugin's
    /// values weigh `kept_bytes`.
    pub(crate) async fn set(
        &self,
        hub: &HubName,
        wish: Wish,
        (budgets, kept_bytes): (&Budgets, usize),
    ) -> Result<(), TimerError> {
        let Wish { name, when, payload, lifetime } = wish;
        if !is_short_enough(&name) || payload.len() > STATE_VALUE_BYTES {
            return Err(TimerError::TooLarge);
        }
        if matches!(when, Schedule::Every(period) if Duration::from_millis(period) < budgets.shortest_period) {
            return Err(TimerError::TooShort);
        }
        let key = self.key(hub, &name);
        let lane = self.timers.lane_of(&key.plugin, hub).clone();
        let (replaces, was_durable) = match lane.waiting().timers.get(&key) {
            Some((timer, bytes)) => (Some(bytes), timer.lifetime == Lifetime::Durable),
            None => (None, false),
        };
        let most_bytes = budgets.state_bytes.saturating_sub(kept_bytes);
        let place = self.account.admit(weight(&name, &payload), (budgets.timers, most_bytes), replaces)?;
        let number = self.timers.numbers.fetch_add(1, Ordering::Relaxed);
        let due = when.first_due(self.timers.now());
        let timer = Timer { when, due, payload: payload.into(), lifetime, number };
        let write = match (lifetime, was_durable) {
            (Lifetime::Durable, _) => TimerWrite::Put(timer.clone()),
            (Lifetime::Process, true) => TimerWrite::Remove,
            (Lifetime::Process, false) => {
                lane.set(key, timer, place);
                self.account.count(TimerEvent::Set, 1);
                return Ok(());
            }
        };
        let change = TimerChange { key: key.clone(), write };
        let made = move |is_stored| {
            if is_stored {
                lane.set(key, timer, place);
            }
        };
        self.store.change_timer(change, Box::new(made)).await?;
        self.account.count(TimerEvent::Set, 1);
        Ok(())
    }

    /// Says whether there was one.
    pub(crate) async fn cancel(&self, hub: &HubName, name: &str) -> Result<bool, TimerError> {
        let key = self.key(hub, name);
        let lane = self.timers.lane_of(&key.plugin, hub).clone();
        let present = {
            let mut waiting = lane.waiting();
            let present = waiting.timers.get(&key).map(|(timer, _)| timer.lifetime);
            if present == Some(Lifetime::Process) {
                // At once: a durable one that is being set comes after it.
                waiting.timers.remove(&key);
            }
            present
        };
        match present {
            None => Ok(false),
            Some(Lifetime::Process) => Ok(true),
            Some(Lifetime::Durable) => {
                let change = TimerChange { key: key.clone(), write: TimerWrite::Remove };
                let made = move |is_stored| {
                    if is_stored {
                        lane.waiting().timers.remove(&key);
                    }
                };
                self.store.change_timer(change, Box::new(made)).await?;
                Ok(true)
            }
        }
    }

    /// Those of a hub by their names, after `after`: at most `limit`, and fewer where they are large.
    pub(crate) fn page(&self, hub: &HubName, after: Option<&str>, limit: usize) -> Vec<(Arc<str>, Timer)> {
        let plugin = &self.account.plugin;
        self.timers.lane_of(plugin, hub).waiting().timers.page((plugin, hub), after, limit)
    }

    /// This version serves, and wants to be told of its hubs.
    pub(crate) fn begin(&self, generation: u64) {
        self.timers.begin(&self.account.plugin, generation);
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    fn key(&self, hub: &HubName, name: &str) -> TimerKey {
        TimerKey { plugin: self.account.plugin.clone(), hub: hub.clone(), name: name.into() }
    }
}

impl From<StateError> for TimerError {
    fn from(error: StateError) -> TimerError {
        match error {
            StateError::TooLarge => TimerError::TooLarge,
            StateError::Quota => TimerError::Quota,
            StateError::Unavailable(reason) => TimerError::Unavailable(reason),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("lanes", &self.lanes.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}

impl fmt::Debug for PluginTimers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PluginTimers").field(&self.account.plugin).finish()
    }
}

#[cfg(test)]
mod tests;
