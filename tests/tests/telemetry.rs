//! OpenTelemetry: one call is one trace, whoever has begun it, and whoever does not ask for telemetry has none.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use hubgate_tests::collector::texts;
use hubgate_tests::gateway::Setup;
use hubgate_tests::wait::until;
use hubgate_tests::{Client, Collector, Gateway, guests};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

fn traceparent() -> String {
    format!("00-{TRACE}-{CALLER}-01")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn trace_id() -> Vec<u8> {
    (0..16).map(|index| u8::from_str_radix(&TRACE[2 * index..2 * index + 2], 16).expect("digits")).collect()
}

/// The hub `probe` with a filter and two shards.
fn filtered() -> Setup {
    let filters =
        "server.shards = 2\nhubs.probe.filters = ['filter']\nplugins.filter = { allow-http = ['http://127.0.0.1:1'] }";
    Gateway::probe().plugin("filter", &guests::filter()).with(filters)
}

fn named<'s>(spans: &'s [Span], name: &str) -> Vec<&'s Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// The one span of this name.
fn one<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let named = named(spans, name);
    assert_eq!(named.len(), 1, "{name} of {:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>());
    named[0]
}

fn sum(spans: &[&Span], key: &str) -> u64 {
    spans.iter().map(|span| texts(&span.attributes)[key].parse::<u64>().expect("a number")).sum()
}

/// Calls a method with these headers in the hub message.
async fn call_with(client: &mut Client, method: &str, arguments: Value, headers: Value) -> Value {
    let id = client.next_id();
    client
        .send(json!({ "type": 1, "invocationId": id, "target": method, "arguments": arguments, "headers": headers }))
        .await;
    client.completion(&id).await
}

#[tokio::test]
async fn one_call_through_filter_handler_group_and_deliveries_is_one_trace() {
    let collector = Collector::start().await;
    let gateway = filtered().with(&collector.config()).start().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = gateway.client("probe").user("ann").connect().await;
        client.call("join", json!(["lobby"])).await.expect("a group");
        clients.push(client);
    }
    let headers = json!({ "traceparent": traceparent(), "tracestate": "vendor=1" });
    let answer = call_with(&mut clients[0], "sayTo", json!(["lobby", "hello"]), headers).await;
    assert_eq!(answer["error"], Value::Null, "{answer}");
    for client in &mut clients {
        assert_eq!(client.event("said").await, json!(["hello"]));
    }

    let is_whole = |spans: &[Span]| !named(spans, "probe/sayTo").is_empty();
    let spans = collector.trace(&trace_id(), is_whole).await;
    let call = one(&spans, "probe/sayTo");
    assert_eq!(hex(&call.parent_span_id), CALLER);
    let about = texts(&call.attributes);
    assert_eq!((&*about["rpc.system"], &*about["rpc.service"], &*about["rpc.method"]), ("signalr", "probe", "sayTo"));
    assert_eq!(about["user.id"], "ann");
    // Filters look at the call and its answer, which nobody changes, and at what is sent.
    let handled = one(&spans, "handle");
    assert_eq!(handled.parent_span_id, call.span_id);
    assert_eq!(texts(&handled.attributes)["hubgate.plugin"], "probe");
    let filters = named(&spans, "filter");
    let inbound: Vec<_> =
        filters.iter().filter(|span| texts(&span.attributes)["hubgate.direction"] == "inbound").collect();
    assert_eq!(inbound.len(), 1);
    assert_eq!(inbound[0].parent_span_id, call.span_id);
    assert_eq!(texts(&inbound[0].attributes)["hubgate.verdict"], "pass");
    let outbound = filters.iter().filter(|span| texts(&span.attributes)["hubgate.direction"] == "outbound");
    assert!(outbound.clone().count() > 0 && outbound.into_iter().all(|span| span.parent_span_id == handled.span_id));
    let sent = one(&spans, "send group");
    assert_eq!(sent.parent_span_id, handled.span_id);
    let about = texts(&sent.attributes);
    assert_eq!((&*about["messaging.destination.name"], &*about["hubgate.recipients"]), ("lobby", "4"));
    let delivered = named(&spans, "deliver");
    assert!(delivered.iter().all(|span| span.parent_span_id == sent.span_id));
    assert_eq!((delivered.len(), sum(&delivered, "hubgate.recipients")), (2, 4), "the clients are on two shards");
    for span in &spans {
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.trace_state == "vendor=1", "{span:?}");
        assert!(call.start_time_unix_nano <= span.start_time_unix_nano, "{span:?}");
        assert!(span.end_time_unix_nano <= call.end_time_unix_nano, "{span:?}");
    }
    let resource = &collector.resources()[0];
    assert_eq!(resource["service.name"], "hubgate");
    assert_eq!(resource["service.instance.id"].len(), 32);
}

#[tokio::test]
async fn a_plugin_reads_which_span_it_is_in() {
    let collector = Collector::start().await;
    let gateway = Gateway::probe().with(&collector.config()).start().await;
    let mut client = gateway.client("probe").connect().await;
    let headers = json!({ "TraceParent": traceparent(), "x": "y" });
    let answer = call_with(&mut client, "headers", json!([]), headers).await;
    let read = answer["result"].as_object().expect("headers").clone();
    assert_eq!((read.len(), &read["x"]), (2, &json!("y")), "{read:?}");
    let spans = collector.trace(&trace_id(), |spans| !named(spans, "probe/headers").is_empty()).await;
    let handled = one(&spans, "handle");
    assert_eq!(read["traceparent"], format!("00-{TRACE}-{}-01", hex(&handled.span_id)));
}

#[tokio::test]
async fn a_context_that_is_not_valid_begins_a_new_trace_and_one_that_is_not_sampled_none() {
    let collector = Collector::start().await;
    let gateway = Gateway::probe().with(&collector.config()).start().await;
    let mut client = gateway.client("probe").connect().await;
    let unsampled = format!("00-{TRACE}-{CALLER}-00");
    let answer = call_with(&mut client, "headers", json!([]), json!({ "traceparent": unsampled })).await;
    assert_eq!(answer["result"], json!({ "traceparent": unsampled }), "it goes on as it came");
    let wrong = format!("00-{TRACE}-{}-01", "0".repeat(16));
    call_with(&mut client, "echo", json!([1]), json!({ "traceparent": wrong })).await;
    let echo = collector.span("probe/echo").await;
    assert!(echo.parent_span_id.is_empty() && echo.trace_id != trace_id(), "{echo:?}");
    assert!(named(&collector.spans(), "probe/headers").is_empty());
}

#[tokio::test]
async fn what_a_rest_caller_sends_belongs_to_its_trace() {
    let collector = Collector::start().await;
    let gateway = Gateway::probe().with(&collector.config()).start().await;
    let mut client = gateway.client("probe").connect().await;
    let message = json!({ "target": "said", "arguments": ["hello"] });
    let request = gateway.rest(Method::POST, "/api/hubs/probe/:send?api-version=2022-06-01");
    let sent = request.header("traceparent", &traceparent()).header("x-hubgate-count", "1").json(&message).send().await;
    assert_eq!(sent.status, 202);
    assert_eq!(client.event("said").await, json!(["hello"]));
    let spans = collector.trace(&trace_id(), |spans| spans.len() >= 3).await;
    let request = spans.iter().find(|span| hex(&span.parent_span_id) == CALLER).expect("the request's span");
    let about = texts(&request.attributes);
    assert_eq!((&*about["http.request.method"], &*about["http.response.status_code"]), ("POST", "202"));
    assert_eq!(about["url.path"], "/api/hubs/probe/:send");
    let sent = one(&spans, "send all");
    assert_eq!(sent.parent_span_id, request.span_id);
    assert_eq!(one(&spans, "deliver").parent_span_id, sent.span_id);
}

#[tokio::test]
async fn a_webhook_is_told_the_span_of_its_request() {
    let (collector, webhook) = (Collector::start().await, Collector::start().await);
    let upstream = format!("upstream = [{{ hubs = ['probe'], url = '{}/{{event}}?code=canary' }}]", webhook.url());
    let gateway = Gateway::probe().with(&format!("{}{upstream}", collector.config())).start().await;
    let mut client = gateway.client("probe").connect().await;
    let headers = json!({ "traceparent": traceparent(), "tracestate": "vendor=1" });
    call_with(&mut client, "greet", json!([]), headers).await;
    let spans = collector.trace(&trace_id(), |spans| !named(spans, "probe/greet").is_empty()).await;
    let (handled, request) = (one(&spans, "handle"), one(&spans, "POST"));
    assert_eq!(
        (&handled.parent_span_id, &request.parent_span_id),
        (&one(&spans, "probe/greet").span_id, &handled.span_id)
    );
    let about = texts(&request.attributes);
    assert_eq!((&*about["http.request.method"], &*about["http.response.status_code"]), ("POST", "200"));
    assert_eq!(about["url.template"], format!("{}/{{event}}", webhook.url()), "what may be a secret is left out");
    let requests = webhook.requests();
    let (_, headers, body) = requests.iter().find(|(path, ..)| path == "/greet").expect("the call's request");
    assert_eq!(headers["traceparent"], format!("00-{TRACE}-{}-01", hex(&request.span_id)));
    assert_eq!(headers["tracestate"], "vendor=1");
    let body: Value = serde_json::from_slice(body).expect("a hub message");
    assert_eq!(body["headers"]["traceparent"], traceparent(), "the message is the client's");
    let (_, connected, _) = requests.iter().find(|(path, ..)| path == "/connected").expect("the event's request");
    assert!(connected.contains_key("traceparent"), "it begins a trace");
}

#[tokio::test]
async fn the_metrics_of_prometheus_are_told_under_their_names() {
    let collector = Collector::start().await;
    let config = format!("{}telemetry.metrics-interval = '1s'\nserver.log = 'info'", collector.config());
    let gateway = Gateway::probe().with(&config).start().await;
    let mut client = gateway.client("probe").connect().await;
    client.call("echo", json!([1])).await.expect("an answer");
    let shown = gateway.admin_request("/metrics").bearer(&gateway.ready().admin_token).send().await.body;
    let has_samples = |name: &str| shown.lines().any(|line| line.starts_with(name));
    let families = shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let families: BTreeSet<String> = families
        .filter(|(name, _)| has_samples(name))
        .map(|(name, kind)| if kind == "counter" { format!("{name}_total") } else { name.to_owned() })
        .collect();
    let value = |metric: &Metric, transport: &str| match metric.data.as_ref().expect("data") {
        Data::Gauge(gauge) => gauge.data_points.iter().find_map(|point| {
            let is_it = texts(&point.attributes)
                == [("hub", "probe"), ("transport", transport)]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into();
            is_it.then_some(point.value)?
        }),
        _ => None,
    };
    let connected = async || {
        let metrics = collector.metrics();
        let clients = metrics.iter().find(|metric| metric.name == "hubgate_client_connections")?;
        (value(clients, "WebSockets") == Some(number_data_point::Value::AsDouble(1.0))).then_some(metrics)
    };
    let told = until("the metrics with the client", connected).await;
    let told: BTreeSet<String> = told.into_iter().map(|metric| metric.name).collect();
    let missing: Vec<_> = families.difference(&told).collect();
    assert!(missing.is_empty() && told.len() > 30, "{missing:?} of {told:?}");
}

#[tokio::test]
async fn no_secret_and_no_payload_is_told() {
    let collector = Collector::start().await;
    let gateway = filtered().with(&collector.config()).start().await;
    let mut client = gateway.client("probe").with_claim("secret", "canary-claim").token_in_query().connect().await;
    for method in ["echo", "say", "fail", "trap", "gone"] {
        let _ = client.call(method, json!(["canary-payload"])).await;
    }
    let message = json!({ "target": "said", "arguments": ["canary-payload"] });
    let token = gateway.token("probe").sign();
    let path = format!("/api/hubs/probe/:send?api-version=2022-06-01&access_token={token}");
    gateway.rest(Method::POST, &path).json(&message).send().await;
    collector.span("POST sendToAll").await;
    collector.span("probe/gone").await;
    for (_, headers, body) in collector.requests() {
        let told = format!("{headers:?}{}", String::from_utf8_lossy(&body));
        assert!(!told.contains("canary") && !told.contains("access_token") && !told.contains(&token), "{told}");
    }
}

#[tokio::test]
async fn a_call_that_filters_do_not_let_pass_is_told_as_failed() {
    let collector = Collector::start().await;
    let gateway = filtered().with(&collector.config()).start().await;
    let mut client = gateway.client("probe").connect().await;
    client.call("echo", json!(["in:reject"])).await.expect_err("the filter says no");
    let call = collector.span("probe/echo").await;
    assert_eq!(texts(&call.attributes)["error.type"], "rejected");
    assert_eq!(call.status.as_ref().expect("a status").code, 2);
    let filter = collector.span("filter").await;
    assert_eq!(texts(&filter.attributes)["hubgate.verdict"], "reject");
    assert_eq!(filter.status, None, "the filter did what it is for");
}

#[tokio::test]
async fn a_call_that_fails_is_told_as_failed_without_the_handlers_text() {
    let collector = Collector::start().await;
    let gateway = Gateway::probe().with(&collector.config()).start().await;
    let mut client = gateway.client("probe").connect().await;
    client.call("fail", json!(["canary-error"])).await.expect_err("it fails");
    let call = collector.span("probe/fail").await;
    assert_eq!(texts(&call.attributes)["error.type"], "rejected");
    assert_eq!(call.status.as_ref().expect("a status").code, 2);
    let bodies: Vec<_> = collector.requests().into_iter().map(|(_, _, body)| body).collect();
    assert!(!bodies.iter().any(|body| String::from_utf8_lossy(body).contains("canary")));
}

#[tokio::test]
async fn of_traces_that_begin_here_a_part_is_recorded() {
    let collector = Collector::start().await;
    let config = format!("{}telemetry.sample-ratio = 0.001\ntelemetry.service-name = 'chat'", collector.config());
    let gateway = Gateway::probe().with(&config).start().await;
    let mut client = gateway.client("probe").connect().await;
    // The end of a trace's id says whether it is of the part: what a client says makes no more of them recorded.
    let traceparent = |end: &str| json!({ "traceparent": format!("00-4bf92f3577b34da6a3{end}-00f067aa0ba902b7-01") });
    call_with(&mut client, "echo", json!([1]), traceparent("ffffffffffffff")).await;
    call_with(&mut client, "version", json!([]), traceparent("00000000000000")).await;
    collector.span("probe/version").await;
    assert_eq!(named(&collector.spans(), "probe/echo").len(), 0);
    assert_eq!(collector.resources()[0]["service.name"], "chat");
}

#[tokio::test]
async fn a_collector_is_told_the_headers_of_a_file_and_the_last_spans_at_the_end() {
    let collector = Collector::start().await;
    let config = format!("{}telemetry.headers-file = 'headers'", collector.config());
    let gateway = Gateway::probe().with(&config).file("headers", "Authorization: Bearer canary\nx-team: a\n");
    let mut gateway = gateway.start().await;
    let mut client = gateway.client("probe").connect().await;
    client.call("echo", json!([1])).await.expect("an answer");
    drop(client);
    gateway.terminate();
    assert!(gateway.ended().await.success());
    let spans = collector.spans();
    assert!(!named(&spans, "probe/echo").is_empty() && !named(&spans, "probe/disconnected").is_empty(), "{spans:?}");
    let (path, headers, _) = &collector.requests()[0];
    assert_eq!(
        (&**path, &headers["content-type"]),
        ("/v1/traces", &"application/x-protobuf".parse().expect("a value"))
    );
    assert_eq!(
        (&headers["authorization"], &headers["x-team"]),
        (&"Bearer canary".parse().expect("a value"), &"a".parse().expect("a value"))
    );
    assert!(!gateway.log().contains("canary"));
}

#[tokio::test]
async fn an_absent_or_silent_or_hostile_collector_harms_nobody() {
    let collector = Collector::start().await;
    collector.answer(None);
    for (url, says) in [("http://127.0.0.1:1".to_owned(), true), (collector.url(), false)] {
        let gateway = Gateway::probe().with(&format!("telemetry.otlp = '{url}'")).start().await;
        let mut client = gateway.client("probe").connect().await;
        for number in 0..20_000 {
            client.notify("echo", json!([number])).await;
        }
        assert_eq!(client.call("echo", json!(["fine"])).await, Ok(json!("fine")));
        let lost = || gateway.metric("hubgate_telemetry_spans_total", [("outcome", "lost")]);
        until("spans to be lost", async || (lost().await > 0.0).then_some(())).await;
        if says {
            gateway.logs(&["the collector of `telemetry.otlp` does not take telemetry", &url]).await;
            let log = gateway.log();
            assert_eq!(log.matches("does not take telemetry").count(), 1, "{log}");
        }
    }
    collector.answer(Some(StatusCode::BAD_REQUEST));
    let gateway = Gateway::probe().with(&collector.config()).start().await;
    let mut client = gateway.client("probe").connect().await;
    client.call("echo", json!([1])).await.expect("an answer");
    gateway.logs(&["does not take telemetry", "it answers 400"]).await;
    collector.answer(Some(StatusCode::OK));
    client.call("echo", json!([2])).await.expect("an answer");
    collector.span("probe/echo").await;
    gateway.logs(&["the collector takes telemetry again"]).await;
}

#[tokio::test]
async fn what_a_collector_does_not_take_now_is_sent_again_and_what_it_refuses_is_not() {
    let collector = Collector::start().await;
    collector.answer(Some(StatusCode::SERVICE_UNAVAILABLE));
    let gateway = Gateway::probe().with(&collector.config()).start().await;
    let mut client = gateway.client("probe").connect().await;
    client.call("echo", json!([1])).await.expect("an answer");
    gateway.logs(&["does not take telemetry", "it answers 503"]).await;
    collector.answer(Some(StatusCode::OK));
    collector.span("probe/echo").await;
    assert_eq!(gateway.metric("hubgate_telemetry_spans_total", [("outcome", "lost")]).await, 0.0);

    collector.refuses(1, "quota exceeded");
    client.call("version", json!([])).await.expect("an answer");
    gateway.logs(&["refuses a part of what it is told", "quota exceeded"]).await;
    let lost =
        async || (gateway.metric("hubgate_telemetry_spans_total", [("outcome", "lost")]).await == 1.0).then_some(());
    until("the refused span to be counted", lost).await;
}

#[tokio::test]
async fn without_a_collector_nothing_is_added_to_messages_and_nothing_is_counted() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    assert_eq!(client.call("headers", json!([])).await, Ok(json!({})));
    let told = json!({ "traceparent": traceparent(), "tracestate": "vendor=1" });
    let answer = call_with(&mut client, "headers", json!([]), told.clone()).await;
    assert_eq!(answer["result"], told, "a client's own headers pass");
    let metrics = gateway.admin_request("/metrics").bearer(&gateway.ready().admin_token).send().await.body;
    assert!(metrics.contains("hubgate_client_connections") && !metrics.contains("hubgate_telemetry"), "{metrics}");
}
