//! A component's file changes while clients are connected.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hubgate_tests::gateway::signal;
use hubgate_tests::wait::{pause, soon, until};
use hubgate_tests::{Client, Gateway, guests};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const CLIENTS: usize = 200;
const CALLS: usize = 50;
const SWAPS: usize = 20;
const CALLS_PER_SWAP: usize = CLIENTS * CALLS / SWAPS;

/// What the file becomes.
enum Content {
    Version(&'static str, Vec<u8>),
    Bad(&'static str, Vec<u8>),
}

/// How far the test is, as the clients see it.
#[derive(Debug)]
struct Progress {
    /// The calls that may be made now.
    permits: Semaphore,
    swap: AtomicUsize,
    answered: AtomicUsize,
}

#[tokio::test]
async fn every_call_is_answered_once_by_the_old_or_the_new_version_and_nobody_is_disconnected() {
    let config = "server.shards = 4\nserver.timeouts.client = '5m'";
    let gateway = Gateway::probe().with(config).start().await;
    let progress =
        Arc::new(Progress { permits: Semaphore::new(0), swap: AtomicUsize::new(0), answered: AtomicUsize::new(0) });
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let client = gateway.client("probe").connect().await;
        clients.spawn(call_version(client, progress.clone()));
    }

    // Which versions may answer during each swap.
    let mut allowed: Vec<Vec<&str>> = Vec::new();
    let mut serving = "1";
    for (index, content) in contents().into_iter().enumerate() {
        progress.swap.store(index, Ordering::SeqCst);
        let before = gateway.plugin_status("probe").await;
        match content {
            Content::Version(version, bytes) => {
                allowed.push(vec![serving, version]);
                gateway.replace_plugin("probe", &bytes);
                let swapped =
                    |now: &Value| now["generation"] != before["generation"] && now["digest"] != before["digest"];
                call_until(&gateway, &progress, index, swapped).await;
                serving = version;
            }
            Content::Bad(what, bytes) => {
                allowed.push(vec![serving]);
                gateway.replace_plugin("probe", &bytes);
                let reported =
                    |now: &Value| now["lastError"] != before["lastError"] && now["lastError"]["reason"].is_string();
                let now = call_until(&gateway, &progress, index, reported).await;
                assert_eq!(now["generation"], before["generation"], "{what} serves nobody");
                assert_eq!(now["digest"], before["digest"], "{what} serves nobody");
                let reason = now["lastError"]["reason"].as_str().expect("it is text");
                // The log may shorten the reason, or quote it.
                let start: String =
                    reason.chars().take_while(|char| !['"', '`', '\n'].contains(char)).take(30).collect();
                gateway.logs(&["probe", &start]).await;
            }
        }
    }
    progress.swap.store(SWAPS, Ordering::SeqCst);

    let mut calls = 0;
    for answers in clients.join_all().await {
        for (during, version) in answers {
            assert!(allowed[during].contains(&version.as_str()), "version {version} answered during swap {during}");
            calls += 1;
        }
    }
    assert_eq!(calls, CLIENTS * CALLS);
    assert_eq!(gateway.clients_of("probe").await, 0, "they have all left by themselves");
    let swaps = gateway.metric("hubgate_plugin_swaps_total", [("plugin", "probe")]).await;
    assert!(swaps >= SWAPS as f64, "{swaps} swaps are counted, good and bad");
}

/// 15 good files and 5 bad ones.
fn contents() -> Vec<Content> {
    let versions = [guests::probe(), guests::probe_2()].map(|guest| guests::bytes(&guest));
    let truncated = versions[1][..versions[1].len() / 2].to_vec();
    let mut bad = [
        Content::Bad("a truncated component", truncated),
        Content::Bad("a text", b"This is no WebAssembly.".to_vec()),
        Content::Bad("a component of no world", guests::of_no_world()),
        Content::Bad("a module that is no component", guests::core_module()),
        Content::Bad("an empty file", Vec::new()),
    ]
    .into_iter();
    let mut good = 0;
    let mut contents = Vec::new();
    for swap in 0..SWAPS {
        if swap % 4 == 2 {
            contents.push(bad.next().expect("every fourth of 20 is bad"));
            continue;
        }
        good += 1;
        contents.push(match good % 2 {
            1 => Content::Version("2", versions[1].clone()),
            _ => Content::Version("1", versions[0].clone()),
        });
    }
    contents
}

/// Lets the clients call, a few at a time, until the admin listener shows that the swap is over; then lets them make what
/// is left of the swap's calls, and waits for all of their answers.
async fn call_until(gateway: &Gateway, progress: &Progress, swap: usize, is_over: impl Fn(&Value) -> bool) -> Value {
    const FEW: usize = CALLS_PER_SWAP / 25;
    let mut left = CALLS_PER_SWAP;
    let status = until("the swap to be over", async || {
        let few = FEW.min(left.saturating_sub(FEW));
        left -= few;
        progress.permits.add_permits(few);
        Some(gateway.plugin_status("probe").await).filter(&is_over)
    });
    let status = status.await;
    progress.permits.add_permits(left);
    let all = (swap + 1) * CALLS_PER_SWAP;
    until("all calls to be answered", async || (progress.answered.load(Ordering::SeqCst) == all).then_some(())).await;
    status
}

/// Makes its calls when they are allowed; gives the number of the swap and the version that answered, for each.
async fn call_version(mut client: Client, progress: Arc<Progress>) -> Vec<(usize, String)> {
    let mut answers = Vec::new();
    for _ in 0..CALLS {
        // As long as all the swaps may take, which the test itself limits.
        progress.permits.acquire().await.expect("it is never closed").forget();
        let swap = progress.swap.load(Ordering::SeqCst);
        let id = client.start_call("version", json!([])).await;
        let completion = client.message().await;
        assert_eq!((&completion["type"], &completion["invocationId"]), (&json!(3), &json!(id)), "{completion}");
        answers.push((swap, completion["result"].as_str().expect("the call is answered").to_owned()));
        progress.answered.fetch_add(1, Ordering::SeqCst);
    }
    assert_eq!(client.everything_so_far().await, [] as [Value; 0], "no call is answered twice");
    client.leave().await;
    answers
}

#[tokio::test]
async fn a_new_version_serves_clients_that_are_connected() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    client.call("join", json!(["tea"])).await.expect("it answers");
    client.call("count", json!(["key"])).await.expect("it answers");
    assert_eq!(client.call("version", json!([])).await, Ok(json!("1")));
    gateway.replace_plugin("probe", &guests::bytes(&guests::probe_2()));
    version_answers(&mut client, "2").await;
    assert_eq!(client.call("count", json!(["key"])).await, Ok(json!(2)), "its state outlives a version");
    client.call("sayTo", json!(["tea", "still a member"])).await.expect("it answers");
    assert_eq!(client.event("said").await, json!(["still a member"]));
    gateway.logs(&["probe", "generation"]).await;
}

#[tokio::test]
async fn a_file_may_be_written_in_place_and_in_pieces() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    let file = gateway.plugin_file("probe");
    let content = guests::bytes(&guests::probe_2());
    let mut writing = fs::File::create(&file).expect("the folder can be written");
    for piece in content.chunks(content.len() / 5 + 1) {
        std::io::Write::write_all(&mut writing, piece).expect("the file can be written");
        assert_eq!(client.call("version", json!([])).await, Ok(json!("1")));
        pause().await;
    }
    drop(writing);
    version_answers(&mut client, "2").await;
}

#[tokio::test]
async fn a_file_that_is_removed_leaves_its_component_serving_until_it_is_back() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    fs::remove_file(gateway.plugin_file("probe")).expect("the file is there");
    assert_eq!(client.call("version", json!([])).await, Ok(json!("1")));
    gateway.replace_plugin("probe", &guests::bytes(&guests::probe_2()));
    version_answers(&mut client, "2").await;
}

#[tokio::test]
async fn the_same_content_again_is_no_new_version() {
    let gateway = Gateway::probe().start().await;
    let before = gateway.plugin_status("probe").await;
    gateway.replace_plugin("probe", &guests::bytes(&guests::probe()));
    // What comes next is seen after it.
    gateway.replace_plugin("probe", b"nonsense");
    let seen = async || {
        let now = gateway.plugin_status("probe").await;
        now["lastError"].is_object().then_some(now)
    };
    let now = until("the bad file to be seen", seen).await;
    assert_eq!((&now["generation"], &now["loadedAt"]), (&before["generation"], &before["loadedAt"]));
}

#[tokio::test]
async fn only_the_plugin_whose_file_changed_is_swapped() {
    let config = "upstream = [{ events = ['echo'], plugin = 'other' }, { plugin = 'probe' }]";
    let gateway = Gateway::probe().plugin("other", &guests::probe()).with(config).start().await;
    let mut client = gateway.client("probe").connect().await;
    let before = gateway.plugin_status("other").await;
    gateway.replace_plugin("probe", &guests::bytes(&guests::probe_2()));
    version_answers(&mut client, "2").await;
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
    assert_eq!(gateway.plugin_status("other").await["generation"], before["generation"]);
}

#[tokio::test]
async fn a_call_that_runs_ends_on_the_version_that_it_began_with() {
    let gateway = Gateway::probe().with("plugins.probe.call-time = '3s'").start().await;
    let mut client = gateway.client("probe").connect().await;
    let mut other = gateway.client("probe").connect().await;
    let spinning = client.start_call("spin", json!([])).await;
    gateway.replace_plugin("probe", &guests::bytes(&guests::probe_2()));
    version_answers(&mut other, "2").await;
    let completion = soon("the call to end", client.completion(&spinning)).await;
    assert!(completion["error"].as_str().is_some_and(|error| error.contains("too long")), "{completion}");
    assert_eq!(client.call("version", json!([])).await, Ok(json!("2")));
}

async fn version_answers(client: &mut Client, version: &str) {
    let answers = async || (client.call("version", json!([])).await == Ok(json!(version))).then_some(());
    until(&format!("version {version} to answer"), answers).await;
}

#[tokio::test]
async fn a_component_is_kept_compiled_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let mut gateway = Gateway::probe().start().await;
    let folder = gateway.folder().join("data/compiled");
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let kept = || std::fs::read_dir(&folder).expect("it is there").map(|entry| entry.expect("it is there").path());
    let files: Vec<_> = kept().collect();
    assert_eq!(files.len(), 1);
    assert_eq!(mode(&files[0]), 0o600);

    // What it cannot load, it makes anew.
    std::fs::write(&files[0], b"nonsense").expect("it is ours");
    gateway.restart().await;
    let mut client = gateway.client("probe").connect().await;
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
    assert!(std::fs::metadata(&files[0]).expect("it is there").len() > 1000, "it was compiled again");
}

#[tokio::test]
async fn a_compiled_component_with_a_hole_of_zeros_is_compiled_anew() {
    let mut gateway = Gateway::probe().start().await;
    let folder = gateway.folder().join("data/compiled");
    let entry = fs::read_dir(&folder).expect("it is there").next().expect("a component was compiled");
    let file = entry.expect("it is there").path();
    let whole = fs::read(&file).expect("it is ours");
    // As a power failure leaves a file that was renamed before its pages reached the disk. Most of it is machine code.
    let mut damaged = whole.clone();
    let page = 4096;
    let middle = whole.len() / page / 2 * page;
    damaged[middle..middle + page].fill(0);
    assert_ne!(damaged, whole);
    fs::write(&file, &damaged).expect("it is ours");
    gateway.restart().await;
    let mut client = gateway.client("probe").connect().await;
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
    gateway.logs(&["compiled component is damaged"]).await;
    assert_eq!(fs::read(&file).expect("it is there"), whole, "it was compiled again");
}

/// The compiler that is at work, stopped before it ends: of a component with an engine inside, it takes seconds.
async fn stopped_compiler(gateway: &Gateway) -> u32 {
    until("a compiler to be at work", async || {
        let compiler = gateway.compiler()?;
        signal(compiler, "STOP").then_some(compiler)
    })
    .await
}

#[tokio::test]
async fn what_was_read_last_serves_however_long_an_older_file_is_compiled() {
    let mut gateway = Gateway::probe().start().await;
    gateway.replace_plugin("probe", &guests::bytes(&guests::chat_js()));
    let older = stopped_compiler(&gateway).await;
    // A reload of the configuration goes on with the same plugin.
    gateway.reconfigure("server.timeouts.client = '31s'");
    gateway.hang_up();
    gateway.replace_plugin("probe", &guests::bytes(&guests::probe_2()));
    let mut client = gateway.client("probe").connect().await;
    version_answers(&mut client, "2").await;
    signal(older, "CONT");
    until("no compiler to be at work", async || gateway.children().is_empty().then_some(())).await;
    // A swap that is due now is seen after this one.
    gateway.replace_plugin("probe", b"nonsense");
    until("the last file to be refused", async || {
        gateway.plugin_status("probe").await["lastError"].is_object().then_some(())
    })
    .await;
    assert_eq!(client.call("version", json!([])).await, Ok(json!("2")));
}

#[tokio::test]
async fn a_file_whose_compiler_was_killed_is_tried_again_and_serves() {
    let gateway = Gateway::probe().start().await;
    let before = gateway.plugin_status("probe").await;
    gateway.replace_plugin("probe", &guests::bytes(&guests::chat_js()));
    signal(stopped_compiler(&gateway).await, "KILL");
    let failed = until("the compiler's end to be told", async || {
        let status = gateway.plugin_status("probe").await;
        status["lastError"].is_object().then_some(status)
    })
    .await;
    let reason = failed["lastError"]["reason"].as_str().expect("it is text");
    assert!(reason.contains("killed") && reason.contains("tried again"), "{reason}");
    let serving = until("the file to serve", async || {
        let status = gateway.plugin_status("probe").await;
        (status["generation"] != before["generation"]).then_some(status)
    })
    .await;
    assert!(serving["lastError"].is_null(), "{serving}");
}

/// Swaps the handler and the filter of a hub in turn while clients call. `HUBGATE_SWAPS` says how often, for a longer look.
#[tokio::test]
async fn handlers_and_filters_change_under_load_and_each_call_has_one_version() {
    const CLIENTS: usize = 8;
    const AHEAD: u64 = 4;
    let swaps = std::env::var("HUBGATE_SWAPS").map_or(20, |swaps| swaps.parse().expect("a number"));
    let config = "server.shards = 2\nhubs.probe.filters = ['filter']\n\
                  plugins.filter = { allow-http = ['http://127.0.0.1:1'] }";
    let gateway = Gateway::probe().plugin("filter", &guests::filter()).with(config).start().await;
    let (is_over, started) = (Arc::new(AtomicBool::new(false)), tokio::time::Instant::now());
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let client = gateway.client("probe").connect().await;
        clients.spawn(call_versions(client, AHEAD, is_over.clone()));
    }
    let probes = [guests::probe_2(), guests::probe()].map(|guest| guests::bytes(&guest));
    for swap in 0..swaps {
        let (name, component) = match swap % 2 {
            0 => ("probe", probes[swap / 2 % 2].clone()),
            _ => ("filter", renamed(&guests::bytes(&guests::filter()), swap)),
        };
        let before = gateway.plugin_status(name).await["generation"].clone();
        gateway.replace_plugin(name, &component);
        until("the swap", async || {
            let status = gateway.plugin_status(name).await;
            assert!(status["lastError"].is_null(), "{status}");
            (status["generation"] != before).then_some(())
        })
        .await;
    }
    is_over.store(true, Ordering::SeqCst);
    let calls = clients.join_all().await;
    println!("{swaps} swaps, {} calls, {:?}", calls.iter().sum::<u64>(), started.elapsed());
    assert!(calls.iter().all(|count| *count > swaps as u64 / 2), "all clients were served meanwhile: {calls:?}");
    let failed = gateway.metric("hubgate_plugin_swaps_total", [("outcome", "failed")]).await;
    assert_eq!(failed, 0.0);
}

/// The same component with another digest.
fn renamed(component: &[u8], number: usize) -> Vec<u8> {
    let section = format!("\0\u{6}\u{1}n{number:04}");
    [component, section.as_bytes()].concat()
}

/// Calls on and on, some calls ahead of their answers; gives how many were answered. Not as fast as it can: compiling gives
/// way to calls, so that there would be few swaps.
async fn call_versions(mut client: Client, ahead: u64, is_over: Arc<AtomicBool>) -> u64 {
    let mut pace = tokio::time::interval(Duration::from_millis(2));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut called, mut answered) = (0, 0);
    loop {
        while !is_over.load(Ordering::SeqCst) && called < answered + ahead {
            let id = called.to_string();
            client.send(json!({ "type": 1, "invocationId": id, "target": "versions", "arguments": [called] })).await;
            called += 1;
        }
        if answered == called {
            return answered;
        }
        let said = client.event("said").await;
        assert_eq!(said[1], answered, "nothing is lost, doubled or out of order");
        let completion = client.completion(&answered.to_string()).await;
        assert_eq!(completion["result"], said, "one version has both ends of a call");
        answered += 1;
        pace.tick().await;
    }
}
