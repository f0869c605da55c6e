//! What the commands do that speak to a running gateway, and how they end.

use std::process::Command;

use hubgate_tests::Gateway;
use hubgate_tests::command::{Finished, binary};
use serde_json::{Value, json};

/// `hubgate` with these words, told of the gateway by its ready file.
fn at(gateway: &Gateway, words: &[&str]) -> Finished {
    let ready = gateway.folder().join("ready.json");
    let mut command = Command::new(binary());
    Finished::of(command.args(words).arg("--ready-file").arg(ready).env_remove("HUBGATE_ADMIN_TOKEN"))
}

fn objects(printed: &str) -> Vec<Value> {
    printed.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect()
}

#[tokio::test]
async fn ps_lists_clients_and_kick_closes_one() {
    let gateway = Gateway::probe().start().await;
    let hostile = "ann\u{1b}[2J\nroot & co";
    let mut ann = gateway.client("probe").user(hostile).connect().await;
    let mut bob = gateway.client("probe").user("bob").connect().await;
    bob.call("join", json!(["lobby"])).await.expect("it joins");

    let all = objects(&at(&gateway, &["ps", "--json"]).success());
    assert_eq!(all.len(), 2, "{all:?}");
    let of_bob =
        objects(&at(&gateway, &["ps", "--hub", "probe", "--user", "bob", "--group", "lobby", "--json"]).success());
    assert_eq!((of_bob.len(), &of_bob[0]["user"]), (1, &json!("bob")));
    let of_ann = objects(&at(&gateway, &["ps", "--user", hostile, "--json"]).success());
    let id = of_ann[0]["id"].as_str().expect("it is text").to_owned();
    let printed = at(&gateway, &["ps", "--id", &id]).success();
    assert!(printed.lines().count() == 2 && printed.contains(&id) && !printed.contains('\u{1b}'), "{printed}");

    let kicked = at(&gateway, &["kick", &id, "--reason", "bye & good luck"]).success();
    assert_eq!(kicked, format!("{id}: its connection to hub probe is closed\n"));
    assert_eq!(ann.end().await.error(), "bye & good luck");
    assert_eq!(bob.call("echo", json!([1])).await, Ok(json!(1)));
    let again = at(&gateway, &["kick", &id]);
    assert!(again.code == Some(1) && again.stderr.contains("No connection of this gateway"), "{again:?}");
    let wrong = at(&gateway, &["ps", "--hub", "1"]);
    assert!(wrong.code == Some(1) && wrong.stderr.contains("`hub`"), "{wrong:?}");
}
