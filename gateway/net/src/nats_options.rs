//! How this process signs in to NATS.

use std::io;
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};

use crate::settings::{ClientCertificate, ClusterSettings, NatsSignIn, NatsTls};

/// Pings that the client for NATS lets go unanswered. With the next one it takes the connection for dead.
const UNANSWERED_PINGS: u32 = 2;
/// The least that a server has to answer them all.
const SHORTEST_SILENCE: Duration = Duration::from_millis(500);
/// How long a server may take to let the gateway in: in TLS and in signing in, it gives up after two seconds itself.
const SHORTEST_CONNECTING: Duration = Duration::from_secs(2);
const LONGEST_CONNECTING: Duration = Duration::from_secs(5);
/// How long the gateway waits before it tries servers again that it could not reach.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Those of a connection that is made again whenever it is lost. `name` is what the server's operators see.
pub(crate) fn options(settings: &ClusterSettings, name: String) -> io::Result<ConnectOptions> {
    let options = ConnectOptions::new()
        .name(name)
        .retry_on_initial_connect()
        .connection_timeout(connecting(settings.node_timeout))
        .ping_interval(ping_interval(settings.node_timeout))
        .reconnect_delay_callback(pause);
    let options = match &settings.sign_in {
        NatsSignIn::Nobody => options,
        NatsSignIn::Credentials(credentials) => options.credentials(credentials.expose())?,
        NatsSignIn::Token(token) => options.token(token.expose().to_owned()),
        NatsSignIn::User { user, password } => options.user_and_password(user.clone(), password.expose().to_owned()),
    };
    Ok(match &settings.tls {
        None => options,
        Some(NatsTls { ca_file, client }) => {
            let options = options.require_tls(true);
            let options = ca_file.iter().cloned().fold(options, ConnectOptions::add_root_certificates);
            client.iter().cloned().fold(options, |options, ClientCertificate { certificate, key }| {
                options.add_client_certificate(certificate, key)
            })
        }
    })
}

/// Where the servers are.
pub(crate) fn servers(settings: &ClusterSettings) -> Vec<ServerAddr> {
    settings.servers.iter().map(|server| server.address().clone()).collect()
}

/// How often a server is asked whether it is there when nothing comes from it. A connection that is dead without a word is noticed by it, and there has to be
/// time left to try a server in vain and then another, before other nodes give this one up.
fn ping_interval(node_timeout: Duration) -> Duration {
    (node_timeout * 3 / 10).max(SHORTEST_SILENCE) / (UNANSWERED_PINGS + 1)
}

/// How long a server may take to let the gateway in, before another is tried.
fn connecting(node_timeout: Duration) -> Duration {
    (node_timeout * 2 / 5).clamp(SHORTEST_CONNECTING, LONGEST_CONNECTING)
}

/// How long to wait before the connection is tried for the `attempt`th time.
fn pause(attempt: usize) -> Duration {
    const FIRST: Duration = Duration::from_millis(20);
    match attempt {
        0 | 1 => Duration::ZERO,
        _ => FIRST.saturating_mul(1 << attempt.min(10)).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_server_and_one_that_cannot_be_reached_cost_less_than_others_wait_for_the_node() {
        for node_timeout in [5, 10, 60].map(Duration::from_secs) {
            let noticed = ping_interval(node_timeout) * (UNANSWERED_PINGS + 1);
            let last_heard = Duration::from_secs(1);
            assert!(last_heard + noticed + connecting(node_timeout) < node_timeout * 19 / 20, "{node_timeout:?}");
        }
        let shortest = Duration::from_secs(1);
        assert_eq!(ping_interval(shortest), SHORTEST_SILENCE / 3);
        assert_eq!(connecting(shortest), SHORTEST_CONNECTING);
    }

    #[test]
    fn servers_are_tried_again_soon_and_then_once_a_second() {
        assert_eq!([1, 2, 3].map(pause), [0, 80, 160].map(Duration::from_millis));
        assert_eq!([7, 1_000, usize::MAX].map(pause), [LONGEST_PAUSE; 3]);
    }
}
