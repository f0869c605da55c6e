//! The two addresses that the gateway listens on.

use super::problem::Problems;
use super::schema::File;

/// Refuses one address for both: whoever listens second would be told that another program has it.
pub(super) fn check(file: &File, problems: &mut Problems) {
    let (clients, admin) = (file.server.listen.0, file.admin.listen.0);
    // Port 0 is a free one for each.
    if clients == admin && clients.port() != 0 {
        let same = format!("has the same address as `server.listen`, \"{clients}\": give it a port of its own");
        problems.push("admin.listen", same);
    }
}
