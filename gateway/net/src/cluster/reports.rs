//! What the log says of the cluster: a line when an episode begins, and one when it is over.

use hubgate_cluster::Report;

use crate::cluster_link::id;

pub(super) fn tell(report: &Report) {
    match report {
        Report::Joined { others } => tracing::info!(others, "the cluster is joined: the gateway serves"),
        Report::NodeJoined { node, version } => tracing::info!(node = id(*node), version, "a node has joined"),
        Report::NodeLeft(node) => tracing::info!(node = id(*node), "a node has left"),
        Report::NodeLost(node) => tracing::warn!(
            node = id(*node),
            "a node is lost: it was not heard for `cluster.node-timeout`, or has begun anew. The clients of its hub servers are dropped"
        ),
        Report::Incompatible { node, version } => tracing::error!(
            node = id(*node),
            version,
            "a node is refused: it speaks no version of the protocol between nodes that this one speaks"
        ),
        Report::IdShared(node) => tracing::error!(
            node = id(*node),
            "two nodes that serve have the same id, by which their connections are named: restart one of them"
        ),
        Report::MessagesLost { node, messages } => tracing::error!(
            node = id(*node),
            messages,
            "messages for a node may be lost: more waited for it than `cluster.resend-buffer` holds, or for too long. What depends on \
             them begins anew"
        ),
        Report::OutageBegan => tracing::warn!(
            "no other node is heard: the gateway is degraded, and its clients go on among themselves. Connections are kept for \
             `cluster.outage-grace`"
        ),
        Report::OutageEnded { milliseconds } => tracing::info!(milliseconds, "other nodes are heard again"),
        Report::OutageGraceOver => tracing::error!(
            "no other node was heard for `cluster.outage-grace`: they are taken for lost, and the clients of their hub servers are dropped"
        ),
    }
}
