//! The live trace of a gateway, as operators and `hubgate tail` read it.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use crate::command::binary;
use crate::wait::soon;
use crate::{Client, Gateway};

/// The answer to `GET /admin/trace`.
#[derive(Debug)]
pub struct LiveTrace {
    lines: Lines<BufReader<TcpStream>>,
    event: String,
    /// Spans whose trace is not told as a whole yet.
    kept: Vec<Value>,
}

impl LiveTrace {
    /// Watches from when this returns.
    pub async fn open(gateway: &Gateway, query: &str) -> LiveTrace {
        LiveTrace::open_with(gateway, query, &gateway.ready().admin_token).await
    }

    pub async fn open_with(gateway: &Gateway, query: &str, token: &str) -> LiveTrace {
        LiveTrace::ask(gateway, query, token).await.unwrap_or_else(|refusal| panic!("{query}: {refusal}"))
    }

    /// `None`: it is refused.
    pub async fn try_open(gateway: &Gateway, query: &str) -> Option<LiveTrace> {
        LiveTrace::ask(gateway, query, &gateway.ready().admin_token).await.ok()
    }

    async fn ask(gateway: &Gateway, query: &str, token: &str) -> Result<LiveTrace, String> {
        let opening = async {
            let address = gateway.ready().admin;
            let mut stream = TcpStream::connect(address).await.expect("the admin listener is there");
            // To HTTP/1.0 no answer comes in chunks.
            let head = format!(
                "GET /admin/trace?{query} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.expect("the gateway reads");
            let mut lines = BufReader::new(stream).lines();
            let status = lines.next_line().await.expect("it answers").expect("with a status");
            if !status.contains(" 200 ") {
                return Err(status);
            }
            let mut trace = LiveTrace { lines, event: String::new(), kept: Vec::new() };
            while trace.next().await.0 != "watching" {}
            Ok(trace)
        };
        soon("the live trace", opening).await
    }

    /// The next event with its data.
    async fn next(&mut self) -> (String, Value) {
        loop {
            let line = self.lines.next_line().await.expect("it goes on").expect("it does not end");
            if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut self.event);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return (self.event.clone(), serde_json::from_str(data).expect("it is JSON"));
            }
        }
    }

    /// The next span that is the first one of its trace.
    pub async fn root(&mut self) -> Value {
        let root = async {
            loop {
                let (event, span) = self.next().await;
                if event == "span" && span["root"] == true {
                    return span;
                }
                self.kept.push(span);
            }
        };
        soon("a trace", root).await
    }

    /// All spans of the next trace that begins with this one.
    pub async fn trace(&mut self, name: &str) -> Vec<Value> {
        loop {
            let root = self.root().await;
            let (of_trace, kept) =
                std::mem::take(&mut self.kept).into_iter().partition(|span| span["trace"] == root["trace"]);
            self.kept = kept;
            if root["name"] == name {
                let mut of_trace: Vec<Value> = of_trace;
                of_trace.push(root);
                return of_trace;
            }
        }
    }

    /// Waits until the gateway ends it; nothing is told any more.
    pub async fn ends(&mut self) {
        let end = async {
            while let Ok(Some(line)) = self.lines.next_line().await {
                assert!(!line.starts_with("event: "), "{line}");
            }
        };
        soon("the end of the live trace", end).await;
    }

    /// How much was missed when that is told next.
    pub async fn missed(&mut self) -> u64 {
        let missed = async {
            loop {
                let (event, data) = self.next().await;
                if event == "missed" {
                    return data["count"].as_u64().expect("a number");
                }
            }
        };
        soon("what was missed", missed).await
    }
}

/// A run of `hubgate tail`, which ends with this.
#[derive(Debug)]
pub struct Tail {
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Tail {
    pub fn start(gateway: &Gateway, arguments: &[&str]) -> Tail {
        let mut command = Command::new(binary());
        command.arg("tail").args(arguments).args(["--admin", &gateway.ready().admin.to_string()]);
        command.env("HUBGATE_ADMIN_TOKEN", &gateway.ready().admin_token);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("the binary is there");
        let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        Tail { lines, _process: process }
    }

    /// The next line with this text, while a client calls again and again.
    pub async fn line_after(&mut self, client: &mut Client, text: &str) -> String {
        let calls = async {
            loop {
                client.call("echo", json!([1])).await.expect("the probe echoes");
            }
        };
        let line = async {
            loop {
                let line = self.lines.next_line().await.expect("it goes on").expect("it does not end");
                if line.contains(text) {
                    return line;
                }
            }
        };
        let found = async {
            tokio::select! {
                line = line => line,
                never = calls => never,
            }
        };
        soon("a line of hubgate tail", found).await
    }
}
