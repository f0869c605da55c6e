//! What the unmodified `@microsoft/signalr` does in Node.js: `tests/clients/javascript/scenarios.mjs`.

use crate::matrix::WAYS;
use crate::script::Script;

/// Packages of `tests/clients/javascript`: the present version of the client and an old one, and what they are called.
pub const CLIENTS: [(&str, &str); 2] = [
    ("@microsoft/signalr", "`@microsoft/signalr` 10.0.11, Node.js"),
    ("signalr-7", "`@microsoft/signalr` 7.0.14, Node.js"),
];

/// A transport and a hub protocol.
pub type Way = (&'static str, &'static str);

/// A client that plays a scenario against what serves at a URL.
#[derive(Debug, Clone, Copy)]
pub struct Play<'a> {
    /// The base URL of a gateway, or of a proxy.
    pub url: &'a str,
    /// The client's package.
    pub package: &'a str,
    pub way: Way,
    /// Empty where the scenario needs none.
    pub token: &'a str,
}

impl Play<'_> {
    pub fn start(&self, scenario: &str) -> Script {
        let (transport, protocol) = self.way;
        Script::start("scenarios.mjs", &[self.package, scenario, self.url, transport, protocol, self.token])
    }
}

/// Every client in every way, with what the client is called.
pub fn clients_in_all_ways() -> impl Iterator<Item = (&'static str, &'static str, Way)> {
    CLIENTS.into_iter().flat_map(|(package, name)| WAYS.into_iter().map(move |way| (package, name, way)))
}
