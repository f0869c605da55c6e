//! An upstream that never answers, so that the events of clients wait in the gateway.

use std::net::TcpListener;
use std::sync::LazyLock;

/// The hub whose messages go there; its clients connect without it.
pub(crate) const HUB: &str = "slow";

/// The system accepts connections to it as far as its backlog goes, and nobody reads them.
static SILENT: LazyLock<TcpListener> =
    LazyLock::new(|| TcpListener::bind("127.0.0.1:0").expect("the system has a free port"));

/// The configuration of [`HUB`] and its webhook.
pub(crate) fn config() -> String {
    let address = SILENT.local_addr().expect("a bound socket has an address");
    format!(
        r#"
        hubs.{HUB}.mode = "serverless"
        [[upstream]]
        hubs = ["probe"]
        plugin = "probe"
        [[upstream]]
        hubs = ["{HUB}"]
        categories = ["messages"]
        url = "http://{address}/"
        "#
    )
}
