//! Whom a hub's own negotiation lets in: `negotiate` of `[hubs.NAME]`.

use hubgate_core::id::PluginName;
use hubgate_net::settings::Negotiate;

use super::plain_words::no_plugin;
use super::problem::Problems;
use super::schema::{File, Hub};

/// Of the hub with this entry.
pub(super) fn negotiate(file: &File, entry: &str, hub: &Hub, problems: &mut Problems) -> Negotiate {
    match &hub.negotiate.plugin {
        Some(name) if !file.plugins.contains_key(name) => {
            let text = no_plugin(name, file.plugins.keys().map(String::as_str));
            problems.push(format!("hubs.{entry}.negotiate.plugin"), text);
            Negotiate::Nobody
        }
        Some(name) => Negotiate::Authorizer(PluginName::new(name.as_str())),
        None if hub.negotiate.anonymous => Negotiate::Anybody,
        None => Negotiate::Nobody,
    }
}
