//! Components in the path of messages: what their verdicts do for clients, in all modes.

use http::Method;
use hubgate_tests::client::HANDSHAKE;
use hubgate_tests::command::hubgate;
use hubgate_tests::gateway::Setup;
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::matrix::WAYS;
use hubgate_tests::script::Script;
use hubgate_tests::wait::until;
use hubgate_tests::{Client, Gateway, guests};
use hubgate_wire::service::{self, AnyText, BroadcastData, ConnectionData, ServiceMessage};
use serde_json::json;

/// The hub `probe`, with the filter that does what messages tell it.
fn filtered() -> Setup {
    Gateway::probe().plugin("filter", &guests::filter()).with(
        r#"
        server.shards = 2
        hubs.probe.filters = ["filter"]
        plugins.filter = { allow-http = ["http://127.0.0.1:1"] }
        "#,
    )
}

async fn client(gateway: &Gateway) -> Client {
    gateway.client("probe").connect().await
}

#[tokio::test]
async fn a_verdict_on_what_a_client_says_is_its_answer() {
    let gateway = filtered().start().await;
    let mut client = client(&gateway).await;
    assert_eq!(client.call("echo", json!(["fine"])).await, Ok(json!("fine")));
    assert_eq!(client.call("echo", json!(["in:reject"])).await, Err("The filter says no.".to_owned()));
    let dropped = "Failed to invoke 'echo': a filter of the hub dropped it.";
    assert_eq!(client.call("echo", json!(["in:drop"])).await, Err(dropped.to_owned()));
    client.notify("echo", json!(["in:drop"])).await;
    assert_eq!(client.call("echo", json!(["still there"])).await, Ok(json!("still there")));
    client.notify("echo", json!(["in:close"])).await;
    assert_eq!(client.end().await.error(), "The filter has had enough.");
    let verdict =
        |verdict| gateway.metric("hubgate_filter_verdicts_total", [("plugin", "filter"), ("verdict", verdict)]);
    assert_eq!((verdict("reject").await, verdict("drop").await, verdict("close").await), (1.0, 2.0, 1.0));
}

#[tokio::test]
async fn a_verdict_on_what_is_sent_holds_for_all_its_receivers() {
    let gateway = filtered().start().await;
    let (mut caller, mut other) = (client(&gateway).await, client(&gateway).await);
    assert_eq!(caller.call("say", json!(["out:drop"])).await, Ok(json!(null)));
    assert_eq!(caller.call("say", json!(["hello"])).await, Ok(json!(null)));
    assert_eq!(caller.event("said").await, json!(["hello"]));
    assert_eq!(other.event("said").await, json!(["hello"]));
    let error = "The result cannot be passed on: a filter of the hub dropped it.";
    assert_eq!(caller.call("echo", json!(["out:drop"])).await, Err(error.to_owned()));
    let id = caller.call("whoami", json!([])).await.expect("an answer")["connectionId"].clone();
    other.notify("sayToConnection", json!([id, "out:close"])).await;
    assert_eq!(caller.end().await.error(), "The filter has had enough.");
}

#[tokio::test]
async fn a_filter_knows_who_sends() {
    let gateway = filtered().start().await;
    let mut client = client(&gateway).await;
    client.notify("say", json!(["out:whence"])).await;
    assert_eq!(client.event("said").await, json!(["plugin probe", 1]));
    let message = json!({ "target": "said", "arguments": ["out:whence"] });
    let sent = gateway.rest(Method::POST, "/api/hubs/probe/:send?api-version=2022-06-01").json(&message).send().await;
    assert_eq!(sent.status, 202);
    assert_eq!(client.event("said").await, json!(["rest", 1]));
    client.notify("echo", json!(["in:tell"])).await;
    assert_eq!(client.event("seen").await, json!([null, "echo"]));
}

#[tokio::test]
async fn a_filter_that_fails_refuses_the_message_or_lets_it_pass_as_the_configuration_says() {
    let mut gateway = filtered().start().await;
    let mut client = client(&gateway).await;
    for mishap in ["in:trap", "in:nonsense"] {
        let error = client.call("echo", json!([mishap])).await.expect_err("the filter is closed");
        assert!(error.starts_with("Failed to invoke 'echo': a filter of the hub "), "{error}");
        gateway.logs(&["filter", "echo"]).await;
    }
    client.notify("say", json!(["out:trap"])).await;
    assert!(client.everything_so_far_by("echo").await.is_empty());
    gateway.reconfigure("plugins.filter.on-error = 'open'");
    gateway.logs(&["the configuration was reloaded", "plugins.filter.on-error"]).await;
    for mishap in ["in:trap", "in:nonsense", "trap"] {
        assert_eq!(client.call("echo", json!([mishap])).await, Ok(json!(mishap)), "an open filter lets it pass");
    }
    client.notify("say", json!(["out:trap"])).await;
    assert_eq!(client.event("said").await, json!(["out:trap"]));
}

#[tokio::test]
async fn a_filter_sees_the_methods_among_its_targets_alone() {
    let gateway = filtered().with("plugins.filter.targets = ['Echo']").start().await;
    let mut client = client(&gateway).await;
    assert_eq!(client.call("say", json!(["reject"])).await, Ok(json!(null)));
    assert_eq!(client.event("said").await, json!(["reject"]));
    assert_eq!(client.call("echo", json!(["in:reject"])).await, Err("The filter says no.".to_owned()));
    assert_eq!(gateway.plugin_status("filter").await["calls"], 1, "it saw the echo and nothing else");
}

#[tokio::test]
async fn filters_meet_a_message_in_the_order_of_the_configuration() {
    let chain = r#"
        hubs.probe.filters = ["filter", "second"]
        plugins.filter = { config = { mark = "first" } }
        plugins.second = { config = { mark = "second" }, allow-http = ["http://127.0.0.1:1"] }
    "#;
    let gateway = filtered().plugin("second", &guests::filter()).with(chain).start().await;
    let mut client = client(&gateway).await;
    client.notify("say", json!(["out:mark"])).await;
    assert_eq!(client.event("said").await, json!(["out:mark", "first", "second"]));
}

#[tokio::test]
async fn filters_change_while_clients_are_connected() {
    let mut gateway = filtered().with("hubs.probe.filters = []").start().await;
    let mut client = client(&gateway).await;
    assert_eq!(client.call("echo", json!(["in:reject"])).await, Ok(json!("in:reject")));
    gateway.reconfigure("hubs.probe.filters = ['filter']");
    gateway.logs(&["the configuration was reloaded", "hubs.probe.filters"]).await;
    assert_eq!(client.call("echo", json!(["in:reject"])).await, Err("The filter says no.".to_owned()));
    gateway.replace_plugin("filter", &guests::bytes(&guests::probe()));
    gateway.logs(&["the last good version goes on", "inbound-filter"]).await;
    assert_eq!(client.call("echo", json!(["in:reject"])).await, Err("The filter says no.".to_owned()));
    gateway.reconfigure("hubs.probe.filters = []");
    until("the filter is gone", async || client.call("echo", json!(["in:reject"])).await.ok()).await;
}

#[tokio::test]
async fn a_filter_that_loops_is_stopped_by_its_budget_and_others_go_on() {
    let config = "server.shards = 1\nplugins.filter = { cpu-time = '200ms', call-time = '60s' }";
    let gateway = filtered().with(config).start().await;
    let (mut caller, mut other) = (client(&gateway).await, client(&gateway).await);
    let id = caller.start_call("echo", json!(["in:spin"])).await;
    for number in 0..20 {
        assert_eq!(other.call("echo", json!([number])).await, Ok(json!(number)));
    }
    let completion = caller.completion(&id).await;
    assert!(completion["error"].as_str().is_some_and(|error| error.contains("processor time")), "{completion}");
    let exceeded =
        |budget| gateway.metric("hubgate_plugin_budget_exceeded_total", [("plugin", "filter"), ("budget", budget)]);
    assert_eq!(exceeded("cpu-time").await, 1.0);
    let error = caller.call("echo", json!(["in:chatter"])).await.expect_err("it calls the host for ever");
    assert!(error.contains("broke off"), "{error}");
    assert_eq!(exceeded("host-calls").await, 1.0);
}

#[tokio::test]
async fn a_plugin_reaches_by_http_what_it_is_allowed_to_and_nothing_else() {
    let web = Gateway::serve().start().await;
    let (page, admin) = (format!("{}/healthz", web.url()), format!("http://{}/healthz", web.ready().admin));
    for (allowed, url, expected) in [
        (web.url(), page.clone(), "200 ".to_owned()),
        (web.url(), format!("{}/nothing-here", web.url()), "404 ".to_owned()),
        (web.url(), admin.clone(), format!("Error::Denied(\"plugins.filter.allow-http does not list {}", &admin[..17])),
        (web.url(), page.replace("http://", "http://user@"), "Error::Denied(\"plugins.filter".to_owned()),
        // An address in a form that only the system reads as one.
        (web.url().replace("127.0.0.1", "127.1"), page.replace("127.0.0.1", "127.1"), "Error::Denied(\"".to_owned()),
        (web.url().replace("127.0.0.1", "localhost"), page.replace("127.0.0.1", "localhost"), "200 ".to_owned()),
        ("http://127.0.0.1:1".to_owned(), "http://127.0.0.1:1/".to_owned(), "Error::Failed(\"".to_owned()),
        (web.url(), "no url".to_owned(), "Error::Failed(\"it is not a URL\")".to_owned()),
    ] {
        let config = format!("plugins.filter = {{ allow-http = ['{allowed}'], config = {{ url = '{url}' }} }}");
        let gateway = filtered().with(&config).start().await;
        let mut client = client(&gateway).await;
        client.notify("say", json!(["out:fetch"])).await;
        let said = client.event("said").await;
        assert_eq!(said[0], "fetched");
        assert!(said[1].as_str().is_some_and(|said| said.starts_with(&expected)), "{url}: {said}, not {expected}");
        if expected.starts_with("Error::Denied") {
            gateway.logs(&["a request is denied", "filter"]).await;
        }
    }
}

#[tokio::test]
async fn a_component_that_wants_http_does_not_serve_without_a_grant() {
    let (_folder, config) = filtered().with("plugins.filter.allow-http = []").written();
    let refused =
        hubgate(["serve", "--strict", "--config", config.to_str().expect("a path"), "--listen", "127.0.0.1:0"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("plugins.filter.allow-http"), "{}", refused.stderr);
}

/// A client of hub `chat` in default mode and the hub server that it was given, by hand.
async fn proxied(gateway: &Gateway) -> (Client, HubServer, String) {
    let mut server = HubServer::connect(gateway, "chat", "one").await;
    let mut client = gateway.client("chat").open().await;
    client.send_text(HANDSHAKE).await;
    let id = server.told_of_client().await;
    server.next().await;
    says(&mut server, &id, "{}\u{1e}").await;
    assert_eq!(client.message().await, json!({}));
    (client, server, id)
}

async fn says(server: &mut HubServer, client: &str, text: &str) {
    let data = ConnectionData {
        connection_id: AnyText(client.as_bytes()),
        payload: text.as_bytes(),
        ..ConnectionData::default()
    };
    server.send(&ServiceMessage::ConnectionData(data)).await;
}

async fn heard(server: &mut HubServer) -> String {
    let body = server.next().await;
    match service::parse(&body).expect("a message") {
        ServiceMessage::ConnectionData(data) => String::from_utf8_lossy(data.payload).into_owned(),
        other => panic!("no data: {other:?}"),
    }
}

#[tokio::test]
async fn a_hub_server_is_behind_the_filters_in_default_and_in_classic_mode() {
    for mode in ["default", "classic"] {
        let config =
            format!("hubs.chat = {{ mode = '{mode}', filters = ['filter'], negotiate = {{ anonymous = true }} }}");
        let gateway = filtered().with(&config).start().await;
        let (mut client, mut server, id) = proxied(&gateway).await;
        assert_eq!(client.call("send", json!(["in:reject"])).await, Err("The filter says no.".to_owned()));
        let call = "{\"type\":1, \"target\":\"send\",\"arguments\":[ 1.0 ]}\u{1e}";
        client.send_text(call).await;
        assert_eq!(heard(&mut server).await, call, "what passes is untouched");
        let message = |text: &str| format!("{{\"type\":1,\"target\":\"told\",\"arguments\":[\"{text}\"]}}\u{1e}");
        for text in ["out:drop", "a"] {
            says(&mut server, &id, &message(text)).await;
        }
        for text in ["out:drop", "out:whence", "b"] {
            let (text, all) = (message(text), BroadcastData::default());
            let payloads = vec![("json", text.as_bytes())];
            server.send(&ServiceMessage::BroadcastData(BroadcastData { payloads, ..all })).await;
        }
        for told in [json!(["a"]), json!(["hub-server", 1]), json!(["b"])] {
            assert_eq!(client.event("told").await, told, "in {mode} mode");
        }
    }
}

#[tokio::test]
async fn a_filter_can_be_written_in_javascript() {
    let config = "hubs.probe.filters = ['js']";
    let gateway = Gateway::probe().plugin("js", &guests::filter_js()).with(config).start().await;
    let mut client = gateway.client("probe").user("ann").connect().await;
    assert_eq!(client.call("echo", json!(["no"])).await, Err("No, ann.".to_owned()));
    assert_eq!(client.call("say", json!(["loud"])).await, Ok(json!(null)));
    assert_eq!(client.event("said").await, json!(["LOUD"]));
}

#[tokio::test]
async fn redact_hides_what_matches_its_patterns() {
    let config = r#"
        hubs.probe.filters = ["redact"]
        plugins.redact.config = { patterns = "\\b\\d{4}-\\d{4}\\b\nsecret" }
    "#;
    let gateway = Gateway::probe().plugin("redact", &guests::ready_made("redact")).with(config).start().await;
    let mut client = client(&gateway).await;
    let card = json!([{ "card": "no. 1234-5678!", "n": 1234 }]);
    assert_eq!(client.call("echo", card).await, Ok(json!({ "card": "no. ***!", "n": 1234 })));
    let sent = json!({ "target": "said", "arguments": ["the secret", 1.5] });
    gateway.rest(Method::POST, "/api/hubs/probe/:send?api-version=2022-06-01").json(&sent).send().await;
    assert_eq!(client.event("said").await, json!(["the ***", 1.5]));
}

#[tokio::test]
async fn rate_limit_counts_the_calls_of_each_user_on_all_shards() {
    let config = r#"
        server.shards = 2
        hubs.probe.filters = ["rate-limit"]
        plugins.rate-limit.config = { limits = "echo 3/1h\n* 5/1h" }
    "#;
    let gateway = Gateway::probe().plugin("rate-limit", &guests::ready_made("rate-limit")).with(config).start().await;
    let connect = async |user: &str| gateway.client("probe").user(user).connect().await;
    let mut clients = [connect("ann").await, connect("ann").await];
    for number in 0..3 {
        assert_eq!(clients[number % 2].call("echo", json!([number])).await, Ok(json!(number)));
    }
    let refused = "Too many calls: the limit is echo 3/1h.";
    assert_eq!(clients[1].call("ECHO", json!([3])).await, Err(refused.to_owned()));
    assert_eq!(clients[0].call("version", json!([])).await, Ok(json!("1")));
    assert_eq!(clients[0].call("version", json!([])).await, Ok(json!("1")));
    let refused = "Too many calls: the limit is * 5/1h.";
    assert_eq!(clients[1].call("version", json!([])).await, Err(refused.to_owned()));
    assert_eq!(connect("bob").await.call("echo", json!([1])).await, Ok(json!(1)));
}

/// The hub `probe` behind a filter that waits for each call: it counts them.
fn counted() -> Setup {
    let config = r#"
        server.shards = 2
        hubs.probe.filters = ["rate-limit"]
        plugins.rate-limit.config = { limits = "* 1000/h" }
    "#;
    Gateway::probe().plugin("rate-limit", &guests::ready_made("rate-limit")).with(config)
}

/// Waits until upstream has heard of so many clients' ends, each behind what it said.
async fn all_have_left(gateway: &Gateway, ends: usize, calls: usize) {
    // One call more for each client: `connected`.
    let expected = (2 * ends + calls) as f64;
    let heard = async || {
        let heard = gateway.metric("hubgate_plugin_calls_total", [("plugin", "probe"), ("outcome", "ok")]).await;
        (heard >= expected).then_some(())
    };
    until("upstream to hear all", heard).await;
}

#[tokio::test]
async fn what_a_client_says_right_before_it_leaves_is_not_lost_while_filters_look_at_it() {
    let gateway = counted().start().await;
    const CLIENTS: usize = 10;
    for _ in 0..CLIENTS {
        let mut client = client(&gateway).await;
        let call = b"{\"type\":1,\"target\":\"count\",\"arguments\":[\"last words\"]}\x1e";
        // Frames with a mask that changes nothing; the close frame is in the same segment.
        let frame = [&[0x81, 0x80 | call.len() as u8, 0, 0, 0, 0][..], call].concat();
        client.send_bytes(&[frame.repeat(3), vec![0x88, 0x80, 0, 0, 0, 0]].concat()).await;
    }
    all_have_left(&gateway, CLIENTS, 3 * CLIENTS).await;
    let counted = client(&gateway).await.call("count", json!(["last words"])).await;
    assert_eq!(counted, Ok(json!(3 * CLIENTS + 1)));
}

#[tokio::test]
async fn real_clients_lose_nothing_that_they_send_before_they_stop() {
    for (transport, protocol) in WAYS {
        let gateway = counted().with("hubs.probe.negotiate = { anonymous = true }").start().await;
        let scenario = "a send and a stop right behind it";
        let arguments = ["@microsoft/signalr", scenario, &gateway.url(), transport, protocol];
        Script::start("scenarios.mjs", &arguments).succeeds().await;
        all_have_left(&gateway, 1, 3).await;
        let counted = client(&gateway).await.call("count", json!(["last words"])).await;
        assert_eq!(counted, Ok(json!(4)), "{transport} {protocol}");
    }
}

#[tokio::test]
async fn what_a_management_connection_sends_right_before_it_leaves_is_not_lost_while_filters_look_at_it() {
    let config = "plugins.filter = { config = { url = 'http://127.0.0.1:1/' } }";
    let gateway = filtered().with(config).start().await;
    let mut client = client(&gateway).await;
    let mut server = HubServer::open(&gateway, "probe", "m").await;
    server.shake_hands(2).await;
    let mut bytes = Vec::new();
    for text in ["out:fetch", "a", "out:fetch", "b"] {
        let message = format!("{{\"type\":1,\"target\":\"told\",\"arguments\":[\"{text}\"]}}\u{1e}");
        let (payloads, all) = (vec![("json", message.as_bytes())], BroadcastData::default());
        service::write(&ServiceMessage::BroadcastData(BroadcastData { payloads, ..all }), &mut bytes);
    }
    server.send_and_leave(&bytes).await;
    for told in ["fetched", "a", "fetched", "b"] {
        assert_eq!(client.event("told").await[0], told);
    }
}

#[tokio::test]
async fn arguments_that_filters_cannot_read_do_not_pass_them_by() {
    let config = "hubs.chat = { mode = 'default', filters = ['filter'], negotiate = { anonymous = true } }";
    let gateway = filtered().with(config).start().await;
    let mut server = HubServer::connect(&gateway, "chat", "one").await;
    let mut client = gateway.client("chat").open().await;
    client.send_text("{\"protocol\":\"messagepack\",\"version\":1}\u{1e}").await;
    let id = server.told_of_client().await;
    server.next().await;
    says(&mut server, &id, "{}\u{1e}").await;
    client.next_bytes().await;
    // A call `7` of `m` whose only argument is an array in an array, 70 deep.
    let body = [&[0x95, 1, 0x80, 0xa1, b'7', 0xa1, b'm', 0x91][..], &[0x91; 70], &[0x90]].concat();
    client.send_binary(&[&[body.len() as u8][..], &body].concat()).await;
    let answer = client.next_bytes().await;
    let error = b"Reading array length for 'arguments' failed.";
    assert!(answer.windows(error.len()).any(|part| part == error), "{answer:x?}");
    // What is behind it does get through, and nothing else has.
    client.send_binary(&[2, 0x91, 6]).await;
    assert_eq!(heard(&mut server).await.as_bytes(), b"\x02\xef\xbf\xbd\x06");
}

#[tokio::test]
async fn a_message_of_which_filters_and_the_hub_server_could_read_different_parts_ends_its_client() {
    let config = "hubs.chat = { mode = 'default', filters = ['filter'], negotiate = { anonymous = true } }";
    let gateway = filtered().with(config).start().await;
    let mut server = HubServer::connect(&gateway, "chat", "one").await;
    for message in [
        // .NET takes the arguments before the target.
        r#"{"type":1,"arguments":["in:reject"],"target":"send","arguments":["fine"]}"#,
        r#"{"type":1,"arguments":["in:reject"],"target":"send","\u0061rguments":["fine"]}"#,
        r#"{"type":2,"item":"in:reject","invocationId":"1","item":"fine"}"#,
        r#"{"type":3,"result":"in:reject","invocationId":"1","result":"fine"}"#,
    ] {
        let (mut client, id) = server.let_in(gateway.client("chat").open().await).await;
        client.send_text(&format!("{message}\u{1e}")).await;
        let end = client.end().await;
        assert_eq!((end.error(), end.allows_reconnect()), ("Connection closed with an error.", true), "{message}");
        let body = server.next().await;
        let left = service::parse(&body).expect("a message");
        assert!(matches!(&left, ServiceMessage::CloseConnection(close) if close.connection_id == id), "{left:?}");
    }
}

#[tokio::test]
async fn json_schema_refuses_arguments_that_do_not_fit() {
    let config = r#"
        hubs.probe.filters = ["json-schema"]
        [plugins.json-schema.config]
        others = "reject"
        schemas = '{ "Echo": { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": 1 } }'
    "#;
    let gateway = Gateway::probe().plugin("json-schema", &guests::ready_made("json-schema")).with(config).start().await;
    let mut client = client(&gateway).await;
    assert_eq!(client.call("echo", json!(["text"])).await, Ok(json!("text")));
    let error = client.call("echo", json!([1])).await.expect_err("it does not fit");
    assert_eq!(error, "Wrong arguments: 1 is not of type \"string\" (at /0)");
    let error = client.call("version", json!([])).await.expect_err("it has no schema");
    assert_eq!(error, "'version' is not a method that may be called.");
}

#[tokio::test]
async fn what_plugins_keep_is_there_after_a_crash() {
    let mut gateway = Gateway::probe().start().await;
    let mut client = client(&gateway).await;
    for number in 1..=100 {
        assert_eq!(client.call("count", json!(["k"])).await, Ok(json!(number)));
    }
    gateway.crash_and_restart().await;
    let mut client = self::client(&gateway).await;
    assert_eq!(client.call("count", json!(["k"])).await, Ok(json!(101)));
    gateway.restart().await;
    let mut client = self::client(&gateway).await;
    assert_eq!(client.call("count", json!(["k"])).await, Ok(json!(102)));
}

#[tokio::test]
async fn two_gateways_do_not_share_a_data_folder() {
    let first = Gateway::probe().start().await;
    let folder = first.folder().join("data");
    let (_folder, config) = Gateway::probe().with(&format!("server.data-dir = '{}'", folder.display())).written();
    let refused = hubgate(["serve", "--config", config.to_str().expect("a path"), "--listen", "127.0.0.1:0"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("server.data-dir"), "{}", refused.stderr);
    // The first one goes on.
    client(&first).await;
}
