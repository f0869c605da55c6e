//! The filter of `examples/moderation-ts`.

use std::path::PathBuf;

use hubgate_tests::Gateway;
use hubgate_tests::command::{Finished, repository};
use hubgate_tests::script::Script;
use hubgate_tests::toolchains::{hubgate_in, project_of, tool_in};
use serde_json::json;
use tempfile::TempDir;

fn component(folder: &TempDir) -> PathBuf {
    let project = project_of("examples/moderation-ts");
    Finished::of(tool_in(project.path(), "npm").arg("test")).success();
    let output = folder.path().join("moderation.wasm");
    let mut build = hubgate_in(repository());
    Finished::of(build.args(["plugin", "build"]).arg(project.path()).arg("-o").arg(&output)).success();
    output
}

#[tokio::test]
async fn it_masks_or_refuses_words_and_repeats_and_says_why() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let component = component(&folder);
    let behind = |settings: &str| {
        let config = format!(
            "hubs.probe.filters = ['moderation']
             [plugins.moderation]
             call-time = '30s'
             config = {{ words = 'damn, son of a gun', {settings} }}"
        );
        Gateway::probe().plugin("moderation", &component).with(&config)
    };
    let gateway = behind("seconds = '600'").start().await;
    let [ann, bob] = ["ann", "bob"].map(|user| gateway.token("probe").user(user).sign());
    Script::start("moderation.mjs", &[&gateway.url(), &ann, &bob]).succeeds().await;
    gateway.logs(&["refused", "user=ann", "why=repeats"]).await;
    assert!(!gateway.log().to_lowercase().contains("buy"), "what was said is nobody's business");

    let gateway = behind("action = 'reject', repeats = '0'").start().await;
    let mut ann = gateway.client("probe").user("ann").connect().await;
    let refused = ann.call("echo", json!(["DÁMN"])).await.expect_err("it has a word of the list");
    assert!(refused.ends_with("Please say it without \"damn\"."), "{refused}");
    for _ in 0..5 {
        assert_eq!(ann.call("echo", json!(["goddamn classic"])).await, Ok(json!("goddamn classic")));
    }

    let gateway = behind("action = 'shout'").start().await;
    let status = gateway.plugin_status("moderation").await;
    assert_eq!(status["state"], "refused", "{status}");
    assert!(
        status["lastError"]["reason"].as_str().is_some_and(|error| error.contains("config.action is \"shout\"")),
        "{status}"
    );
}
