//! What plugins are told of who joins and leaves the groups that they watch: many at a time, and of each connection only what a batch
//! has changed.

use std::collections::{BTreeMap, VecDeque};

use indexmap::IndexMap;
use indexmap::map::IntoIter;

use super::Hub;
use super::directory::{Directory, WatchNumber};
use crate::effect::Effect;
use crate::event::{HubCall, HubEvent, PresentMember};
use crate::id::{ConnectionId, GroupName, HubName, PluginName, UserId};
use crate::time::Millis;
use crate::turn::Turn;

/// Members that one call of a plugin tells of, at most.
const MEMBERS_PER_CALL: usize = 1_000;

/// What has changed on this shard and was not told yet. Nobody is here who is told everything.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    listeners: BTreeMap<(HubName, PluginName), Listener>,
}

/// A connection that has joined or left a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moving<'a> {
    pub(crate) connection: ConnectionId,
    pub(crate) user_id: Option<&'a UserId>,
    pub(crate) movement: Movement,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Movement {
    Joined,
    Left,
}

/// A plugin that watches groups of a hub.
#[derive(Debug, Default)]
struct Listener {
    /// What is told next.
    next: BTreeMap<GroupName, Changes>,
    /// When that is told, at the earliest. None: nothing has changed.
    due: Option<Millis>,
    /// What is left of the batch that is being told.
    telling: VecDeque<(GroupName, WatchNumber, ChangedMembers)>,
    /// Whether a call runs.
    is_called: bool,
}

type ChangedMembers = IntoIter<ConnectionId, (Movement, Option<UserId>)>;

/// What has changed in a group: of each connection the difference to what was told before. So there are no more of them than the shard
/// has had clients at a time in the group: what joins and leaves again vanishes.
#[derive(Debug)]
struct Changes {
    watch: WatchNumber,
    members: IndexMap<ConnectionId, (Movement, Option<UserId>), foldhash::fast::FixedState>,
}

impl Presence {
    /// A connection has joined or left a group of a hub. Costs a look at a number where nobody watches a group of the hub.
    #[inline]
    pub(crate) fn note(&mut self, turn: &mut Turn<'_>, hub: &Hub, group: &GroupName, moving: Moving<'_>) {
        if !hub.directory.watches().is_empty() {
            self.note_watched(turn, hub, group, moving);
        }
    }

    #[inline(never)]
    fn note_watched(&mut self, turn: &mut Turn<'_>, hub: &Hub, group: &GroupName, moving: Moving<'_>) {
        for (plugin, watch) in hub.directory.watches().of(group) {
            let Some(settings) = turn.settings.presence.get(&plugin) else { continue };
            let listener = self.listeners.entry((hub.name.clone(), plugin)).or_default();
            listener.note(group, watch, moving);
            if listener.next.is_empty() {
                listener.due = None;
            } else if listener.due.is_none() {
                let due = turn.now + settings.batch;
                listener.due = Some(due);
                turn.effect(Effect::WakeAt(due));
            }
        }
    }

    /// Time passed: tells what is due.
    pub(crate) fn tick(&mut self, turn: &mut Turn<'_>, directory: &Directory) {
        self.listeners.retain(|(hub, plugin), listener| {
            if !listener.is_called {
                listener.call(turn, directory, hub, plugin);
            }
            listener.has_anything()
        });
    }

    /// A call is over, however it has ended.
    pub(crate) fn told(&mut self, turn: &mut Turn<'_>, directory: &Directory, hub: HubName, plugin: PluginName) {
        let key = (hub, plugin);
        let Some(listener) = self.listeners.get_mut(&key) else {
            return;
        };
        listener.is_called = false;
        listener.call(turn, directory, &key.0, &key.1);
        if !listener.has_anything() {
            self.listeners.remove(&key);
        }
    }
}

impl Listener {
    fn has_anything(&self) -> bool {
        self.is_called || self.due.is_some()
    }

    fn note(&mut self, group: &GroupName, watch: WatchNumber, moving: Moving<'_>) {
        let Moving { connection, user_id, movement } = moving;
        let changes = match self.next.get_mut(group) {
            Some(changes) => changes,
            None => self.next.entry(group.clone()).or_insert(Changes { watch, members: IndexMap::default() }),
        };
        if changes.watch != watch {
            // What an earlier watch has seen is of no interest any more.
            changes.watch = watch;
            changes.members.clear();
        }
        match changes.members.get(&connection) {
            // It is as it was told.
            Some((before, _)) if *before != movement => drop(changes.members.swap_remove(&connection)),
            Some(_) => {}
            None => drop(changes.members.insert(connection, (movement, user_id.cloned()))),
        }
        if changes.members.is_empty() {
            self.next.remove(group);
        }
    }

    /// Tells the next of the batch under way, or else of the next one if that is due.
    fn call(&mut self, turn: &mut Turn<'_>, directory: &Directory, hub: &HubName, plugin: &PluginName) {
        if self.telling.is_empty() && self.due.is_some_and(|due| due <= turn.now) {
            self.due = None;
            let batch = std::mem::take(&mut self.next).into_iter();
            self.telling = batch.map(|(group, changes)| (group, changes.watch, changes.members.into_iter())).collect();
        }
        while let Some((group, watch, members)) = self.telling.front_mut() {
            let known = directory.find(hub);
            let goes_on = known.is_some_and(|known| known.watches().goes_on(plugin, group, *watch));
            let (mut joined, mut left) = (Vec::new(), Vec::new());
            if goes_on {
                for (connection, (movement, user_id)) in members.by_ref().take(MEMBERS_PER_CALL) {
                    let member = PresentMember { connection, user_id };
                    match movement {
                        Movement::Joined => joined.push(member),
                        Movement::Left => left.push(member),
                    }
                }
            }
            let event = HubEvent::PresenceChanged { group: group.clone(), joined, left };
            if !goes_on || members.len() == 0 {
                self.telling.pop_front();
            }
            if goes_on {
                self.is_called = true;
                let (plugin, hub) = (plugin.clone(), hub.clone());
                return turn.effect(Effect::TellPresence(Box::new(HubCall { plugin, hub, event })));
            }
        }
    }
}
