//! What plugins keep with `state`: one for all nodes, in JetStream of NATS.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use futures_util::future::join_all;
use hubgate_tests::cluster::Making;
use hubgate_tests::command::{Finished, hubgate, repository};
use hubgate_tests::nats::NatsServer;
use hubgate_tests::wait::until;
use hubgate_tests::{Client, Cluster, Gateway, cluster, guests};
use serde_json::{Value, json};
use tokio::sync::watch;

const HUB: &str = "probe";

/// Clusters with the probe, whose clients are told why something failed.
fn probes() -> Making {
    Cluster::of(|| Gateway::probe().with("server.detailed-errors = true"))
}

/// A client of each node.
async fn clients(cluster: &Cluster) -> Vec<Client> {
    join_all(cluster.nodes().iter().map(|node| async { node.client(HUB).connect().await })).await
}

/// What a call is answered; None: with an error.
async fn ask(client: &mut Client, method: &str, arguments: Value) -> Option<Value> {
    client.call(method, arguments).await.ok()
}

async fn keep(client: &mut Client, key: &str, value: &str) -> Result<Value, String> {
    client.call("keep", json!([key, value, null])).await
}

async fn kept(client: &mut Client, key: &str) -> Option<Value> {
    ask(client, "kept", json!([key])).await
}

/// Waits until a node has heard of a value.
async fn hears(client: &mut Client, key: &str, value: Value) {
    until("a node to hear of a value", async || (kept(client, key).await.as_ref() == Some(&value)).then_some(())).await;
}

/// Calls of `count`, one after the other; gives the sums that were answered.
async fn counts(client: &mut Client, key: &str, times: usize) -> Vec<u64> {
    let mut sums = Vec::new();
    for _ in 0..times {
        let sum = client.call("count", json!([key])).await.expect("it is counted");
        sums.push(sum.as_u64().expect("it is a number"));
    }
    sums
}

/// What came of calls of `count` that may fail.
#[derive(Default)]
struct Counted {
    sums: Vec<u64>,
    /// Calls of which it is not known whether they were counted.
    in_doubt: usize,
}

impl Counted {
    /// One call more.
    async fn count(&mut self, client: &mut Client, key: &str) {
        match client.call("count", json!([key])).await {
            Ok(sum) => self.sums.push(sum.as_u64().expect("it is a number")),
            Err(why) if why.contains("is not known") => self.in_doubt += 1,
            Err(why) => assert!(why.contains("not reached") || why.contains("NATS"), "{why}"),
        }
    }
}

#[tokio::test]
async fn three_nodes_that_count_to_a_thousand_each_have_counted_to_three_thousand() {
    let cluster = probes().start(3).await;
    let clients = [clients(&cluster).await, clients(&cluster).await];
    let counting = clients.into_iter().flatten().map(|mut client| async move { counts(&mut client, "n", 500).await });
    let mut sums: Vec<u64> = join_all(counting).await.into_iter().flatten().collect();
    sums.sort_unstable();
    assert_eq!(sums, (1..=3_000).collect::<Vec<u64>>(), "each number is given to one caller");
}

#[tokio::test]
async fn of_three_nodes_that_claim_the_same_one_gets_it() {
    let cluster = probes().start(3).await;
    let mut clients = clients(&cluster).await;
    for round in 0..50 {
        let key = format!("round {round}");
        let claims = clients.iter_mut().enumerate().map(|(node, client)| {
            let claim = json!([key, null, format!("node {node}")]);
            async move { ask(client, "swap", claim).await == Some(json!(true)) }
        });
        let claimed = join_all(claims).await;
        let owners: Vec<usize> = (0..3).filter(|node| claimed[*node]).collect();
        assert_eq!(owners.len(), 1, "{claimed:?}");
        let owner = format!("node {}", owners[0]);
        for client in &mut clients {
            hears(client, &key, json!(owner)).await;
        }
        // Whoever does it, wherever.
        assert_eq!(ask(&mut clients[round % 3], "swap", json!([key, owner, null])).await, Some(json!(true)));
    }
    for client in &mut clients {
        until("all to be given up", async || (ask(client, "keptKeys", json!([""])).await? == json!([])).then_some(()))
            .await;
    }
}

#[tokio::test]
async fn without_nats_values_are_read_and_not_changed_until_it_is_back() {
    let mut cluster = probes().start(2).await;
    let mut clients = clients(&cluster).await;
    assert!(ask(&mut clients[0], "keep", json!(["k", "before", null])).await.is_some());
    assert_eq!(kept(&mut clients[0], "k").await, Some(json!("before")), "its own writes are there at once");
    hears(&mut clients[1], "k", json!("before")).await;
    cluster.nats.stop().await;
    for client in &mut clients {
        until("changes to be refused", async || {
            ask(client, "keep", json!(["k", "lost", null])).await.is_none().then_some(())
        })
        .await;
        assert_eq!(kept(client, "k").await, Some(json!("before")));
        assert_eq!(ask(client, "keptKeys", json!([""])).await, Some(json!(["k"])));
    }
    cluster.nats.start_again().await;
    until("changes to be made", async || ask(&mut clients[0], "keep", json!(["k", "after", null])).await.map(drop))
        .await;
    hears(&mut clients[1], "k", json!("after")).await;
    // A node that starts has all that there is before it is ready.
    cluster.crash(1);
    cluster.start_again(1).await;
    cluster.is_whole().await;
    let mut client = cluster[1].client(HUB).connect().await;
    assert_eq!(kept(&mut client, "k").await, Some(json!("after")));
}

#[tokio::test]
async fn nothing_is_counted_twice_or_lost_when_nats_is_killed_over_it() {
    let mut cluster = probes().start(3).await;
    let mut all = Counted::default();
    for _ in 0..5 {
        let (stop, stopped) = watch::channel(false);
        let counted = Arc::new(AtomicUsize::new(0));
        let counting = clients(&cluster).await.into_iter().map(|mut client| {
            let (stopped, counted) = (stopped.clone(), counted.clone());
            async move {
                let mut own = Counted::default();
                while !*stopped.borrow() {
                    own.count(&mut client, "n").await;
                    counted.store(counted.load(Relaxed).max(own.sums.len()), Relaxed);
                }
                own
            }
        });
        let counting = tokio::spawn(join_all(counting));
        until("some to be counted", async || (counted.load(Relaxed) > 20).then_some(())).await;
        cluster.nats.kill();
        cluster.nats.start_again().await;
        let before = counted.load(Relaxed);
        until("more to be counted", async || (counted.load(Relaxed) > before + 20).then_some(())).await;
        stop.send_replace(true);
        for own in counting.await.expect("no panic") {
            all.sums.extend(own.sums);
            all.in_doubt += own.in_doubt;
        }
        cluster.is_whole().await;
    }
    let mut client = cluster[0].client(HUB).connect().await;
    let last = counts(&mut client, "n", 1).await[0];
    let distinct: BTreeSet<u64> = all.sums.iter().copied().collect();
    assert_eq!(distinct.len(), all.sums.len(), "two callers were given the same number");
    assert!(distinct.iter().all(|sum| *sum < last), "a number that was answered is lost");
    let answered = all.sums.len() as u64 + 1;
    assert!((answered..=answered + all.in_doubt as u64).contains(&last), "{last}, {answered}, {}", all.in_doubt);
}

#[tokio::test]
async fn a_call_that_nats_does_not_answer_ends_in_time_and_counts_once_at_most() {
    let cluster = probes().start(1).await;
    let mut client = cluster[0].client(HUB).connect().await;
    let mut all = Counted::default();
    all.count(&mut client, "n").await;
    cluster.nats.freeze();
    all.count(&mut client, "n").await;
    assert_eq!((all.sums.len(), all.in_doubt), (1, 1));
    assert_eq!(kept(&mut client, "n").await, Some(json!("1")));
    cluster.nats.thaw();
    until("changes to be made", async || {
        all.count(&mut client, "n").await;
        (all.sums.len() == 2).then_some(())
    })
    .await;
    assert!((2..=2 + all.in_doubt as u64).contains(&all.sums[1]), "{:?}, {} in doubt", all.sums, all.in_doubt);
}

#[tokio::test]
async fn keys_are_bytes_of_which_nothing_means_anything_to_nats() {
    let cluster = probes().start(2).await;
    let mut clients = clients(&cluster).await;
    let long = "k".repeat(1_024);
    let keys = ["", " ", "*", ">", "a.b.>", "$JS.API.>", "=", "x y\r\nPUB hubgate.all 1\r\nx\r\n", "\0", "ä/𝄞", &long];
    for key in keys {
        keep(&mut clients[0], key, key).await.expect("it is kept");
    }
    for client in &mut clients {
        for key in keys {
            hears(client, key, json!(key)).await;
        }
        let listed = ask(client, "keptKeys", json!([""])).await.expect("they are listed");
        let listed: Vec<&str> = listed.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert_eq!(BTreeSet::from_iter(listed), BTreeSet::from(keys));
    }
    let refused = keep(&mut clients[0], &format!("{long}k"), "").await.expect_err("it is too long");
    assert!(refused.contains("too large"), "{refused}");
    // The answer to who looks for it is NATS's, whose key it would be.
    assert_eq!(ask(&mut clients[1], "swap", json!(["b", null, "new"])).await, Some(json!(true)));
}

#[tokio::test]
async fn what_does_not_fit_into_a_message_of_nats_is_too_large_and_all_else_is_kept() {
    for (options, longest) in [("", (1 << 20) - 1_024), ("max_payload: 64KB", (64 << 10) - 1_024)] {
        let cluster = probes().start_on(NatsServer::with(options, &[]).await, 1).await;
        let mut client = cluster[0].client(HUB).connect().await;
        let (fits, does_not) = ("x".repeat(longest), "x".repeat(longest + 1_024));
        keep(&mut client, "k", &fits).await.expect("it fits");
        let refused = keep(&mut client, "k", &does_not).await.expect_err("it does not");
        assert!(refused.contains("too large"), "{refused}");
        // This is decided on what is read from NATS.
        assert_eq!(ask(&mut client, "swap", json!(["k", "y", "z"])).await, Some(json!(false)));
        assert_eq!(kept(&mut client, "k").await, Some(json!(fits)));
    }
}

#[tokio::test]
async fn a_value_ends_on_all_nodes() {
    let cluster = probes().start(2).await;
    let mut clients = clients(&cluster).await;
    // Its end is beyond what NATS can count.
    assert!(ask(&mut clients[0], "keep", json!(["stays", "x", 1_u64 << 52])).await.is_some());
    assert!(ask(&mut clients[0], "keep", json!(["ends", "x", 8_000])).await.is_some());
    hears(&mut clients[1], "ends", json!("x")).await;
    for client in &mut clients {
        until("the value to end", async || {
            (ask(client, "keptKeys", json!([""])).await? == json!(["stays"])).then_some(())
        })
        .await;
        assert_eq!(kept(client, "ends").await, Some(Value::Null));
    }
    assert_eq!(ask(&mut clients[1], "swap", json!(["ends", null, "anew"])).await, Some(json!(true)));
}

#[tokio::test]
async fn when_jetstream_is_full_nothing_is_changed_and_values_are_read_and_removed() {
    let account =
        "accounts { A { jetstream { max_file: 100KB }, users: [{ user: a, password: a }] } }\nno_auth_user: a";
    let cluster = probes().start_on(NatsServer::with(account, &[]).await, 2).await;
    let mut clients = clients(&cluster).await;
    let large = "x".repeat(60_000);
    keep(&mut clients[0], "a", &large).await.expect("there is room");
    let refused = keep(&mut clients[0], "b", &large).await.expect_err("there is no room");
    assert!(refused.contains("NATS has refused it"), "{refused}");
    assert_eq!(kept(&mut clients[0], "b").await, Some(Value::Null));
    hears(&mut clients[1], "a", json!(large)).await;
    assert_eq!(ask(&mut clients[1], "swap", json!(["a", large, null])).await, Some(json!(true)));
    keep(&mut clients[0], "b", &large).await.expect("there is room again");
}

#[tokio::test]
async fn a_bucket_that_is_removed_is_begun_anew_on_all_nodes() {
    let cluster = probes().start(2).await;
    let mut clients = clients(&cluster).await;
    for value in 0..10 {
        keep(&mut clients[0], "k", &value.to_string()).await.expect("it is kept");
    }
    hears(&mut clients[1], "k", json!("9")).await;
    // The name of the probe in base64url.
    cluster.nats.publish("$JS.API.STREAM.DELETE.KV_hubgate-state-cHJvYmU", "").await;
    for client in &mut clients {
        until("what was removed to be gone", async || (kept(client, "k").await? == Value::Null).then_some(())).await;
    }
    until("changes to be made", async || keep(&mut clients[0], "k", "anew").await.ok()).await;
    hears(&mut clients[1], "k", json!("anew")).await;
}

#[tokio::test]
async fn without_nats_timers_fire_and_clients_are_answered() {
    let mut cluster = Cluster::of(Gateway::probe_hub).start(1).await;
    let mut client = cluster[0].client(HUB).connect().await;
    cluster.nats.stop().await;
    for round in ["first", "second"] {
        client.call("later", json!([round, 20, round])).await.expect("it is set");
        assert_eq!(client.event("said").await, json!([round]));
    }
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused_by_its_version_and_serves_those_who_keep_their_own() {
    let nats = NatsServer::start().await;
    let old = format!("cluster.servers = ['nats://{}']", nats.as_of_version("2.10.29").await);
    let (_folder, config) = probes().setup(&nats).with(&old).written();
    let config = config.to_str().expect("it is text").to_owned();
    let ran = tokio::task::spawn_blocking(move || hubgate(["serve", "--config", &config])).await.expect("no panic");
    ends_with_what_to_do(&ran, "the NATS server is 2.10.29, and values shared by gateways need 2.11 or later");
    let alone = probes().setup(&nats).with(&old).with("plugins.probe.state-scope = 'node'").start().await;
    cluster::is_ready(&alone).await;
    let mut client = alone.client(HUB).connect().await;
    assert_eq!(counts(&mut client, "n", 2).await, [1, 2]);
}

#[tokio::test]
async fn with_state_scope_node_each_node_keeps_its_own_and_needs_no_jetstream() {
    let nats = NatsServer::with("jetstream: disabled", &[]).await;
    let alone = Cluster::of(|| Gateway::probe().with("plugins.probe.state-scope = 'node'"));
    let cluster = alone.start_on(nats, 2).await;
    for mut client in clients(&cluster).await {
        assert_eq!(counts(&mut client, "n", 3).await, [1, 2, 3]);
    }
}

#[tokio::test]
async fn without_jetstream_the_start_ends_with_the_plugins_name_and_what_to_do() {
    let nats = NatsServer::with("jetstream: disabled", &[]).await;
    let (_folder, config) = probes().setup(&nats).written();
    let ran = hubgate(["serve", "--config", config.to_str().expect("it is text")]);
    ends_with_what_to_do(&ran, "no JetStream");
}

#[tokio::test]
async fn the_permissions_that_the_documentation_gives_are_enough() {
    let page = fs::read_to_string(repository().join("docs/cluster.md")).expect("the page is there");
    let (_, example) = page.split_once("```text\nauthorization {").expect("it has an example");
    let (example, _) = example.split_once("```").expect("the example ends");
    let nats = NatsServer::with(&format!("authorization {{{}", example.replace("$2a$11$…", "of the test")), &[]).await;
    let nodes = Cluster::of(|| Gateway::probe().file("password", "of the test"));
    let cluster = nodes.with("user = 'hubgate'\npassword-file = 'password'").start_on(nats, 2).await;
    let mut clients = clients(&cluster).await;
    keep(&mut clients[0], "k", "v").await.expect("it is kept");
    hears(&mut clients[1], "k", json!("v")).await;
    assert_eq!(ask(&mut clients[1], "swap", json!(["k", "w", null])).await, Some(json!(false)));
    assert!(!cluster.nats.log().contains("Violation"), "{}", cluster.nats.log());
}

#[tokio::test]
async fn a_room_has_the_members_of_all_nodes_and_a_node_that_starts_takes_none_of_them_out() {
    let rooms = || {
        Gateway::serve().plugin("presence", &guests::ready_made("presence")).with(
            r#"
            hubs.rooms = { mode = "serverless", negotiate = { anonymous = true } }
            upstream = [{ hubs = ["rooms"], plugin = "presence" }]
            plugins.presence = { presence-batch = "10ms" }
            "#,
        )
    };
    let mut cluster = Cluster::of(rooms).start(2).await;
    let enter = async |node: &Gateway, user: &str| {
        let mut client = node.client("rooms").user(user).connect().await;
        let there = client.call("enter", json!(["tea"])).await.expect("everybody may enter");
        let there: BTreeSet<String> = there
            .as_array()
            .into_iter()
            .flatten()
            .map(|each| each["user"].as_str().unwrap_or_default().into())
            .collect();
        (client, there)
    };
    let (_ann, _) = enter(&cluster[0], "ann").await;
    let (mut bob, _) = enter(&cluster[1], "bob").await;
    // Changes are told together, after a moment.
    until("both to be in the room", async || {
        let there = bob.call("enter", json!(["tea"])).await.expect("everybody may enter");
        (there.as_array()?.len() == 2).then_some(())
    })
    .await;
    cluster.crash(1);
    cluster.start_again(1).await;
    cluster.is_whole().await;
    until("who was on the killed node to be taken out", async || {
        let (_cid, there) = enter(&cluster[1], "cid").await;
        assert!(there.contains("ann"), "{there:?}");
        (!there.contains("bob")).then_some(())
    })
    .await;
}

/// What `hubgate state` came to, with a configuration.
async fn archive(command: &str, config: &Path, file: &Path) -> Finished {
    let [config, file] = [config, file].map(|path| path.to_str().expect("it is text").to_owned());
    let command = command.to_owned();
    let run = move || hubgate(["state", &command, "--config", &config, &file]);
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

#[tokio::test]
async fn what_one_gateway_has_kept_is_brought_into_a_cluster_by_a_file_and_back() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let mut alone = Gateway::probe().start().await;
    let mut client = alone.client(HUB).connect().await;
    for key in ["", "a b", "ä"] {
        keep(&mut client, key, key).await.expect("it is kept");
    }
    client.call("keep", json!(["ends", "later", 3_600_000])).await.expect("it is kept");
    client.call("keep", json!(["over", "soon", 1])).await.expect("it is kept");
    assert_eq!(counts(&mut client, "n", 3).await, [1, 2, 3]);
    let refused = archive("export", &alone.config_file(), &first).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("stop the gateway that has it"), "{}", refused.stderr);
    assert!(!first.exists());
    drop(client);
    alone.terminate();
    assert!(alone.ended().await.success());
    let exported = archive("export", &alone.config_file(), &first).await.success();
    assert!(exported.starts_with("probe: ") && exported.contains(" values, of /"), "{exported}");

    let nats = NatsServer::start().await;
    let (_folder, config) = probes().setup(&nats).written();
    let text = fs::read_to_string(&first).expect("it is there");
    let cut = folder.path().join("cut");
    fs::write(&cut, text.rsplit_once("{\"values").expect("it ends so").0).expect("there is room");
    let refused = archive("import", &config, &cut).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("it is not whole"), "{}", refused.stderr);
    fs::write(&cut, text.replace("\"probe\"", "\"other\"")).expect("there is room");
    let refused = archive("import", &config, &cut).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("the plugin other"), "{}", refused.stderr);
    let imported = archive("import", &config, &first).await.success();
    assert_eq!(
        imported,
        exported.split_once(", of ").expect("it says whence").0.to_owned() + ", to the cluster hubgate\n"
    );

    let cluster = probes().start_on(nats, 2).await;
    for client in &mut clients(&cluster).await {
        let listed = ask(client, "keptKeys", json!([""])).await.expect("they are listed");
        let listed: Vec<&Value> = listed.as_array().into_iter().flatten().filter(|key| **key != "gone").collect();
        assert_eq!(listed, ["", "a b", "ends", "n", "ä"], "beside the one in which the probe counts who has left");
    }
    let mut client = cluster[1].client(HUB).connect().await;
    assert_eq!(counts(&mut client, "n", 1).await, [4]);
    // The nodes run.
    let exported = archive("export", &cluster[0].config_file(), &second).await.success();
    assert!(exported.ends_with(" values, of the cluster hubgate\n"), "{exported}");
    archive("import", &alone.config_file(), &second).await.success();
    alone.start_again().await;
    let mut client = alone.client(HUB).connect().await;
    assert_eq!(kept(&mut client, "ends").await, Some(json!("later")));
    assert_eq!(counts(&mut client, "n", 1).await, [5]);
}

fn ends_with_what_to_do(ran: &Finished, why: &str) {
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    for part in ["plugin probe", why, "state-scope = \"node\""] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
}
