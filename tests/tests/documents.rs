//! Readers of the documents who do what is printed, on their own machine, get what is promised.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use http::Method;
use hubgate_tests::command::repository;
use hubgate_tests::document::Reader;
use hubgate_tests::http::{Answer, Request};
use hubgate_tests::script::require_packages;
use hubgate_tests::wait::{soon, until};
use hubgate_tests::{Client, private_network};
use serde_json::{Value, json};

/// Where documents say that the gateway is.
const GATEWAY: &str = "127.0.0.1:8888";

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
    let script = format!("import * as signalR from '@microsoft/signalr';\n{snippet}\nawait connection.stop();");
    let printed = node(&reader, &script).await;
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
    let mut ann = reader.client("chat").user("ann").connect().await;
    let mut bob = reader.client("chat").user("bob").connect().await;
    reader.types().await;
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
    symlink(repository().join(from).join("node_modules"), folder.join("node_modules")).expect("it is new");
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
