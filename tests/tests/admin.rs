//! The admin listener: who may ask it, and what it says.

use hubgate_tests::command::repository;
use hubgate_tests::http::Request;
use hubgate_tests::wait::until;
use hubgate_tests::{Gateway, guests};
use serde_json::{Value, json};

const PATHS: [&str; 5] = ["/admin/plugins", "/admin/hubs", "/admin/hubs/probe", "/admin/keys", "/metrics"];

#[tokio::test]
async fn who_has_no_token_or_a_wrong_one_is_turned_away() {
    let gateway = Gateway::probe().start().await;
    for path in PATHS {
        assert_eq!(gateway.admin_request(path).send().await.status, 401, "{path}");
        assert_eq!(gateway.admin_request(path).bearer("wrong").send().await.status, 401, "{path}");
        let client = gateway.token("probe").sign();
        assert_eq!(gateway.admin_request(path).bearer(&client).send().await.status, 401, "{path}");
        let in_query = format!("{path}?access_token={0}&token={0}", gateway.ready().admin_token);
        assert_eq!(gateway.admin_request(&in_query).send().await.status, 401, "{path}");
    }
    assert_eq!(gateway.admin_request("/nothing/here").send().await.status, 401, "not even that is told");
}

#[tokio::test]
async fn a_foreign_host_is_forbidden_even_with_the_token() {
    let gateway = Gateway::probe().with("admin.hosts = ['ops.example.com']").start().await;
    let port = gateway.ready().admin.port();
    let ask = async |host: &str| {
        let request = gateway.admin_request("/admin/plugins").header("host", host);
        request.bearer(&gateway.ready().admin_token).send().await.status
    };
    for host in ["evil.example.com", &format!("evil.example.com:{port}"), "localhost.example.com", "127.0.0.1.nip.io"] {
        assert_eq!(ask(host).await, 403, "{host}");
    }
    for host in [
        &format!("127.0.0.1:{port}"),
        &format!("localhost:{port}"),
        &format!("LOCALHOST:{port}"),
        "ops.example.com",
        "ops.example.com:443",
    ] {
        assert_eq!(ask(host).await, 200, "{host}");
    }
    let without_token = gateway.admin_request("/admin/plugins").header("host", "evil.example.com");
    assert_eq!(without_token.send().await.status, 403);
}

#[tokio::test]
async fn the_listener_of_clients_knows_nothing_of_it() {
    let gateway = Gateway::probe().start().await;
    for path in PATHS {
        let request = gateway.request(http::Method::GET, path).bearer(&gateway.ready().admin_token);
        assert_eq!(request.send().await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn plugins_are_shown_with_what_became_of_them() {
    let gateway = Gateway::probe().start().await;
    let status = gateway.plugin_status("probe").await;
    assert!(status["generation"].is_u64(), "{status}");
    assert!(status["digest"].as_str().is_some_and(|digest| digest.len() >= 32), "{status}");
    assert!(status["state"].is_string() && status["loadedAt"].is_string(), "{status}");
    assert_eq!((&status["calls"], &status["traps"], &status["lastError"]), (&json!(0), &json!(0), &Value::Null));

    let mut client = gateway.client("probe").connect().await;
    client.call("echo", json!([1])).await.expect("it answers");
    client.call("trap", json!([])).await.expect_err("it traps");
    let now = gateway.plugin_status("probe").await;
    assert_eq!((&now["calls"], &now["traps"]), (&json!(3), &json!(1)), "connected, echo and trap");

    gateway.replace_plugin("probe", b"nonsense");
    let failed = async || Some(gateway.plugin_status("probe").await).filter(|now| now["lastError"].is_object());
    let now = until("the bad file to be seen", failed).await;
    assert!(now["lastError"]["reason"].is_string() && now["lastError"]["at"].is_string(), "{now}");
    assert_eq!(now["generation"], status["generation"]);
}

#[tokio::test]
async fn plugins_are_shown_with_their_hubs_their_limits_and_what_a_rollback_would_bring_back() {
    let config = "
        plugins.probe = { memory = '8MiB', call-time = '1500ms', concurrency = 3, timers = 5 }
        hubs.probe.negotiate = { plugin = 'probe' }
        upstream = [{ hubs = ['probe', 'news'], plugin = 'probe' }, { hubs = ['*'], plugin = 'probe' }]
    ";
    let gateway = Gateway::probe_hub().with(config).start().await;
    let status = gateway.plugin_status("probe").await;
    let hubs = json!({ "handler": ["*", "news", "probe"], "filter": [], "authorizer": ["probe"] });
    assert_eq!((&status["hubs"], &status["previous"]), (&hubs, &Value::Null));
    let limits = &status["limits"];
    assert_eq!((&limits["memoryBytes"], &limits["callSeconds"]), (&json!(8 << 20), &json!(1.5)));
    assert_eq!((&limits["concurrency"], &limits["timers"]), (&json!(3), &json!(5)));

    gateway.replace_plugin("probe", &guests::bytes(&guests::probe_hub_2()));
    let swapped = async || Some(gateway.plugin_status("probe").await).filter(|now| now["generation"] == 2);
    let now = until("the other version to serve", swapped).await;
    assert_eq!(now["previous"], status["digest"]);
}

#[tokio::test]
async fn hubs_are_shown_with_their_clients() {
    let gateway = Gateway::probe().with("server.shards = 4").start().await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(gateway.client("probe").connect().await);
    }
    let expected = json!({ "mode": "serverless", "clients": 5, "waitingClients": 0, "serverConnections": 0 });
    for name in ["probe", "PROBE"] {
        let mut hub = gateway.admin(&format!("/admin/hubs/{name}")).await;
        assert!(hub.as_object_mut().expect("a hub").remove("settings").is_some());
        assert_eq!(hub, expected, "hubs are the same in any case");
    }
    assert_eq!(gateway.admin("/admin/hubs").await["hubs"]["probe"], expected);
    for client in clients {
        client.leave().await;
    }
    until("the clients to be gone", async || (gateway.clients_of("probe").await == 0).then_some(())).await;
}

#[tokio::test]
async fn hubs_that_the_configuration_names_are_shown_before_anybody_uses_them() {
    let config = "
        hubs.orders.mode = 'classic'
        hubs.'*'.mode = 'serverless'
        upstream = [{ hubs = ['news', 'Orders'], url = 'http://127.0.0.1:9/' }, { hubs = ['*'], url = 'http://127.0.0.1:9/' }]
    ";
    let gateway = Gateway::serve().with(config).start().await;
    let unused = |mode: &str| json!({ "mode": mode, "clients": 0, "waitingClients": 0, "serverConnections": 0 });
    let expected = json!({ "hubs": { "news": unused("serverless"), "orders": unused("classic") } });
    assert_eq!(gateway.admin("/admin/hubs").await, expected);
}

#[tokio::test]
async fn metrics_have_the_names_that_are_promised() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").user("ann-the-user").connect().await;
    client.call("join", json!(["the-group"])).await.expect("it answers");
    let me = client.call("whoami", json!([])).await.expect("it answers");
    gateway.client("probe").connect().await.leave().await;
    gateway.client("probe").token("nonsense").negotiate("").await;
    gateway.replace_plugin("probe", b"nonsense");
    let seen = async || gateway.plugin_status("probe").await["lastError"].is_object().then_some(());
    until("the bad file to be seen", seen).await;

    assert_eq!(
        gateway.metric("hubgate_client_connections", [("hub", "probe"), ("transport", "WebSockets")]).await,
        1.0
    );
    assert_eq!(gateway.metric("hubgate_client_connections_closed_total", [("hub", "probe")]).await, 1.0);
    for direction in ["in", "out"] {
        let labels = [("hub", "probe"), ("direction", direction)];
        assert!(gateway.metric("hubgate_messages_total", labels).await >= 2.0, "{direction}");
        assert!(gateway.metric("hubgate_message_bytes_total", labels).await >= 20.0, "{direction}");
    }
    assert!(gateway.metric("hubgate_plugin_calls_total", [("plugin", "probe")]).await >= 4.0);
    assert!(gateway.metric("hubgate_plugin_call_seconds_count", [("plugin", "probe")]).await >= 4.0);
    let generation = gateway.plugin_status("probe").await["generation"].as_f64().expect("it is a number");
    assert_eq!(gateway.metric("hubgate_plugin_generation", [("plugin", "probe")]).await, generation);
    assert!(gateway.metric("hubgate_plugin_swaps_total", [("plugin", "probe")]).await >= 1.0);
    assert_eq!(gateway.metric("hubgate_requests_refused_total", [("reason", "token")]).await, 1.0);

    let answer = gateway.admin_request("/metrics").bearer(&gateway.ready().admin_token).send().await;
    assert!(answer.body.contains("hubgate_slow_clients_closed_total"), "{}", answer.body);
    let id = me["connectionId"].as_str().expect("it is text");
    for name in ["ann-the-user", "the-group", id] {
        assert!(!answer.body.contains(name), "labels never name a user, group or connection: {name}");
    }
}

#[tokio::test]
async fn metrics_may_be_open_and_nothing_else() {
    let gateway = Gateway::probe().with("admin.metrics-open = true").start().await;
    assert_eq!(gateway.admin_request("/metrics").send().await.status, 200);
    assert_eq!(gateway.admin_request("/metrics").header("host", "evil.example.com").send().await.status, 403);
    assert_eq!(gateway.admin_request("/admin/plugins").send().await.status, 401);
}

#[tokio::test]
async fn the_token_may_come_from_a_file() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "a-token-of-our-own\n").expect("the folder can be written");
    let gateway = Gateway::probe().with(&format!("admin.token-file = '{}'", file.display())).start().await;
    assert_eq!(gateway.ready().admin_token, "a-token-of-our-own");
    assert_eq!(gateway.admin_request("/admin/plugins").bearer("a-token-of-our-own").send().await.status, 200);
}

#[tokio::test]
async fn what_is_not_there_is_said_with_what_is() {
    let gateway = Gateway::probe().with("upstream = [{ hubs = ['named'], plugin = 'probe' }]").start().await;
    let ask = async |method: http::Method, path: &str| {
        Request::new(method, gateway.ready().admin, path).bearer(&gateway.ready().admin_token).send().await
    };
    let unknown = ask(http::Method::GET, "/admin/hubs/unknown").await;
    assert_eq!(unknown.status, 404, "{}", unknown.body);
    assert!(unknown.body.contains("does not name this hub"), "{}", unknown.body);
    for known in ["/admin/hubs/probe", "/admin/hubs/named"] {
        assert_eq!(ask(http::Method::GET, known).await.status, 200, "{known}");
    }
    let nothing = ask(http::Method::GET, "/admin/plugin").await;
    assert!(nothing.status == 404 && nothing.body.contains("/admin/plugins"), "{nothing:?}");
    for (method, path, allow) in
        [(http::Method::POST, "/admin/plugins", "GET"), (http::Method::GET, "/admin/plugins/probe/rollback", "POST")]
    {
        let answer = ask(method, path).await;
        assert_eq!((answer.status, answer.header("allow")), (405, allow), "{path}");
        assert!(answer.body.contains(allow), "{}", answer.body);
    }
}

#[tokio::test]
async fn counters_without_a_hub_or_plugin_are_there_from_the_start() {
    let page = std::fs::read_to_string(repository().join("docs/metrics.md")).expect("the page is there");
    let ticked = |text: &str| -> Vec<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let (_, refused) = page.split_once("## Why requests were refused").expect("the page says why");
    let (refused, _) = refused.split_once("\n## ").expect("another part follows");
    let rows = refused.lines().filter(|line| line.starts_with("| `")).skip(1);
    let first_cells = rows.map(|line| line.split(" | ").next());
    let reasons = first_cells.flatten().flat_map(ticked).collect();
    let meaning = |metric: &str| {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{metric}{{"))).expect(metric);
        ticked(row.split(" | ").nth(2).expect("a row has three cells"))
    };
    let gateway = Gateway::probe().start().await;
    let metrics = gateway.admin_request("/metrics").bearer(&gateway.ready().admin_token).send().await.body;
    for (metric, label, values) in [
        ("hubgate_requests_refused_total", "reason", reasons),
        ("hubgate_webhook_requests_total", "outcome", meaning("hubgate_webhook_requests_total")),
        ("hubgate_plugin_http_requests_total", "outcome", meaning("hubgate_plugin_http_requests_total")),
        ("hubgate_task_panics_total", "task", meaning("hubgate_task_panics_total")),
        ("hubgate_slow_peers_total", "limit", meaning("hubgate_slow_peers_total")),
    ] {
        assert!(values.len() > 3, "{metric}: {values:?}");
        for value in values {
            let line = format!("{metric}{{{label}=\"{value}\"}} 0");
            assert!(metrics.lines().any(|each| each == line), "no {line}");
        }
    }
}

#[tokio::test]
async fn a_hub_is_shown_with_what_the_configuration_says_of_it() {
    let settings = "hubs.probe.filters = ['filter']\nhubs.probe.cors-origins = ['https://app.example.com', 'http://localhost:*']\n\
                    hubs.probe.messages-per-second = 500\nplugins.filter = { allow-http = ['http://127.0.0.1:1'] }";
    let gateway = Gateway::probe().plugin("filter", &guests::filter()).with(settings).start().await;
    let hub = gateway.admin("/admin/hubs/probe").await;
    let settings = &hub["settings"];
    assert_eq!(
        settings["upstream"],
        json!([{ "plugin": "probe", "webhook": null, "categories": "*", "events": "*" }]),
        "{settings}"
    );
    assert_eq!(settings["filters"], json!([{ "plugin": "filter", "methods": null, "failing": "closed" }]));
    assert_eq!(settings["corsOrigins"], json!(["https://app.example.com", "http://localhost:*"]));
    assert_eq!(settings["messagesPerSecond"], 500);
    assert_eq!((&settings["signIn"]["by"], &settings["closesOnExpiry"]), (&json!("anybody"), &json!(false)));
    assert_eq!(hub["mode"], "serverless");
}

#[tokio::test]
async fn the_last_lines_about_a_plugin_are_shown_to_who_has_the_admin_token() {
    let gateway = Gateway::probe()
        .file("read-token", "a-token-that-may-only-read")
        .with("admin.read-token-file = 'read-token'")
        .start()
        .await;
    let path = "/admin/plugins/probe/log";
    assert_eq!(gateway.admin(path).await, json!({ "lines": [] }));
    let mut client = gateway.client("probe").connect().await;
    client.call("trap", json!([])).await.expect_err("it traps");
    let log = gateway.admin(path).await;
    let lines = log["lines"].as_array().expect("a list");
    let last = lines.last().expect("a line");
    assert_eq!(last["level"], "error", "{log}");
    assert!(last["text"].as_str().is_some_and(|text| text.contains("hub probe, trap:")), "{log}");
    assert!(last["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{log}");
    let read = gateway.admin_request(path).bearer("a-token-that-may-only-read").send().await;
    assert!(read.status == 403 && read.body.contains("what plugins log"), "{read:?}");
    assert_eq!(gateway.operate(http::Method::GET, "/admin/plugins/nobody/log").send().await.status, 404);
}
