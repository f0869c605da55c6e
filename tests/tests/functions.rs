//! A function app behind the gateway, which behaves as the SignalR extension of Azure Functions does: what its users and its clients get.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use hubgate_tests::functions::{Change, FunctionApp, Member, To, Trigger};
use hubgate_tests::gateway::{KEY, SECOND_KEY};
use hubgate_tests::http::Request;
use hubgate_tests::matrix::WAYS;
use hubgate_tests::script::Script;
use hubgate_tests::wait::{soon, until};
use hubgate_tests::{Client, Gateway};
use serde_json::{Value, json};
use tokio::sync::mpsc;

const THIRD_KEY: &str = "dGVzdHMtb25seS10aGlyZC1hY2Nlc3Mta2V5LTAxMjM0NTY3ODk=";
/// Many clients of one app.
const CLIENTS: usize = 200;
const REFUSED: &str = "Connection closed with an error. The application has refused the connection.";

/// An app whose hub is a class `Chat`, with the functions that most tests call.
async fn app() -> FunctionApp {
    let app = FunctionApp::start("Chat").await;
    app.method("echo", async |trigger: Trigger| Ok(trigger.arguments[0].clone()));
    app.method("fail", async |trigger: Trigger| Err(trigger.arguments[0].as_str().unwrap_or_default().to_owned()));
    app
}

/// A gateway that tells the app of all events of hub `chat`, and that the app knows.
async fn gateway(app: &FunctionApp) -> Gateway {
    let config =
        format!("hubs.chat.mode = 'serverless'\nupstream = [{{ url = '{}', retries = 10 }}]", app.trigger_url());
    let gateway = Gateway::serve().with(&config).start().await;
    app.connect(&gateway.ready().connection_string);
    gateway
}

async fn error_of(client: &mut Client, method: &str) -> String {
    client.call(method, json!(["x"])).await.expect_err(method)
}

async fn hears(app: &FunctionApp, event: &str) {
    until(&format!("the app to hear {event}"), async || app.heard().iter().any(|heard| heard == event).then_some(()))
        .await;
}

#[tokio::test]
async fn what_functions_return_and_throw_is_what_their_callers_get() {
    let app = app().await;
    app.method("nothing", async |_| Ok(Value::Null));
    let gateway = gateway(&app).await;
    let mut client = gateway.client("chat").connect().await;
    for value in [json!("ü 👋"), json!(1.5), json!(null), json!({ "a": [1, true] })] {
        assert_eq!(client.call("echo", json!([value])).await, Ok(value));
    }
    assert_eq!(client.call("nothing", json!([])).await, Ok(Value::Null));
    assert_eq!(client.call("fail", json!(["Not today."])).await, Err("Not today.".to_owned()));
    client.notify("fail", json!(["nobody waits"])).await;
    assert_eq!(client.everything_so_far().await, [] as [Value; 0]);
}

#[tokio::test]
async fn an_event_without_a_function_costs_nobody_the_connection() {
    let app = app().await;
    let gateway = gateway(&app).await;
    let mut client = gateway.client("chat").connect().await;
    assert_eq!(error_of(&mut client, "unknown").await, "Invocation failed, status code 404");
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
    client.leave().await;
    hears(&app, "disconnected 404").await;
    assert_eq!(app.heard(), ["connected 404", "unknown 404", "echo 200", "disconnected 404"], "each is told once");
}

#[tokio::test]
async fn a_function_for_connected_decides_who_may_come() {
    let app = app().await;
    app.connection_event("connected", async |trigger: Trigger| match trigger.user_id.as_deref() {
        Some("mallory") => Err("You are not welcome.".to_owned()),
        _ => Ok(Value::Null),
    });
    let gateway = gateway(&app).await;
    let mut mallory = gateway.client("chat").user("mallory").connect().await;
    mallory.start_call("echo", json!([1])).await;
    let end = mallory.end().await;
    assert_eq!((end.error(), end.allows_reconnect()), (REFUSED, false));
    let mut ann = gateway.client("chat").user("ann").connect().await;
    assert_eq!(ann.call("echo", json!([1])).await, Ok(json!(1)));
    assert_eq!(app.heard(), ["connected 403", "connected 200", "echo 200"], "what a refused client calls is not told");
}

#[tokio::test]
async fn an_app_with_another_access_key_runs_no_function() {
    let app = app().await;
    let gateway = gateway(&app).await;
    app.connect(&format!("Endpoint={};AccessKey={THIRD_KEY};Version=1.0;", gateway.url()));
    // The extension looks for a function first: one that is not there has no signature to check.
    let mut client = gateway.client("chat").connect().await;
    assert_eq!(error_of(&mut client, "echo").await, "Invocation failed, status code 401");
    assert_eq!(error_of(&mut client, "unknown").await, "Invocation failed, status code 404");
    gateway.logs(&["a webhook has failed", "it answered with status 401: does it check signatures"]).await;

    app.connection_event("connected", async |_| Ok(Value::Null));
    let end = gateway.client("chat").connect().await.end().await;
    assert_eq!((end.error(), end.allows_reconnect()), (REFUSED, false));
}

#[tokio::test]
async fn hubs_and_methods_are_found_without_regard_to_case() {
    let app = app().await;
    app.method("größe", async |trigger: Trigger| Ok(trigger.arguments[0].clone()));
    let gateway = gateway(&app).await;
    let mut client = gateway.client("cHAT").connect().await;
    for method in ["echo", "ECHO", "Echo", "größe", "Größe"] {
        assert_eq!(client.call(method, json!([method])).await, Ok(json!(method)));
    }
}

#[tokio::test]
async fn functions_know_users_claims_and_queries() {
    let app = app().await;
    app.method("whoami", async |trigger: Trigger| {
        Ok(json!([trigger.user_id, trigger.claims.get("name"), trigger.claims.get("role"), trigger.query]))
    });
    let gateway = gateway(&app).await;
    for user in ["jürgen", "名前 と", "%C3%A9, role: admin"] {
        let connecting = gateway.client("chat").user(user).with_claim("name", "Bob, role: admin, größer");
        let mut client = connecting.with_claim("role", json!(["guest", "admin"])).connect().await;
        // What has a colon and a blank inside is no pair: the extension leaves the claim out.
        let expected = json!([user, null, "guest", "?hub=chat"]);
        assert_eq!(client.call("whoami", json!([])).await, Ok(expected));
    }
    // A comma adds no claim at a reader that splits there.
    let mut nobody = gateway.client("chat").with_claim("name", "Bob, größer").connect().await;
    assert_eq!(nobody.call("whoami", json!([])).await, Ok(json!([null, "Bob%2C größer", null, "?hub=chat"])));
}

#[tokio::test]
async fn a_function_for_disconnected_knows_why() {
    let app = app().await;
    let (told, mut errors) = mpsc::unbounded_channel();
    app.connection_event("disconnected", move |trigger: Trigger| {
        let told = told.clone();
        async move {
            told.send((trigger.user_id, trigger.error)).expect("the test listens");
            Err("nobody minds".to_owned())
        }
    });
    let gateway = gateway(&app).await;
    gateway.client("chat").user("ann").connect().await.leave().await;
    assert_eq!(soon("an end", errors.recv()).await, Some((Some("ann".to_owned()), None)));
    gateway.client("chat").user("bob").connect().await.vanish();
    let (user, error) = soon("an end", errors.recv()).await.expect("it is told");
    assert_eq!(user.as_deref(), Some("bob"));
    assert!(error.is_some_and(|error| !error.is_empty()), "the connection broke");
    assert_eq!(app.heard(), ["connected 404", "disconnected 200", "connected 404", "disconnected 200"]);
}

#[tokio::test]
async fn keys_rotate_while_functions_are_called() {
    let app = app().await;
    let mut gateway = gateway(&app).await;
    let mut client = gateway.client("chat").connect().await;
    let mut call = async |key: &str| {
        app.connect(&format!("Endpoint=http://unused;AccessKey={key};Version=1.0;"));
        client.call("echo", json!([key])).await
    };
    // The app takes the second key, the gateway gets another first one, and the app takes that.
    assert_eq!(call(KEY).await, Ok(json!(KEY)));
    assert_eq!(call(SECOND_KEY).await, Ok(json!(SECOND_KEY)));
    gateway.reconfigure(&format!("server.access-keys = ['{THIRD_KEY}', '{SECOND_KEY}']"));
    gateway.hang_up();
    gateway.logs(&["the configuration was reloaded", "server.access-keys"]).await;
    assert_eq!(call(SECOND_KEY).await, Ok(json!(SECOND_KEY)));
    assert_eq!(call(THIRD_KEY).await, Ok(json!(THIRD_KEY)));
    assert_eq!(call(KEY).await, Err("Invocation failed, status code 401".to_owned()), "it is no key any more");
}

#[tokio::test]
async fn callers_are_told_that_the_app_went_away_and_go_on_once_it_is_back() {
    const WAITING: usize = 8;
    let app = app().await;
    let (called, mut calls) = mpsc::unbounded_channel();
    app.method("wait", move |_| {
        called.send(()).expect("the test listens");
        std::future::pending()
    });
    app.connection_event("connected", async |_| Ok(Value::Null));
    let gateway = gateway(&app).await;
    let mut clients = Vec::new();
    for _ in 0..WAITING {
        let mut client = gateway.client("chat").connect().await;
        let waiting = client.start_call("wait", json!([])).await;
        soon("the call", calls.recv()).await.expect("it is called");
        let next = client.start_call("echo", json!(["next"])).await;
        clients.push((client, waiting, next));
    }
    let crashed = app.crash().await;
    for (client, waiting, _) in &mut clients {
        let error = client.completion(waiting).await["error"].clone();
        assert_eq!(error, "Invocation failed, error: the upstream broke off before it answered");
    }
    // Whoever comes meanwhile waits, too.
    let mut newcomer = gateway.client("chat").connect().await;
    let call = newcomer.start_call("echo", json!(["new"])).await;
    gateway.logs(&["a webhook has failed", "event=\"echo\""]).await;
    let app = crashed.start().await;
    for (client, _, next) in &mut clients {
        assert_eq!(client.completion(next).await["result"], "next");
    }
    assert_eq!(newcomer.completion(&call).await["result"], "new");
    let connected = app.heard().iter().filter(|event| *event == "connected 200").count();
    assert_eq!(connected, WAITING + 1, "nobody had to come again");
}

#[tokio::test]
async fn no_call_hangs_when_the_app_restarts_under_two_hundred_callers() {
    const TOLD: [&str; 2] = [
        "Invocation failed, error: the upstream broke off before it answered",
        "Invocation failed, error: the upstream could not be reached",
    ];
    let app = app().await;
    let gateway = gateway(&app).await;
    let is_back = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (connecting, is_back) = (gateway.client("chat"), is_back.clone());
            tokio::spawn(async move {
                let mut client = connecting.connect().await;
                loop {
                    let is_last = is_back.load(Ordering::SeqCst);
                    match client.call("echo", json!([1])).await {
                        Ok(_) if is_last => break,
                        Ok(_) => {}
                        Err(error) => assert!(!is_last && TOLD.contains(&error.as_str()), "{error}"),
                    }
                }
            })
        })
        .collect();
    let busy = async || (app.heard().iter().filter(|event| *event == "echo 200").count() > 10 * CLIENTS).then_some(());
    until("all to call", busy).await;
    let crashed = app.crash().await;
    gateway.logs(&["a webhook has failed"]).await;
    let _app = crashed.start().await;
    is_back.store(true, Ordering::SeqCst);
    for caller in callers {
        soon("a caller", caller).await.expect("no caller fails");
    }
}

#[tokio::test]
async fn two_hundred_clients_call_and_are_called() {
    const CALLS: usize = 5;
    let app = app().await;
    let output = app.output();
    app.method("say", move |trigger: Trigger| {
        let output = output.clone();
        async move {
            let group = trigger.connection_id.clone();
            output.change(Member::Connection(&trigger.connection_id), Change::Add(&group)).await?;
            output.send(To::Group(&group), "said", json!(trigger.arguments)).await?;
            Ok(json!(trigger.connection_id))
        }
    });
    let gateway = gateway(&app).await;
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let connecting = gateway.client("chat").user(&format!("user {number}"));
            tokio::spawn(async move {
                let mut client = connecting.connect().await;
                for call in 0..CALLS {
                    let value = json!([number, call]);
                    assert_eq!(client.call("echo", json!([value])).await, Ok(value));
                }
                let id = client.call("say", json!([number])).await.expect("it may say that");
                assert_eq!(client.event("said").await, json!([number]), "its own group is its own");
                (client, id.to_string())
            })
        })
        .collect();
    let mut clients = Vec::new();
    for task in tasks {
        clients.push(task.await.expect("no client fails"));
    }
    assert_eq!(clients.iter().map(|(_, id)| id.as_str()).collect::<BTreeSet<_>>().len(), CLIENTS);
    app.output().send(To::All, "said", json!(["all"])).await.expect("it may send");
    for (client, _) in &mut clients {
        assert_eq!(client.event("said").await, json!(["all"]));
    }
}

#[tokio::test]
async fn unmodified_clients_are_let_in_by_the_apps_negotiation() {
    let app = app().await;
    app.method("join", async |_| Ok(Value::Null));
    let _gateway = gateway(&app).await;
    for (transport, protocol) in WAYS {
        for scenario in ["connect and disconnect", "a call with a result"] {
            let arguments = ["@microsoft/signalr", scenario, &app.url(), transport, protocol];
            Script::start("scenarios.mjs", &arguments).succeeds().await;
        }
    }
}

#[tokio::test]
async fn a_negotiation_signs_in_the_user_with_the_claims_of_the_app() {
    let app = app().await;
    app.method("whoami", async |trigger: Trigger| {
        Ok(json!([trigger.user_id, trigger.claims.get("role"), trigger.claims.get("asrs.u.nbf")]))
    });
    let gateway = gateway(&app).await;
    let negotiation = Request::new(Method::POST, app.address(), "/api/negotiate?negotiateVersion=1");
    let answer = negotiation.header("x-ms-client-principal-name", "jürgen").send().await;
    let answer: Value = serde_json::from_str(&answer.body).expect("the binding's answer is JSON");
    assert_eq!(answer["url"], format!("{}/client/?hub=chat", gateway.url()));
    let token = answer["accessToken"].as_str().expect("it has a token");
    let mut client = gateway.client("chat").token(token).connect().await;
    assert_eq!(client.call("whoami", json!([])).await, Ok(json!(["jürgen", null, null])));

    let info = app.output().connection_info(None, &[("role", "guest"), ("nbf", "a claim of the app")]);
    let token = info["accessToken"].as_str().expect("it has a token");
    let mut client = gateway.client("chat").token(token).connect().await;
    assert_eq!(client.call("whoami", json!([])).await, Ok(json!([null, "guest", "a claim of the app"])));
}

#[tokio::test]
async fn outputs_reach_whom_they_name_and_groups_change() {
    let app = app().await;
    app.method("whereami", async |trigger: Trigger| Ok(json!(trigger.connection_id)));
    let gateway = gateway(&app).await;
    let output = app.output();
    let mut jürgen = gateway.client("chat").user("jürgen/x").connect().await;
    let mut bob = gateway.client("chat").user("bob").connect().await;
    let id = bob.call("whereami", json!([])).await.expect("it is known");
    let id = id.as_str().expect("an id is text");

    // Each step changes a group, and says who hears what is sent to it then.
    let (user, connection) = (Member::User("jürgen/x"), Member::Connection(id));
    let hour = Duration::from_secs(3600);
    for (member, change, heard_by) in [
        (user, Change::Add("tea & cake"), [true, false]),
        (connection, Change::Add("tea & cake"), [true, true]),
        (user, Change::Remove("tea & cake"), [false, true]),
        (connection, Change::Remove("tea & cake"), [false, false]),
        (user, Change::AddFor("tea & cake", hour), [true, false]),
        (connection, Change::Add("tea & cake"), [true, true]),
        (user, Change::RemoveFromAll, [false, true]),
    ] {
        output.change(member, change).await.expect("the change is made");
        let step = json!([format!("{member:?} {change:?}")]);
        output.send(To::Group("tea & cake"), "said", step.clone()).await.expect("it is sent");
        output.send(To::All, "said", json!(["that was all"])).await.expect("it is sent");
        for (client, hears) in [&mut jürgen, &mut bob].into_iter().zip(heard_by) {
            if hears {
                assert_eq!(client.event("said").await, step);
            }
            assert_eq!(client.event("said").await, json!(["that was all"]), "{step}");
        }
    }
    output.send(To::User("jürgen/x"), "said", json!(["jürgen"])).await.expect("it is sent");
    output.send(To::Connection(id), "said", json!(["bob"])).await.expect("it is sent");
    assert_eq!([jürgen.event("said").await, bob.event("said").await], [json!(["jürgen"]), json!(["bob"])]);

    // A user who has joined for a time is in the group with every connection of that time.
    output.change(user, Change::AddFor("later", hour)).await.expect("the change is made");
    let mut again = gateway.client("chat").user("jürgen/x").connect().await;
    output.send(To::Group("later"), "said", json!(["later"])).await.expect("it is sent");
    assert_eq!([jürgen.event("said").await, again.event("said").await], [json!(["later"]), json!(["later"])]);
    let refused = output.change(Member::Connection("nobody"), Change::Add("later")).await.expect_err("nobody is there");
    assert!(refused.starts_with("404"), "{refused}");
}
