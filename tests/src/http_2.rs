//! Clients of HTTP/2 over TLS, well-behaved ones and those that never let an answer's body come.

use std::io;
use std::sync::Arc;

use ::http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

use crate::Gateway;
use crate::socket::{Dialing, SMALL_BUFFER};

/// How much of an answer's body a client lets come before it reads.
#[derive(Debug, Clone, Copy)]
pub enum Window {
    Usual,
    /// Nothing.
    Closed,
}

/// A connection of HTTP/2 to one gateway.
#[derive(Debug, Clone)]
pub struct Connection {
    authority: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// The connection answers pings until all clones of it, and the bodies of its answers, are dropped.
    pub async fn open(gateway: &Gateway, window: Window) -> io::Result<Connection> {
        let mut config = Dialing::secure(gateway).tls.expect("it is for TLS");
        Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec()];
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(SMALL_BUFFER)?;
        let tcp = socket.connect(gateway.address()).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::from(gateway.address().ip());
        let stream = TlsConnector::from(config).connect(name, tcp).await?;
        let mut builder = Builder::new(TokioExecutor::new());
        if let Window::Closed = window {
            builder.initial_stream_window_size(0);
        }
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // How it ends shows in the requests.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { authority: gateway.address().to_string(), sender })
    }

    /// The head of the answer; its body comes as far as the window lets it.
    pub async fn request(
        &mut self,
        method: Method,
        path: &str,
        token: &str,
        body: impl Into<Bytes>,
    ) -> io::Result<Response<Incoming>> {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().map_err(io::Error::other)?);
        headers.insert("content-type", "application/json".parse().map_err(io::Error::other)?);
        self.request_with(method, path, headers, body).await
    }

    /// The same, with these headers.
    pub async fn request_with(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: impl Into<Bytes>,
    ) -> io::Result<Response<Incoming>> {
        let request = Request::builder().method(method).uri(format!("https://{}{path}", self.authority));
        let mut request = request.body(Full::new(body.into())).map_err(io::Error::other)?;
        *request.headers_mut() = headers;
        self.sender.ready().await.map_err(io::Error::other)?;
        self.sender.send_request(request).await.map_err(io::Error::other)
    }

    /// Opens a WebSocket by an extended CONNECT (RFC 8441); gives its stream.
    pub async fn websocket(&mut self, path: &str, token: &str) -> io::Result<Upgraded> {
        let request = Request::connect(format!("https://{}{path}", self.authority))
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .header("authorization", format!("Bearer {token}"));
        let request = request.body(Full::default()).map_err(io::Error::other)?;
        self.sender.ready().await.map_err(io::Error::other)?;
        let answer = self.sender.send_request(request).await.map_err(io::Error::other)?;
        match answer.status() {
            StatusCode::OK => hyper::upgrade::on(answer).await.map_err(io::Error::other),
            other => Err(io::Error::other(format!("{path} is answered {other}"))),
        }
    }

    /// The body of an answer that must be a success.
    pub async fn succeed(
        &mut self,
        method: Method,
        path: &str,
        token: &str,
        body: impl Into<Bytes>,
    ) -> io::Result<Bytes> {
        let answer = self.request(method, path, token, body).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        match status {
            StatusCode::OK | StatusCode::ACCEPTED => Ok(body),
            other => Err(io::Error::other(format!("{path} is answered {other}"))),
        }
    }
}
