//! What a handler asks of its hub.

use hubgate_tests::Client;
use serde_json::{Value, json};

use crate::handler::UNEXPECTED;
use crate::rig::Rig;

async fn done(client: &mut Client, method: &str, arguments: Value) {
    assert_eq!(client.call(method, arguments).await, Ok(json!(null)), "{method}");
}

/// What the client has been told by `said` so far.
async fn heard(client: &mut Client) -> Vec<Value> {
    client.everything_so_far().await.into_iter().map(|message| message["arguments"][0].clone()).collect()
}

pub(crate) async fn reaches_whom_it_names(rig: &Rig) {
    let (mut ann, mut bob, mut eve) = (rig.user("ann").await, rig.user("bob").await, rig.client().await);
    let text = json!("hello ä 😀");
    done(&mut ann, "say", json!([text])).await;
    done(&mut ann, "sayToOthers", json!(["others"])).await;
    done(&mut ann, "tell", json!(["bob", "to bob"])).await;
    let id = eve.call("whoami", json!([])).await.expect("it answers")["connectionId"].clone();
    done(&mut ann, "sayToConnection", json!([id, "to eve"])).await;
    assert_eq!(heard(&mut ann).await, ["hello ä 😀"]);
    assert_eq!(heard(&mut bob).await, ["hello ä 😀", "others", "to bob"]);
    assert_eq!(heard(&mut eve).await, ["hello ä 😀", "others", "to eve"]);

    assert_eq!(ann.call("exists", json!(["tea"])).await, Ok(json!(false)));
    done(&mut ann, "join", json!(["tea"])).await;
    done(&mut ann, "joinUser", json!(["bob", "tea"])).await;
    assert_eq!(ann.call("exists", json!(["tea"])).await, Ok(json!(true)));
    done(&mut eve, "sayTo", json!(["tea", "first"])).await;
    done(&mut ann, "leave", json!(["tea"])).await;
    done(&mut eve, "sayTo", json!(["tea", "second"])).await;
    done(&mut ann, "join", json!(["tea"])).await;
    done(&mut ann, "join", json!(["coffee"])).await;
    done(&mut ann, "leaveAll", json!([])).await;
    done(&mut eve, "sayTo", json!(["tea", "third"])).await;
    done(&mut eve, "sayTo", json!(["coffee", "fourth"])).await;
    assert_eq!(heard(&mut ann).await, ["first"]);
    assert_eq!(heard(&mut bob).await, ["first", "second", "third"]);
    assert!(heard(&mut eve).await.is_empty());
}

pub(crate) async fn does_what_was_asked_when_the_call_succeeds_and_nothing_otherwise(rig: &Rig) {
    let (mut caller, mut other) = (rig.client().await, rig.client().await);
    assert_eq!(caller.call("sayAndFail", json!(["rejected"])).await, Err("rejected".to_owned()));
    let error = caller.call("sayAndCrash", json!(["crashed"])).await.expect_err("it breaks off");
    assert!(error.starts_with(UNEXPECTED), "{error}");
    assert_eq!(caller.call("sayFlushAndFail", json!(["flushed"])).await, Err("flushed".to_owned()));
    assert_eq!(heard(&mut caller).await, ["flushed"]);
    assert_eq!(heard(&mut other).await, ["flushed"]);
}

pub(crate) async fn fails_when_the_hub_refuses(rig: &Rig) {
    let mut client = rig.client().await;
    let error = client.call("join", json!(["x".repeat(3_000)])).await.expect_err("no group has such a name");
    assert!(error.starts_with(UNEXPECTED), "{error}");
    done(&mut client, "join", json!(["short"])).await;
}

pub(crate) async fn closes(rig: &Rig) {
    let mut client = rig.client().await;
    client.notify("quit", json!(["Enough: ä."])).await;
    let end = client.end().await;
    assert_eq!(end.error(), "Enough: ä.");
    assert!(!end.allows_reconnect());
}
