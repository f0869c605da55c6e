//! The .NET client and management calls of the .NET test rig, where `HUBGATE_DOTNET_RIG` names its program.

use hubgate_tests::Gateway;
use hubgate_tests::dotnet;
use hubgate_tests::matrix::did;
use serde_json::Value;

/// Transports as the rig calls them and as negotiation does, with hub protocols.
const WAYS: [(&str, &str, &str); 5] = [
    ("ws", "WebSockets", "json"),
    ("ws", "WebSockets", "messagepack"),
    ("sse", "ServerSentEvents", "json"),
    ("lp", "LongPolling", "json"),
    ("lp", "LongPolling", "messagepack"),
];

#[tokio::test]
async fn it_calls_and_is_answered_on_all_transports() {
    let gateway = Gateway::probe().start().await;
    for (transport, name, protocol) in WAYS {
        let arguments = [
            &["client", "--connection-string", &gateway.ready().connection_string, "--hub", "probe", "--user", "ann"][..],
            &["--transport", transport, "--protocol", protocol, "--invoke", "echo", "--args", "[\"hi\"]"],
        ];
        let Some((succeeded, printed)) = dotnet::run(&arguments.concat()).await else { return };
        assert!(succeeded, "{transport} {protocol}: {printed}");
        let events = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let result = events.filter(|event| event.to_string().contains("\"hi\"")).count();
        assert!(result > 0, "{transport} {protocol}: {printed}");
        did(".NET `HubConnection` 10.0.12", name, protocol, "a call with a result");
    }
}

#[tokio::test]
async fn it_answers_what_the_hub_asks_it() {
    let gateway = Gateway::probe_hub().start().await;
    for (transport, name, protocol) in WAYS {
        for version in ["8", "9", "10", "11"] {
            let arguments = [
                &["client", "--connection-string", &gateway.ready().connection_string, "--hub", "probe"][..],
                &["--transport", transport, "--protocol", protocol, "--client-version", version, "--answer", "ask=yes"],
                &["--invoke", "askMe", "--args", "[\"ask\", \"x\"]"],
            ];
            let Some((succeeded, printed)) = dotnet::run(&arguments.concat()).await else { return };
            assert!(succeeded, "{version} {transport} {protocol}: {printed}");
            let events = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let results: Vec<Value> = events.filter(|event| event.to_string().contains("\"result\"")).collect();
            assert!(
                results.iter().any(|event| event.to_string().contains("yes")),
                "{version} {transport} {protocol}: {printed}"
            );
        }
        did(".NET `HubConnection` 10.0.12", name, protocol, "client results");
    }
}

#[tokio::test]
async fn the_checks_of_serverless_mode_pass() {
    let gateway = Gateway::serve().with("hubs.'*'.mode = 'serverless'").start().await;
    if let Some(passed) = dotnet::suite(&gateway, &["serverless"]).await {
        assert_eq!(passed, 30);
    }
}
