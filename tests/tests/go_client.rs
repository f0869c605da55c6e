//! The unmodified SignalR client for Go.

use hubgate_tests::Gateway;
use hubgate_tests::matrix::did;
use hubgate_tests::script::Script;

const NAME: &str = "`github.com/philippseith/signalr` 0.7.0, Go";

/// It hands on what it receives on goroutines of their own, so that nothing can be said of order.
const SCENARIOS: [&str; 6] = [
    "connect and disconnect",
    "a call with a result",
    "a call with an error",
    "receiving from another client",
    "groups",
    "a token that is refused",
];

#[tokio::test]
async fn it_talks_on_its_transports_in_both_protocols() {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").user("ann").sign();
    for (transport, protocol) in [("WebSockets", "json"), ("WebSockets", "messagepack"), ("ServerSentEvents", "json")] {
        for scenario in SCENARIOS {
            Script::go(&[scenario, &gateway.url(), transport, protocol, &token]).succeeds().await;
            did(NAME, transport, protocol, scenario);
        }
    }
}
