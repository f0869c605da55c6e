//! Requests of negotiation and of all transports that are nearly right: those of `fuzz/corpus/requests`, with mutations that
//! are the same in every run.

use std::fs;

use futures_util::stream::{self, StreamExt};
use hubgate_tests::Gateway;
use hubgate_tests::command::repository;
use hubgate_tests::fuzz::{Random, mutated};
use hubgate_tests::wait::soon;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MUTATIONS: usize = 3_000;
const AT_ONCE: usize = 32;

#[tokio::test]
async fn whatever_is_asked_is_answered_or_refused_and_others_are_served() {
    let limits = "server.timeouts = { http-header = '2s', http-body = '2s', handshake = '1s', negotiate = '1s' }";
    let gateway = Gateway::probe().with(limits).start().await;
    let mut bystander = gateway.client("probe").connect().await;
    let corpus = corpus();
    let mut random = Random::new(1);
    let mut inputs = corpus.clone();
    inputs.extend((0..MUTATIONS).map(|_| mutated(&corpus, &mut random)));
    let token = gateway.token("probe").sign();
    let mut exchanges = stream::iter(&inputs).map(|input| exchange(&gateway, input, &token)).buffer_unordered(AT_ONCE);
    let mut answered = 0;
    while let Some(answer) = exchanges.next().await {
        if answer.is_empty() {
            continue;
        }
        let status = answer.get(9..12).and_then(|status| std::str::from_utf8(status).ok());
        let status: u16 = status.and_then(|status| status.parse().ok()).expect("what is answered is HTTP");
        assert!(answer.starts_with(b"HTTP/1.") && status != 500, "{}", String::from_utf8_lossy(&answer));
        answered += 1;
        if answered % 500 == 0 {
            assert_eq!(bystander.call("echo", json!([answered])).await, Ok(json!(answered)));
        }
    }
    assert!(answered > inputs.len() / 2, "{answered} of {} were answered", inputs.len());
    assert_eq!(bystander.call("echo", json!(["fine"])).await, Ok(json!("fine")));
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = repository().join("fuzz/corpus/requests");
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.expect("it can be listed").path()).collect();
    paths.sort();
    assert!(paths.len() >= 10, "{paths:?}");
    paths.iter().map(|path| fs::read(path).expect("it can be read")).collect()
}

/// Sends an input, with a good token and a fresh connection where it names them; gives what comes back at first.
async fn exchange(gateway: &Gateway, input: &[u8], token: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(input);
    let id = match text.contains("{id}") {
        true => gateway.client("probe").negotiate("&negotiateVersion=1").await.json()["connectionToken"].clone(),
        false => json!(""),
    };
    let input = replace(&replace(input, b"{token}", token.as_bytes()), b"{id}", id.as_str().unwrap_or("").as_bytes());
    let talk = async {
        let mut stream = TcpStream::connect(gateway.address()).await.expect("the gateway accepts connections");
        // It may hang up before it has heard all.
        drop(stream.write_all(&input).await);
        drop(stream.shutdown().await);
        let mut answer = vec![0; 4096];
        let count = stream.read(&mut answer).await.unwrap_or(0);
        answer.truncate(count);
        answer
    };
    soon("an answer or the end", talk).await
}

fn replace(bytes: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(what.len()).position(|window| window == what) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(with);
        rest = &rest[at + what.len()..];
    }
    out.extend_from_slice(rest);
    out
}
