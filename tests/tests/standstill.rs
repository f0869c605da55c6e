//! A part of the gateway stands still: it is noticed, the others go on, and the process does not outlive it.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use http::Method;
use hubgate_tests::Gateway;
use hubgate_tests::client::HANDSHAKE;
use hubgate_tests::command::binary;
use hubgate_tests::frozen::Frozen;
use hubgate_tests::gateway::signal;
use hubgate_tests::http::raw;
use hubgate_tests::token::Token;
use hubgate_tests::wait::{soon, until};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// SIGABRT.
const ABORTED: i32 = 6;

/// The status of `/readyz` on a connection of its own; nothing if no answer comes soon.
async fn readiness(gateway: &Gateway) -> Option<u16> {
    let ask = async {
        let mut stream = TcpStream::connect(gateway.address()).await.ok()?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.split(' ').nth(1)?.parse().ok()
    };
    tokio::time::timeout(Duration::from_secs(2), ask).await.ok().flatten()
}

async fn until_unready(gateway: &Gateway) {
    let is_unready = async || (readiness(gateway).await == Some(503)).then_some(());
    until("the gateway to be unready", is_unready).await;
}

#[tokio::test]
async fn a_shard_that_stands_still_is_noticed_and_the_process_ends() {
    let mut gateway = Gateway::probe().with("server.drain-timeout = '60s'").start().await;
    let frozen = Frozen::thread(gateway.process_id(), "shard-1");
    let since = Instant::now();
    until_unready(&gateway).await;
    println!("unready after {:?}", since.elapsed());
    gateway.logs(&["a thread does not answer", "shard-1"]).await;
    // New connections go to the shards that answer, and operators are answered with what is known.
    for _ in 0..8 {
        assert_eq!(readiness(&gateway).await, Some(503));
    }
    gateway.metric("hubgate_requests_refused_total", []).await;
    assert_eq!(gateway.clients_of("probe").await, 0);
    // So do new clients, however many those shards have already.
    for _ in 0..8 {
        assert_eq!(gateway.client("probe").negotiate("&negotiateVersion=1").await.status, 200);
    }
    let mut client = gateway.client("probe").connect().await;
    assert_eq!(client.call("echo", json!([1])).await.expect("it answers"), 1);
    // Asking it to stop does not keep it.
    gateway.terminate();
    let status = gateway.ended().await;
    println!("ended after {:?}", since.elapsed());
    assert_eq!((status.signal(), status.core_dumped()), (Some(ABORTED), false), "{status}");
    gateway.logs(&["a thread is stuck: the process is ended now", "shard-1"]).await;
    frozen.is_gone();
}

/// Sends a request over a connection that is kept; gives the answer, its head in lower case.
async fn ask_over(stream: &mut TcpStream, request: &str) -> Option<String> {
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let (_, length) = head.split_once("content-length: ")?;
    let mut body = vec![0; length.split_once("\r\n")?.0.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    Some(format!("{head}{}", String::from_utf8_lossy(&body)))
}

#[tokio::test]
async fn whoever_asks_for_a_shard_that_stands_still_is_told_to_come_again() {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").sign();
    let negotiate = format!(
        "POST /client/negotiate?hub=probe&negotiateVersion=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: 0\r\n\r\n"
    );
    // Each shard has some of these connections, and clients are dealt to all shards, whatever connection asks.
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(gateway.address()).await.expect("the gateway accepts");
        let answer = ask_over(&mut stream, &negotiate).await.expect("all is well");
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        streams.push(stream);
    }
    let _frozen = Frozen::thread(gateway.process_id(), "shard-1");
    let mut asking = tokio::task::JoinSet::new();
    for mut stream in streams {
        let negotiate = negotiate.clone();
        asking.spawn(async move {
            loop {
                let answer = ask_over(&mut stream, &negotiate).await?;
                if !answer.starts_with("http/1.1 200") {
                    return Some(answer);
                }
            }
        });
    }
    let refused = soon("an answer", async {
        loop {
            let answer = asking.join_next().await.expect("one of them is on the other shard");
            if let Some(answer) = answer.expect("it does not panic") {
                return answer;
            }
        }
    });
    let refused = refused.await;
    assert!(refused.starts_with("http/1.1 503") && refused.contains("\r\nretry-after: "), "{refused}");
    assert!(refused.contains("does not answer"), "{refused}");
}

/// Waits for the first refusal that comes over any of these connections. Those of a shard that stands still have no answer.
async fn first_refusal(mut asking: JoinSet<Option<String>>) -> String {
    soon("a refusal", async {
        loop {
            let answer = asking.join_next().await.expect("one of them is on the other shard");
            match answer.expect("it does not panic") {
                Some(answer) if !answer.starts_with("http/1.1 2") => return answer,
                _ => {}
            }
        }
    })
    .await
}

fn is_told_to_come_again(answer: &str) {
    assert!(answer.starts_with("http/1.1 503") && answer.contains("\r\nretry-after: "), "{answer}");
    assert!(answer.contains("does not answer"), "{answer}");
}

#[tokio::test]
async fn a_rest_caller_does_not_wait_for_a_shard_that_stands_still() {
    let gateway = Gateway::probe().start().await;
    let mut operations = Vec::new();
    for (method, path) in [
        ("GET", "/api/v1/hubs/probe/groups/nobodys"),
        ("PUT", "/api/v1/hubs/probe/groups/g/users/ann"),
        ("DELETE", "/api/v1/hubs/probe/groups/g/users/ann"),
    ] {
        let token = Token::new(&format!("{}{path}", gateway.url()), gateway.key()).sign();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
        );
        let mut streams = Vec::new();
        // One on each shard.
        for _ in 0..2 {
            let mut stream = TcpStream::connect(gateway.address()).await.expect("the gateway accepts");
            let answer = ask_over(&mut stream, &request).await.expect("all is well");
            assert!(!answer.starts_with("http/1.1 503"), "{answer}");
            streams.push(stream);
        }
        operations.push((request, streams));
    }
    let _frozen = Frozen::thread(gateway.process_id(), "shard-1");
    let mut asking = Vec::new();
    for (request, streams) in operations {
        let ask = |mut stream: TcpStream| {
            let request = request.clone();
            async move { ask_over(&mut stream, &request).await }
        };
        asking.push(streams.into_iter().map(ask).collect::<JoinSet<_>>());
    }
    for asking in asking {
        is_told_to_come_again(&first_refusal(asking).await);
    }
}

/// Posts of clients that poll, `length` bytes each, whose turn has come: the gateway asks for their bodies. Each shard has some of the
/// clients, and some of the connections of each shard's clients.
async fn posts_begun(gateway: &Gateway, length: usize) -> Vec<TcpStream> {
    let token = gateway.token("probe").sign();
    let mut posts = Vec::new();
    for number in 0..8 {
        if number == 4 {
            // Clients and connections are dealt to the shards in turn: from here on the other way round.
            drop(TcpStream::connect(gateway.address()).await.expect("the gateway accepts"));
        }
        let negotiated = gateway.client("probe").token(&token).negotiate("&negotiateVersion=1").await.json();
        let id = negotiated["connectionToken"].as_str().expect("version 1 has one");
        let path = format!("/client/?hub=probe&id={id}");
        assert_eq!(gateway.request(Method::GET, &path).bearer(&token).send().await.status, 200);
        let handshake = gateway.request(Method::POST, &path).bearer(&token).body("text/plain", HANDSHAKE);
        assert_eq!(handshake.send().await.status, 200);
        // Its answer.
        assert_eq!(gateway.request(Method::GET, &path).bearer(&token).send().await.status, 200);
        let mut post = TcpStream::connect(gateway.address()).await.expect("the gateway accepts");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nExpect: 100-continue\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        post.write_all(head.as_bytes()).await.expect("the gateway reads");
        let mut asked = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
        soon("its turn", post.read_exact(&mut asked)).await.expect("the gateway asks for the body");
        posts.push(post);
    }
    posts
}

#[tokio::test]
async fn a_post_whose_turn_has_come_does_not_wait_for_a_shard_that_stands_still() {
    let gateway = Gateway::probe().start().await;
    let ping = "{\"type\":6}\u{1e}";
    let posts = posts_begun(&gateway, ping.len()).await;
    let _frozen = Frozen::thread(gateway.process_id(), "shard-1");
    let asking = posts.into_iter().map(|mut post| async move { ask_over(&mut post, ping).await });
    is_told_to_come_again(&first_refusal(asking.collect()).await);
}

#[tokio::test]
async fn one_long_post_causes_no_more_for_a_shard_that_is_behind_than_may_wait_for_it() {
    const MESSAGES: usize = 6_000;
    let gateway = Gateway::probe().start().await;
    let message = json!({"type": 1, "target": "sayTo", "arguments": ["nobody", "x"]});
    let body = format!("{message}\u{1e}").repeat(MESSAGES);
    let mut posts = posts_begun(&gateway, body.len()).await;
    let _frozen = Frozen::thread(gateway.process_id(), "shard-1");
    for post in &mut posts {
        // More than the sockets hold may be left of those whose shard stands still.
        drop(tokio::time::timeout(Duration::from_millis(100), post.write_all(body.as_bytes())).await);
    }
    until_unready(&gateway).await;
    let calls = gateway.metric("hubgate_plugin_calls_total", [("plugin", "probe")]).await;
    // What an inbox holds, as much again, and what the core has got already of two clients on the other shard.
    assert!((2_048.0..6_000.0).contains(&calls), "{calls} calls were made");
}

#[tokio::test]
async fn a_reload_that_waits_for_a_shard_holds_up_nobody_else() {
    let mut gateway = Gateway::probe().with("server.log = 'info,hubgate_net=debug'").start().await;
    let _frozen = Frozen::thread(gateway.process_id(), "shard-1");
    gateway.reconfigure("admin.metrics-open = true");
    gateway.hang_up();
    let open = async || (gateway.admin_request("/metrics").send().await.status == 200).then_some(());
    until("the new settings to count", open).await;
    // A request that the log tells of.
    raw(gateway.ready().admin, b"nonsense\r\n\r\n").await;
    let (served, goes_on) = ("an admin connection broke off", "a worker thread does not answer: it goes on");
    gateway.logs(&[served]).await;
    gateway.logs(&[goes_on]).await;
    let log = gateway.log();
    assert!(log.find(served) < log.find(goes_on), "operators wait for the reload: {log}");
}

#[tokio::test]
async fn a_shard_that_stands_still_does_not_keep_a_gateway_that_stops() {
    let mut gateway = Gateway::probe().with("server.drain-timeout = '1s'").start().await;
    let frozen = Frozen::thread(gateway.process_id(), "shard-1");
    gateway.terminate();
    assert_eq!(gateway.ended().await.code(), Some(1));
    gateway.logs(&["a worker thread does not end: shard-1"]).await;
    frozen.is_gone();
}

#[tokio::test]
async fn a_thread_that_accepts_nobody_any_more_ends_the_process() {
    let mut gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    let frozen = Frozen::thread(gateway.process_id(), "hubgate");
    // Who is connected is served meanwhile.
    assert_eq!(client.call("echo", json!([1])).await.expect("it answers"), 1);
    assert_eq!(gateway.ended().await.signal(), Some(ABORTED));
    gateway.logs(&["a thread is stuck: the process is ended now", "main"]).await;
    frozen.is_gone();
}

#[tokio::test]
async fn a_guest_that_nobody_interrupts_any_more_ends_the_process() {
    let mut gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    let frozen = Frozen::thread(gateway.process_id(), "hubgate-epochs");
    client.notify("spin", json!([])).await;
    assert_eq!(gateway.ended().await.signal(), Some(ABORTED));
    gateway.logs(&["a thread is stuck: the process is ended now"]).await;
    frozen.is_gone();
}

#[tokio::test]
async fn the_service_manager_hears_signs_of_life_until_a_part_stands_still() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).expect("the folder is empty");
    let told = async || {
        let mut buffer = [0; 4096];
        let length = soon("a word for the service manager", socket.recv(&mut buffer)).await.expect("it is told");
        String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
    };
    let setup = Gateway::probe().environment("NOTIFY_SOCKET", &path.display().to_string());
    let mut gateway = setup.environment("WATCHDOG_USEC", "300000").start().await;
    assert_eq!(told().await, "READY=1");
    for _ in 0..5 {
        assert_eq!(told().await, "WATCHDOG=1");
    }
    let frozen = Frozen::thread(gateway.process_id(), "shard-0");
    until_unready(&gateway).await;
    let mut buffer = [0; 4096];
    while socket.try_recv(&mut buffer).is_ok() {}
    assert_eq!(gateway.ended().await.signal(), Some(ABORTED));
    assert!(socket.try_recv(&mut buffer).is_err(), "it was told that all was well");
    frozen.is_gone();
}

/// Lines are lost then, and the log says so when it is read again.
#[tokio::test]
async fn a_log_that_nobody_reads_any_more_holds_nobody_up() {
    let (folder, config) = Gateway::probe().written();
    let ready = folder.path().join("ready.json");
    let mut command = Command::new(binary());
    command.args(["--log", "trace", "serve", "--listen", "127.0.0.1:0", "--config"]).arg(&config);
    command.arg("--ready-file").arg(&ready).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("the binary is there");
    // Some of it is read, so that the gateway gets to its start.
    let mut log = process.stderr.take().expect("it is piped");
    let reader = std::thread::spawn(move || {
        while !ready.is_file() {
            let mut some = [0; 1024];
            assert!(log.read(&mut some).expect("it logs") > 0, "it has ended");
        }
        (log, fs::read_to_string(&ready).expect("it is whole"))
    });
    let (mut log, ready) = reader.join().expect("it is ready");
    let ready: serde_json::Value = ready.parse().expect("JSON");
    let address: SocketAddr = ready["listen"].as_str().and_then(|text| text.parse().ok()).expect("an address");
    // Each is worth some lines: many more of them than a pipe and the gateway hold.
    for _ in 0..3_000 {
        let answer = soon("an answer", raw(address, b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        assert!(answer.await.starts_with("HTTP/1.1 200"));
    }
    let reader = std::thread::spawn(move || {
        let mut rest = String::new();
        log.read_to_string(&mut rest).expect("it is text");
        rest
    });
    assert!(signal(process.id(), "TERM"), "it runs");
    let ended = async || process.try_wait().expect("a child can be waited for");
    assert_eq!(until("the process to end", ended).await.code(), Some(0));
    let rest = reader.join().expect("the log ends with the process");
    assert!(rest.contains("lines of the log are lost"), "{}", &rest[rest.len().saturating_sub(2_000)..]);
}
