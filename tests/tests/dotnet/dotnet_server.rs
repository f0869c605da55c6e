//! Hubs in default mode, served by real ASP.NET Core applications with the Azure SignalR SDK.

use hubgate_tests::client::{Client, Received};
use hubgate_tests::dotnet::{self, HubServer};
use hubgate_tests::matrix::{WAYS, did};
use hubgate_tests::script::Script;
use hubgate_tests::{Gateway, guests};
use serde_json::json;

/// What clients ask of hub servers, whatever they are connected by.
const OF_CLIENTS: &str = "connect.*,call.*,send.*,group.*,stream.*,result.*,life.*,transport.*,pack.*";

async fn gateway() -> Gateway {
    // Some checks post more than clients may by default.
    Gateway::serve().with("server.limits.post = '16MiB'").start().await
}

#[tokio::test]
async fn the_checks_of_default_mode_pass() {
    if let Some(passed) = dotnet::suite(&gateway().await, &["default"]).await {
        assert_eq!(passed, 170);
    }
}

#[tokio::test]
async fn the_checks_of_classic_mode_pass_with_four_shards() {
    let config = "server.limits.post = '16MiB'\nserver.shards = 4\nhubs.'*'.mode = 'classic'";
    let gateway = Gateway::serve().with(config).start().await;
    if let Some(passed) = dotnet::suite(&gateway, &["classic"]).await {
        assert_eq!(passed, 170);
    }
}

#[tokio::test]
async fn the_checks_of_refreshed_tokens_pass() {
    let arguments = ["default", "--with", "refresh", "--filter", "refresh.*"];
    if let Some(passed) = dotnet::suite(&gateway().await, &arguments).await {
        assert_eq!(passed, 6);
    }
}

#[tokio::test]
async fn they_pass_on_server_sent_events() {
    // Without those that pass on no hub by this transport: they break TCP connections, or are about WebSockets or bytes.
    let not_these = "result.disconnect-while-waiting,result.across-servers-disconnect,life.client-crash,\
                     life.reconnect-after-cut,transport.text-frames,transport.all-meet,pack.*";
    let arguments = ["default", "--transport", "sse", "--filter", OF_CLIENTS, "--skip", not_these];
    if let Some(passed) = dotnet::suite(&gateway().await, &arguments).await {
        assert!(passed > 90, "{passed}");
    }
}

#[tokio::test]
async fn they_pass_on_long_polling() {
    let not_these = "result.disconnect-while-waiting,result.across-servers-disconnect,life.client-crash,\
                     life.reconnect-after-cut,life.silent-client-dropped,transport.text-frames,pack.reconnect";
    let arguments = ["default", "--transport", "lp", "--filter", OF_CLIENTS, "--skip", not_these];
    if let Some(passed) = dotnet::suite(&gateway().await, &arguments).await {
        assert!(passed > 100, "{passed}");
    }
}

#[tokio::test]
async fn they_pass_in_messagepack() {
    // Without those in which the rig's own encoding of a description stands in the way, or that are about JSON.
    let not_these = "connect.same-id-both-sides,connect.user-id,connect.anonymous,connect.claims,\
                     connect.colliding-claims,connect.path,connect.bearer-not-forwarded,connect.query,connect.headers,\
                     call.json-any,transport.text-frames";
    let arguments = ["default", "--protocol", "messagepack", "--filter", OF_CLIENTS, "--skip", not_these];
    if let Some(passed) = dotnet::suite(&gateway().await, &arguments).await {
        assert!(passed > 100, "{passed}");
    }
}

#[tokio::test]
async fn javascript_clients_do_all_that_a_hub_offers() {
    if !dotnet::is_at_hand() {
        return;
    }
    let gateway = gateway().await;
    let server = HubServer::start(&gateway, "one", &[]).await;
    for (package, client) in [
        ("@microsoft/signalr", "`@microsoft/signalr` 10.0.11, Node.js"),
        ("signalr-7", "`@microsoft/signalr` 7.0.14, Node.js"),
    ] {
        for (transport, protocol) in WAYS {
            for scenario in ["calls and errors", "streams both ways", "groups", "client results"] {
                let arguments = [package, scenario, server.url(), transport, protocol];
                Script::start("hub_server.mjs", &arguments).succeeds().await;
                did(&format!("{client}, through a hub server"), transport, protocol, scenario);
            }
        }
    }
}

#[tokio::test]
async fn filters_are_in_the_path_between_clients_and_a_hub_server() {
    if !dotnet::is_at_hand() {
        return;
    }
    let config = r#"
        server.shards = 2
        hubs.chat.filters = ["redact", "filter"]
        plugins.redact.config = { patterns = "\\d{4}-\\d{4}" }
        plugins.filter.allow-http = ["http://127.0.0.1:1"]
    "#;
    let filters = Gateway::serve()
        .plugin("redact", &guests::ready_made("redact"))
        .plugin("filter", &guests::filter())
        .with(config);
    let gateway = filters.start().await;
    let server = HubServer::start(&gateway, "one", &[]).await;
    for (transport, protocol) in WAYS {
        let arguments = ["@microsoft/signalr", "filters in the path", server.url(), transport, protocol];
        Script::start("hub_server.mjs", &arguments).succeeds().await;
    }
}

#[tokio::test]
async fn they_pass_with_filters_that_let_everything_pass() {
    let filters = Gateway::serve().plugin("one", &guests::ready_made("redact")).plugin("two", &guests::filter()).with(
        "server.limits.post = '16MiB'\nserver.shards = 2\nhubs.'*'.filters = ['one', 'two']\n\
         plugins.one.config.patterns = 'nobody says this'\nplugins.two.allow-http = ['http://127.0.0.1:1']",
    );
    if let Some(passed) = dotnet::suite(&filters.start().await, &["default", "--filter", OF_CLIENTS]).await {
        assert!(passed > 120, "{passed}");
    }
}

#[tokio::test]
async fn a_javascript_client_comes_back_when_its_application_has_restarted() {
    if !dotnet::is_at_hand() {
        return;
    }
    let gateway = gateway().await;
    let server = HubServer::start(&gateway, "one", &[]).await;
    let url = server.url().to_owned();
    let arguments = ["@microsoft/signalr", "automatic reconnect", &url, "WebSockets", "json"];
    let mut client = Script::start("hub_server.mjs", &arguments);
    client.says("connected").await;
    server.crash().await;
    client.says("reconnecting").await;
    let _server = HubServer::start(&gateway, "two", &["--urls", &url]).await;
    client.succeeds().await;
}

/// Clients on each of two servers, which are told by their tags.
async fn clients_of_both(gateway: &Gateway, servers: &[HubServer; 2]) -> [Vec<Client>; 2] {
    let mut clients = [Vec::new(), Vec::new()];
    for index in 0..12 {
        let mut client = servers[index % 2].client(gateway, "ann").await.connect().await;
        let tag = client.call("WhereAmI", json!([])).await.expect("the hub answers");
        clients[usize::from(tag == "two")].push(client);
    }
    assert!(!clients[0].is_empty() && !clients[1].is_empty(), "both servers have clients");
    clients
}

#[tokio::test]
async fn the_crash_of_one_of_two_servers_drops_its_clients_alone() {
    if !dotnet::is_at_hand() {
        return;
    }
    let gateway = gateway().await;
    let servers = [HubServer::start(&gateway, "one", &[]).await, HubServer::start(&gateway, "two", &[]).await];
    let [of_one, of_two] = clients_of_both(&gateway, &servers).await;
    let [one, two] = servers;
    one.crash().await;
    for mut client in of_one {
        let end = client.end().await;
        assert_eq!(end.error(), "Connection closed with an error.");
        assert!(end.allows_reconnect());
    }
    for mut client in of_two {
        assert_eq!(client.call("WhereAmI", json!([])).await, Ok(json!("two")));
    }
    let mut back = two.client(&gateway, "ann").await.connect().await;
    assert_eq!(back.call("WhereAmI", json!([])).await, Ok(json!("two")));
}

#[tokio::test]
async fn a_server_that_stops_with_migration_drops_none_of_its_clients() {
    if !dotnet::is_at_hand() {
        return;
    }
    let gateway = gateway().await;
    let migrating = ["--shutdown", "MigrateClients", "--shutdown-timeout", "20"];
    let servers =
        [HubServer::start(&gateway, "one", &migrating).await, HubServer::start(&gateway, "two", &migrating).await];
    let [mut of_one, mut of_two] = clients_of_both(&gateway, &servers).await;
    for client in &mut of_one {
        client.call("JoinGroup", json!(["moved"])).await.expect("it joins");
    }
    let [one, _two] = servers;
    let mut slow = Vec::new();
    for client in &mut of_one {
        slow.push(client.start_call("Slow", json!([300])).await);
    }
    one.stop().await;
    for (client, id) in of_one.iter_mut().zip(&slow) {
        assert_eq!(client.completion(id).await["result"], "slow 300", "what it was asked before is answered");
        assert_eq!(client.call("WhereAmI", json!([])).await, Ok(json!("two")), "it has moved");
    }
    of_two[0].call("SendGroup", json!(["moved", "news", "hi"])).await.expect("the hub sends");
    for client in &mut of_one {
        assert_eq!(client.event("news").await, json!(["hi"]), "its groups are kept");
    }
}

#[tokio::test]
async fn no_echo_and_no_broadcast_is_lost_doubled_or_out_of_order() {
    const CLIENTS: usize = 10;
    const ECHOES: u64 = 10_000;
    /// How far a client's calls run ahead of their answers.
    const AHEAD: u64 = 100;
    if !dotnet::is_at_hand() {
        return;
    }
    let gateway = gateway().await;
    let server = HubServer::start(&gateway, "one", &[]).await;
    let mut caller = server.client(&gateway, "caller").await.connect().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let mut client = server.client(&gateway, "ann").await.connect().await;
        client.call("JoinGroup", json!(["all"])).await.expect("it joins");
        tasks.spawn(async move {
            let (mut sent, mut echoed, mut pushed) = (0, 0, 0);
            while echoed < ECHOES || pushed < ECHOES {
                while sent < ECHOES && sent < echoed + AHEAD {
                    let id = format!("e{sent}");
                    let echo =
                        json!({ "type": 1, "invocationId": id, "target": "Echo", "arguments": [sent.to_string()] });
                    client.send(echo).await;
                    sent += 1;
                }
                let Received::Message(message) = client.next("an echo or a push").await else {
                    panic!("client {number}'s connection ended");
                };
                if message["type"] == 3 {
                    assert_eq!(message["invocationId"], format!("e{echoed}"), "client {number}: {message}");
                    assert_eq!(message["result"], echoed.to_string());
                    echoed += 1;
                } else if message["type"] == 1 {
                    assert_eq!(message["arguments"], json!([pushed]), "client {number}");
                    pushed += 1;
                }
            }
            assert_eq!((sent, echoed, pushed), (ECHOES, ECHOES, ECHOES));
            // Nothing more comes: the next message is the answer to one more call.
            let last = client.everything_so_far_by("Echo").await;
            assert!(last.iter().all(|message| message["type"] == 6), "client {number}: {last:?}");
        });
    }
    caller.notify("PushNumbersToGroup", json!(["all", "number", ECHOES])).await;
    while let Some(finished) = tasks.join_next().await {
        finished.expect("a client got everything in order");
    }
}
