//! Upstream by webhook, to an application in Node.js that behaves as an Azure Functions SignalR trigger does.

use http::Method;
use hubgate_tests::gateway::{KEY, SECOND_KEY, Setup};
use hubgate_tests::matrix::{WAYS, did};
use hubgate_tests::script::Script;
use hubgate_tests::wait::until;
use hubgate_tests::{Client, Gateway};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

/// The application, and where it listens.
struct Upstream {
    script: Script,
    port: u16,
}

impl Upstream {
    async fn start() -> Upstream {
        Upstream::start_with(0, &[]).await
    }

    /// Port 0 is any free one.
    async fn start_with(port: u16, certificate: &[&str]) -> Upstream {
        let (keys, port) = (format!("{KEY},{SECOND_KEY}"), port.to_string());
        let mut script = Script::start("upstream.mjs", &[&[keys.as_str(), &port], certificate].concat());
        let line = script.line().await;
        let port = line.strip_prefix("listening ").and_then(|port| port.parse().ok()).expect("it listens");
        Upstream { script, port }
    }

    /// A gateway whose hub `probe` has it for upstream, with these further keys of the item.
    fn gateway(&self, item: &str) -> Setup {
        Gateway::probe().with(&format!(
            "upstream = [{{ hubs = ['probe'], url = 'http://127.0.0.1:{}/{{hub}}/api/{{category}}/{{event}}'{item} }}]",
            self.port
        ))
    }

    /// The next event that it heard of.
    async fn event(&mut self) -> Value {
        let line = self.script.line().await;
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The next event of this name.
    async fn event_named(&mut self, name: &str) -> Value {
        loop {
            let event = self.event().await;
            if event["event"] == name {
                return event;
            }
        }
    }
}

async fn error_of(client: &mut Client, method: &str) -> String {
    client.call(method, json!([])).await.expect_err(method)
}

#[tokio::test]
async fn events_are_signed_requests_in_order() {
    let mut upstream = Upstream::start().await;
    let gateway = upstream.gateway("").start().await;
    let connecting = gateway.client("probe").user("ann").with_claim("role", json!(["a", "b"]));
    let mut client = connecting.connect().await;
    let call = "{\"type\":1,\"invocationId\":\"x\",\"target\":\"echo\",\"arguments\":[1.50]}\u{1e}";
    client.send_text(call).await;
    assert_eq!(client.completion("x").await["result"], 1.5);
    client.notify("a/b c", json!([1])).await;
    client.leave().await;

    let connected = upstream.event().await;
    assert_eq!(connected["url"], "/probe/api/connections/connected");
    assert_eq!(
        (&connected["body"], &connected["headers"]["content-type"]),
        (&json!("{\"type\":10}"), &json!("application/json"))
    );
    let headers = connected["headers"].as_object().expect("headers");
    for (name, value) in [
        ("x-asrs-hub", "probe"),
        ("x-asrs-category", "connections"),
        ("x-asrs-event", "connected"),
        ("x-asrs-user-id", "ann"),
    ] {
        assert_eq!(headers[name], value);
    }
    let claims = headers["x-asrs-user-claims"].as_str().expect("claims");
    assert!(claims.contains("asrs.s.uid: ann") && claims.contains("role: a, role: b"), "{claims}");
    assert_eq!(headers["x-asrs-client-query"], "?hub=probe");
    assert!(!headers.contains_key("authorization"));

    let call = upstream.event().await;
    assert_eq!(call["url"], "/probe/api/messages/echo");
    assert!(call["body"].as_str().is_some_and(|body| body.contains("1.50")), "numbers are as the client wrote them");
    let odd = upstream.event().await;
    assert_eq!(
        (&odd["url"], &odd["headers"]["x-asrs-event"]),
        (&json!("/probe/api/messages/a%2Fb%20c"), &json!("a/b c"))
    );
    let disconnected = upstream.event().await;
    assert_eq!((&disconnected["event"], &disconnected["body"]), (&json!("disconnected"), &json!("{\"type\":11}")));
    assert_eq!(disconnected["connections"].as_u64().expect("a number"), 1, "one connection serves them all");
}

#[tokio::test]
async fn every_answer_becomes_what_the_caller_is_told() {
    let upstream = Upstream::start().await;
    let gateway = upstream.gateway(", timeout = '2s'").start().await;
    let mut client = gateway.client("probe").connect().await;
    for method in ["nothing", "noContent"] {
        let completion = client.call_raw(method, json!([])).await;
        assert!(completion.get("result").is_none() && completion.get("error").is_none(), "{completion}");
    }
    assert_eq!(client.call("fail", json!(["why"])).await, Err("why".to_owned()));
    for (method, error) in [
        ("created", "Invocation failed, status code 201"),
        ("forbidden", "Invocation failed, status code 403"),
        ("unknown", "Invocation failed, status code 404"),
        ("broken", "Invocation failed, status code 500"),
        ("elsewhere", "Invocation failed, status code 302"),
        ("huge", "Invocation failed, response too large."),
        ("gone", "Invocation failed, error: the upstream broke off before it answered"),
        ("never", "Invocation failed, error: the upstream did not answer in time"),
        ("unending", "Invocation failed, response cancelled."),
        ("garbage", "Invocation failed, error: the response is not a Completion of this call."),
        ("foreign", "Invocation failed, error: the response is not a Completion of this call."),
        ("two", "Invocation failed, error: the response is not a Completion of this call."),
        ("..", "Invocation failed, error: no URL can hold the method's name."),
        ("line\r\nline", "Invocation failed, error: no header can carry the method's name."),
    ] {
        assert_eq!(error_of(&mut client, method).await, error, "{method}");
    }
    let cut = error_of(&mut client, "cut").await;
    assert!(cut.starts_with("Invocation failed, error: "), "{cut}");
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)), "nothing of it has harmed the connection");
    gateway.logs(&["a webhook has failed", "it answered with status 201"]).await;
    assert!(!gateway.log().contains("secret words"));
    assert_eq!(gateway.metric("hubgate_webhook_requests_total", [("outcome", "timed-out")]).await, 2.0);
}

#[tokio::test]
async fn a_webhook_that_is_not_there_is_a_failed_call() {
    let gateway = Gateway::probe()
        .with("upstream = [{ hubs = ['probe'], categories = ['messages'], url = 'http://127.0.0.1:1/?code=secret', retries = 0 }]")
        .start()
        .await;
    let mut client = gateway.client("probe").connect().await;
    let error = "Invocation failed, error: the upstream could not be reached";
    assert_eq!(error_of(&mut client, "m").await, error, "and no status that nobody sent");
    gateway.logs(&["a webhook has failed", "http://127.0.0.1:1/"]).await;
    assert!(!gateway.log().contains("secret"), "a URL's query may be one");
}

#[tokio::test]
async fn who_is_refused_at_connected_is_closed_and_no_disconnected_follows() {
    let mut upstream = Upstream::start().await;
    let gateway = upstream.gateway("").start().await;
    let mut refused = gateway.client("probe").user("refuse-me").open().await;
    refused.send_text(hubgate_tests::client::HANDSHAKE).await;
    assert_eq!(refused.message().await, json!({}), "the handshake is answered before");
    refused.start_call("echo", json!([1])).await;
    let end = refused.end().await;
    let refused = "Connection closed with an error. The application has refused the connection.";
    assert_eq!((end.error(), end.allows_reconnect()), (refused, false));
    gateway.client("probe").user("ann").connect().await.leave().await;
    let events = [upstream.event().await, upstream.event().await, upstream.event().await];
    let told = events.map(|event| format!("{} {}", event["event"], event["headers"]["x-asrs-user-id"]));
    assert_eq!(told, ["\"connected\" \"refuse-me\"", "\"connected\" \"ann\"", "\"disconnected\" \"ann\""]);
}

#[tokio::test]
async fn a_client_whose_connected_failed_for_now_may_reconnect() {
    let upstream = Upstream::start().await;
    let gateway = upstream.gateway(", retries = 0").start().await;
    for (status, allows_reconnect) in [(503, true), (500, true), (408, true), (429, true), (401, false), (400, false)] {
        let user = format!("answer-{status}");
        let mut client = gateway.client("probe").user(&user).connect().await;
        let end = client.end().await;
        assert_eq!(end.allows_reconnect(), allows_reconnect, "{status}: {}", end.error());
        assert_eq!(end.error().contains("try again later"), allows_reconnect, "{status}: {}", end.error());
    }
    let nobody_there = Gateway::probe()
        .with("upstream = [{ hubs = ['probe'], url = 'http://127.0.0.1:1/', retries = 0 }]")
        .start()
        .await;
    let mut client = nobody_there.client("probe").connect().await;
    assert!(client.end().await.allows_reconnect());
}

#[tokio::test]
async fn a_client_stays_where_nobody_handles_connected() {
    let mut upstream = Upstream::start().await;
    let gateway = upstream.gateway("").start().await;
    for status in [404, 405, 410, 501] {
        let mut client = gateway.client("probe").user(&format!("answer-{status}")).connect().await;
        assert_eq!(client.call("echo", json!([status])).await, Ok(json!(status)));
        assert_eq!(upstream.event().await["event"], "connected");
        assert_eq!(upstream.event().await["event"], "echo", "`connected` was told once");
        client.leave().await;
        upstream.event_named("disconnected").await;
    }
    gateway.logs(&["the webhook does not handle this event", "connected", "404"]).await;
    assert!(!gateway.log().contains("a webhook has failed"), "{}", gateway.log());
}

#[tokio::test]
async fn headers_carry_users_and_methods_as_they_are_and_no_claim_adds_another() {
    let mut upstream = Upstream::start().await;
    let gateway = upstream.gateway("").start().await;
    let bytes = |value: &Value| -> String {
        let latin_1 = value.as_str().expect("a header").chars().map(|char| char as u8);
        String::from_utf8(latin_1.collect()).expect("UTF-8")
    };
    for user in ["jürgen", "é", "%C3%A9"] {
        let connecting = gateway.client("probe").user(user).with_claim("name", json!("Bob, role: admin"));
        let mut client = connecting.connect().await;
        assert_eq!(client.call("größe", json!([1])).await, Ok(json!(1)));
        let connected = upstream.event().await;
        assert_eq!(bytes(&connected["headers"]["x-asrs-user-id"]), user);
        let claims = bytes(&connected["headers"]["x-asrs-user-claims"]);
        assert!(claims.contains("name: Bob%2C role: admin") && !claims.contains(", role: admin"), "{claims}");
        assert_eq!(bytes(&upstream.event().await["headers"]["x-asrs-event"]), "größe");
        client.leave().await;
        upstream.event_named("disconnected").await;
    }
}

#[tokio::test]
async fn claims_have_the_names_that_the_item_asks_for() {
    let mut upstream = Upstream::start().await;
    let gateway = upstream.gateway(", claim-names = 'dotnet'").start().await;
    let client = gateway.client("probe").with_claim("role", json!("admin")).connect().await;
    let connected = upstream.event().await;
    let claims = connected["headers"]["x-asrs-user-claims"].as_str().expect("claims");
    assert!(claims.contains("http://schemas.microsoft.com/ws/2008/06/identity/claims/role: admin"), "{claims}");
    client.leave().await;
}

#[tokio::test]
async fn a_user_that_no_header_can_carry_is_refused_by_name_on_hubs_with_a_webhook() {
    let upstream = Upstream::start().await;
    let other = "hubs.other.mode = 'serverless'";
    let gateway = upstream.gateway("").with(other).start().await;
    for user in [" ann", "ann ", "a\r\nb"] {
        let refused = gateway.client("probe").user(user).negotiate("&negotiateVersion=1").await;
        assert_eq!(refused.status, 400, "{user:?}");
        assert!(refused.body.contains("webhook of hub 'probe'"), "{}", refused.body);
        gateway.client("other").user(user).connect().await;
    }
}

#[tokio::test]
async fn a_call_that_was_never_sent_is_sent_again() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("it is bound").port()
    };
    let gateway = Gateway::probe()
        .with(&format!(
            "upstream = [{{ hubs = ['probe'], categories = ['messages'], url = 'http://127.0.0.1:{port}/', retries = 10 }}]"
        ))
        .start()
        .await;
    let mut client = gateway.client("probe").connect().await;
    let call = client.start_call("echo", json!([1])).await;
    gateway.logs(&["a webhook has failed"]).await;
    let mut upstream = Upstream::start_with(port, &[]).await;
    assert_eq!(client.completion(&call).await["result"], 1);
    assert_eq!(upstream.event().await["event"], "echo");
}

#[tokio::test]
async fn a_failed_connected_may_be_logged_only() {
    let upstream = Upstream::start().await;
    let gateway = upstream.gateway(", on-connect-failure = 'log'").start().await;
    let mut client = gateway.client("probe").user("refuse-me").connect().await;
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
    gateway.logs(&["a webhook has failed", "connected", "it answered with status 403: does it check signatures"]).await;
    assert!(!gateway.log().contains("Invocation failed"), "nobody has called anything");
}

#[tokio::test]
async fn unmodified_clients_are_answered_in_their_own_protocol() {
    let upstream = Upstream::start().await;
    let gateway = upstream.gateway("").start().await;
    let token = gateway.token("probe").user("ann").sign();
    for (transport, protocol) in WAYS {
        for scenario in ["connect and disconnect", "a call with a result", "a token of the application"] {
            let url = gateway.url();
            let arguments = ["@microsoft/signalr", scenario, &url, transport, protocol, &token];
            Script::start("scenarios.mjs", &arguments).succeeds().await;
            did("`@microsoft/signalr` 10.0.11, Node.js, upstream by webhook", transport, protocol, scenario);
        }
    }
}

#[tokio::test]
async fn a_hub_changes_from_webhook_to_component_while_its_clients_stay() {
    let mut upstream = Upstream::start().await;
    let mut gateway = upstream.gateway("").start().await;
    let mut client = gateway.client("probe").user("ann").connect().await;
    assert_eq!(error_of(&mut client, "version").await, "Invocation failed, status code 404");
    gateway.reconfigure("upstream = [{ hubs = ['probe'], plugin = 'probe' }]");
    gateway.hang_up();
    gateway.logs(&["the configuration was reloaded"]).await;
    assert!(client.call("version", json!([])).await.is_ok(), "the component answers");
    client.leave().await;
    upstream.event_named("version").await;
}

#[tokio::test]
async fn hubs_change_from_webhook_to_component_one_by_one_while_real_clients_call() {
    const HUBS: [&str; 3] = ["one", "two", "three"];
    let upstream = Upstream::start().await;
    let url = format!("url = 'http://127.0.0.1:{}/{{event}}'", upstream.port);
    let items = |replaced: usize| {
        let item = |(index, hub): (usize, &&str)| match index < replaced {
            true => format!("{{ hubs = ['{hub}'], plugin = 'probe' }}"),
            false => format!("{{ hubs = ['{hub}'], {url} }}"),
        };
        format!("upstream = [{}]", HUBS.iter().enumerate().map(item).collect::<Vec<_>>().join(", "))
    };
    let open = HUBS.map(|hub| format!("hubs.{hub} = {{ mode = 'serverless', negotiate = {{ anonymous = true }} }}\n"));
    let mut gateway = Gateway::probe().with(&open.concat()).with(&items(0)).start().await;
    let mut clients = Script::start("replaced.mjs", &[&[gateway.url().as_str()], &HUBS[..]].concat());
    clients.says("connected").await;
    for (index, hub) in HUBS.iter().enumerate() {
        gateway.reconfigure(&items(index + 1));
        clients.says(&format!("{hub} replaced")).await;
    }
    clients.succeeds().await;
}

#[tokio::test]
async fn a_connection_event_that_failed_is_told_again_and_a_call_is_not() {
    let mut upstream = Upstream::start().await;
    let gateway = upstream.gateway(", retries = 1").start().await;
    let mut client = gateway.client("probe").user("busy-at-first").connect().await;
    assert_eq!(upstream.event().await["event"], "connected");
    assert_eq!(upstream.event().await["event"], "connected", "once more");
    assert_eq!(error_of(&mut client, "broken").await, "Invocation failed, status code 500");
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
    assert_eq!(upstream.event().await["event"], "broken");
    assert_eq!(upstream.event().await["event"], "echo", "the call was made once");
    client.leave().await;
    upstream.event_named("disconnected").await;
}

#[tokio::test]
async fn items_are_tried_in_order_whatever_they_name() {
    let mut upstream = Upstream::start().await;
    let port = upstream.port;
    let gateway = Gateway::probe()
        .with(&format!(
            "upstream = [
                {{ hubs = ['probe'], categories = ['messages'], events = ['version'], plugin = 'probe' }},
                {{ hubs = ['probe'], categories = ['messages'], url = 'http://127.0.0.1:{port}/{{event}}' }},
                {{ hubs = ['probe'], categories = ['messages'], plugin = 'probe' }},
            ]"
        ))
        .start()
        .await;
    let mut client = gateway.client("probe").connect().await;
    assert!(client.call("version", json!([])).await.is_ok());
    assert_eq!(client.call("echo", json!([7])).await, Ok(json!(7)));
    assert_eq!(upstream.event().await["url"], "/echo");
}

#[tokio::test]
async fn a_webhook_by_https_is_trusted_as_the_machine_says() {
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a valid name");
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("the folder can be written");
        path.display().to_string()
    };
    let (certificate, key) = (file("certificate.pem", &certificate.pem()), file("key.pem", &key.serialize_pem()));
    let upstream = Upstream::start_with(0, &[&certificate, &key]).await;
    let url = format!("https://127.0.0.1:{}/{{event}}", upstream.port);
    let setup =
        || Gateway::probe().with(&format!("upstream = [{{ categories = ['messages'], url = '{url}', retries = 0 }}]"));
    let gateway = setup().environment("SSL_CERT_FILE", &certificate).start().await;
    let mut client = gateway.client("probe").connect().await;
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
    let distrustful = setup().start().await;
    let mut client = distrustful.client("probe").connect().await;
    assert_eq!(error_of(&mut client, "echo").await, "Invocation failed, error: the upstream could not be reached");
    until("the log to say why", async || distrustful.log().contains("certificate").then_some(())).await;
}

/// What a webhook hears of a call for a stream: the connection and the id of the stream.
async fn asked_for_a_stream(upstream: &mut Upstream, method: &str) -> (String, String) {
    let event = upstream.event_named(method).await;
    let connection = event["headers"]["x-asrs-connection-id"].as_str().expect("a text").to_owned();
    let is_packed = event["headers"]["content-type"] == "application/x-msgpack";
    let body = event["body"].as_str().expect("a text");
    let id = match is_packed {
        // [4, {}, id, method, arguments, []], and ids of this client are one digit.
        true => body.chars().find(char::is_ascii_digit).map(String::from),
        false => {
            let message: Value = serde_json::from_str(body).expect("JSON");
            assert_eq!((&message["type"], &message["target"]), (&json!(4), &json!(method)));
            assert_eq!(message["arguments"], json!([1, "two"]));
            message["invocationId"].as_str().map(str::to_owned)
        }
    };
    (connection, id.expect("the stream has an id"))
}

#[tokio::test]
async fn an_application_sends_the_stream_that_a_client_has_called_for_with_the_rest_api() {
    let mut upstream = Upstream::start().await;
    let gateway = upstream.gateway(", streams = true").start().await;
    let token = gateway.token("probe").sign();
    for (transport, protocol) in WAYS {
        for (method, end, says) in
            [("noContent", ":complete", "complete"), ("nothing", ":complete?error=enough", "error enough")]
        {
            let arguments = [&*gateway.url(), "probe", method, transport, protocol, &token];
            let mut client = Script::start("rest_stream.mjs", &arguments);
            client.says("connected").await;
            let (connection, id) = asked_for_a_stream(&mut upstream, method).await;
            let stream = format!("/api/hubs/probe/connections/{connection}/streams/{id}");
            for number in 0..3 {
                let item = gateway.rest(Method::POST, &format!("{stream}/:send")).json(&json!({ "number": number }));
                assert_eq!(item.send().await.status, 202);
                client.says(&format!("item {{\"number\":{number}}}")).await;
            }
            assert_eq!(gateway.rest(Method::POST, &format!("{stream}/{end}")).send().await.status, 202);
            client.says(says).await;
            client.succeeds().await;
        }
        did("`@microsoft/signalr` 10.0.11, Node.js, upstream by webhook", transport, protocol, "a stream over REST");
    }
}

#[tokio::test]
async fn without_streams_a_call_for_one_is_an_error_that_names_the_key_and_the_application_does_not_hear_of_it() {
    let mut upstream = Upstream::start().await;
    let gateway = upstream.gateway("").start().await;
    let mut client = gateway.client("probe").connect().await;
    client.send(json!({ "type": 4, "invocationId": "s", "target": "nothing", "arguments": [] })).await;
    let error = client.completion("s").await["error"].as_str().expect("an error").to_owned();
    assert!(error.starts_with("Failed to invoke 'nothing'") && error.contains("`streams = true`"), "{error}");
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
    assert_eq!(upstream.event().await["event"], "connected");
    assert_eq!(upstream.event().await["event"], "echo");
}

#[tokio::test]
async fn a_call_for_a_stream_that_the_application_does_not_take_is_an_error() {
    let upstream = Upstream::start().await;
    let gateway = upstream.gateway(", streams = true").start().await;
    let mut client = gateway.client("probe").connect().await;
    for (method, error) in [
        ("forbidden", "Invocation failed, status code 403"),
        ("nobody", "Invocation failed, status code 404"),
        ("fail", "text"),
        ("echo", "Invocation failed, error: the response is a result, and the call is answered by a stream."),
        ("garbage", "Invocation failed, error: the response is not a Completion of this call."),
    ] {
        let id = client.next_id();
        let call = json!({ "type": 4, "invocationId": id, "target": method, "arguments": ["text"] });
        client.send(call).await;
        assert_eq!(client.completion(&id).await["error"], error, "{method}");
    }
}
