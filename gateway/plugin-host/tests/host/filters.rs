//! Filters as a shard shows messages to them, and what guests may use. The guest is `tests/guests/filter`.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use hubgate_core::event::UpstreamFailure;
use hubgate_core::filter::{
    FilterMessage, FilterSettings, Filters, Inspected, Inspection, MessageKind, OnError, Refusal, Subject, Targets,
    Verdict,
};
use hubgate_core::id::PluginName;
use hubgate_plugin_host::{AllowHttp, PluginSettings, PluginSource, ShardQuestion, Uses};
use hubgate_wire::endpoint::Endpoint;
use hubgate_wire::payload::{JsonText, Payload};

use crate::support::{Shard, built_guest, client, guest, on_a_shard, until};

fn settings(name: &str, mark: &str) -> PluginSettings {
    let mut settings = crate::support::settings(PluginSource::File(built_guest("filter.wasm")));
    settings.name = PluginName::new(name);
    settings.uses = Uses { filter: true, ..Uses::default() };
    settings.config = vec![("mark".to_owned(), mark.to_owned()), ("url".to_owned(), "https://example.com/".to_owned())];
    let endpoints = vec![Endpoint::parse("https://example.com").expect("a URL")];
    settings.allow_http = Arc::new(AllowHttp { endpoints, ..AllowHttp::default() });
    settings
}

fn start(plugins: Vec<PluginSettings>) -> Shard {
    Shard::of(&crate::support::start(plugins).expect("the filters serve"))
}

fn call(argument: &str) -> FilterMessage {
    let arguments = JsonText::parse_array(format!("[\"{argument}\"]")).expect("an array");
    let (target, content) = (Some("send".to_owned()), Some(Payload::Json(arguments)));
    FilterMessage { kind: MessageKind::Invocation, target, content, error: None }
}

/// Shows a client's call to these plugins, in their order.
fn inspect(shard: &Shard, plugins: &[(&str, OnError)], argument: &str) -> impl Future<Output = Inspected> + use<> {
    let filter = |(plugin, on_error): &(&str, OnError)| FilterSettings {
        plugin: PluginName::new(*plugin),
        targets: Targets::All,
        on_error: *on_error,
    };
    let filters: Vec<FilterSettings> = plugins.iter().map(filter).collect();
    shard.plugins.inspect(Box::new(Inspection {
        filters: Filters::new(&filters, &shard.plugins.halves()),
        subject: Subject::Client(client("ann")),
        message: call(argument),
        headers: Default::default(),
    }))
}

fn replaced(inspected: Inspected) -> String {
    match inspected.verdict {
        Verdict::Replace(FilterMessage { content: Some(content), .. }) => content.borrow().to_json().into_owned(),
        other => panic!("it is not replaced: {other:?}"),
    }
}

const CLOSED: OnError = OnError::Closed;

#[test]
fn each_filter_sees_what_the_one_before_it_has_made_of_the_message() {
    on_a_shard(async {
        let shard = start(vec![settings("a", "1"), settings("b", "2")]);
        let marked = inspect(&shard, &[("b", CLOSED), ("a", CLOSED)], "mark").await;
        assert_eq!(replaced(marked), r#"["mark","2","1"]"#);
        let verdict = inspect(&shard, &[("a", CLOSED), ("b", CLOSED)], "reject").await.verdict;
        assert_eq!(verdict, Verdict::Refuse(Refusal::Rejected("The filter says no.".to_owned())));
        let calls: Vec<u64> = shard.host.statuses().iter().map(|status| status.calls).collect();
        assert_eq!(calls, [2, 1], "behind a last word nobody is asked");
    });
}

#[test]
fn a_filter_that_fails_is_passed_by_if_it_is_open() {
    on_a_shard(async {
        let shard = start(vec![settings("a", "1"), settings("b", "2")]);
        for mishap in ["trap", "nonsense"] {
            let closed = inspect(&shard, &[("a", CLOSED), ("b", OnError::Open)], mishap).await.verdict;
            assert!(matches!(closed, Verdict::Refuse(Refusal::Failed(_))), "{mishap}: {closed:?}");
            let open = inspect(&shard, &[("a", OnError::Open), ("b", OnError::Open)], mishap).await.verdict;
            assert_eq!(open, Verdict::Pass, "{mishap}");
        }
    });
}

#[test]
fn what_a_filter_submits_comes_with_its_verdict() {
    on_a_shard(async {
        let shard = start(vec![settings("a", "1")]);
        let inspected = inspect(&shard, &[("a", CLOSED)], "tell").await;
        assert_eq!((inspected.verdict, inspected.actions.len()), (Verdict::Pass, 1));
    });
}

#[test]
fn a_guest_that_loops_is_stopped_within_two_ticks_of_its_budget() {
    on_a_shard(async {
        let mut looping = settings("a", "1");
        looping.budgets.cpu_time = Duration::from_millis(30);
        let shard = start(vec![looping]);
        let Verdict::Refuse(Refusal::Failed(UpstreamFailure::OutOfCpuTime { ticks })) =
            inspect(&shard, &[("a", CLOSED)], "spin").await.verdict
        else {
            panic!("it is stopped for its processor time");
        };
        assert!((30..=32).contains(&ticks), "{ticks} ticks");
    });
}

#[test]
fn waiting_is_no_processor_time() {
    on_a_shard(async {
        let mut waiting = settings("a", "1");
        waiting.budgets.cpu_time = Duration::from_millis(20);
        let mut shard = start(vec![waiting]);
        let inspected = tokio::task::spawn_local(inspect(&shard, &[("a", CLOSED)], "fetch"));
        let Some(ShardQuestion::Http(call)) = shard.questions.recv().await else { panic!("it asks by HTTP") };
        assert_eq!((call.method.as_str(), call.url.as_str()), ("GET", "https://example.com/"));
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(call);
        assert!(replaced(inspected.await.expect("no panic")).contains("the gateway is stopping"));
    });
}

#[test]
fn too_many_calls_of_the_host_break_a_call_off() {
    on_a_shard(async {
        let mut chatting = settings("a", "1");
        chatting.budgets.host_calls = 50;
        let shard = start(vec![chatting]);
        let verdict = inspect(&shard, &[("a", CLOSED)], "chatter").await.verdict;
        let Verdict::Refuse(Refusal::Failed(UpstreamFailure::Trapped(reason))) = verdict else { panic!("{verdict:?}") };
        assert!(reason.contains("more than 50 times"), "{reason}");
        assert_eq!(inspect(&shard, &[("a", CLOSED)], "fine").await.verdict, Verdict::Pass);
    });
}

#[test]
fn a_swap_changes_which_halves_are_asked() {
    on_a_shard(async {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("filter.wasm");
        fs::copy(built_guest("filter.wasm"), &file).expect("a copy");
        let mut swapped = settings("a", "1");
        swapped.source = PluginSource::File(file.clone());
        swapped.config.push(("limits".to_owned(), "send 1/1h".to_owned()));
        let shard = start(vec![swapped]);
        let reject = async || inspect(&shard, &[("a", CLOSED)], "reject").await.verdict;
        assert!(matches!(reject().await, Verdict::Refuse(Refusal::Rejected(_))));
        fs::copy(built_guest("rate-limit.wasm"), &file).expect("a copy");
        until("the swap", || shard.host.statuses()[0].generation == 2).await;
        assert_eq!(reject().await, Verdict::Pass, "it only counts");
        // A component that is no filter at all takes no filter's place.
        fs::write(&file, guest("1.0.000")).expect("it can be written");
        until("the refusal", || shard.host.statuses()[0].last_error.is_some()).await;
        assert!(matches!(reject().await, Verdict::Refuse(Refusal::Rejected(_))), "the second call is beyond the limit");
    });
}
