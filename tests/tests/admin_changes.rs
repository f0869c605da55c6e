//! What operators change while the gateway runs: modes of hubs, components of plugins; and what they send.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use http::Method;
use hubgate_tests::Gateway;
use hubgate_tests::gateway::{KEY, Setup};
use hubgate_tests::guests;
use hubgate_tests::http::{Answer, escaped};
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::wait::{soon, until};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn set_mode(gateway: &Gateway, hub: &str, query: &str, mode: &str) -> Answer {
    let path = format!("/admin/hubs/{}{query}", escaped(hub));
    gateway.operate(Method::PUT, &path).json(&json!({ "mode": mode })).send().await
}

/// The same once nobody may be writing the configuration any more.
async fn set_mode_at_rest(gateway: &Gateway, hub: &str, query: &str, mode: &str) -> Answer {
    let is_at_rest = |told: &Answer| !told.body.contains(BEING_WRITTEN);
    let asked = async || Some(set_mode(gateway, hub, query, mode).await).filter(is_at_rest);
    until("the configuration to come to rest", asked).await
}

const BEING_WRITTEN: &str = "it is being written: try again";

fn config(gateway: &Gateway) -> String {
    fs::read_to_string(gateway.config_file()).expect("it is text")
}

async fn mode(gateway: &Gateway, hub: &str) -> Value {
    gateway.admin(&format!("/admin/hubs/{hub}")).await["mode"].clone()
}

#[tokio::test]
async fn a_dry_run_tells_how_many_clients_would_go_and_changes_nothing() {
    let gateway = Gateway::probe().with("server.limits.mode-switch-closes = 2").start().await;
    let before = config(&gateway);
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(gateway.client("probe").connect().await);
    }
    for (mode, closes, seconds) in [("default", 5, 3), ("classic", 0, 0), ("serverless", 0, 0)] {
        for query in ["?dry-run", "?dry-run=true"] {
            let told = set_mode(&gateway, "probe", query, mode).await.json();
            assert_eq!(told, json!({ "closes": closes, "seconds": seconds }), "{mode}");
        }
    }
    assert_eq!((config(&gateway), mode(&gateway, "probe").await), (before, json!("serverless")));
    for client in &mut clients {
        assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
    }
}

#[tokio::test]
async fn a_mode_is_written_where_it_stands_and_the_gateway_goes_by_it() {
    let gateway = Gateway::probe().start().await;
    let commented = format!("# of ours\n{}\n# the end\n", config(&gateway));
    fs::write(gateway.config_file(), &commented).expect("it is ours");
    let mut client = gateway.client("probe").connect().await;
    let told = set_mode_at_rest(&gateway, "PROBE", "", "default").await.json();
    assert_eq!(told, json!({ "closes": 1, "seconds": 1 }));
    assert_eq!(mode(&gateway, "probe").await, "default");
    assert!(client.end().await.allows_reconnect(), "it does not fit");
    let after = config(&gateway);
    assert!(after.starts_with("# of ours\n") && after.ends_with("# the end\n"), "{after}");
    let same = |text: &str| text.lines().filter(|line| !line.contains("mode")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(same(&after), same(&commented), "comments and order stay");
    let mut server = HubServer::connect(&gateway, "probe", "s1").await;
    let _served = server.let_in(gateway.client("probe").open().await).await;
}

#[tokio::test]
async fn a_hub_that_the_configuration_does_not_name_gets_an_entry_and_others_stay() {
    let gateway = Gateway::serve().with("hubs.'*'.mode = 'classic'\nhubs.other.mode = 'default'").start().await;
    let told = set_mode(&gateway, "My_Hub,1[x]`.", "", "serverless").await;
    assert_eq!(told.status, 200, "{}", told.body);
    let written: toml::Table = config(&gateway).parse().expect("it is TOML");
    assert_eq!(written["hubs"]["my_hub,1[x]`."]["mode"].as_str(), Some("serverless"), "{written}");
    assert_eq!(
        (mode(&gateway, "other").await, written["hubs"]["*"]["mode"].as_str()),
        (json!("default"), Some("classic"))
    );
    assert_eq!(set_mode(&gateway, "My_Hub,1[x]`.", "", "serverless").await.json()["closes"], 0, "it has it already");
}

#[tokio::test]
async fn a_mode_that_is_asked_for_wrongly_changes_nothing() {
    let gateway = Gateway::probe().with("server.limits.post = '4KiB'").start().await;
    let before = config(&gateway);
    let put = |path: &str| gateway.operate(Method::PUT, path);
    for (request, status) in [
        (put("/admin/hubs/probe").json(&json!({ "mode": "other" })), 400),
        (put("/admin/hubs/probe").json(&json!({ "mode": "classic", "more": 1 })), 400),
        (put("/admin/hubs/probe").json(&json!({})), 400),
        (put("/admin/hubs/probe").body("application/json", "{"), 400),
        (put("/admin/hubs/probe").body("text/plain", "{\"mode\":\"classic\"}"), 415),
        (put("/admin/hubs/probe?dry-run=maybe").json(&json!({ "mode": "classic" })), 400),
        (put("/admin/hubs/probe?dryrun").json(&json!({ "mode": "classic" })), 400),
        (put("/admin/hubs/1").json(&json!({ "mode": "classic" })), 404),
        (put("/admin/hubs/probe").body("application/json", vec![b' '; 5 << 10]), 413),
    ] {
        let answer = request.send().await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    assert_eq!((config(&gateway), mode(&gateway, "probe").await), (before, json!("serverless")));
}

/// What an operator is told who wants another mode; nothing has changed.
async fn stays(setup: Setup, spoil: impl FnOnce(&Path)) -> String {
    let gateway = setup.start().await;
    spoil(gateway.folder());
    let before = config(&gateway);
    let answer = set_mode_at_rest(&gateway, "probe", "", "classic").await;
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert_eq!((config(&gateway), mode(&gateway, "probe").await), (before, json!("serverless")));
    assert!(!answer.body.contains(KEY), "keys are secrets: {}", answer.body);
    answer.body
}

#[tokio::test]
async fn where_the_file_cannot_be_written_the_answer_says_where_to_change_what() {
    let read_only = |folder: &Path| {
        let file = folder.join("hubgate.toml");
        fs::set_permissions(file, PermissionsExt::from_mode(0o400)).expect("it is ours");
    };
    let told = stays(Gateway::probe(), read_only).await;
    assert!(told.contains("hubgate.toml cannot be written: it is read-only"), "{told}");
    assert!(told.contains("`hubs.probe.mode = \"classic\"`"), "{told}");

    let gateway = Gateway::probe().start().await;
    read_only(gateway.folder());
    let dry = set_mode_at_rest(&gateway, "probe", "?dry-run", "classic").await;
    assert!(dry.status == 409 && dry.body.contains("hubgate.toml"), "a dry run finds it out: {dry:?}");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_taken_over_keeps_its_modes() {
    let unreadable = |folder: &Path| fs::write(folder.join("hubgate.toml"), "[server").expect("it is ours");
    let told = stays(Gateway::probe(), unreadable).await;
    assert!(told.contains("is not TOML"), "{told}");
    let fixed = |folder: &Path| {
        let file = folder.join("hubgate.toml");
        let text = fs::read_to_string(&file).expect("it is text").replace("shards = 2", "shards = 1");
        fs::write(file, text).expect("it is ours");
    };
    let told = stays(Gateway::probe(), fixed).await;
    assert!(told.contains("server.shards cannot change"), "{told}");
}

#[tokio::test]
async fn what_somebody_is_writing_at_the_moment_is_not_written_over() {
    let gateway = Gateway::probe().start().await;
    // Valid so far, but not taken over, and of a time that is not long ago however long the test takes.
    let begun = config(&gateway).replace("shards = 2", "shards = 1");
    fs::write(gateway.config_file(), &begun).expect("it is ours");
    let later = SystemTime::now() + Duration::from_secs(3600);
    let file = fs::File::options().write(true).open(gateway.config_file()).expect("it is ours");
    file.set_modified(later).expect("it is ours");
    for query in ["?dry-run", ""] {
        let told = set_mode(&gateway, "probe", query, "classic").await;
        assert!(told.status == 409 && told.body.contains(BEING_WRITTEN), "{told:?}");
    }
    assert_eq!(config(&gateway), begun);
}

#[tokio::test]
async fn beside_dev_the_mode_stays_and_the_answer_says_why() {
    let gateway = Gateway::dev([]).start().await;
    let answer = set_mode(&gateway, "chat", "", "default").await;
    assert!(answer.status == 409 && answer.body.contains("hubgate dev"), "{answer:?}");
}

async fn swap(gateway: &Gateway, plugin: &str, component: impl Into<Vec<u8>>) -> Answer {
    let path = format!("/admin/plugins/{}/swap", escaped(plugin));
    gateway.operate(Method::POST, &path).body("application/wasm", component.into()).send().await
}

#[tokio::test]
async fn a_component_that_is_brought_serves_and_the_one_before_comes_back() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    assert_eq!(client.call("version", json!([])).await, Ok(json!("1")));
    let (one, two) = (guests::bytes(&guests::probe()), guests::bytes(&guests::probe_2()));
    let status = swap(&gateway, "probe", two.clone()).await.json();
    assert_eq!(
        (&status["name"], &status["generation"], &status["state"]),
        (&json!("probe"), &json!(2), &json!("serving"))
    );
    assert_eq!(client.call("version", json!([])).await, Ok(json!("2")), "nobody is disconnected");
    assert_eq!(fs::read(gateway.plugin_file("probe")).expect("it is there"), two);

    let back = gateway.operate(Method::POST, "/admin/plugins/probe/rollback").send().await;
    assert_eq!((back.status, client.call("version", json!([])).await), (200, Ok(json!("1"))));
    let again = swap(&gateway, "probe", two).await;
    assert!(again.status == 409 && again.body.contains("rolled back"), "{again:?}");
    assert_eq!(swap(&gateway, "probe", one.clone()).await.status, 200);
    assert_eq!(fs::read(gateway.plugin_file("probe")).expect("it is there"), one);
}

#[tokio::test]
async fn a_component_is_tried_without_a_change_where_that_is_asked_for() {
    let gateway = Gateway::probe().start().await;
    let before = fs::read(gateway.plugin_file("probe")).expect("it is there");
    let tried = async |query: &str, component: Vec<u8>| {
        let path = format!("/admin/plugins/probe/swap?{query}");
        gateway.operate(Method::POST, &path).body("application/wasm", component).send().await
    };
    let good = tried("dry-run", guests::bytes(&guests::probe_2())).await.json();
    assert!(
        good["wouldServe"] == true && good["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")),
        "{good}"
    );
    let bad = tried("dry-run=true", b"nonsense".to_vec()).await;
    assert!(bad.status == 422 && bad.body.contains("cannot be served"), "{bad:?}");
    assert_eq!(tried("dry-run=maybe", before.clone()).await.status, 400);
    assert_eq!(gateway.plugin_status("probe").await["generation"], 1);
    assert_eq!(fs::read(gateway.plugin_file("probe")).expect("it is there"), before);
}

/// The head of a request that swaps the component of `probe`, for a body of this length.
fn head_of_swap(gateway: &Gateway, length: usize, more: &str) -> String {
    let (address, token) = (gateway.ready().admin, &gateway.ready().admin_token);
    format!(
        "POST /admin/plugins/probe/swap HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/wasm\r\nContent-Length: {length}\r\n{more}\r\n"
    )
}

#[tokio::test]
async fn a_change_whose_caller_hangs_up_is_in_the_log() {
    let gateway = Gateway::probe().start().await;
    let two = guests::bytes(&guests::probe_2());
    let mut stream = TcpStream::connect(gateway.ready().admin).await.expect("it accepts");
    stream.write_all(head_of_swap(&gateway, two.len(), "").as_bytes()).await.expect("it reads");
    stream.write_all(&two).await.expect("it reads");
    drop(stream);
    gateway.logs(&["an operator's change", "swapPlugin", "status=200", "generation 2 serves"]).await;
}

#[tokio::test]
async fn one_component_is_swapped_at_a_time_and_another_one_is_refused_before_its_body_is_read() {
    let gateway = Gateway::probe().start().await;
    let mut first = TcpStream::connect(gateway.ready().admin).await.expect("it accepts");
    let head = head_of_swap(&gateway, 1_000, "Expect: 100-continue\r\n");
    first.write_all(head.as_bytes()).await.expect("it reads");
    let mut told = [0; 21];
    soon("the gateway to want the body", first.read_exact(&mut told)).await.expect("it answers");
    assert_eq!(&told, b"HTTP/1.1 100 Continue");
    let second = swap(&gateway, "probe", b"nonsense").await;
    assert!(second.status == 409 && second.body.contains("another swap is under way"), "{second:?}");
    drop(first);
    let next = async || Some(swap(&gateway, "probe", b"nonsense").await).filter(|answer| answer.status != 409);
    assert_eq!(until("the first one to be over", next).await.status, 422);
}

#[tokio::test]
async fn a_component_that_cannot_be_served_is_refused_and_the_old_one_goes_on() {
    let gateway = Gateway::probe().start().await;
    let file = gateway.plugin_file("probe");
    let before = fs::read(&file).expect("it is there");
    let truncated = &before[..before.len() / 2];
    for (component, why) in [
        (b"nonsense".to_vec(), "cannot be served"),
        (Vec::new(), "cannot be served"),
        (truncated.to_vec(), "cannot be served"),
        (guests::core_module(), "cannot be served"),
        (guests::bytes(&guests::filter()), "cannot be served"),
    ] {
        let answer = swap(&gateway, "probe", component).await;
        assert!(answer.status == 422 && answer.body.contains(why), "{answer:?}");
    }
    let path = "/admin/plugins/probe/swap";
    let other_type = gateway.operate(Method::POST, path).body("application/octet-stream", before.clone()).send().await;
    assert_eq!(other_type.status, 415);
    let nobody = swap(&gateway, "a/b", before.clone()).await;
    assert!(nobody.status == 404 && nobody.body.contains("no plugin of this name"), "{nobody:?}");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o400)).expect("it is ours");
    let read_only = swap(&gateway, "probe", guests::bytes(&guests::probe_2())).await;
    assert!(read_only.status == 409 && read_only.body.contains("plugins.probe.path"), "{read_only:?}");
    assert!(read_only.body.contains(&file.display().to_string()), "{read_only:?}");

    assert_eq!(fs::read(&file).expect("it is there"), before);
    assert_eq!(gateway.plugin_status("probe").await["generation"], 1);
    let mut client = gateway.client("probe").connect().await;
    assert_eq!(client.call("version", json!([])).await, Ok(json!("1")));
}

async fn send(gateway: &Gateway, hub: &str, body: &Value) -> Answer {
    gateway.operate(Method::POST, &format!("/admin/hubs/{hub}/send")).json(body).send().await
}

#[tokio::test]
async fn what_an_operator_sends_reaches_whom_it_is_for_on_all_shards() {
    let gateway = Gateway::probe().with("server.shards = 4").start().await;
    let hostile = "ann\u{1b}\r\n&<>";
    let mut ann = gateway.client("probe").user(hostile).connect().await;
    let mut bob = gateway.client("probe").user("bob").connect().await;
    bob.call("join", json!(["lobby"])).await.expect("it joins");
    let me = bob.call("whoami", json!([])).await.expect("it answers");
    for (to, recipients) in [
        (json!("all"), 2),
        (json!({ "user": hostile }), 1),
        (json!({ "group": "lobby" }), 1),
        (json!({ "connection": me["connectionId"] }), 1),
        (json!({ "connection": "nonsense" }), 0),
        (json!({ "user": "nobody" }), 0),
    ] {
        let body = json!({ "to": to, "method": "said", "arguments": [to, 1.50] });
        assert_eq!(send(&gateway, "probe", &body).await.json(), json!({ "recipients": recipients }), "{to}");
    }
    let first = json!(["all", 1.5]);
    assert_eq!((ann.event("said").await, bob.event("said").await), (first.clone(), first));
    assert_eq!(ann.event("said").await[0], json!({ "user": hostile }));
    assert_eq!(bob.event("said").await[0], json!({ "group": "lobby" }));
    assert_eq!(bob.event("said").await[0]["connection"], me["connectionId"]);
    assert_eq!(send(&gateway, "probe", &json!({ "to": "all", "method": "bare" })).await.status, 200);
    assert_eq!(ann.event("bare").await, json!([]));

    for (body, why) in [
        (json!({ "method": "m" }), "to"),
        (json!({ "to": "everybody", "method": "m" }), "everybody"),
        (json!({ "to": "all" }), "method"),
        (json!({ "to": "all", "method": "" }), "method"),
        (json!({ "to": "all", "method": "x".repeat(1_025) }), "method"),
        (json!({ "to": "all", "method": "m", "arguments": 1 }), "arguments"),
        (json!({ "to": { "group": " " }, "method": "m" }), "to"),
        (json!({ "to": "all", "method": "m", "more": 1 }), "more"),
    ] {
        let answer = send(&gateway, "probe", &body).await;
        assert!(answer.status == 400 && answer.body.contains(why), "{body}: {answer:?}");
    }
    assert_eq!(send(&gateway, "1", &json!({ "to": "all", "method": "m" })).await.status, 404);
}

#[tokio::test]
async fn the_document_lists_what_is_there_and_the_statuses_that_it_answers_with() {
    let gateway = Gateway::probe().start().await;
    let document = gateway.admin("/admin/openapi.json").await;
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().expect("an object") {
        for (method, operation) in methods.as_object().expect("an object") {
            let filled = path.replace("{hub}", "probe").replace("{name}", "nobody").replace("{id}", "nobody");
            let method: Method = method.to_uppercase().parse().expect("a method");
            let is_open = operation["security"] == json!([]);
            let without = hubgate_tests::http::Request::new(method.clone(), gateway.ready().admin, &filled);
            assert_eq!(without.send().await.status, if is_open { 200 } else { 401 }, "{method} {path}");
            // One answer has no end.
            let asked_for = match path.as_str() {
                "/admin/trace" => format!("{filled}?payloads=neither"),
                _ => filled,
            };
            let answer = gateway.operate(method.clone(), &asked_for).send().await;
            let statuses = operation["responses"].as_object().expect("an object");
            assert!(statuses.contains_key(&answer.status.to_string()), "{method} {path}: {answer:?}");
            asked += 1;
        }
    }
    assert!(asked > 12, "{asked}");
}

#[tokio::test]
async fn a_gateway_that_stops_says_so_at_the_admin_listener_without_a_token() {
    let gateway = Gateway::probe().with("server.drain-delay = '60s'").start().await;
    let ready = async || gateway.admin_request("/readyz").send().await;
    assert_eq!((ready().await.status, ready().await.body), (200, "ready\n".to_owned()));
    gateway.terminate();
    let draining = async || Some(ready().await).filter(|answer| answer.status == 503);
    assert_eq!(until("it to stop", draining).await.body, "draining\n");
}
