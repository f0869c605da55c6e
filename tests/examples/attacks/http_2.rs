//! Clients of HTTP/2 over TLS, well-behaved ones and those that never let an answer's body come.

use std::fs;
use std::io;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hubgate_tests::Gateway;
use hubgate_tests::tls::CERTIFICATE;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::peer;

/// How much of an answer's body a client lets come before it reads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Window {
    Usual,
    /// Nothing.
    Closed,
}

/// Trusts the gateway's certificate, and speaks HTTP/1.1.
pub(crate) fn connector(gateway: &Gateway) -> TlsConnector {
    TlsConnector::from(Arc::new(config(gateway)))
}

fn config(gateway: &Gateway) -> ClientConfig {
    let pem = fs::read(gateway.folder().join(CERTIFICATE)).expect("the gateway has a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).expect("it is in PEM")).expect("it is a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    builder.expect("the provider has the suites").with_root_certificates(roots).with_no_client_auth()
}

/// A connection of HTTP/2 to one gateway.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    authority: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// The connection answers pings until all clones of it, and the bodies of its answers, are dropped.
    pub(crate) async fn open(gateway: &Gateway, window: Window) -> io::Result<Connection> {
        let mut config = config(gateway);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tcp = peer::connect(gateway.address()).await?;
        let name = ServerName::from(gateway.address().ip());
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
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
    pub(crate) async fn request(
        &mut self,
        method: Method,
        path: &str,
        token: &str,
        body: impl Into<Bytes>,
    ) -> io::Result<Response<Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.authority))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Full::new(body.into()))
            .map_err(io::Error::other)?;
        self.sender.ready().await.map_err(io::Error::other)?;
        self.sender.send_request(request).await.map_err(io::Error::other)
    }

    /// The body of an answer that must be a success.
    pub(crate) async fn succeed(
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
