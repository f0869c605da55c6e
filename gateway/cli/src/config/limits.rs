//! Limits and time-outs of `[server]` for those who keep them.

use std::sync::Arc;

use hubgate_core::settings as core;
use hubgate_net::settings::{self as net, LARGEST_MESSAGE};

use super::Warning;
use super::problem::Problems;
use super::schema::{Limits, Server, Timeouts};
use super::value::{Secrecy, Size, Value};

pub(super) fn core_limits(limits: &Limits) -> core::Limits {
    core::Limits {
        message: limits.message.0,
        messages_per_second: limits.messages_per_second,
        queued_calls: 256,
        queued_bytes: 1 << 20,
        departed_bytes: 16 << 20,
        departed_calls: 8,
        held: limits.outbox.0,
        replay: limits.replay.0.min(most_replay(limits)),
        server_message: limits.server_message.0,
        mode_switch_closes: limits.mode_switch_closes,
        groups_per_connection: limits.groups_per_connection,
        user_memberships: limits.user_memberships,
    }
}

pub(super) fn net_limits(limits: &Limits) -> net::Limits {
    net::Limits {
        outbox: limits.outbox.0,
        server_outbox: limits.server_outbox.0,
        outboxes: settled(limits.outboxes),
        post: limits.post.0,
        headers: limits.headers.0,
        connections: limits.connections,
        connections_per_ip: limits.connections_per_ip,
        connections_per_user: limits.connections_per_user,
        connections_per_token: limits.connections_per_token,
        connections_per_claim: per_claim(limits),
        http_connections: limits.http_connections,
        http_connections_per_ip: limits.http_connections_per_ip,
        negotiates_per_second: limits.negotiates_per_second,
    }
}

/// What may be kept for a client, in bytes: the core keeps four times as much while it is connected, and that leaves at once when it comes back.
fn most_replay(limits: &Limits) -> usize {
    limits.outbox.0 / 4
}

/// More is to be kept for a client than it could be sent when it comes back.
pub(super) fn more_replay_than_leaves(limits: &Limits) -> Option<Warning> {
    (limits.replay.0 > most_replay(limits)).then(|| Warning {
        key: "server.limits.replay".to_owned(),
        text: "is more than a quarter of `server.limits.outbox`, and that much is kept: all of it is sent at once when a client comes back"
            .to_owned(),
    })
}

/// Of claims that have a limit.
fn per_claim(limits: &Limits) -> Vec<(Arc<str>, usize)> {
    let claims = limits.connections_per_claim.0.iter().filter(|(_, limit)| **limit > 0);
    claims.map(|(claim, limit)| (claim.as_str().into(), *limit)).collect()
}

/// In bytes.
pub(super) fn settled(size: Option<Size>) -> usize {
    size.expect("what is open has been filled in").0
}

pub(super) fn net_timeouts(timeouts: &Timeouts) -> net::Timeouts {
    net::Timeouts {
        header: timeouts.http_header.0,
        body: timeouts.http_body.0,
        write: timeouts.write.0,
        outbox: timeouts.outbox.0,
    }
}

pub(super) fn core_timeouts(timeouts: &Timeouts) -> core::Timeouts {
    core::Timeouts {
        negotiate: timeouts.negotiate.0.into(),
        handshake: timeouts.handshake.0.into(),
        client: timeouts.client.0.into(),
        keep_alive: timeouts.keep_alive.0.into(),
        reconnect: timeouts.reconnect.0.into(),
    }
}

/// Clients that send pings as often as the gateway does would be closed between two of them.
pub(super) fn check(timeouts: &Timeouts, problems: &mut Problems) {
    let (client, keep_alive) = (timeouts.client, timeouts.keep_alive);
    if client < keep_alive {
        let [client, keep_alive] =
            [client, keep_alive].map(|span| span.write(Secrecy::Hidden).unwrap_or(false.into()).to_string());
        let text =
            format!("{client} is less than {keep_alive}, which `server.timeouts.keep-alive` is: the least value");
        problems.push("server.timeouts.client", text);
    }
}

/// What is accepted has to pass between nodes.
pub(super) fn check_for_cluster(limits: &Limits, problems: &mut Problems) {
    let Limits { message, server_message, post, .. } = limits;
    let keys = [
        ("server.limits.message", message),
        ("server.limits.server-message", server_message),
        ("server.limits.post", post),
    ];
    for (key, limit) in keys.into_iter().filter(|(_, limit)| limit.0 > LARGEST_MESSAGE) {
        let [limit, most] =
            [limit, &Size(LARGEST_MESSAGE)].map(|size| size.write(Secrecy::Hidden).unwrap_or(false.into()).to_string());
        problems.push(
            key,
            format!("{limit} is more than {most}, the longest message that passes between the nodes of `[cluster]`"),
        );
    }
}

pub(super) fn drain(server: &Server) -> net::Drain {
    net::Drain { delay: server.drain_delay.0, timeout: server.drain_timeout.0, closes: server.drain_closes }
}
