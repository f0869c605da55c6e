//! Settings that change while clients are there: what a hub's new mode means for them.

use std::sync::Arc;

use crate::client_connection::{HubIndex, Phase};
use crate::closing::{CLOSED_WITH_ERROR, Closing};
use crate::effect::{CloseCause, Effect};
use crate::filter::HalvesByPlugin;
use crate::hubs::HubSource;
use crate::mode::Mode;
use crate::settings::Settings;
use crate::shard::{Shard, Slot};
use crate::timer_wheel::TimerWheel;

impl Shard {
    /// Other settings hold from now on.
    pub(crate) fn configure(&mut self, settings: Arc<Settings>, halves: HalvesByPlugin) {
        let before = std::mem::replace(&mut self.settings, settings);
        self.halves = halves;
        let switched: Vec<HubIndex> = self
            .hubs
            .iter()
            .filter_map(|(index, hub)| {
                let (was, is) = (before.hub(&hub.name).mode, self.settings.hub(&hub.name).mode);
                (was != is).then_some(index)
            })
            .collect();
        for index in switched {
            self.switch(index, self.settings.hub(&self.hub(index).name).mode);
        }
        self.hubs.configure(HubSource { settings: &self.settings, halves: &self.halves });
    }

    /// A hub's clients fit its new mode, or wait for their end.
    fn switch(&mut self, hub: HubIndex, mode: Mode) {
        for (slot, client) in self.clients.iter_mut().filter(|(_, client)| client.hub == hub) {
            match mode.of_present_client(client.kind) {
                Some(kind) => client.kind = kind,
                None => self.misfits.push_back((Slot(slot as u32), client.id)),
            }
        }
    }

    /// Closes as many of the clients that do not fit as this time allows.
    pub(crate) fn close_misfits(&mut self, effects: &mut Vec<Effect>) {
        let ticks_per_second = 1000 / TimerWheel::period().0 as usize;
        let shares = ticks_per_second * usize::from(self.shards);
        let mut allowed = (self.settings.limits.mode_switch_closes / shares).max(1);
        while allowed > 0
            && let Some((slot, id)) = self.misfits.pop_front()
        {
            // It may have left by itself, or fit again.
            let Some(client) = self.clients.get(slot.0 as usize).filter(|client| client.id == id) else {
                continue;
            };
            let mode = self.settings.hub(&self.hub(client.hub).name).mode;
            if matches!(client.phase, Phase::Closed { .. }) || mode.of_present_client(client.kind).is_some() {
                continue;
            }
            allowed -= 1;
            let (error, detail) = (Some(CLOSED_WITH_ERROR.to_owned()), "the hub's mode was changed".to_owned());
            let closing = Closing { error, allow_reconnect: true, detail };
            self.close(slot, CloseCause::ServiceModeSwitched, closing, effects);
        }
    }
}
