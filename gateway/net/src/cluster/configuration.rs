//! What has to be alike on all nodes, as digests that nodes tell each other.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use hubgate_cluster::Configuration;
use hubgate_plugin_host::PluginHost;

use crate::settings::Settings;

/// Those of this node. The digests of settings are made when the settings change.
#[derive(Debug)]
pub(super) struct OwnConfiguration {
    settings: Option<Arc<Settings>>,
    digests: Configuration,
    plugins: PluginHost,
}

impl OwnConfiguration {
    pub(super) fn new(plugins: PluginHost) -> OwnConfiguration {
        OwnConfiguration { settings: None, digests: Configuration::default(), plugins }
    }

    /// As it is now.
    pub(super) fn digests(&mut self, settings: &Arc<Settings>) -> Configuration {
        if !self.settings.as_ref().is_some_and(|known| Arc::ptr_eq(known, settings)) {
            self.settings = Some(settings.clone());
            let mut keys: Vec<&str> = settings.access_keys.iter().map(|key| key.expose()).collect();
            keys.sort_unstable();
            let core = &settings.core;
            self.digests.keys = of(&keys);
            self.digests.hubs = of(&(&core.hubs, &core.other_hubs, &core.upstream));
        }
        let serving: BTreeMap<_, _> =
            self.plugins.statuses().into_iter().map(|status| (status.name, status.digest)).collect();
        self.digests.plugins = of(&serving);
        self.digests
    }
}

/// The beginning of a digest: enough to tell settings apart, and nothing that they could be guessed from more easily than they are told.
fn of(settings: &impl Debug) -> u64 {
    let digest = digest(&SHA256, format!("{settings:?}").as_bytes());
    let (beginning, _) = digest.as_ref().split_first_chunk().expect("it has 32 bytes");
    u64::from_be_bytes(*beginning)
}
