//! The two addresses that the gateway listens on.

use hubgate_net::settings::Settings;

use super::{ConfigError, problem};

/// Refuses one address for both: whoever listens second would be told that another program has it.
pub(super) fn check(net: &Settings) -> Result<(), ConfigError> {
    let (clients, admin) = (net.listen, net.admin.listen);
    // Port 0 is a free one for each.
    if clients == admin && clients.port() != 0 {
        let same = format!("has the same address as `server.listen`, \"{clients}\": give it a port of its own");
        return Err(problem("admin.listen", same));
    }
    Ok(())
}
