//! Requests of negotiation and of all transports that are nearly right: those of `fuzz/corpus/requests`, with mutations that
//! are the same in every run.

use std::fs;

use futures_util::stream::{self, StreamExt};
use hubgate_tests::Gateway;
use hubgate_tests::command::repository;
use hubgate_tests::fuzz::{Random, mutated};
use hubgate_tests::http::raw;
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

#[tokio::test]
async fn a_request_that_does_not_name_one_host_is_refused_on_both_listeners_and_that_of_the_target_counts() {
    let gateway = Gateway::probe().with("hubs.probe.negotiate.anonymous = true").start().await;
    let (clients, admin) = (gateway.address(), gateway.ready().admin);
    let token = &gateway.ready().admin_token;
    for (address, method, path) in [(clients, "POST", "/hubs/probe/negotiate"), (admin, "GET", "/admin/hubs")] {
        let status = async |target: &str, headers: &str| {
            let request = format!(
                "{method} {target}{path} HTTP/1.1\r\n{headers}Authorization: bearer {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                if address == admin { token } else { "" },
            );
            let answer = raw(address, request.as_bytes()).await;
            answer.split(' ').nth(1).unwrap_or_default().to_owned()
        };
        let own = format!("Host: {address}\r\n");
        assert_eq!(status("", &own).await, "200", "{path}");
        for headers in
            [format!("{own}{own}"), format!("{own}Host: evil.example\r\n"), "Host: a b\r\n".into(), "".into()]
        {
            assert_eq!(status("", &headers).await, "400", "{path} with {headers:?}");
        }
        let foreign = if address == admin { "403" } else { "421" };
        assert_eq!(status("http://evil.example", &own).await, foreign, "{path}");
        assert_eq!(status("", "Host: evil.example\r\n").await, foreign, "{path}");
        assert_eq!(status("", "Host: 127.0.0.1,evil.example\r\n").await, foreign, "{path}");
        assert_eq!(status(&format!("http://{address}"), "Host: evil.example\r\n").await, "200", "{path}");
    }
}

#[tokio::test]
async fn no_websocket_is_opened_over_http_1_0() {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").sign();
    for (version, status) in [("1.0", "HTTP/1.0 400"), ("1.1", "HTTP/1.1 101")] {
        let request = format!(
            "GET /client/?hub=probe HTTP/{version}\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        let mut stream = TcpStream::connect(gateway.address()).await.expect("the gateway accepts connections");
        stream.write_all(request.as_bytes()).await.expect("it is read");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(str::from_utf8(&answer), Ok(status));
    }
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
