//! Requests and answers, one connection each.

use std::net::SocketAddr;

use ::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use ::http::request::Builder;
use ::http::{HeaderMap, Method, Request as HttpRequest};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::socket::Dialing;
use crate::wait::soon;

/// A request, not sent yet. It has no body unless one is given.
#[derive(Debug)]
pub struct Request {
    address: SocketAddr,
    path: String,
    builder: Builder,
    body: Bytes,
    length: Length,
    dialing: Dialing,
}

/// How a body's length is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Known,
    Chunked,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Request {
    /// `path` may have a query.
    pub fn new(method: Method, address: SocketAddr, path: &str) -> Request {
        let builder = HttpRequest::builder().method(method).uri(path);
        let (path, length) = (path.to_owned(), Length::Known);
        Request { address, path, builder, body: Bytes::new(), length, dialing: Dialing::default() }
    }

    /// On a connection of this kind.
    pub fn dialing(self, dialing: Dialing) -> Request {
        Request { dialing, ..self }
    }

    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.builder = self.builder.header(name, value);
        self
    }

    pub fn bearer(self, token: &str) -> Request {
        self.header(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Request {
        self.body = body.into();
        self.header(CONTENT_TYPE.as_str(), content_type)
    }

    /// With a body whose length is not told before it.
    pub fn chunked(self, content_type: &str, body: impl Into<Bytes>) -> Request {
        Request { length: Length::Chunked, ..self.body(content_type, body) }
    }

    pub fn json(self, body: &Value) -> Request {
        self.body("application/json", body.to_string())
    }

    pub async fn send(self) -> Answer {
        let what = format!("the answer to {}", self.path);
        soon(&what, self.exchange()).await
    }

    async fn exchange(mut self) -> Answer {
        let headers = self.builder.headers_mut().expect("tests make valid headers");
        if !headers.contains_key(HOST) {
            headers.insert(HOST, self.address.to_string().parse().expect("an address is a header value"));
        }
        let body = match self.length {
            Length::Known => {
                headers.insert(CONTENT_LENGTH, self.body.len().into());
                Full::new(self.body).boxed()
            }
            Length::Chunked => {
                let frame = Ok(Frame::data(self.body));
                StreamBody::new(futures_util::stream::iter([frame])).boxed()
            }
        };
        let request = self.builder.body(body).expect("tests make valid requests");

        let stream = self.dialing.dial(self.address).await;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake sends nothing");
        let exchange = async {
            let response = sender.send_request(request).await.expect("the gateway answers HTTP requests");
            let (head, body) = response.into_parts();
            let body = body.collect().await.expect("the body comes whole").to_bytes();
            Answer { status: head.status.as_u16(), headers: head.headers, body: String::from_utf8_lossy(&body).into() }
        };
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            _ = connection => exchange.await,
        }
    }
}

impl Answer {
    /// The text of a header, or nothing where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers of the gateway are text"))
    }

    /// The body of an answer that must be a success with JSON.
    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        assert!(self.header("content-type").starts_with("application/json"), "{:?}", self.headers);
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Sends bytes that may be no request, and gives all that comes back before the gateway hangs up.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("the gateway accepts connections");
        stream.write_all(bytes).await.expect("the gateway reads");
        let mut answer = Vec::new();
        // A reset is one way to hang up.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    soon("the gateway to hang up", exchange).await
}

/// A name as it stands in a path or a query, as `Uri.EscapeDataString` makes it.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(byte.into()),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
