//! Readers of the documents who do what is printed, on their own machine, get what is promised.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use http::Method;
use hubgate_tests::command::{Finished, repository};
use hubgate_tests::document::{Block, Reader};
use hubgate_tests::http::{Answer, Request};
use hubgate_tests::script::{Script, require_packages};
use hubgate_tests::toolchains::{self, hubgate_in};
use hubgate_tests::wait::{soon, until, until_compiled};
use hubgate_tests::{Client, Token, dotnet, private_network};
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// Where documents say that the gateway is.
const GATEWAY: &str = "127.0.0.1:8888";

/// The documents that let their readers type something; each has a test here.
const WITH_COMMANDS: [&str; 22] = [
    "README.md",
    "docs/deploy.md",
    "docs/filters.md",
    "docs/functions.md",
    "docs/languages/c.md",
    "docs/languages/go.md",
    "docs/languages/javascript.md",
    "docs/languages/python.md",
    "docs/languages/typescript.md",
    "docs/let-users-in.md",
    "docs/move-from-azure.md",
    "docs/operations.md",
    "docs/plugins.md",
    "docs/ready-made-hubs.md",
    "docs/rest-api.md",
    "docs/tutorial.md",
    "docs/webhooks.md",
    "examples/chat-dotnet/README.md",
    "examples/chat-js/README.md",
    "examples/chat-rust/README.md",
    "examples/sensor-c/README.md",
    "examples/webhook-python/README.md",
];

#[test]
fn whatever_a_document_lets_its_readers_type_is_typed_here() {
    let folders = [
        "docs",
        "docs/languages",
        "examples/chat-dotnet",
        "examples/chat-js",
        "examples/chat-rust",
        "examples/sensor-c",
        "examples/webhook-python",
    ]
    .map(markdown);
    let mut typed: Vec<String> = [vec!["README.md".to_owned()], folders.concat()]
        .concat()
        .into_iter()
        .filter(|document| Block::all_of(document).iter().any(Block::is_typed))
        .collect();
    typed.sort();
    assert_eq!(typed, WITH_COMMANDS);
}

#[test]
fn links_of_documents_lead_somewhere() {
    let documents = [markdown("docs"), markdown("docs/languages"), vec!["README.md".to_owned()]].concat();
    for document in documents {
        let page = fs::read_to_string(repository().join(&document)).expect("it can be read");
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (path, place) = link.split_once('#').unwrap_or((link, ""));
            let folder = repository().join(&document).parent().expect("it is in a folder").to_owned();
            let target = if path.is_empty() { repository().join(&document) } else { folder.join(path) };
            assert!(target.exists(), "{document}: {link}");
            if !place.is_empty() {
                let text = fs::read_to_string(&target).expect("places are in documents");
                let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
                assert!(headings.map(place_of).any(|each| each == place), "{document}: {link}");
            }
        }
    }
}

/// What a heading is linked by.
fn place_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
    kept.map(|char| if char == ' ' { '-' } else { char }).collect()
}

fn markdown(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(repository().join(folder)).expect("it can be listed");
    let names = entries.map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}/{name}")).collect()
}

#[tokio::test]
async fn the_readme_leads_from_a_chat_to_a_component_of_ones_own() {
    if !private_network::enter() {
        return;
    }
    let mut reader = Reader::of("README.md");
    reader.types().await;
    assert_eq!(page().await.status, 200);
    reader.types().await;
    let mut open = reader.client("chat").connect().await;
    assert_eq!(join(&mut open, "lobby").await, "Welcome to lobby, me!");
    reader.types().await;
    until("the new greeting", async || {
        (join(&mut open, "garden").await == "Welcome back to garden, me!").then_some(())
    })
    .await;
    let snippet = reader.snippet("js");
    let printed = node(&reader, &with_signalr(&snippet)).await;
    assert!(printed.lines().any(|line| line == "Welcome back to lobby, me!"), "{printed}");
    reader.ends();
}

#[tokio::test]
async fn the_tutorial_leads_from_nothing_to_a_chat_that_changes_while_it_runs() {
    if !private_network::enter() {
        return;
    }
    let mut reader = Reader::of("docs/tutorial.md");
    link_packages(&reader, "examples/chat-js", "examples/chat-js");
    reader.types().await;
    assert_eq!(page().await.status, 200);
    reader.types().await;
    let mut open = reader.client("chat").connect().await;
    assert_eq!(join(&mut open, "lobby").await, "Welcome to lobby, me!");
    reader.types().await;
    until("the new greeting", async || {
        (join(&mut open, "garden").await == "Welcome back to garden, me!").then_some(())
    })
    .await;
    assert_eq!(generation(&reader).await, 2);
    reader.types().await;
    until("the third component", async || (generation(&reader).await == 3).then_some(())).await;
    assert_eq!(join(&mut open, "tea").await, "Welcome to tea, me!", "JavaScript answers");
    reader.types().await;
    assert_eq!(open.event("said").await, json!(["tea", "The house", "Tea is ready."]));
    reader.ends();
}

#[tokio::test]
async fn the_commands_of_the_rest_guide_do_what_it_says() {
    if !private_network::enter() {
        return;
    }
    let mut reader = Reader::of("docs/rest-api.md");
    reader.types().await;
    link_packages(&reader, "tests/clients/javascript", "");
    reader.types_and_leaves_running().await;
    let user = "/api/hubs/chat/users/ann";
    let key = fs::read_to_string(reader.folder().join("hubgate-data/access-key")).expect("the gateway makes it");
    let caller = || Token::new(&format!("http://{GATEWAY}{user}"), key.trim()).sign();
    until("the listener", async || {
        let asked = Request::new(Method::HEAD, address(), user).bearer(&caller()).send().await;
        (asked.status == 200).then_some(())
    })
    .await;
    let mut ann = reader.client("chat").user("ann").connect().await;
    let mut bob = reader.client("chat").user("bob").connect().await;
    let printed = reader.types().await;
    assert_eq!(printed.matches(r#""userId":"ann""#).count(), 2, "the listener and a client of the test: {printed}");
    for text in ["all", "ann", "tea"] {
        assert_eq!(ann.event("said").await, json!([text]));
    }
    assert_eq!(ann.end().await.error(), "good night");
    assert_eq!(bob.event("said").await, json!(["all"]));
    assert!(bob.everything_so_far().await.is_empty());
    reader.ends();
}

fn address() -> SocketAddr {
    GATEWAY.parse().expect("an address")
}

/// What a browser is shown.
async fn page() -> Answer {
    Request::new(Method::GET, address(), "/").send().await
}

/// The chat's greeting.
async fn join(client: &mut Client, room: &str) -> Value {
    client.call("join", json!([room, "me"])).await.expect("the room is open")
}

/// Which version serves, of the only plugin that there is.
async fn generation(reader: &Reader) -> u64 {
    let ready = reader.gateway();
    let asked = Request::new(Method::GET, ready.admin, "/admin/plugins").bearer(&ready.admin_token);
    asked.send().await.json()["plugins"][0]["generation"].as_u64().expect("a number")
}

/// Installs in a folder of the reader what npm has installed here: there is no registry in a network of one's own.
fn link_packages(reader: &Reader, from: &str, to: &str) {
    require_packages(from);
    let folder = reader.folder().join(to);
    fs::create_dir_all(&folder).expect("there is room");
    let installed = folder.join("node_modules");
    if !installed.exists() {
        symlink(repository().join(from).join("node_modules"), installed).expect("it is new");
    }
}

/// A whole script that makes a `connection`.
fn with_signalr(script: &str) -> String {
    format!("import * as signalR from '@microsoft/signalr';\n{script}\nawait connection.stop();")
}

/// What Node.js prints that runs a script with the packages of the tests.
async fn node(reader: &Reader, script: &str) -> String {
    link_packages(reader, "tests/clients/javascript", "");
    fs::write(reader.folder().join("script.mjs"), script).expect("there is room");
    let mut command = tokio::process::Command::new("node");
    command.arg("script.mjs").current_dir(reader.folder()).stdin(Stdio::null()).kill_on_drop(true);
    let output = soon("a script in Node.js", command.output()).await.expect("there is Node.js");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn the_guide_to_plugins_makes_handlers_that_serve() {
    if !private_network::enter() {
        return;
    }
    let mut reader = Reader::of("docs/plugins.md");
    link_packages(&reader, "examples/chat-js", "hello-js");
    let started = reader.types().await;
    assert!(started.contains("hello.wasm"), "{started}");
    let token = reader.types().await;
    let mut ann = reader.client("hello").token(token.trim()).connect().await;
    assert_eq!(ann.call("hello", json!(["Bob"])).await, Ok(json!("hello Bob")));
    assert_eq!(ann.event("said").await, json!(["Bob", "hello"]));
    assert_eq!(reader.client("hello").refused().await, "Sign in first.");
    reader.types().await;
    until("JavaScript to answer", async || (generation(&reader).await == 2).then_some(())).await;
    assert_eq!(ann.call("hello", json!(["Bob"])).await, Ok(json!("hello Bob")));
    assert_eq!(reader.client("hello").refused().await, "Sign in first.");
    reader.types().await;
    assert_eq!(generation(&reader).await, 3, "the version in Rust is back");
    reader.ends();
}

#[tokio::test]
async fn the_page_about_c_leads_from_nothing_to_a_handler_that_was_swapped() {
    if !private_network::enter() {
        return;
    }
    let mut reader = Reader::of("docs/languages/c.md");
    let tested = reader.types().await;
    assert!(tested.contains("passed"), "{tested}");
    reader.types().await;
    let mut open = reader.client("hello").connect().await;
    assert_eq!(open.call("hello", json!(["Ann"])).await, Ok(json!("Hello, Ann!")));
    reader.types().await;
    until_compiled("the new greeting", async || {
        (open.call("hello", json!(["Ann"])).await == Ok(json!("Welcome, Ann!"))).then_some(())
    })
    .await;
    reader.ends();
}

#[tokio::test]
async fn the_page_about_go_leads_from_nothing_to_a_handler_that_was_swapped() {
    if !private_network::enter() {
        return;
    }
    let mut reader = Reader::of("docs/languages/go.md");
    let tested = reader.types().await;
    assert!(tested.contains("ok"), "{tested}");
    reader.types().await;
    let mut open = reader.client("hello").connect().await;
    assert_eq!(open.call("hello", json!(["Ann"])).await, Ok(json!("Hello, Ann!")));
    reader.types().await;
    until_compiled("the new greeting", async || {
        (open.call("hello", json!(["Ann"])).await == Ok(json!("Welcome, Ann!"))).then_some(())
    })
    .await;
    reader.ends();
}

#[tokio::test]
async fn the_pages_about_javascript_and_typescript_lead_from_nothing_to_a_handler_that_was_swapped() {
    if !private_network::enter() {
        return;
    }
    for (document, language) in [("docs/languages/javascript.md", "js"), ("docs/languages/typescript.md", "ts")] {
        let mut reader = Reader::of(document);
        // What the document lets npm install, which no network of one's own has.
        Finished::of(hubgate_in(&reader.folder()).args(["plugin", "new", "hello", "--language", language])).success();
        toolchains::link_packages(&reader.folder().join("hello"));
        reader.types().await;
        let mut open = reader.client("hello").connect().await;
        assert_eq!(open.call("hello", json!(["Ann"])).await, Ok(json!("Hello, Ann!")));
        reader.types().await;
        until_compiled("the new greeting", async || {
            (open.call("hello", json!(["Ann"])).await == Ok(json!("Welcome, Ann!"))).then_some(())
        })
        .await;
        reader.ends();
    }
}

#[tokio::test]
async fn the_page_about_python_leads_from_nothing_to_a_handler_that_was_swapped() {
    if !private_network::enter() {
        return;
    }
    let mut reader = Reader::of("docs/languages/python.md");
    let tested = reader.types().await;
    assert!(tested.contains("OK"), "{tested}");
    reader.types().await;
    let mut open = reader.client("hello").connect().await;
    assert_eq!(open.call("hello", json!(["Ann"])).await, Ok(json!("Hello, Ann!")));
    reader.types().await;
    until_compiled("the new greeting", async || {
        (open.call("hello", json!(["Ann"])).await == Ok(json!("Welcome, Ann!"))).then_some(())
    })
    .await;
    reader.ends();
}

#[tokio::test]
async fn the_example_of_a_webhook_asks_again_when_it_fails_and_once_when_it_answers() {
    if !private_network::enter() {
        return;
    }
    let mut reader = Reader::of("examples/webhook-python/README.md");
    reader.types_and_leaves_running().await;
    reader.types().await;
    let snippet = reader.snippet("js");
    let printed = node(&reader, &with_signalr(&snippet)).await;
    // The client's own log has lines between them.
    let lines: Vec<&str> = printed.lines().filter(|line| !line.starts_with('[')).collect();
    let [tea, again, coffee, gold] = lines[..] else { panic!("{printed}") };
    let price = |line: &str| serde_json::from_str::<Value>(line).expect("it is JSON");
    assert_eq!((&price(tea)["price"], &price(coffee)["price"]), (&json!(3), &json!(4)));
    assert_eq!(tea, again, "the price is kept");
    assert!(gold.contains("There is no product 'gold'."), "{gold}");
    reader.ends();
}

#[tokio::test]
async fn the_guide_to_filters_makes_filters_that_look_at_messages() {
    if !private_network::enter() {
        return;
    }
    let mut reader = Reader::of("docs/filters.md");
    reader.types().await;
    let ready = reader.gateway().clone();
    let plugins = Request::new(Method::GET, ready.admin, "/admin/plugins").bearer(&ready.admin_token).send().await;
    let states: Vec<Value> =
        plugins.json()["plugins"].as_array().expect("a list").iter().map(|plugin| plugin["state"].clone()).collect();
    assert_eq!(states, ["serving", "serving"], "{}", plugins.body);
    let checked = reader.types().await;
    assert!(checked.contains("quiet.wasm"), "{checked}");
    reader.ends();
}

#[tokio::test]
async fn who_joins_the_ready_made_history_gets_what_was_said_before_and_nothing_twice() {
    if !private_network::enter() {
        return;
    }
    let mut reader = Reader::of("docs/ready-made-hubs.md");
    reader.types().await;
    let script = with_signalr(&reader.snippet("js"));
    for hellos in [1, 2, 3] {
        let printed = node(&reader, &script).await;
        let told: Vec<&str> = printed.lines().filter(|line| line.starts_with("lobby: ")).collect();
        assert_eq!(told, vec!["lobby: Hello!"; hellos], "one in each run before, and its own");
    }
    reader.ends();
}

#[tokio::test]
async fn the_measurements_of_the_guide_to_operations_lose_nothing() {
    if !private_network::enter() {
        return;
    }
    let mut reader = Reader::of("docs/operations.md");
    reader.types().await;
    let measured = reader.types().await;
    let last: Value = serde_json::from_str(measured.lines().last().expect("it prints")).expect("it is JSON");
    assert!(last.is_object(), "{measured}");
    reader.ends();
}

#[tokio::test]
async fn the_applications_of_the_guide_to_webhooks_answer_and_know_who_asks() {
    if !private_network::enter() {
        return;
    }
    let mut reader = Reader::of("docs/webhooks.md");
    let mut snippet = None;
    for language in ["JavaScript", "Python"] {
        reader.types_and_leaves_running().await;
        let application: SocketAddr = "127.0.0.1:7071".parse().expect("an address");
        until("the application to listen", async || TcpStream::connect(application).await.ok()).await;
        reader.types().await;
        let connecting = reader.client("chat").user("jürgen").with_claim("name", json!("Bob, role: admin"));
        let mut client = connecting.connect().await;
        let known = client.call("whoami", json!([])).await.unwrap_or_else(|error| panic!("{language}: {error}"));
        assert_eq!(known["user"], "jürgen", "{language}");
        let claims = known["claims"].as_array().expect("a list");
        assert!(claims.contains(&json!(["name", "Bob, role: admin"])), "{language}: {claims:?}");
        let missing = client.call("dance", json!([])).await;
        assert_eq!(missing, Err("Invocation failed, status code 404".to_owned()), "{language}");
        let forged = Request::new(Method::POST, application, "/").header("x-asrs-connection-id", "x");
        let forged = forged.header("x-asrs-signature", &format!("sha256={}", "0".repeat(64)));
        assert_eq!(forged.json(&json!({})).send().await.status, 401, "{language}");
        client.leave().await;
        snippet = snippet.or_else(|| Some(reader.snippet("js")));
        let printed = node(&reader, &with_signalr(snippet.as_deref().unwrap_or_default())).await;
        assert!(printed.contains("user: 'ann'"), "{language}: {printed}");
    }
    let checked = reader.types().await;
    assert!(checked.contains("imported.toml"), "{checked}");
    reader.ends();
}

#[tokio::test]
async fn an_application_without_an_sdk_lets_its_users_in_as_its_guide_says() {
    if !private_network::enter() {
        return;
    }
    let mut reader = Reader::of("docs/let-users-in.md");
    let mut snippet = None;
    for language in ["JavaScript", "Python"] {
        reader.types_and_leaves_running().await;
        let application: SocketAddr = "127.0.0.1:3000".parse().expect("an address");
        until("the application to listen", async || TcpStream::connect(application).await.ok()).await;
        reader.types().await;
        let answer = Request::new(Method::POST, application, "/chat/negotiate?user=j%C3%BCrgen").send().await.json();
        assert_eq!(answer["url"], "http://127.0.0.1:8888/client/?hub=chat", "{language}");
        let token = answer["accessToken"].as_str().expect("a text");
        let client = reader.client("chat").token(token).connect().await;
        let user = "/api/hubs/chat/users/j%C3%BCrgen";
        let caller = Token::new(&format!("http://{GATEWAY}{user}"), &access_key(&reader)).sign();
        let asked = Request::new(Method::HEAD, address(), &format!("{user}?api-version=2022-06-01")).bearer(&caller);
        assert_eq!(asked.send().await.status, 200, "{language}: the user is known");
        client.leave().await;
        snippet = snippet.or_else(|| Some(reader.snippet("js")));
        let script = format!("{}\nconsole.log(connection.state);", snippet.as_deref().unwrap_or_default());
        let printed = node(&reader, &with_signalr(&script)).await;
        assert!(printed.lines().any(|line| line == "Connected"), "{language}: {printed}");
    }
    reader.ends();
}

#[tokio::test]
async fn the_guide_to_deploying_leads_to_a_service_that_its_operator_can_ask() {
    if !private_network::enter() {
        return;
    }
    let mut reader = Reader::of("docs/deploy.md");
    reader.types().await;
    let checked = reader.types().await;
    assert!(checked.contains("hubgate.toml"), "{checked}");
    reader.starts(service(&reader)).await;
    let mut client = reader.client("chat").connect().await;
    assert_eq!(join(&mut client, "lobby").await, "Welcome to lobby, me!");
    let asked = reader.types().await;
    assert!(asked.contains("there is no version before") && asked.contains("\"name\":\"chat\""), "{asked}");
    assert!(!reader.path("/etc/hubgate/hubgate-data").exists(), "the configuration's folder may be read-only");
    assert!(reader.path("/var/lib/hubgate/state").is_dir());
    reader.types().await;
    let asked = fs::read_to_string(reader.path("systemctl")).expect("systemd was asked");
    assert_eq!(asked.lines().last(), Some("start hubgate"), "{asked}");
    reader.ends();
}

/// What systemd starts for the unit that the reader has installed, in its environment.
fn service(reader: &Reader) -> Command {
    let unit = fs::read_to_string(reader.path("/etc/systemd/system/hubgate.service")).expect("it is installed");
    let values = |key: &str| -> Vec<String> {
        let assigned = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        assigned.map(str::to_owned).collect()
    };
    let folder = |parent: &str, key: &str| {
        let folder = reader.path(parent).join(&values(key)[0]);
        fs::create_dir_all(&folder).expect("there is room");
        folder
    };
    let credentials = reader.path("/run/credentials/hubgate.service");
    fs::create_dir_all(&credentials).expect("there is room");
    for credential in values("LoadCredential") {
        let (name, path) = credential.split_once(':').expect("a name and a file");
        fs::copy(reader.path(path), credentials.join(name)).expect("the guide has made it");
    }
    folder("/run", "RuntimeDirectory");
    let started = values("ExecStart").remove(0);
    let mut words = started.split(' ').map(|word| match word.starts_with('/') {
        true => reader.path(word).into_os_string(),
        false => word.into(),
    });
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).env("STATE_DIRECTORY", folder("/var/lib", "StateDirectory"));
    for variable in values("Environment") {
        let (name, value) = variable.split_once('=').expect("a name and a value");
        command.env(name, value.replace("%d", &credentials.display().to_string()));
    }
    command
}

#[tokio::test]
async fn an_application_with_the_azure_sdk_moves_as_its_guide_says() {
    if !dotnet::is_at_hand() || !private_network::enter() {
        return;
    }
    let mut reader = Reader::of("docs/move-from-azure.md");
    let folder = reader.folder().display().to_string();
    let certificate = dotnet::run(&["certificate", "--out", &folder, "--host", "realtime.example.com,localhost"]).await;
    assert!(certificate.is_some_and(|(succeeded, _)| succeeded));
    reader.types().await;
    // Names lead nowhere in this network, so that both sides are told where the name of the connection string is.
    let here = "ServerEndpoint=https://localhost;ClientEndpoint=https://localhost;";
    let connection = format!("{}{here}", reader.gateway().connection_string);
    assert!(connection.starts_with("Endpoint=https://realtime.example.com;"), "{connection}");
    let authority = format!("{folder}/ca.pem");
    let checks = ["suite", "default", "--filter", "call.*", "--ca", &authority, "--connection-string", &connection];
    let (succeeded, printed) = dotnet::run(&checks).await.expect("it is at hand");
    assert!(succeeded && printed.contains("ok 10"), "{printed}");
    let checked = reader.types().await;
    assert!(checked.contains("imported.toml: valid"), "{checked}");
    reader.ends();
}

#[tokio::test]
async fn the_examples_are_started_as_they_say() {
    if !private_network::enter() {
        return;
    }
    let mut rust = Reader::of("examples/chat-rust/README.md");
    rust.types().await;
    assert_eq!(page().await.status, 200);
    rust.stops().await;
    rust.ends();
    let mut javascript = Reader::of("examples/chat-js/README.md");
    link_packages(&javascript, "examples/chat-js", "examples/chat-js");
    javascript.types().await;
    assert_eq!(page().await.status, 200);
    javascript.stops().await;
    javascript.ends();
    let mut dotnet = Reader::of("examples/chat-dotnet/README.md");
    dotnet.types().await;
    assert!(dotnet.gateway().connection_string.starts_with("Endpoint=http://127.0.0.1:8888;AccessKey="));
    dotnet.ends();
}

#[tokio::test]
async fn sensors_publish_binary_to_whoever_watches_them() {
    if !private_network::enter() {
        return;
    }
    let mut reader = Reader::of("examples/sensor-c/README.md");
    reader.types().await;
    let snippet = reader.snippet("js");
    let more = r#"
        console.log("last", await connection.invoke("watch", "boiler"));
        await connection.invoke("unwatch", "boiler");
        console.log(await connection.invoke("publish", "boiler", new Uint8Array(3)).catch((error) => error.message));
        console.log(await connection.invoke("publish", "boiler", "text").catch((error) => error.message));
        console.log("none", await connection.invoke("watch", "another"));
        await connection.stop();"#;
    let printed = node(&reader, &(snippet + more)).await;
    for line in ["boiler 3 samples", "mean 21", "none null"] {
        assert!(printed.lines().any(|printed| printed == line), "{line}: {printed}");
    }
    for text in ["last Uint8Array(12)", "Samples have four bytes each.", "Use the hub protocol messagepack"] {
        assert!(printed.contains(text), "{text}: {printed}");
    }
    let mut client = reader.client("sensor").connect().await;
    let refused = client.call("watch", json!(["boiler"])).await.expect_err("it speaks JSON");
    assert!(refused.contains("Use the hub protocol messagepack"), "{refused}");
    reader.ends();
}

#[tokio::test]
async fn a_function_app_without_a_connected_trigger_works_as_its_guide_says() {
    if !private_network::enter() {
        return;
    }
    let emulators_key = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGH";
    let mut reader = Reader::of("docs/functions.md");
    reader.types().await;
    for (key, endpoint) in [(None, "http://127.0.0.1:8888"), (Some(emulators_key), "http://localhost:8888")] {
        if key.is_some() {
            reader.types().await;
        }
        let key = key.map_or_else(|| access_key(&reader), str::to_owned);
        let mut app = Script::start("upstream.mjs", &[&key, "7071"]);
        assert_eq!(app.line().await, "listening 7071");
        let token = Token::new(&format!("{endpoint}/client/?hub=chat"), &key).user("answer-404").sign();
        let mut client = reader.client("chat").token(&token).connect().await;
        assert_eq!(client.call("echo", json!(["x"])).await, Ok(json!("x")));
        let event: Value = serde_json::from_str(&app.line().await).expect("it says what it hears");
        assert_eq!((&event["event"], &event["url"]), (&json!("connected"), &json!("/runtime/webhooks/signalr")));
        client.leave().await;
    }
    reader.ends();
}

/// The key that the reader has made.
fn access_key(reader: &Reader) -> String {
    let text = fs::read_to_string(reader.folder().join("access-keys")).expect("the guide makes it");
    text.trim().to_owned()
}
