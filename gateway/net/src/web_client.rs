//! Requests of the gateway to web servers: what webhooks and plugins have in common.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioTimer;
use rustls::{ClientConfig, RootCertStore};

use crate::gateway::Shared;
use crate::tasks::WebClientTasks;

/// How long a connection without a request is kept for the next one.
const IDLE: Duration = Duration::from_secs(60);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// Asks by HTTP/1.1, with TLS or without. `R` finds the addresses of hosts.
pub(crate) type WebClient<R> = Client<HttpsConnector<HttpConnector<R>>, Full<Bytes>>;

/// What makes connections for a client, with TLS where the URL says so.
pub(crate) fn connector_with<R>(mut connector: HttpConnector<R>, shared: &Shared) -> HttpsConnector<HttpConnector<R>> {
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_nodelay(true);
    let tls = shared.web_tls.get_or_init(trusted_authorities).clone();
    HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector)
}

/// A client that keeps its connections for a while. It follows no redirects.
pub(crate) fn builder() -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(WebClientTasks);
    builder.pool_idle_timeout(IDLE).pool_timer(TokioTimer::new()).timer(TokioTimer::new());
    builder
}

/// Trusts the certificate authorities of this machine.
fn trusted_authorities() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the suites of TLS 1.2 and 1.3");
    match builder.clone().with_native_roots() {
        Ok(builder) => builder.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(%error, "this machine has no certificate authorities: requests by https will fail");
            builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        }
    }
}

/// An error with all of its causes: the outermost one of a client says little.
pub(crate) fn whole_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        write!(text, ": {cause}").expect("a String takes what is written");
        source = cause.source();
    }
    text
}
