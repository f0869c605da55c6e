//! Clients that their hub's new mode does not allow: they are closed gradually, at `mode_switch_closes` per second.

use std::collections::VecDeque;

use crate::client::timer_wheel::TimerWheel;
use crate::client::{Clients, Closing};
use crate::close_cause::CloseCause;
use crate::id::{HubIndex, Slot};
use crate::settings::Settings;
use crate::turn::Turn;

/// Clients that wait to be closed.
#[derive(Debug, Default)]
pub(crate) struct ModeSwitch {
    backlog: VecDeque<Slot>,
}

impl ModeSwitch {
    /// Other settings hold from now on: clients fit the new mode of their hub, or wait for their end.
    pub(crate) fn begin(&mut self, clients: &mut Clients, before: &Settings, settings: &Settings) {
        let is_switched = |name| before.hub(name).mode != settings.hub(name).mode;
        let hubs = clients.hubs().iter().filter(|(_, hub)| is_switched(&hub.name));
        let switched: Vec<(HubIndex, _)> = hubs.map(|(index, hub)| (index, settings.hub(&hub.name).mode)).collect();
        for (hub, mode) in switched {
            for (slot, client) in clients.iter_mut().filter(|(_, client)| client.hubs().any(|each| each == hub)) {
                if !client.switch(mode) {
                    self.backlog.push_back(slot);
                }
            }
        }
    }

    /// Closes as many clients as one tick allows.
    pub(crate) fn close_some(&mut self, clients: &mut Clients, turn: &mut Turn<'_>) {
        let ticks_per_second = 1000 / TimerWheel::period().0 as usize;
        let shares = ticks_per_second * usize::from(turn.neighbours.shards());
        let mut allowed = (turn.settings.limits.mode_switch_closes / shares).max(1);
        while allowed > 0
            && let Some(slot) = self.backlog.pop_front()
        {
            // It may have left by itself, or fit again.
            let Some(client) = clients.get(slot).filter(|client| !client.is_closed()) else {
                continue;
            };
            let fits = |hub| turn.settings.hub(&clients.hub(hub).name).mode.of_present_client(client.kind()).is_some();
            if client.hubs().all(fits) {
                continue;
            }
            allowed -= 1;
            let closing = Closing::with_error(true, "the hub's mode was changed");
            clients.close(turn, slot, CloseCause::ServiceModeSwitched, closing);
        }
    }
}
