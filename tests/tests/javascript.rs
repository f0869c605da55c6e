//! Plugins in JavaScript and TypeScript: what a script has beside the language, the SDK, and what a newcomer is told.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use http::Method;
use hubgate_tests::command::{Finished, repository};
use hubgate_tests::toolchains::{hubgate_in, link_packages};
use hubgate_tests::{Client, Gateway};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A new project whose script is another one.
struct Project(TempDir);

impl Project {
    fn new(language: &str, script: &str) -> Project {
        let project = Project(tempfile::tempdir().expect("there is room for a folder"));
        Finished::of(hubgate_in(project.0.path()).args(["plugin", "new", "hello", "--language", language])).success();
        link_packages(&project.path());
        project.write(&format!("plugin.{language}"), script)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("hello")
    }

    fn write(self, file: &str, text: &str) -> Project {
        fs::write(self.path().join(file), text).expect("the project can be written");
        self
    }

    fn in_world(self, world: &str) -> Project {
        let manifest = fs::read_to_string(self.path().join("package.json")).expect("it is there");
        self.write("package.json", &manifest.replace("\"handler\"", &format!("\"{world}\"")))
    }

    fn build(&self) -> Finished {
        Finished::of(hubgate_in(self.0.path()).args(["plugin", "build", "hello", "-o", "hello.wasm"]))
    }

    fn component(&self) -> PathBuf {
        self.build().success();
        self.0.path().join("hello.wasm")
    }

    /// What the build says that refuses it.
    fn refusal(&self) -> String {
        let built = self.build();
        assert_eq!(built.code, Some(1), "{built:?}");
        built.stderr
    }
}

/// A gateway whose hub `hello` the handler answers, and a client of the user `ann`.
async fn served(script: &str, config: &str) -> (Gateway, Client) {
    let project = Project::new("js", script);
    let gateway = Gateway::serve().plugin("hello", &project.component());
    let gateway = gateway
        .with("hubs.hello.mode = 'serverless'\nupstream = [{ plugin = 'hello' }]\nplugins.hello.call-time = '30s'");
    let gateway = gateway.with(config).start().await;
    let client = gateway.client("hello").user("ann").connect().await;
    (gateway, client)
}

#[tokio::test]
async fn a_script_has_what_scripts_have_elsewhere() {
    let script = r##"
        import { handler } from "hubgate";
        console.log("at the top level", [1, { a: 2n }]);
        let order = [];
        export const { lifecycle, upstream } = handler({ methods: {
          text: () => new TextDecoder().decode(new TextEncoder().encode("é漢😀")),
          uuid: () => crypto.randomUUID(),
          bytes: () => crypto.getRandomValues(new Uint8Array(16)).some((byte) => byte !== 0),
          url: () => {
            const url = new URL("../x?y=1#z", "https://Example.com:443/a/b/c");
            url.searchParams.append("name", "a b");
            return url.href;
          },
          clone: () => [...structuredClone(new Map([["a", new Date(0)]])).values()],
          base64: () => atob(btoa("hello")),
          queue: () => { order = ["first"]; queueMicrotask(() => order.push("last")); order.push("second"); },
          order: () => order,
          cut: () => console.log("a".repeat(16383) + "😀"),
          say: () => console.warn("%s is %d", "the answer", 42, new Set(["x"])),
        } });
    "##;
    let (gateway, mut client) = served(script, "").await;
    let mut call = async |method: &str| client.call(method, json!([])).await.expect("it answers");
    assert_eq!(call("text").await, "é漢😀");
    let uuid = call("uuid").await.as_str().expect("a text").to_owned();
    assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"), "{uuid}");
    assert_ne!(call("uuid").await, uuid);
    assert_eq!(call("bytes").await, true);
    assert_eq!(call("url").await, "https://example.com/a/x?y=1&name=a+b#z");
    assert_eq!(call("clone").await, json!(["1970-01-01T00:00:00.000Z"]));
    assert_eq!(call("base64").await, "hello");
    call("queue").await;
    assert_eq!(call("order").await, json!(["first", "second", "last"]));
    call("say").await;
    call("cut").await;
    gateway.logs(&["plugin=hello", "at the top level [1, { a: 2n }]"]).await;
    gateway.logs(&["WARN", "the answer is 42 Set(1) { \"x\" }"]).await;
}

#[tokio::test]
async fn each_instance_draws_random_numbers_of_its_own() {
    let script = r#"
        import { handler } from "hubgate";
        let calls = 0;
        const atBuild = Math.random();
        export const { lifecycle, upstream } = handler({ methods: {
          draw: () => [calls++, Math.random(), Math.random(), atBuild],
          end: () => { throw new Error("this instance is over"); },
        } });
    "#;
    let (gateway, mut client) = served(script, "").await;
    let first = client.call("draw", json!([])).await.expect("it answers");
    client.call("end", json!([])).await.expect_err("it breaks off");
    gateway.logs(&["WARN", "`upstream.invoke` has thrown Error: this instance is over", "/plugin.js:7"]).await;
    gateway.logs(&["ERROR", "a call of the plugin broke off: Error: this instance is over (plugin.js:7"]).await;
    assert!(!gateway.log().contains("RUST_BACKTRACE"), "the runtime's own words are noise: {}", gateway.log());
    let second = client.call("draw", json!([])).await.expect("it answers");
    assert_eq!((&first[0], &second[0]), (&json!(0), &json!(0)), "two instances");
    assert_eq!(first[3], second[3], "the top level ran once");
    for drawn in [&first, &second] {
        let number = drawn[1].as_f64().expect("a number");
        assert!((0.0..1.0).contains(&number) && drawn[1] != drawn[2], "{drawn}");
    }
    assert_ne!(first[1], second[1]);
}

#[tokio::test]
async fn methods_get_arguments_and_their_answers_are_told_apart() {
    let script = r#"
        import { fail, handler, reject, takes } from "hubgate";
        export const { lifecycle, upstream } = handler({
          connected(client) { if (client.userId === "eve") reject("Not you."); },
          methods: {
            add: takes(["number", "number", "string?"], (client, a, b, unit = "") => `${a + b}${unit}`),
            who: (client) => [client.hub, client.userId],
            nothing() {},
            no: () => reject("No."),
            broken: () => fail("for the log"),
            later: () => Promise.resolve(1),
            same: (client, ...values) => values,
          },
        });
    "#;
    let (gateway, mut client) = served(script, "").await;
    assert_eq!(client.call("add", json!([1, 2])).await, Ok(json!("3")));
    assert_eq!(client.call("add", json!([1, 2, " m"])).await, Ok(json!("3 m")));
    for (arguments, told) in [
        (json!([1]), "Wrong arguments: add takes 2 to 3, got 1."),
        (json!([1, "2"]), "Wrong arguments: argument 2 must be a number, not a string."),
        (
            json!([1, 9_007_199_254_740_993_u64]),
            "Wrong arguments: argument 2 must be a number, not an integer beyond 2^53.",
        ),
        (json!([1, 2, 3]), "Wrong arguments: argument 3 must be a string or null, not an integer."),
        (json!([1, 2, "m", 4]), "Wrong arguments: add takes 2 to 3, got 4."),
    ] {
        let error = client.call("add", arguments).await.expect_err("the arguments are wrong");
        assert!(error.ends_with(told), "{error}");
    }
    assert_eq!(client.call("who", json!([])).await, Ok(json!(["hello", "ann"])));
    assert_eq!(client.call("nothing", json!([])).await, Ok(Value::Null));
    assert_eq!(client.call("same", json!([u64::MAX, null])).await, Ok(json!([u64::MAX, null])));
    assert!(client.call("no", json!([])).await.expect_err("it refuses").ends_with("No."));
    for name in ["unknown", "constructor", "__proto__"] {
        let error = client.call(name, json!([])).await.expect_err("there is none");
        assert!(error.contains(&format!("There is no method '{name}'.")), "{error}");
    }
    let error = client.call("broken", json!([])).await.expect_err("it fails");
    assert!(!error.contains("for the log"), "{error}");
    gateway.logs(&["a call of the plugin failed", "for the log"]).await;
    client.call("later", json!([])).await.expect_err("nobody waits");
    gateway.logs(&["the method 'later' has answered with a promise"]).await;
    let refused = gateway.client("hello").user("eve").refused().await;
    assert!(refused.contains("Not you."), "{refused}");
}

#[tokio::test]
async fn hub_state_config_and_log_have_the_vocabulary_of_all_languages() {
    let script = r#"
        import { config, connections, context, handler, hub, log, state } from "hubgate";
        const bytes = (text) => new TextEncoder().encode(text);
        export const { lifecycle, upstream } = handler({
          init: () => log.info("began", { greeting: config.get("greeting") ?? "none" }),
          methods: {
            join: (client, group) => hub.join(client, group),
            joinUser: (client, user, group) => hub.join(hub.user(user), group),
            leaveAll: (client) => hub.leaveAll(client),
            group: (client, group, text) => hub.sendGroup(group, "said", [text]),
            all: (client, text) => hub.sendAll("said", [text], [client.id]),
            user: (client, user, text) => hub.sendUser(user, "said", [text]),
            me: (client, text) => hub.sendConnection(client.id, "said", [text]),
            exists: (client, user) => hub.exists(hub.user(user)),
            quit: (client) => hub.close(client, "Bye.", false),
            keep: (client, key, value) => state.set(key, value),
            kept: (client, key) => state.get(key),
            count: (client, by) => state.increment("count", by),
            swap: (client, key, before, after) => state.compareAndSet(key, before && bytes(before), after && bytes(after)),
            swapJson: () => state.compareAndSet("v", null, 1),
            joinGroup: (client) => hub.join(hub.group("tea"), "tea"),
            brief: (client, time) => [state.set("brief", 1, time) ?? null, state.get("brief")],
            endless: (client, which) => state.set("endless", 1, which === "NaN" ? NaN : Infinity),
            noJson: () => [state.setBytes("raw", bytes("{")), state.get("raw")],
            bytes: () => [state.setBytes("b", bytes("x")) ?? null, [...state.getBytes("b")], state.compareAndSet("b", bytes("y"), null),
              state.compareAndSet("b", bytes("x"), null), state.getBytes("b")],
            keys: (client, prefix) => state.keys(prefix),
            forget: (client, key) => state.delete(key),
            facts: (client) => [connections.protocol(client.id), context.now() > 0, context.timeLeft() > 0, context.random(3).length, context.eventId() !== ""],
            tooLong: () => state.set("k".repeat(2000), 1),
          },
        });
    "#;
    let (gateway, mut ann) = served(script, "plugins.hello.config = { greeting = 'Good day' }").await;
    let mut bob = gateway.client("hello").user("bob").connect().await;
    gateway.logs(&["began", "greeting", "Good day"]).await;
    let null = || Ok(Value::Null);
    assert_eq!(ann.call("join", json!(["tea"])).await, null());
    assert_eq!(ann.call("joinUser", json!(["bob", "tea"])).await, null());
    for (method, arguments) in [("group", json!(["tea", "1"])), ("all", json!(["2"])), ("user", json!(["bob", "3"]))] {
        assert_eq!(ann.call(method, arguments).await, null());
    }
    assert_eq!(ann.call("me", json!(["4"])).await, null());
    for text in ["1", "2", "3"] {
        assert_eq!(bob.event("said").await, json!([text]));
    }
    for text in ["1", "4"] {
        assert_eq!(ann.event("said").await, json!([text]));
    }
    assert_eq!(ann.call("exists", json!(["bob"])).await, Ok(json!(true)));
    assert_eq!(ann.call("exists", json!(["carl"])).await, Ok(json!(false)));
    let value = json!({ "a": [1, "é", null], "n": u64::MAX });
    assert_eq!(ann.call("kept", json!(["v"])).await, null());
    assert_eq!(ann.call("swap", json!(["v", null, value.to_string()])).await, Ok(json!(true)));
    assert_eq!(ann.call("swap", json!(["v", null, "1"])).await, Ok(json!(false)));
    assert_eq!(ann.call("kept", json!(["v"])).await, Ok(value.clone()));
    assert_eq!(ann.call("swap", json!(["v", value.to_string(), "1"])).await, Ok(json!(true)));
    for (method, argument, words) in [
        ("swapJson", "", "state.compareAndSet takes bytes, or null"),
        ("joinGroup", "", "a client, the id of a connection or hub.user(id) is a member of groups, not {"),
        ("endless", "NaN", "a time to live is a finite number, or null to last for ever, not NaN"),
        ("endless", "Infinity", "a time to live is a finite number, or null to last for ever, not Infinity"),
        ("noJson", "", "state, key 'raw': it is not of the expected type"),
    ] {
        ann.call(method, json!([argument])).await.expect_err("it is refused");
        gateway.logs(&[words]).await;
    }
    for time in [json!(0), json!(-5), json!(-0.5)] {
        assert_eq!(ann.call("brief", json!([time])).await, Ok(json!([null, null])), "{time}");
    }
    for time in [json!(null), json!(1e300)] {
        assert_eq!(ann.call("brief", json!([time])).await, Ok(json!([null, 1])), "{time}");
    }
    assert_eq!(ann.call("keys", json!(["v"])).await, Ok(json!(["v"])));
    assert_eq!(ann.call("forget", json!(["v"])).await, null());
    assert_eq!(ann.call("kept", json!(["v"])).await, null());
    assert_eq!(ann.call("bytes", json!([])).await, Ok(json!([null, [120], false, true, null])));
    assert_eq!(ann.call("count", json!([])).await, Ok(json!(1)));
    assert_eq!(ann.call("count", json!([-3])).await, Ok(json!(-2)));
    assert_eq!(ann.call("kept", json!(["count"])).await, Ok(json!(-2)));
    ann.call("count", json!([9_007_199_254_740_993_u64])).await.expect_err("it would lose digits");
    gateway.logs(&["state.increment adds integers up to 2^53 - 1", "the BigInt 9007199254740993n"]).await;
    ann.call("tooLong", json!([])).await.expect_err("the key is too long");
    gateway.logs(&["a call of the plugin failed", "the key or the value is too large"]).await;
    assert_eq!(ann.call("facts", json!([])).await, Ok(json!(["json", true, true, 3, true])));
    assert_eq!(bob.call("leaveAll", json!([])).await, null());
    assert_eq!(ann.call("group", json!(["tea", "5"])).await, null());
    assert_eq!(ann.event("said").await, json!(["5"]));
    assert!(bob.everything_so_far().await.is_empty());
    ann.start_call("quit", json!([])).await;
    assert!(ann.end().await.error().contains("Bye."));
}

#[test]
fn what_cannot_work_is_refused_by_the_build_with_what_to_do() {
    let handler = |parts: &str| {
        format!(
            "import {{ handler, takes }} from 'hubgate';\nexport const {{ lifecycle, upstream }} = handler({{ {parts} }});"
        )
    };
    let project = Project::new("js", "");
    let refused = |script: &str, words: &[&str]| {
        fs::write(project.path().join("plugin.js"), script).expect("the project can be written");
        let refusal = project.refusal();
        assert!(words.iter().all(|word| refusal.contains(word)), "{script}: {refusal}");
    };
    refused(&handler("methods: { async hello() {} }"), &["`hello` is async", "plain function"]);
    refused(&handler("methods: { hello: takes(['any'], async () => 1) }"), &["is async"]);
    refused(&handler("async connected() {}"), &["`connected` is async"]);
    refused(&handler("conected() {}"), &["has no `conected`", "init, connected, disconnected, methods, invoke"]);
    refused(&handler("methods: { hello: 1 }"), &["`hello` is no function"]);
    refused(
        "import { filter } from 'hubgate';\nexport const { lifecycle, inboundFilter, outboundFilter } = filter({});",
        &["\"world\": \"filter\""],
    );
    refused("import { state } from 'hubgate';\nstate.get('x');", &["at its top level", "in `init`"]);
    refused("crypto.randomUUID();", &["at the top level of a script", "`init`"]);
    refused("import { send } from 'hubgate/http';", &["handler-with-http"]);
    refused("import fs from 'node:fs';", &["not Node.js"]);
    refused("import { greet } from './answers';\nimport x from './nothing';", &["with its ending"]);
    refused("const fs = require('fs');", &["ES modules"]);
    refused("setTimeout(() => {}, 1);", &["nothing runs between calls", "`timers` of"]);
    refused(
        "import { wholeHub } from 'hubgate/whole-hub';\nexport default wholeHub({});",
        &["\"world\": \"whole-hub\""],
    );
}

#[tokio::test]
async fn http_is_an_entry_of_its_own_for_worlds_that_have_it() {
    let script = r#"
        import { handler } from "hubgate";
        import { send } from "hubgate/http";
        export const { lifecycle, upstream } = handler({ methods: {
          ask(client, url) {
            const answer = send({ url, method: "POST", headers: { "content-type": "text/plain" }, body: "hé" });
            return [answer.status, answer.ok, answer.header("X-Kind"), answer.text()];
          },
        } });
    "#;
    let project = Project::new("js", script).in_world("handler-with-http");
    let component = project.component();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let origin = format!("http://{}", listener.local_addr().expect("it is bound"));
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("the plugin asks");
        let mut asked = Vec::new();
        while !asked.ends_with("\r\n\r\nh\u{e9}".as_bytes()) {
            assert_ne!(stream.read_buf(&mut asked).await.expect("it can be read"), 0, "{asked:?}");
        }
        let answer = "HTTP/1.1 201 Created\r\nx-kind: tea\r\ncontent-length: 5\r\nconnection: close\r\n\r\nyes \u{21}";
        stream.write_all(answer.as_bytes()).await.expect("it can be written");
        String::from_utf8(asked).expect("it is text")
    });
    let config = format!(
        "hubs.hello.mode = 'serverless'\nupstream = [{{ plugin = 'hello' }}]
         plugins.hello = {{ allow-http = ['{origin}'], call-time = '30s' }}"
    );
    let gateway = Gateway::serve().plugin("hello", &component).with(&config).start().await;
    let mut client = gateway.client("hello").connect().await;
    let answer = client.call("ask", json!([format!("{origin}/tea")])).await;
    assert_eq!(answer, Ok(json!([201, true, "tea", "yes !"])));
    let asked = asked.await.expect("it was asked");
    assert!(asked.starts_with("POST /tea HTTP/1.1\r\n") && asked.contains("content-type: text/plain\r\n"), "{asked}");
    client.call("ask", json!(["http://elsewhere.example/secret"])).await.expect_err("it is not allowed");
    gateway.logs(&["http: POST to elsewhere.example: denied"]).await;
    assert!(!gateway.log().contains("/secret"), "what a URL holds is no business of the log's");
}

#[tokio::test]
async fn a_filter_answers_with_nothing_or_another_message_or_ends_it() {
    let script = r#"
        import { close, drop, fail, filter, reject } from "hubgate";
        export const { lifecycle, inboundFilter, outboundFilter } = filter({
          inbound(client, message) {
            const [first] = message.kind === "invocation" ? message.value : [];
            if (first === "reject") reject(`Not you, ${client.userId}.`);
            if (first === "drop") drop();
            if (first === "close") close("Out.");
            if (first === "fail") fail("for the log");
            if (first === "replace") return message.replace({ value: [{ replaced: 9007199254740993n }] });
            if (first === "maps") return message.mapTexts((text) => text.replace("bad", "good"));
          },
          outbound: (delivery, message) => (message.target === "said" ? message.mapTexts((text) => text.toUpperCase()) : undefined),
        });
    "#;
    let project = Project::new("js", script).in_world("filter");
    let gateway = Gateway::probe().plugin("hello", &project.component());
    let config = "hubs.probe.filters = ['hello']\nplugins.hello.call-time = '30s'";
    let gateway = gateway.with(config).start().await;
    let mut ann = gateway.client("probe").user("ann").connect().await;
    assert_eq!(ann.call("echo", json!(["as it is"])).await, Ok(json!("as it is")));
    assert!(ann.call("echo", json!(["reject"])).await.expect_err("it refuses").ends_with("Not you, ann."));
    ann.call("echo", json!(["drop"])).await.expect_err("nobody gets it");
    ann.call("echo", json!(["fail"])).await.expect_err("the filter has broken off");
    gateway.logs(&["`inboundFilter.inspect`", "for the log"]).await;
    assert_eq!(ann.call("echo", json!(["replace"])).await, Ok(json!({ "replaced": 9_007_199_254_740_993_u64 })));
    assert_eq!(ann.call("echo", json!(["maps"])).await, Ok(json!("maps")));
    let message = json!({ "target": "said", "arguments": ["a", { "a": ["b", 1, u64::MAX, { "__proto__": "c" }] }] });
    let sent = gateway.rest(Method::POST, "/api/hubs/probe/:send?api-version=2022-06-01").json(&message).send().await;
    assert_eq!(sent.status, 202, "{sent:?}");
    assert_eq!(ann.event("said").await, json!(["A", { "a": ["B", 1, u64::MAX, { "__proto__": "C" }] }]));
    ann.start_call("echo", json!(["close"])).await;
    assert!(ann.end().await.error().contains("Out."));
}

#[tokio::test]
async fn a_negotiator_grants_and_refuses() {
    let script = r#"
        import { fail, forbidden, negotiator, reject, unauthorized } from "hubgate";
        export default negotiator({
          authorize(request) {
            const userId = request.header("x-user") ?? unauthorized("Who are you? \ud800");
            if (userId === "nobody") forbidden("Not you.");
            if (userId === "fault") fail("for the log");
            if (userId === "typo") nothing();
            return { userId, claims: { role: ["a", "b"] }, lifetimeSeconds: 60 };
          },
        });
    "#;
    let project = Project::new("js", script).in_world("negotiator");
    let gateway = Gateway::probe().plugin("door", &project.component());
    let config = "hubs.probe.negotiate = { plugin = 'door' }\nplugins.door.call-time = '30s'";
    let gateway = gateway.with(config).start().await;
    let ask = async |user: Option<&str>| {
        let request = gateway.request(Method::POST, "/hubs/probe/negotiate?negotiateVersion=1");
        user.into_iter().fold(request, |request, user| request.header("x-user", user)).send().await
    };
    let granted = ask(Some("ann")).await.json()["accessToken"].as_str().expect("a grant has a token").to_owned();
    let mut client = gateway.client("probe").token(&granted).connect().await;
    let me = client.call("whoami", json!([])).await.expect("it answers");
    assert_eq!((&me["userId"], &me["claims"]["role"]), (&json!("ann"), &json!(["a", "b"])));
    for (user, status, text) in [(None, 401, "Who are you? \u{fffd}"), (Some("nobody"), 403, "Not you.")] {
        let answer = ask(user).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, text));
    }
    assert_eq!(ask(Some("fault")).await.status, 500);
    assert_eq!(ask(Some("typo")).await.status, 503);
    gateway.logs(&["a call of the plugin failed", "for the log"]).await;
    gateway.logs(&["`authorizer.authorize` has thrown ReferenceError"]).await;
}

#[test]
fn projects_are_checked_and_tested_by_npm() {
    let npm = |project: &Project, arguments: &[&str]| {
        Finished::of(Command::new("npm").args(arguments).current_dir(project.path()))
    };
    for language in ["js", "ts"] {
        for kind in ["handler", "filter", "hub"] {
            let project = Project(tempfile::tempdir().expect("there is room for a folder"));
            let new = ["plugin", "new", "hello", "--language", language, "--kind", kind];
            Finished::of(hubgate_in(project.0.path()).args(new)).success();
            link_packages(&project.path());
            npm(&project, &["test"]).success();
            // The editor reads what `tsc` reads.
            let settings = if language == "js" { "jsconfig.json" } else { "tsconfig.json" };
            npm(&project, &["exec", "--", "tsc", "-p", settings]).success();
        }
    }
    let misused = "
        import { handler, hub, state, takes } from 'hubgate';
        export const { lifecycle, upstream } = handler({
            methods: {
                a: takes(['string'], (client, name) => name.nothing),
                b: () => hub.sendAll('said', 'no array'),
                c: () => state.increment('n', '1'),
                d: (client) => client.name,
                e: () => require('fs'),
            },
        });";
    let misused_hub = "
        import { streams, takes, timers, wholeHub } from 'hubgate/whole-hub';
        export default wholeHub({
            streams: {
                a: streams(['string'], (client, stream, name) => { stream.push(name.nothing); }),
                b: (client, stream) => { stream.send(1); },
                c: (client) => { client.ask('x', 'no array'); },
                d: () => { timers.every('tick', '100'); },
            },
            authorize: () => 'ann',
        });";
    for (script, lines) in [(misused, vec![5, 6, 7, 8, 9]), (misused_hub, vec![5, 6, 7, 8, 10])] {
        let checked = npm(&Project::new("ts", script), &["run", "check"]);
        assert_ne!(checked.code, Some(0), "{checked:?}");
        for line in lines {
            assert!(checked.stdout.contains(&format!("plugin.ts({line},")), "line {line}: {checked:?}");
        }
    }
}

#[test]
fn what_scripts_get_does_what_it_does_in_node() {
    passes_in_node("globals.test.js");
}

#[test]
fn a_whole_hub_has_the_vocabulary_of_all_languages() {
    passes_in_node("whole-hub.test.js");
}

fn passes_in_node(tests: &str) {
    let tests = repository().join("tests/languages").join(tests);
    Finished::of(Command::new("node").args(["--no-warnings", "--test"]).arg(tests)).success();
}
