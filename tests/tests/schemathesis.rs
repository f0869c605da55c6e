//! The OpenAPI document from outside: Schemathesis makes requests of it, good ones and bad ones, and looks at the answers.

use std::process::Stdio;

use http::Method;
use hubgate_tests::client::Received;
use hubgate_tests::command::{leavings, repository};
use hubgate_tests::wait::{DEADLINE, LONG_DEADLINE, within};
use hubgate_tests::{Client, Gateway};
use serde_json::{Value, json};
use tokio::process::Command;

/// How many requests are made for each operation at random; `scripts/schemathesis.sh` asks for more.
fn examples() -> u32 {
    std::env::var("HUBGATE_SCHEMATHESIS_EXAMPLES").map_or(2, |number| number.parse().expect("a number"))
}

/// A client in a group, with the names by which requests are made about it. Nothing else uses its hub.
async fn client(gateway: &Gateway) -> (Client, Value) {
    let connecting = gateway.client("examples").user("ann");
    let negotiated = connecting.negotiate("&negotiateVersion=1").await.json();
    let (id, token) = (&negotiated["connectionId"], &negotiated["connectionToken"]);
    let client = connecting.id(token.as_str().expect("a text")).connect().await;
    let joined = format!("/api/hubs/examples/groups/tea/connections/{}", id.as_str().expect("a text"));
    assert_eq!(gateway.rest(Method::PUT, &joined).send().await.status, 200);
    let names = json!({
        "hub": "examples", "connectionId": id, "connectionToken": token, "user": "ann", "users": "ann,bob",
        "group": "tea", "groups": "tea,coffee", "streamId": "7",
    });
    (client, names)
}

/// Answers each call, and is never silent for long, for as long as the client is let.
async fn answer(mut client: Client) {
    loop {
        match client.next("a message, or a ping").await {
            Received::Message(message) if message["type"] == 1 && message["invocationId"].is_string() => {
                client.send(json!({ "type": 3, "invocationId": message["invocationId"], "result": 1 })).await;
            }
            Received::Message(_) => client.send(json!({ "type": 6 })).await,
            Received::Pong(_) => {}
            // The examples come first; what is made at random after them may close it.
            Received::End(_) => return std::future::pending().await,
        }
    }
}

#[tokio::test]
async fn requests_made_of_the_document_are_answered_as_it_says() {
    let gateway = Gateway::serve().with("hubs.\"*\".mode = 'serverless'").start().await;
    let (program, folder) =
        (leavings("schemathesis").join("bin/schemathesis"), repository().join("tests/schemathesis"));
    assert!(program.is_file(), "{} is not there: scripts/test.sh installs it", program.display());
    let (client, names) = client(&gateway).await;
    let examples = examples();
    let mut command = Command::new(program);
    command.arg("--config-file").arg(folder.join("schemathesis.toml")).arg("run");
    command.arg(format!("{}/api/openapi.json", gateway.url()));
    command.args(["--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-color"]);
    command.args(["--seed", "1", "--generation-database", "none", "--max-examples", &examples.to_string()]);
    // The hub's operations need tokens for their paths, which the hooks sign.
    command.env("SCHEMATHESIS_HOOKS", "hooks").env("PYTHONPATH", &folder).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("HUBGATE_URL", gateway.url()).env("HUBGATE_KEY", gateway.key());
    command.env("HUBGATE_CLIENT", names.to_string());
    command.current_dir(gateway.folder()).stdin(Stdio::null()).kill_on_drop(true);
    let run = within(LONG_DEADLINE + DEADLINE * examples, "Schemathesis to end", command.output());
    let run = tokio::select! {
        run = run => run,
        () = answer(client) => unreachable!("it answers until the run is over"),
    };
    let run = run.expect("Schemathesis can be run");
    assert!(run.status.success(), "{}\n{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    for operation in [
        "connectionExists",
        "userExists",
        "groupExists",
        "userInGroup",
        "listGroupConnections",
        "connectionClaims",
        "refreshConnection",
        "invokeConnection",
    ] {
        let succeeded =
            gateway.metric("hubgate_rest_requests_total", [("operation", operation), ("status", "200")]).await;
        assert!(succeeded > 0.0, "no answer of {operation} was a success");
    }
}
