//! Where traces and metrics go, if they go anywhere.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};

/// OpenTelemetry, by OTLP over HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetrySettings {
    pub otlp: OtlpUrl,
    /// Sent with each request. Their values may be secrets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Which part of the traces that begin here is recorded: 0 to 1.
    pub sample_ratio: f64,
    pub service_name: String,
    /// From one export of the metrics to the next. None: they are not exported.
    pub metrics_interval: Option<Duration>,
}

/// The base URL of a collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpUrl(Uri);

/// Why a text is no [`OtlpUrl`]. What may be a secret is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOtlpUrl {
    #[error("holds a user or a password before the `@`, which do not belong there: put a header into `headers-file`")]
    SignIn,
    #[error("has a query, which a collector's URL has not: put a header into `headers-file`")]
    Query,
    #[error("must be the http:// or https:// URL of a collector, such as \"http://127.0.0.1:4318\"")]
    Other,
}

impl OtlpUrl {
    pub fn parse(text: &str) -> Result<OtlpUrl, InvalidOtlpUrl> {
        let url: Uri = text.parse().map_err(|_| InvalidOtlpUrl::Other)?;
        let (Some("http" | "https"), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err(InvalidOtlpUrl::Other);
        };
        if authority.as_str().contains('@') {
            return Err(InvalidOtlpUrl::SignIn);
        }
        if authority.host().is_empty() {
            return Err(InvalidOtlpUrl::Other);
        }
        match url.query() {
            Some(_) => Err(InvalidOtlpUrl::Query),
            None => Ok(OtlpUrl(url)),
        }
    }

    /// The URL of a signal, such as `v1/traces`, below it.
    pub(crate) fn of_signal(&self, signal: &str) -> Uri {
        let text = format!("{}/{signal}", self.to_string().trim_end_matches('/'));
        text.parse().expect("a URL without a query takes a path")
    }
}

impl fmt::Display for OtlpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_paths_below_the_collectors_url() {
        for (text, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otel.example/", "https://otel.example/v1/traces"),
            ("https://otel.example/in/", "https://otel.example/in/v1/traces"),
        ] {
            let url = OtlpUrl::parse(text).expect(text);
            assert_eq!(url.of_signal("v1/traces").to_string(), expected);
        }
    }

    #[test]
    fn what_is_no_url_of_a_collector_is_refused() {
        for (text, expected) in [
            ("", InvalidOtlpUrl::Other),
            ("127.0.0.1:4318", InvalidOtlpUrl::Other),
            ("/v1/traces", InvalidOtlpUrl::Other),
            ("grpc://a:4317", InvalidOtlpUrl::Other),
            ("http://user:hidden@a", InvalidOtlpUrl::SignIn),
            ("https://a/?key=hidden", InvalidOtlpUrl::Query),
        ] {
            assert_eq!(OtlpUrl::parse(text), Err(expected), "{text}");
        }
    }
}
