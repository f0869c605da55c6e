//! How this process signs in to NATS.

use std::io;
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};

use crate::settings::{ClientCertificate, ClusterSettings, NatsSignIn, NatsTls};

/// How long a server may take to let the gateway in.
const CONNECTING: Duration = Duration::from_secs(5);
/// How long the gateway waits before it tries servers again that it could not reach.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Those of a connection that is made again whenever it is lost. `name` is what the server's operators see.
pub(crate) fn options(settings: &ClusterSettings, name: String) -> io::Result<ConnectOptions> {
    let options = ConnectOptions::new()
        .name(name)
        .retry_on_initial_connect()
        .connection_timeout(CONNECTING)
        // A link that is cut without a word is noticed by the answers to these.
        .ping_interval((settings.node_timeout / 2).max(Duration::from_millis(500)))
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
    fn servers_are_tried_again_soon_and_then_once_a_second() {
        assert_eq!([1, 2, 3].map(pause), [0, 80, 160].map(Duration::from_millis));
        assert_eq!([7, 1_000, usize::MAX].map(pause), [LONGEST_PAUSE; 3]);
    }
}
