//! Limits and time-outs of `[server]` with their defaults.

use std::time::Duration;

use hubgate_core::settings as core;
use hubgate_net::settings as net;

use super::{ConfigError, machine, problem, schema};

/// The smallest bound of a request's head that the HTTP library takes, in bytes.
const SMALLEST_HEAD: usize = 8 << 10;
/// The smallest bound of memberships: half of it still takes the one with the longest names, which counts as many.
const MIN_USER_MEMBERSHIPS: usize = 100;
/// The smallest memory of all plugins: some instances still fit.
const MIN_PLUGIN_MEMORY: usize = 16 << 20;
const DEFAULT_OUTBOX: usize = 8 << 20;
/// The smallest memory of all outboxes.
const MIN_OUTBOXES: usize = 1 << 20;

pub(super) fn core_limits(limits: &schema::Limits) -> Result<core::Limits, ConfigError> {
    let user_memberships = limits.user_memberships.unwrap_or(1_000_000);
    if user_memberships < MIN_USER_MEMBERSHIPS {
        let problem_text = format!("must be at least {MIN_USER_MEMBERSHIPS}");
        return Err(problem("server.limits.user-memberships", problem_text));
    }
    Ok(core::Limits {
        message: limits.message.map_or(16 << 20, |size| size.0),
        messages_per_second: limits.messages_per_second,
        queued_calls: 256,
        queued_bytes: 1 << 20,
        departed_bytes: 16 << 20,
        departed_calls: 8,
        held: limits.outbox.map_or(DEFAULT_OUTBOX, |size| size.0),
        server_message: limits.server_message.map_or(64 << 20, |size| size.0),
        mode_switch_closes: limits.mode_switch_closes.unwrap_or(1_000),
        groups_per_connection: limits.groups_per_connection.unwrap_or(1_000),
        user_memberships,
    })
}

pub(super) fn net_limits(limits: &schema::Limits) -> Result<net::Limits, ConfigError> {
    let size = |size: Option<schema::Size>, default| size.map_or(default, |size| size.0);
    let headers = size(limits.headers, 32 << 10);
    if headers < SMALLEST_HEAD {
        return Err(problem("server.limits.headers", "must be at least \"8KiB\""));
    }
    Ok(net::Limits {
        outbox: size(limits.outbox, DEFAULT_OUTBOX),
        server_outbox: size(limits.server_outbox, 64 << 20),
        outboxes: outboxes(limits)?,
        post: size(limits.post, 1 << 20),
        headers,
        connections: limits.connections.unwrap_or(100_000),
        connections_per_ip: limits.connections_per_ip,
        connections_per_user: limits.connections_per_user,
        connections_per_token: limits.connections_per_token,
        http_connections: limits.http_connections.unwrap_or(10_000),
        http_connections_per_ip: limits.http_connections_per_ip.unwrap_or(1_000),
        negotiates_per_second: limits.negotiates_per_second,
    })
}

/// What may wait for all clients and hub servers together, in bytes.
fn outboxes(limits: &schema::Limits) -> Result<usize, ConfigError> {
    match limits.outboxes {
        Some(size) if size.0 < MIN_OUTBOXES => Err(problem("server.limits.outboxes", "must be at least \"1MiB\"")),
        Some(size) => Ok(size.0),
        None => Ok((machine::memory() / 8).max(MIN_OUTBOXES)),
    }
}

/// What all instances of all plugins may hold together, in bytes.
pub(super) fn plugin_memory(limits: &schema::Limits) -> Result<usize, ConfigError> {
    match limits.plugin_memory {
        Some(size) if size.0 < MIN_PLUGIN_MEMORY => {
            Err(problem("server.limits.plugin-memory", "must be at least \"16MiB\""))
        }
        Some(size) => Ok(size.0),
        None => Ok((machine::memory() / 2).max(MIN_PLUGIN_MEMORY)),
    }
}

pub(super) fn net_timeouts(timeouts: &schema::Timeouts) -> Result<net::Timeouts, ConfigError> {
    let or = |span: Option<schema::Span>, seconds| span.map_or(Duration::from_secs(seconds), |span| span.0);
    let positive = |name: &str, span, seconds| match or(span, seconds) {
        Duration::ZERO => Err(problem(format!("server.timeouts.{name}"), "must be longer than \"0s\"")),
        span => Ok(span),
    };
    Ok(net::Timeouts {
        header: or(timeouts.http_header, 10),
        body: or(timeouts.http_body, 10),
        write: positive("write", timeouts.write, 10)?,
        outbox: positive("outbox", timeouts.outbox, 60)?,
    })
}

pub(super) fn drain(server: &schema::Server) -> net::Drain {
    net::Drain {
        delay: server.drain_delay.map_or(Duration::ZERO, |span| span.0),
        timeout: server.drain_timeout.map_or(Duration::from_secs(10), |span| span.0),
        closes: server.drain_closes,
    }
}

pub(super) fn core_timeouts(timeouts: &schema::Timeouts) -> core::Timeouts {
    let or = |span: &Option<schema::Span>, seconds| span.map_or(Duration::from_secs(seconds), |span| span.0).into();
    core::Timeouts {
        negotiate: or(&timeouts.negotiate, 5),
        handshake: or(&timeouts.handshake, 15),
        client: or(&timeouts.client, 30),
        keep_alive: or(&timeouts.keep_alive, 15),
    }
}
