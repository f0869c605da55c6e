//! All nodes are restarted in turn by `packaging/rolling-restart.py`, while hub servers, clients and applications go on behind nginx.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use hubgate_tests::answering_server::AnsweringServer;
use hubgate_tests::command::{binary, repository};
use hubgate_tests::wait::{LONG_DEADLINE, until, within};
use hubgate_tests::{Cluster, Gateway, ProxiedCluster};
use tokio::process::Command;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use crate::serverless;
use crate::talk::{HUB, SENDERS, Talk, Talker};

const SERVERS: usize = 6;
const TALKERS: usize = 9;

/// Runs the script for the nodes of these folders, each of which is restarted by a command: whether it succeeds, and what it says.
async fn rolling_restart(folders: Vec<PathBuf>, restart: &str, more: &[&str]) -> (bool, String) {
    let status = format!("'{}' cluster status --json --ready-file \"$NODE/ready.json\"", binary().display());
    let mut command = Command::new(repository().join("packaging/rolling-restart.py"));
    command.args(["--restart", restart, "--status", &status, "--pause", "2.5"]).args(more).args(folders);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ended = within(LONG_DEADLINE, "the script to end", command.output()).await.expect("it can be run");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ended.status.success(), said(&ended.stdout) + &said(&ended.stderr))
}

#[tokio::test]
#[ignore = "half a minute: scripts/cluster-tests.sh"]
async fn nothing_acknowledged_is_lost_while_all_nodes_are_restarted_in_turn_under_load() {
    LocalSet::new().run_until(restart_all_under_load()).await;
}

async fn restart_all_under_load() {
    // A talker joins one group more in each of its rounds.
    let nodes = || Gateway::serve().with("hubs.'*'.mode = 'default'\nserver.limits.groups-per-connection = 1000000");
    let mut proxied = ProxiedCluster::start(Cluster::of(nodes), 3).await;
    let entry = proxied.entry();
    let server = |number| {
        let name = format!("server {number}");
        // Its clients are told to come back when its node stops.
        AnsweringServer::coming_back(entry.address(), entry.token_of_servers(HUB), (HUB, name), 0)
    };
    let servers: Vec<AnsweringServer> = (0..SERVERS).map(server).collect();
    let connected = async || servers.iter().all(|server| server.connections() > 0).then_some(());
    until("the hub servers to be connected", connected).await;

    let talk = Arc::new(Talk::new(entry));
    let talkers: Vec<JoinHandle<Talker>> =
        (0..TALKERS).map(|number| spawn_local(Talker::new(number, talk.clone()).talks())).collect();
    let senders: Vec<JoinHandle<()>> =
        (0..SENDERS).map(|sender| spawn_local(Talk::sends(talk.clone(), sender))).collect();
    talk.goes_on(TALKERS as u64 * 5).await;

    let folders = [0, 1, 2].map(|node| proxied.cluster[node].folder().to_owned());
    for (node, folder) in folders.iter().enumerate() {
        let kill = format!("kill {}\n", proxied.cluster[node].process_id());
        fs::write(folder.join("restart"), kill).expect("the folder can be written");
    }
    let script = spawn_local(rolling_restart(folders.to_vec(), "sh \"$NODE/restart\"", &[]));
    // As a service manager does.
    for node in 0..3 {
        proxied.cluster.start_again(node).await;
    }
    let (succeeded, said) = script.await.expect("it is run");
    assert!(succeeded, "{said}");
    proxied.cluster.is_whole().await;
    talk.goes_on(TALKERS as u64 * 5).await;
    talk.ends();

    for sender in senders {
        sender.await.expect("all is acknowledged in the end");
    }
    let handled = calls_of(&servers);
    for talker in talkers {
        let talker = talker.await.expect("a client hears all, and may come back");
        assert!(talker.lives.len() > 1, "each was on a node that was restarted");
        talker.has_missed_nothing();
        for (call, is_answered) in talker.calls() {
            let times = handled.get(call).copied().unwrap_or(0);
            assert!(
                times == 1 || times == 0 && !is_answered,
                "call {call}: handled {times} times, answered: {is_answered}"
            );
        }
    }
    assert!(servers.iter().all(|server| server.connections() > 1), "each was at a node that was restarted");
}

/// How often each call was handled.
fn calls_of(servers: &[AnsweringServer]) -> BTreeMap<String, usize> {
    let mut handled = BTreeMap::new();
    for call in servers.iter().flat_map(AnsweringServer::calls) {
        *handled.entry(call[0].as_str().expect("a name").to_owned()).or_insert(0) += 1;
    }
    handled
}

#[tokio::test]
async fn a_rolling_restart_begins_only_where_all_nodes_are_named_and_ends_with_one_that_does_not_come_back() {
    let cluster = serverless().start(2).await;
    let folders = [0, 1].map(|node| cluster[node].folder().to_owned());
    let restarted = |node: usize| folders[node].join("restarted").exists();
    let restart = "touch \"$NODE/restarted\"";

    let (succeeded, said) = rolling_restart(folders[..1].to_vec(), restart, &[]).await;
    assert!(
        !succeeded && said.contains("nothing is restarted") && said.contains("knows 2 nodes, 1 are named"),
        "{said}"
    );
    let nobody = folders[0].join("nobody");
    let (succeeded, said) = rolling_restart([&folders[..], &[nobody]].concat(), restart, &[]).await;
    assert!(!succeeded && said.contains("nothing is restarted") && said.contains("does not tell its status"), "{said}");
    assert!(!restarted(0) && !restarted(1), "{said}");

    let (succeeded, said) = rolling_restart(folders.to_vec(), restart, &["--timeout", "1"]).await;
    assert!(!succeeded && said.contains("is not back after 1 s"), "{said}");
    assert!(said.contains("not restarted: ") && restarted(0) && !restarted(1), "the other one is left alone: {said}");

    let (succeeded, said) = rolling_restart(folders.to_vec(), "false", &[]).await;
    assert!(!succeeded && said.contains("was not restarted: exit code 1; not restarted: "), "{said}");
}
