//! The demo's pages in a real browser: Debian's Chromium, in two windows. What they look like is left in the target
//! directory's folder `screenshots`.

use std::fs;

use hubgate_tests::command::{Finished, leavings, repository};
use hubgate_tests::matrix::{WAYS, did};
use hubgate_tests::script::{Script, require_packages};
use hubgate_tests::toolchains::{hubgate_in, project_of};
use hubgate_tests::{Gateway, guests};

#[tokio::test]
async fn two_windows_chat_on_the_embedded_page() {
    let mut gateway = Gateway::dev([]).start().await;
    let screenshots = leavings("screenshots/embedded").display().to_string();
    let mut script = Script::start("browser.mjs", &[&gateway.url(), &screenshots]);
    stops_for_a_while(&mut gateway, &mut script).await;
    script.succeeds().await;
}

#[tokio::test]
async fn two_windows_chat_on_the_page_with_the_npm_client_while_the_component_is_changed() {
    require_packages("examples/chat-rust/www");
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let component = folder.path().join("chat.wasm");
    let content = guests::bytes(&guests::chat());
    fs::write(&component, &content).expect("the folder can be written");
    let www = repository().join("examples/chat-rust/www").display().to_string();
    let plugin = component.display().to_string();
    let mut gateway = Gateway::dev(["--plugin", &plugin, "--hub", "chat", "--www", &www]).start().await;
    let screenshots = leavings("screenshots/npm").display().to_string();
    let mut script = Script::start("browser.mjs", &[&gateway.url(), &screenshots, "Bonjour"]);
    stops_for_a_while(&mut gateway, &mut script).await;
    script.says("change the component").await;
    let changed = folder.path().join("changed.wasm");
    fs::write(&changed, greeting_otherwise(&content)).expect("the folder can be written");
    fs::rename(&changed, &component).expect("the folder can be written");
    script.succeeds().await;
}

/// Stops, and starts again once the pages have shown that it is away: they look at it when the browser lets them.
async fn stops_for_a_while(gateway: &mut Gateway, script: &mut Script) {
    script.says("stop me").await;
    gateway.terminate();
    script.says("start me again").await;
    gateway.start_again().await;
}

/// The chat with another greeting, of the same length: what its author would get by building it again.
fn greeting_otherwise(component: &[u8]) -> Vec<u8> {
    let (old, new) = (b"Welcome", b"Bonjour");
    let at = component.windows(old.len()).position(|bytes| bytes == old).expect("the chat welcomes people");
    let mut changed = component.to_vec();
    changed[at..at + new.len()].copy_from_slice(new);
    changed
}

#[tokio::test]
async fn two_windows_vote_on_the_page_of_the_poll_while_its_language_is_swapped() {
    require_packages("examples/poll/www");
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let built = |language: &str| {
        let project = project_of(&format!("examples/poll/{language}"));
        let output = folder.path().join(format!("{language}.wasm"));
        let mut build = hubgate_in(repository());
        Finished::of(build.args(["plugin", "build"]).arg(project.path()).arg("-o").arg(&output)).success();
        output
    };
    let (component, swapped) = (built("js"), built("ts"));
    let www = repository().join("examples/poll/www").display().to_string();
    let plugin = component.display().to_string();
    let gateway = Gateway::dev(["--plugin", &plugin, "--hub", "poll", "--www", &www]).start().await;
    let screenshots = leavings("screenshots/poll");
    fs::create_dir_all(&screenshots).expect("there is room for a folder");
    let mut script = Script::start("poll_page.mjs", &[&gateway.url(), &screenshots.display().to_string()]);
    script.says("swap the component").await;
    fs::rename(&swapped, &component).expect("the folder can be written");
    script.succeeds().await;
}

#[tokio::test]
async fn a_page_of_another_origin_talks_on_all_transports() {
    const ORIGIN: &str = "http://localhost:3999";
    let gateway = Gateway::probe().with(&format!("hubs.probe.cors-origins = ['{ORIGIN}']")).start().await;
    let mut script = Script::start("browser_transports.mjs", &[&gateway.url(), ORIGIN]);
    for (transport, protocol) in WAYS {
        script.says(&format!("{transport} {protocol}")).await;
        did("`@microsoft/signalr` 10.0.11, Chromium", transport, protocol, "calls and messages, from another origin");
    }
    script.succeeds().await;
}
