//! Stateful reconnect: the rig's checks, and JavaScript clients of a hub server whose WebSockets are cut.

use http::Method;
use hubgate_tests::Gateway;
use hubgate_tests::cutting_proxy::CuttingProxy;
use hubgate_tests::dotnet::{self, HubServer};
use hubgate_tests::fuzz::Random;
use hubgate_tests::gateway::Setup;
use hubgate_tests::matrix::did;
use hubgate_tests::script::Script;
use serde_json::json;

/// The gateway waits for a client for a shorter time than it would, because one of the checks waits for the end of that.
fn gateway(mode: &str) -> Setup {
    Gateway::serve().with(&format!("server = {{ shards = 2, timeouts.reconnect = '8s' }}\nhubs.'*'.mode = '{mode}'"))
}

/// How many checks there are for a mode.
const CHECKS: [(&str, usize); 3] = [("default", 26), ("classic", 26), ("serverless", 4)];
const ARGUMENTS: [&str; 4] = ["--with", "reconnect", "--filter", "reconnect.*"];

#[tokio::test]
async fn the_checks_pass_in_default_and_in_serverless_mode() {
    for (mode, checks) in [CHECKS[0], CHECKS[2]] {
        let gateway = gateway(mode).start().await;
        if let Some(passed) = dotnet::suite(&gateway, &[&[mode], &ARGUMENTS[..]].concat()).await {
            assert_eq!(passed, checks, "{mode}");
        }
    }
}

#[tokio::test]
#[ignore = "takes twenty minutes: scripts/reconnect.sh"]
async fn the_checks_pass_with_all_versions_of_the_client_and_both_protocols() {
    let mut failed = Vec::new();
    for (mode, checks) in CHECKS {
        let gateway = gateway(mode).start().await;
        let connection = ["suite", mode, "--connection-string", &gateway.ready().connection_string];
        for (version, protocol) in
            ["8", "9", "10", "11"].into_iter().flat_map(|version| [(version, "json"), (version, "messagepack")])
        {
            let client = ["--client-version", version, "--protocol", protocol];
            let ran = dotnet::run(&[&connection[..], &ARGUMENTS, &client].concat()).await;
            let (_, printed) = ran.expect("HUBGATE_DOTNET_RIG names the rig");
            let last = printed.lines().last().unwrap_or_default();
            println!("{mode}, client {version}, {protocol}: {last}");
            if last != format!("{checks} passed, 0 failed, 0 skipped") {
                failed.push(format!("{mode}, client {version}, {protocol}:\n{printed}"));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn javascript_clients_of_a_hub_server_miss_and_double_nothing() {
    if !dotnet::is_at_hand() {
        return;
    }
    let cuts = std::env::var("HUBGATE_CUTS").map_or(6, |cuts| cuts.parse().expect("HUBGATE_CUTS is a number"));
    for protocol in ["json", "messagepack"] {
        let gateway = gateway("default").start().await;
        let proxy = CuttingProxy::before(gateway.address()).await;
        let connection = format!("{}ClientEndpoint={};", gateway.ready().connection_string, proxy.url());
        // Hub servers of a hub answer calls beside each other unless they are told not to.
        let server = HubServer::with(&connection, "one", &["--stateful-reconnect", "--parallel-calls", "1"]).await;
        let url = format!("{}/chat?user=ann", server.url());
        let mut script = Script::start("reconnect.mjs", &["dotnet", protocol, &url, &url, ""]);
        script.says("connected").await;
        proxy.cut_again_and_again(2, cuts, &mut Random::new(3)).await;
        let enough = json!({ "target": "enough", "arguments": [] });
        let sent = gateway.rest(Method::POST, "/api/v1/hubs/chat").json(&enough).send().await;
        assert_eq!(sent.status, 202);
        script.succeeds().await;
        let resumed = gateway.metric("hubgate_client_resumes_total", [("hub", "chat"), ("outcome", "resumed")]).await;
        assert_eq!(resumed, 2.0 * cuts as f64);
        did(
            "`@microsoft/signalr` 10.0.11, Node.js, through a hub server",
            "WebSockets",
            protocol,
            "stateful reconnect",
        );
    }
}
