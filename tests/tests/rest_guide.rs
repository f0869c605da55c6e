//! The commands of the guide to the REST API work as they stand.

use std::path::Path;
use std::process::Command;

use hubgate_tests::Gateway;
use hubgate_tests::command::binary;
use serde_json::json;

#[tokio::test]
async fn the_commands_of_the_guide_do_what_it_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rest-api.md");
    let page = std::fs::read_to_string(page).expect("the guide is there");
    let (_, tested) = page.split_once("<!-- tested -->\n```sh\n").expect("the guide has commands");
    let (commands, _) = tested.split_once("```").expect("they end");

    let gateway = Gateway::serve().with("hubs.chat.mode = 'serverless'").start().await;
    let mut ann = gateway.client("chat").user("ann").connect().await;
    let mut bob = gateway.client("chat").user("bob").connect().await;
    let script = commands.replace("http://127.0.0.1:8888", &gateway.url());
    let hubgate = format!("hubgate() {{ {} \"$@\"; }}", binary().display());
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &format!("{hubgate}\n{script}")]).env("KEY", gateway.key());
    let ran = tokio::task::spawn_blocking(move || shell.output()).await.expect("it runs").expect("there is bash");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));

    for text in ["all", "ann", "tea"] {
        assert_eq!(ann.event("said").await, json!([text]));
    }
    assert_eq!(ann.end().await.error(), "good night");
    assert_eq!(bob.event("said").await, json!(["all"]));
    assert!(bob.everything_so_far().await.is_empty());
}
