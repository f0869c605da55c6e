//! `hubgate dev --watch`: what is saved answers the next call, and whoever is connected stays.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use hubgate_tests::command::{Finished, binary, hubgate};
use hubgate_tests::gateway::signal;
use hubgate_tests::toolchains::hubgate_in;
use hubgate_tests::wait::{until, until_compiled};
use hubgate_tests::{Client, Gateway};
use serde_json::json;
use tempfile::TempDir;

/// A project in C, which is built in a moment.
struct Project {
    folder: TempDir,
}

impl Project {
    fn new() -> Project {
        let project = Project { folder: tempfile::tempdir().expect("there is room for a folder") };
        let new = ["plugin", "new", "hello", "--language", "c"];
        Finished::of(hubgate_in(project.folder.path()).args(new)).success();
        project
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("hello")
    }

    fn save(&self, old: &str, new: &str) {
        let file = self.path().join("answers.c");
        let text = fs::read_to_string(&file).expect("it is there");
        assert!(text.contains(old), "{text}");
        fs::write(&file, text.replace(old, new)).expect("the project can be written");
    }

    async fn served(&self) -> Gateway {
        let path = self.path().display().to_string();
        let tools = hubgate_in(self.folder.path());
        let tools = tools.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value);
        let tools = tools.expect("it is set").to_str().expect("it is text").to_owned();
        Gateway::dev(["--watch", &path, "--hub", "hello"]).environment("PATH", &tools).start().await
    }
}

async fn enter(gateway: &Gateway) -> Client {
    let answer = gateway.post("/hubs/hello/negotiate?negotiateVersion=1").await.json();
    let token = answer["accessToken"].as_str().expect("anybody is let in").to_owned();
    gateway.client("hello").token(&token).connect().await
}

/// Calls until the answer is this; all calls are answered.
async fn answers(client: &mut Client, greeting: &str) {
    until_compiled(greeting, async || {
        (client.call("hello", json!(["ann"])).await.expect("it answers") == greeting).then_some(())
    })
    .await;
}

async fn prints(gateway: &Gateway, text: &str) {
    until_compiled(text, async || gateway.printed().contains(text).then_some(())).await;
}

#[tokio::test]
async fn what_is_saved_answers_the_next_call_and_what_does_not_compile_changes_nothing() {
    let project = Project::new();
    let gateway = project.served().await;
    let mut client = enter(&gateway).await;
    answers(&mut client, "Hello, ann!").await;
    project.save("Hello", "Howdy");
    answers(&mut client, "Howdy, ann!").await;
    prints(&gateway, "watch: generation 2, median call within ").await;
    assert!(gateway.printed().contains(" µs, 1 client stayed"), "{}", gateway.printed());

    project.save("Howdy", "Howdy\" oops \"");
    prints(&gateway, "watch: generation 2 goes on").await;
    gateway.logs(&["zig has failed"]).await;
    assert_eq!(client.call("hello", json!(["ann"])).await, Ok(json!("Howdy, ann!")));

    project.save("Howdy\" oops \"", "Welcome");
    answers(&mut client, "Welcome, ann!").await;
    prints(&gateway, "watch: generation 3, ").await;
    assert_eq!(gateway.clients_of("hello").await, 1, "the client has stayed");
}

#[tokio::test]
async fn a_project_that_does_not_build_yet_is_served_once_it_does() {
    let project = Project::new();
    project.save("Hello", "Hello\" oops \"");
    let gateway = project.served().await;
    assert!(gateway.printed().contains("until then no new version serves"), "{}", gateway.printed());
    let mut refused = gateway.plugin_status("hello").await;
    assert_eq!(refused["state"].take(), json!("refused"));
    project.save("Hello\" oops \"", "Hello");
    prints(&gateway, "watch: generation 1, no calls yet, 0 clients stayed").await;
    answers(&mut enter(&gateway).await, "Hello, ann!").await;
}

#[tokio::test]
async fn the_end_ends_the_processes_of_a_build() {
    let project = Project::new();
    let mut gateway = project.served().await;
    // Make does not come to its end.
    let (makefile, process) = (project.path().join("Makefile"), project.folder.path().join("process"));
    fs::write(&makefile, format!("plugin.wasm:\n\techo $$$$ > {} && exec sleep 1000\n", process.display()))
        .expect("the project can be written");
    let sleeper = until("the build to begin", async || fs::read_to_string(&process).ok()?.trim().parse::<u32>().ok());
    let sleeper = sleeper.await;
    gateway.terminate();
    assert!(gateway.ended().await.success());
    until("the build's processes to end", async || (!signal(sleeper, "0")).then_some(())).await;
}

#[tokio::test]
async fn whoever_stops_to_read_what_is_printed_does_not_end_the_gateway() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let ready = folder.path().join("ready.json");
    let mut dev = Command::new(binary());
    dev.args(["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--ready-file"]).arg(&ready);
    dev.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = dev.spawn().expect("the binary can be run");
    drop(running.stdout.take());
    let ready = async || (ready.exists() || running.try_wait().expect("it is a child").is_some()).then_some(());
    until("the gateway to listen", ready).await;
    signal(running.id(), "TERM");
    let ended = running.wait().expect("it is a child");
    assert!(ended.success(), "{ended}");
}

#[test]
fn a_folder_for_plugin_and_a_folder_that_is_not_there_are_told() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().display().to_string();
    let told = hubgate(["dev", "--plugin", &path, "--hub", "hello"]);
    assert_eq!(told.code, Some(2), "{told:?}");
    assert!(told.stderr.contains(&format!("is a folder; say --watch {path}")), "{told:?}");
    let told = hubgate(["dev", "--watch", &format!("{path}/nowhere"), "--hub", "hello"]);
    assert_eq!(told.code, Some(2), "{told:?}");
    assert!(told.stderr.contains("there is no such folder"), "{told:?}");
    assert_eq!(hubgate(["dev", "--watch", &path]).code, Some(2), "of which hub?");
    assert_eq!(hubgate(["dev", "--watch", &path, "--plugin", "a.wasm", "--hub", "hello"]).code, Some(2));
}
