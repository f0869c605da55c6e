//! The live poll in Go and in C.

use std::path::PathBuf;

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
