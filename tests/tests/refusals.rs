//! Refusals reach those who are refused, also peers that read an answer only once they have sent everything.

use std::sync::Arc;

use http::{Method, Request};
use http_body_util::StreamBody;
use hubgate_tests::Gateway;
use hubgate_tests::socket::{Dialing, Socket};
use hubgate_tests::tls;
use hubgate_tests::wait::soon;
use hyper::body::{Bytes, Frame};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

/// More than sockets and windows hold, in bytes.
const BODY: usize = 12 << 20;
const CHUNK: usize = 64 << 10;

fn setup() -> hubgate_tests::gateway::Setup {
    Gateway::serve().with("hubs.bare.mode = 'serverless'\nserver.limits.post = '1KiB'")
}

/// Requests that are refused before their body is read: path, token, type of the body, status.
fn refused(gateway: &Gateway) -> [(&'static str, String, &'static str, u16); 4] {
    const SEND: &str = "/api/hubs/bare/:send";
    let token = gateway.token("bare").audience(&format!("{}{SEND}", gateway.url())).sign();
    [
        (SEND, "none".to_owned(), "application/json", 401),
        ("/nothing", String::new(), "application/json", 404),
        (SEND, token.clone(), "application/json", 413),
        (SEND, token, "text/plain", 415),
    ]
}

/// The head of the next answer.
async fn head(stream: &mut Socket) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon("a byte of the answer", stream.read_u8()).await.expect("the answer is not lost"));
    }
    String::from_utf8_lossy(&head).to_lowercase()
}

/// Sends a request and the next one before it reads the answers to both, on one connection.
async fn reads_after_it_has_written(gateway: &Gateway, dialing: &Dialing) {
    for (path, token, content_type, status) in refused(gateway) {
        let mut stream = dialing.dial(gateway.address()).await;
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: {content_type}\r\n\
             content-length: {BODY}\r\n\r\n"
        );
        let writing = async {
            stream.write_all(request.as_bytes()).await?;
            stream.write_all(&vec![b'x'; BODY]).await?;
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await?;
            stream.flush().await
        };
        soon("all of it to be read", writing).await.expect("the connection stays open");
        let refusal = head(&mut stream).await;
        assert!(refusal.starts_with(&format!("http/1.1 {status}")), "{refusal}");
        let length = refusal.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("it has a length");
        let mut body = vec![0; length.parse().expect("a number")];
        soon("the text", stream.read_exact(&mut body)).await.expect("it comes whole");
        let next = head(&mut stream).await;
        assert!(next.starts_with("http/1.1 200"), "the connection goes on: {next}");
    }
}

#[tokio::test]
async fn they_reach_peers_that_write_a_whole_body_before_they_read() {
    reads_after_it_has_written(&setup().start().await, &Dialing::default()).await;
}

#[tokio::test]
async fn they_reach_such_peers_behind_tls() {
    let gateway = tls::secure(setup()).start().await;
    reads_after_it_has_written(&gateway, &Dialing::secure(&gateway)).await;
}

#[tokio::test]
async fn they_reach_such_peers_on_http_2() {
    let gateway = tls::secure(setup()).start().await;
    let mut dialing = Dialing::secure(&gateway);
    let config = dialing.tls.as_mut().expect("it is for TLS");
    Arc::make_mut(config).alpn_protocols = vec![b"h2".to_vec()];
    let stream = TokioIo::new(dialing.dial(gateway.address()).await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("the gateway speaks HTTP/2");
    tokio::spawn(connection);
    for (path, token, content_type, status) in refused(&gateway) {
        let (chunks, body) = mpsc::channel::<Result<Frame<Bytes>, std::io::Error>>(1);
        let body = futures_util::stream::unfold(body, async |mut body| Some((body.recv().await?, body)));
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", gateway.url()))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", content_type)
            .header("content-length", BODY);
        let request = request.body(StreamBody::new(Box::pin(body))).expect("a valid request");
        let answer = tokio::spawn(sender.send_request(request));
        for _ in 0..BODY / CHUNK {
            let chunk = Ok(Frame::data(Bytes::from_static(&[b'x'; CHUNK])));
            soon("a chunk to be read", chunks.send(chunk)).await.expect("the stream stays open");
        }
        drop(chunks);
        let answer = soon("the answer", answer).await.expect("it does not panic").expect("the answer is not lost");
        assert_eq!(answer.status(), status);
    }
}

#[tokio::test]
async fn they_reach_peers_that_still_write_when_the_connection_ends() {
    let gateway = setup().start().await;
    for (request, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(1 << 20)), 431),
        ("POST /nothing HTTP/1.0\r\ncontent-length: 9000000\r\n\r\n".to_owned(), 404),
    ] {
        let mut stream = Dialing::default().dial(gateway.address()).await;
        let writing = async {
            stream.write_all(request.as_bytes()).await?;
            stream.write_all(&vec![b'x'; BODY]).await
        };
        soon("all of it to be read", writing).await.expect("the connection stays open");
        let refusal = head(&mut stream).await;
        assert!(refusal.contains(&format!(" {status} ")), "{refusal}");
    }
}

const PAGE: &str = "https://app.example.com";

#[tokio::test]
async fn each_says_what_is_wrong_and_pages_may_read_it() {
    let origins = format!("cors-origins = ['{PAGE}']");
    let config = format!("[hubs.'*']\n{origins}\n[hubs.closed]\nmode = 'serverless'\n{origins}");
    let gateway = Gateway::serve().with(&config).start().await;
    let token = gateway.token("closed").sign();
    let anns = gateway.token("closed").user("ann").sign();
    let elsewhere = gateway.token("other").sign();
    for (method, path, token, status, text) in [
        ("POST", "/client/negotiate?hub=my-hub", &token, 400, "Invalid hub name."),
        ("POST", "/client/negotiate", &token, 400, "exactly one `hub`"),
        ("GET", "/client?hub=a&hub=b", &token, 400, "exactly one `hub`"),
        ("POST", "/hubs/my-hub/negotiate", &token, 400, "Invalid hub name."),
        ("POST", "/hubs/closed/negotiate", &token, 403, "Hub 'closed' is not open to everybody"),
        ("POST", "/hubs/closed/negotiate", &anns, 400, "/client/?hub=closed"),
        ("POST", "/client/negotiate?hub=closed", &"x.y.z".to_owned(), 401, "not a JSON Web Token"),
        ("POST", "/client/negotiate?hub=closed", &elsewhere, 401, "/client/?hub=closed"),
        ("POST", "/client/negotiate?hub=closed", &elsewhere, 401, "/client/?hub=other"),
        ("POST", "/client?hub=closed&id=unknown", &token, 404, "No Connection with that ID"),
        ("GET", "/client/negotiate?hub=closed", &token, 405, "POST, OPTIONS"),
        ("GET", "/hubs/closed/negotiate", &token, 405, "POST, OPTIONS"),
        ("PUT", "/client?hub=closed", &token, 405, "GET, POST, DELETE, OPTIONS"),
        ("POST", "/chat/negotiate", &token, 404, "/hubs/NAME/negotiate"),
        ("POST", "/chat", &token, 404, "/client/?hub=NAME"),
        ("GET", "//client/?hub=closed", &token, 404, "two slashes"),
    ] {
        let at = format!("{method} {path}");
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let answer = gateway.request(method, path).header("origin", PAGE).bearer(token).send().await;
        assert_eq!(answer.status, status, "{at}: {}", answer.body);
        assert!(answer.body.contains(text), "{at}: {}", answer.body);
        assert_eq!(answer.header("access-control-allow-origin"), PAGE, "{at}");
        assert_eq!(answer.header("allow"), if status == 405 { text } else { "" }, "{at}");
        let asked = gateway.request(Method::OPTIONS, path).header("origin", PAGE);
        let asked = asked.header("access-control-request-method", "POST").send().await;
        assert_eq!(asked.header("access-control-allow-origin"), PAGE, "{at}");
        let stranger = gateway.request(Method::POST, path).header("origin", "https://evil.example").send().await;
        assert_eq!(stranger.header("access-control-allow-origin"), "", "{at}");
    }
}

#[tokio::test]
async fn callers_of_the_rest_api_are_told_in_its_form() {
    let gateway = setup().start().await;
    for (method, path, status, text, allow) in [
        (Method::PATCH, "/api/hubs/bare/connections/c", 405, "accepts only", "DELETE, GET, POST, HEAD"),
        (Method::GET, "/api/v1/hubs/bare", 405, "accepts only POST", "POST"),
        (Method::GET, "/api/hubs/my-hub/users/ann", 400, "Invalid hub name.", ""),
        (Method::GET, "/api/nothing", 404, "No operation of the REST API has this path.", ""),
    ] {
        let answer = gateway.rest(method, path).send().await;
        assert_eq!((answer.status, answer.header("allow")), (status, allow), "{path}: {}", answer.body);
        let error: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(text)), "{path}: {error}");
    }
}

#[tokio::test]
async fn dev_names_what_a_foreign_host_needs() {
    let gateway = Gateway::dev([]).start().await;
    let answer = gateway.request(Method::GET, "/").header("host", "rebound.example").send().await;
    assert_eq!(answer.status, 421);
    for part in ["rebound.example", "`hubgate dev`", "`hubgate serve`", "server.endpoints"] {
        assert!(answer.body.contains(part), "{}", answer.body);
    }
}
