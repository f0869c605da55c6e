//! What the thread tells operators, metrics and load balancers of the cluster.

use hubgate_cluster::{Configuration, Counts, Other};
use hubgate_core::id::NodeId;
use hubgate_core::time::Millis;
use serde_json::{Value, json};

/// How things were at the last tick.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClusterStatus {
    pub(crate) now: Millis,
    pub(crate) name: String,
    pub(crate) node: NodeId,
    pub(crate) clients: u64,
    /// Whether it knows all that the others know.
    pub(crate) has_joined: bool,
    /// Whether nodes may be there that it does not reach, or have another configuration.
    pub(crate) is_degraded: bool,
    pub(crate) configuration: Configuration,
    pub(crate) others: Vec<Other>,
    pub(crate) counts: Counts,
}

impl ClusterStatus {
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// How many nodes there are, with this one.
    pub(crate) fn nodes(&self) -> usize {
        1 + self.others.len()
    }

    /// How long the oldest message for any node has waited for its acknowledgement, in seconds.
    pub(crate) fn lag_seconds(&self) -> f64 {
        self.others.iter().map(|other| seconds(other.lag)).fold(0.0, f64::max)
    }

    pub(crate) fn is_degraded(&self) -> bool {
        self.is_degraded
    }

    /// The id of this node, as operators see it.
    pub(crate) fn node(&self) -> String {
        id(self.node)
    }

    /// As `GET /admin/cluster` gives it.
    pub(crate) fn to_json(&self) -> Value {
        let own = json!({
            "node": id(self.node),
            "version": env!("CARGO_PKG_VERSION"),
            "clients": self.clients,
            "lagSeconds": 0.0,
            "heardSecondsAgo": 0.0,
            "configuration": digest(self.configuration),
            "differs": [],
        });
        let other = |other: &Other| {
            json!({
                "node": id(other.node),
                "version": other.version,
                "clients": other.clients,
                "lagSeconds": seconds(other.lag),
                "heardSecondsAgo": seconds(Millis(self.now.0.saturating_sub(other.last_heard.0))),
                "configuration": other.configuration.map(digest),
                "differs": other.configuration.map_or_else(Vec::new, |other| differences(self.configuration, other)),
            })
        };
        let nodes: Vec<Value> = [own].into_iter().chain(self.others.iter().map(other)).collect();
        let Counts { sent, received, resent, lost, unreadable, unknown } = self.counts;
        json!({
            "node": id(self.node),
            "name": self.name,
            "joined": self.has_joined,
            "degraded": self.is_degraded,
            "nodes": nodes,
            "messages": {
                "sent": sent,
                "received": received,
                "resent": resent,
                "lost": lost,
                "unreadable": unreadable,
                "unknown": unknown,
            },
        })
    }
}

/// A node's id as people and subjects have it.
pub(crate) fn id(node: NodeId) -> String {
    format!("{:08x}", node.0)
}

fn digest(Configuration { keys, hubs, plugins }: Configuration) -> String {
    format!("{keys:016x}-{hubs:016x}-{plugins:016x}")
}

fn seconds(time: Millis) -> f64 {
    time.0 as f64 / 1_000.0
}

/// What differs between two nodes.
fn differences(own: Configuration, other: Configuration) -> Vec<&'static str> {
    let parts =
        [("keys", own.keys, other.keys), ("hubs", own.hubs, other.hubs), ("plugins", own.plugins, other.plugins)];
    parts.into_iter().filter(|(_, own, other)| own != other).map(|(name, ..)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let own = Configuration { keys: 1, hubs: 2, plugins: 3 };
        assert!(differences(own, own).is_empty());
        assert_eq!(differences(own, Configuration { hubs: 9, plugins: 9, ..own }), ["hubs", "plugins"]);
        assert_eq!(differences(own, Configuration { keys: 9, ..own }), ["keys"]);
    }
}
