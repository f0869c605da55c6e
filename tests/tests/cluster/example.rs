//! `examples/cluster/run.sh` as its users have it: its ports, its processes, and what is left when it is stopped.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use http::Method;
use hubgate_tests::client::{HANDSHAKE, Received};
use hubgate_tests::command::{binary, repository};
use hubgate_tests::gateway::signal;
use hubgate_tests::http::Request;
use hubgate_tests::wait::{until, until_compiled};
use hubgate_tests::{Client, nats, private_network};
use serde_json::{Value, json};
use tempfile::TempDir;

const ENTRY: &str = "127.0.0.1:8880";
const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];

/// The example, in a terminal of its own.
struct Example {
    folder: TempDir,
    script: Child,
}

impl Example {
    /// All of it runs.
    async fn start() -> Example {
        let folder = TempDir::new().expect("there is room for a folder");
        let output = || File::options().create(true).append(true).open(folder.path().join("output"));
        let mut command = Command::new(repository().join("examples/cluster/run.sh"));
        command.arg(folder.path()).env("HUBGATE_BIN", binary()).env("HUBGATE_NATS_SERVER", nats::program());
        command.stdin(Stdio::null()).process_group(0);
        let script = command.stdout(output().expect("it is new")).stderr(output().expect("it is there")).spawn();
        let mut example = Example { folder, script: script.expect("there is a bash") };
        until_compiled("the example to be up", async || {
            let ended = example.script.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "it ended: {}", example.output());
            example.output().contains("in two windows").then_some(())
        })
        .await;
        example
    }

    fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }

    /// The process that is a node now.
    fn process(&self, node: &str) -> u32 {
        let id = fs::read_to_string(self.folder.path().join(node).join("pid")).expect("it is running");
        id.trim().parse().expect("a number")
    }

    /// What a node knows of the cluster; nothing while it is not there.
    fn status(&self, node: &str) -> Option<Value> {
        let ready = self.folder.path().join(node).join("ready.json");
        let mut command = Command::new(binary());
        let asked = command.args(["cluster", "status", "--json", "--ready-file"]).arg(ready).output();
        serde_json::from_slice(&asked.expect("it can be run").stdout).ok()
    }

    /// How many clients a node has by its own account.
    fn clients_of(&self, node: &str) -> u64 {
        let status = self.status(node).expect("it is running");
        status["nodes"][0]["clients"].as_u64().unwrap_or_else(|| panic!("no clients: {status}"))
    }

    /// What Ctrl-C does to all that runs in a terminal.
    async fn is_interrupted(&mut self) {
        let group = format!("-{}", self.script.id());
        let killed = Command::new("kill").args(["-INT", "--", &group]).status();
        assert!(killed.expect("there is a kill").success());
        let script = &mut self.script;
        until("the example to end", async || script.try_wait().expect("a child can be waited for")).await;
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- what the example printed ---\n{}", self.output());
        }
        // Whatever a failed test has left.
        let mut kill = Command::new("kill");
        let _ = kill.args(["-TERM", "--", &format!("-{}", self.script.id())]).stderr(Stdio::null()).status();
        let _ = self.script.wait();
    }
}

/// A window that has joined a room.
async fn window(name: &str) -> Client {
    let entry: SocketAddr = ENTRY.parse().expect("an address");
    // As the page does: to the hub, which sends it on.
    let redirect = Request::new(Method::POST, entry, "/hubs/chat/negotiate").send().await.json();
    let text = |answer: &Value, field: &str| answer[field].as_str().expect("negotiate gives it").to_owned();
    let (url, token) = (text(&redirect, "url"), text(&redirect, "accessToken"));
    assert_eq!(url, format!("http://{ENTRY}/client/?hub=chat"));
    let path = "/client/negotiate?hub=chat&negotiateVersion=1";
    let negotiated = Request::new(Method::POST, entry, path).bearer(&token).send().await.json();
    let path = format!("/client/?hub=chat&id={}", text(&negotiated, "connectionToken"));
    let mut client = Client::open(entry, &path, Some(&token)).await.expect("its WebSocket opens");
    client.send_text(HANDSHAKE).await;
    assert_eq!(client.message().await, json!({}));
    assert_eq!(client.call("join", json!(["lobby", name])).await, Ok(json!(format!("Welcome to lobby, {name}!"))));
    client
}

async fn says(from: &mut Client, name: &str, to: &mut [Client]) {
    from.call("say", json!(["lobby", "hello"])).await.expect("it is in the room");
    for client in to {
        assert_eq!(client.event("said").await, json!(["lobby", name, "hello"]));
    }
}

/// Whether a client's connection lasts until it has the answer to a call.
async fn is_answered(client: &mut Client) -> bool {
    let call = client.start_call("rooms", json!([])).await;
    loop {
        match client.next("the answer to a call").await {
            Received::Message(message) if message["invocationId"] == call => return true,
            Received::Message(_) | Received::Pong(_) => {}
            Received::End(_) => return false,
        }
    }
}

/// Processes, whoever has started them, whose folder is this one or in it.
fn processes_in(folder: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("this is Linux").flatten().map(|entry| entry.path());
    let inside =
        processes.filter(|process| fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder)));
    inside.map(|process| fs::read_to_string(process.join("cmdline")).unwrap_or_default().replace('\0', " ")).collect()
}

#[tokio::test]
async fn windows_chat_across_gateways_outlive_one_of_them_and_nothing_is_left_after_ctrl_c() {
    if !private_network::enter() {
        return;
    }
    let mut example = Example::start().await;
    // One more than there are gateways, so that two are on one of them.
    let mut windows = Vec::new();
    for number in 0..4 {
        windows.push(window(&format!("window {number}")).await);
    }
    let are_counted = async || (NODES.iter().map(|node| example.clients_of(node)).sum::<u64>() == 4).then_some(());
    until("the windows to be counted", are_counted).await;
    assert!(NODES.iter().filter(|node| example.clients_of(node) > 0).count() > 1, "they are on several gateways");
    let mut first = windows.remove(0);
    says(&mut first, "window 0", &mut windows).await;

    let lost = NODES.into_iter().find(|node| example.clients_of(node) > 0).expect("they are somewhere");
    let (clients, process) = (example.clients_of(lost), example.process(lost));
    assert!(signal(process, "KILL"));
    windows.insert(0, first);
    let (mut kept, mut cut) = (Vec::new(), 0);
    for mut client in windows {
        match is_answered(&mut client).await {
            true => kept.push(client),
            false => cut += 1,
        }
    }
    assert_eq!((cut, kept.is_empty()), (clients, false), "those of the others go on");
    let mut back = window("back").await;
    says(&mut back, "back", &mut kept).await;

    let is_back = async || {
        let joined =
            |status: Value| status["joined"] == true && status["nodes"].as_array().is_some_and(|all| all.len() == 3);
        NODES.iter().all(|node| example.status(node).is_some_and(joined)).then_some(())
    };
    until_compiled("the gateway to be started again", is_back).await;
    assert_ne!(example.process(lost), process);

    // One of them is about to be started again.
    assert!(signal(example.process(lost), "KILL"));
    example.is_interrupted().await;
    assert_eq!(processes_in(example.folder.path()), Vec::<String>::new());
}
