//! What a handler decides, keeps and knows.

use hubgate_tests::wait::until;
use serde_json::{Value, json};

use crate::rig::{BODY, GREETING, Rig};

/// How the client is told that a call has failed, and no more.
pub(crate) const UNEXPECTED: &str = "An unexpected error occurred invoking";

pub(crate) async fn decides_who_comes_and_hears_who_goes(rig: &Rig) {
    assert_eq!(rig.gateway.client("probe").user("refuse-me").refused().await, "You are not welcome.");
    let mut client = rig.client().await;
    let gone = async |client: &mut hubgate_tests::Client| {
        let answer = client.call("get", json!(["gone"])).await.expect("the state can be read");
        answer.as_str().map_or(0, |text| text.parse::<u64>().expect("increment keeps decimal text"))
    };
    let before = gone(&mut client).await;
    rig.user("ann").await.leave().await;
    until("the handler to hear of the end", async || (gone(&mut client).await == before + 1).then_some(())).await;
}

pub(crate) async fn answers_with_errors(rig: &Rig) {
    let mut client = rig.client().await;
    let text = "no: ä \"quoted\" 😀";
    assert_eq!(client.call("fail", json!([text])).await, Err(text.to_owned()));
    for (method, text) in [("failed", "a fault for the log"), ("crash", "the last words")] {
        let error = client.call(method, json!([text])).await.expect_err("it fails");
        assert!(error.starts_with(UNEXPECTED) && !error.contains(text), "{error}");
        assert_eq!(client.call("echo", json!(["fine"])).await, Ok(json!("fine")), "the next call is answered");
    }
    rig.gateway.logs(&["plugin=probe", "a fault for the log"]).await;
}

pub(crate) async fn keeps_state(rig: &Rig) {
    let mut client = rig.client().await;
    let mut call = async |method: &str, arguments: Value| client.call(method, arguments).await;
    for expected in [1, 2, 3] {
        assert_eq!(call("count", json!(["calls/ä"])).await, Ok(json!(expected)));
    }
    assert_eq!(call("get", json!(["k/1"])).await, Ok(json!(null)));
    for key in ["k/2", "k/1", "k/3", "other"] {
        assert_eq!(call("set", json!([key, "v ä 😀", null])).await, Ok(json!(null)));
    }
    assert_eq!(call("get", json!(["k/1"])).await, Ok(json!("v ä 😀")));
    assert_eq!(call("keys", json!(["k/"])).await, Ok(json!(["k/1", "k/2", "k/3"])));
    assert_eq!(call("delete", json!(["k/2"])).await, Ok(json!(null)));
    assert_eq!(call("keys", json!(["k/"])).await, Ok(json!(["k/1", "k/3"])));

    let swaps = [
        (json!(["s", "nothing", "a"]), false),
        (json!(["s", null, "a"]), true),
        (json!(["s", null, "b"]), false),
        (json!(["s", "a", "b"]), true),
        (json!(["s", "b", null]), true),
    ];
    for (arguments, swapped) in swaps {
        assert_eq!(call("swap", arguments.clone()).await, Ok(json!(swapped)), "{arguments}");
    }
    assert_eq!(call("get", json!(["s"])).await, Ok(json!(null)));

    assert_eq!(call("set", json!(["brief", "x", 1])).await, Ok(json!(null)));
    until("a value to end with its time to live", async || {
        (call("get", json!(["brief"])).await == Ok(json!(null))).then_some(())
    })
    .await;
    assert_eq!(call("set", json!(["over", "x", 0])).await, Ok(json!(null)));
    assert_eq!(call("get", json!(["over"])).await, Ok(json!(null)), "no time to live is no time");
    assert_eq!(call("set", json!(["long", "x", 3_600_000])).await, Ok(json!(null)));
    assert_eq!(call("get", json!(["long"])).await, Ok(json!("x")));

    let error = call("set", json!(["large", "x".repeat((1 << 20) + 1), null])).await.expect_err("it is too large");
    assert!(error.starts_with(UNEXPECTED), "{error}");
    let error = call("count", json!(["long"])).await.expect_err("it is no number");
    assert!(error.starts_with(UNEXPECTED), "{error}");
}

pub(crate) async fn knows_its_surroundings(rig: &Rig) {
    let mut ann = rig.gateway.client("probe").user("ann").connect().await;
    let who = ann.call("whoami", json!([])).await.expect("it answers");
    assert_eq!((&who["userId"], &who["hub"], &who["protocol"]), (&json!("ann"), &json!("probe"), &json!("json")));
    assert!(who["connectionId"].as_str().is_some_and(|id| !id.is_empty()), "{who}");
    assert!(who["claims"].as_array().expect("a list").contains(&json!(["asrs.s.uid", "ann"])), "{who}");
    assert!(who["query"].as_str().is_some_and(|query| query.contains("hub=probe")), "{who}");
    assert!(who["address"].as_str().is_some_and(|address| address.contains("127.0.0.1")), "{who}");
    let mut nobody = rig.client().await;
    assert_eq!(nobody.call("whoami", json!([])).await.expect("it answers")["userId"], json!(null));

    assert_eq!(ann.call("setting", json!(["greeting"])).await, Ok(json!(GREETING)));
    assert_eq!(ann.call("setting", json!(["missing"])).await, Ok(json!(null)));

    assert_eq!(ann.call("note", json!(["a line: ä"])).await, Ok(json!(null)));
    let by = format!("by={}", who["connectionId"].as_str().expect("a text"));
    rig.gateway.logs(&["plugin=probe", "a line: ä", &by]).await;

    let first = ann.call("context", json!([])).await.expect("it answers");
    let second = ann.call("context", json!([])).await.expect("it answers");
    assert_ne!(first["eventId"], second["eventId"]);
    assert_ne!(first["random"], second["random"]);
    assert_eq!(first["random"].as_array().map(Vec::len), Some(8), "{first}");
    assert!((1..=60_000).contains(&first["timeLeft"].as_u64().expect("a number")), "{first}");
    assert!(second["now"].as_u64() >= first["now"].as_u64() && first["now"].as_u64() > Some(1_700_000_000_000));
}

pub(crate) async fn asks_other_servers(rig: &Rig) {
    let mut client = rig.client().await;
    let url = format!("{}/path?query", rig.answering);
    assert_eq!(client.call("fetch", json!([url])).await, Ok(json!({ "status": 200, "body": BODY })));
    let error = client.call("fetch", json!(["http://127.0.0.1:1/"])).await.expect_err("it may not be reached");
    assert!(error.starts_with(UNEXPECTED), "{error}");
}
