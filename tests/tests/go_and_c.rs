//! The SDKs in Go and in C by themselves, and the live poll in both.

use std::path::PathBuf;
use std::process::Command;

use hubgate_tests::Gateway;
use hubgate_tests::command::{Finished, repository};
use hubgate_tests::toolchains::hubgate_in;
use serde_json::json;
use tempfile::TempDir;

/// The component of the poll in `language`, in a folder of its own.
fn poll(language: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let project = repository().join("examples/poll").join(language);
    let project = project.to_str().expect("it is Unicode");
    Finished::of(hubgate_in(folder.path()).args(["plugin", "build", project, "-o", "poll.wasm"])).success();
    let component = folder.path().join("poll.wasm");
    (folder, component)
}

async fn everybody_votes_once_and_all_see_the_counts(language: &str, name: &str) {
    let (_folder, component) = poll(language);
    let config = "hubs.poll.mode = 'serverless'\nupstream = [{ plugin = 'poll' }]\nplugins.poll.call-time = '30s'";
    let gateway = Gateway::serve().plugin("poll", &component).with(config);
    let gateway = gateway.with("plugins.poll.config.choices = 'yes,\"no\",ä'").start().await;
    let mut ann = gateway.client("poll").user("ann").connect().await;
    let mut again = gateway.client("poll").user("ann").connect().await;
    let mut bob = gateway.client("poll").connect().await;
    assert_eq!(ann.call("language", json!([])).await, Ok(json!(name)));
    assert_eq!(ann.call("counts", json!([])).await, Ok(json!({ "yes": 0, "\"no\"": 0, "ä": 0 })));
    let counts = json!({ "yes": 0, "\"no\"": 1, "ä": 0 });
    assert_eq!(ann.call("vote", json!(["\"no\""])).await, Ok(counts.clone()));
    for client in [&mut ann, &mut again, &mut bob] {
        assert_eq!(client.event("counts").await, json!([counts]));
    }
    assert!(again.call("vote", json!(["ä"])).await.expect_err("it is refused").contains("You have voted already."));
    assert!(bob.call("vote", json!(["tea"])).await.expect_err("it is refused").contains("There is no choice 'tea'."));
    bob.call("vote", json!([1])).await.expect_err("a choice is a text");
    assert_eq!(bob.call("vote", json!(["ä"])).await, Ok(json!({ "yes": 0, "\"no\"": 1, "ä": 1 })));
}

#[tokio::test]
async fn everybody_votes_once_in_the_poll_in_go() {
    everybody_votes_once_and_all_see_the_counts("go", "Go").await;
}

#[tokio::test]
async fn everybody_votes_once_in_the_poll_in_c() {
    everybody_votes_once_and_all_see_the_counts("c", "C").await;
}

/// The first line of the test says how it is built, with the sanitizers of memory and of undefined behaviour.
#[test]
fn the_sdk_in_c_reads_and_writes_values_and_nothing_beyond_them() {
    let sdk = repository().join("sdk/c");
    let test = std::fs::read_to_string(sdk.join("tests/test_values.c")).expect("it is there");
    let line = test.lines().next().and_then(|line| line.strip_prefix("// ")).expect("it begins with a command");
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let program = folder.path().join("test").display().to_string();
    let command = line.replace("-o test ", &format!("-o {program} ")).replace("./test", &program);
    assert!(command.contains("-fsanitize=address,undefined") && !command.contains("./test"), "{command}");
    Finished::of(Command::new("sh").args(["-c", &command]).current_dir(&sdk)).success();
}

#[test]
fn the_sdk_in_go_reads_and_writes_values() {
    let mut go = Command::new("go");
    go.args(["test", "./..."]).current_dir(repository().join("sdk/go")).env("GOPROXY", "off");
    let tested = Finished::of(&mut go).success();
    assert!(tested.contains("ok  \thubgate\t"), "{tested}");
}
