//! Requests of the gateway to web servers: what webhooks, plugins and those have in common who look for faults.

use std::error::Error;
use std::fmt::Write;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioTimer;
use rustls::{CertificateError, ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use tower_service::Service;

use crate::shared::Shared;
use crate::tasks::WebClientTasks;
use crate::tls;

/// How long a connection without a request is kept for the next one.
const IDLE: Duration = Duration::from_secs(60);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// Asks by HTTP/1.1, with TLS or without. `R` finds the addresses of hosts.
pub(crate) type WebClient<R> = Client<HttpsConnector<HttpConnector<R>>, Full<Bytes>>;

/// What makes connections for a client, with TLS where the URL says so.
pub(crate) fn connector_with<R>(
    mut connector: HttpConnector<R>,
    tls: ClientConfig,
) -> HttpsConnector<HttpConnector<R>> {
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_nodelay(true);
    HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector)
}

/// What certificates are checked by, read once.
pub(crate) fn tls(shared: &Shared) -> ClientConfig {
    shared.web_tls.get_or_init(trusted_authorities).clone()
}

/// A client that keeps its connections for a while. It follows no redirects.
pub(crate) fn builder() -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(WebClientTasks);
    builder.pool_idle_timeout(IDLE).pool_timer(TokioTimer::new()).timer(TokioTimer::new());
    builder
}

/// Trusts these authorities alone, which were checked, in PEM.
pub(crate) fn tls_trusting(authorities: &[u8]) -> ClientConfig {
    let trusted = tls::authorities(authorities).unwrap_or_else(|error| {
        tracing::error!(%error, "the authorities for requests cannot be read any more: none is trusted");
        RootCertStore::empty()
    });
    tls_builder().with_root_certificates(trusted).with_no_client_auth()
}

fn tls_builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the suites of TLS 1.2 and 1.3")
}

/// Trusts the certificate authorities of this machine.
fn trusted_authorities() -> ClientConfig {
    let builder = tls_builder();
    match builder.clone().with_native_roots() {
        Ok(builder) => builder.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(%error, "this machine has no certificate authorities: requests by https will fail");
            builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        }
    }
}

/// An error with all of its causes: the outermost one of a client says little. What is wrong with TLS is told in plain words.
pub(crate) fn whole_text(error: &(dyn Error + 'static)) -> String {
    if let Some(error) = causes(error).find_map(tls_error) {
        return in_plain_words(error);
    }
    let mut text = error.to_string();
    for cause in causes(error).skip(1) {
        write!(text, ": {cause}").expect("a String takes what is written");
    }
    text
}

/// An error, and what has brought it about.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// TLS's own error, which is inside of those of input and output.
fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    error.downcast_ref().or_else(|| tls_error(error.downcast_ref::<io::Error>()?.get_ref()?))
}

fn in_plain_words(error: &rustls::Error) -> String {
    let cause = match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate comes from no authority that this machine trusts, as one that signs itself does \
             (`SSL_CERT_FILE` names other authorities)"
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another name",
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired"
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "its certificate is not valid yet",
        rustls::Error::InvalidMessage(_) => "this port does not speak TLS: use http://",
        _ => return error.to_string(),
    };
    format!("{cause}: {error}")
}

/// The largest answer that is read by [`ask`], in bytes.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// What a web server answers.
#[derive(Debug, Clone)]
pub struct WebAnswer {
    pub status: u16,
    /// The header `Access-Control-Allow-Origin`.
    pub allowed_origin: Option<String>,
    pub body: String,
}

/// Asks a web server as the gateway asks webhooks. An error says why there is no answer.
pub async fn ask(method: &str, url: &str, headers: &[(&str, &str)]) -> Result<WebAnswer, String> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::<Bytes>::default()).map_err(|error| error.to_string())?;
    let client = builder().build(connector_with(HttpConnector::new(), trusted_authorities()));
    let answered = async {
        let answer = client.request(request).await.map_err(|error| whole_text(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map_err(|error| error.to_string())?;
        let allowed_origin = head.headers.get(ACCESS_CONTROL_ALLOW_ORIGIN).and_then(|origin| origin.to_str().ok());
        Ok(WebAnswer {
            status: head.status.as_u16(),
            allowed_origin: allowed_origin.map(str::to_owned),
            body: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        })
    };
    tokio::time::timeout(CONNECT, answered).await.unwrap_or_else(|_| Err("it does not answer in time".to_owned()))
}

/// Whether the server of an https URL speaks TLS, whatever it thinks of the rest.
pub async fn speaks_tls(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else { return false };
    let mut connector = connector_with(HttpConnector::new(), trusted_authorities());
    let connected = async {
        poll_fn(|cx| connector.poll_ready(cx)).await?;
        connector.call(url).await.map(drop)
    };
    match tokio::time::timeout(CONNECT, connected).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            let error = causes(error.as_ref()).find_map(tls_error);
            error.is_some_and(|error| !matches!(error, rustls::Error::InvalidMessage(_)))
        }
        Err(_) => false,
    }
}

/// Connects to the server of a URL as the gateway connects to webhooks, with TLS where the URL says so, and asks nothing.
pub async fn reach(url: &str) -> Result<(), String> {
    let url: Uri = url.parse().map_err(|_| "it is not a URL".to_owned())?;
    let mut connector = connector_with(HttpConnector::new(), trusted_authorities());
    let connected = async {
        poll_fn(|cx| connector.poll_ready(cx)).await.map_err(|error| whole_text(error.as_ref()))?;
        connector.call(url).await.map(drop).map_err(|error| whole_text(error.as_ref()))
    };
    tokio::time::timeout(CONNECT, connected).await.unwrap_or_else(|_| Err("it does not answer in time".to_owned()))
}
