//! Requests to the directory, bounded in time and size.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;
use tokio::time::timeout;

use crate::web_client::{builder, connector_with, whole_text};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// The largest answer, in bytes: a chain of certificates is much smaller.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Asks a directory.
#[derive(Debug, Clone)]
pub(super) struct DirectoryClient {
    client: Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
    retry_after: Arc<Mutex<Option<Duration>>>,
}

impl DirectoryClient {
    pub(super) fn new(tls: ClientConfig) -> DirectoryClient {
        let client = builder().build(connector_with(HttpConnector::new(), tls));
        DirectoryClient { client, retry_after: Arc::default() }
    }

    /// How long the directory wants to be left alone, if it has said so since this was asked last.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, wait: Option<Duration>) {
        if wait.is_some() {
            *self.retry_after.lock().unwrap_or_else(PoisonError::into_inner) = wait;
        }
    }

    async fn answer(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, String> {
        let answer = self.client.request(request).await.map_err(|error| whole_text(&error))?;
        let (head, body) = answer.into_parts();
        if !head.status.is_success() {
            self.note(retry_after(&head.headers, SystemTime::now()));
            let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            if !kind.contains("json") {
                return Err(format!("it is answered with {}", head.status));
            }
        }
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| format!("an answer cannot be read: {error}"))?;
        Ok(Response::from_parts(head, Full::new(body.to_bytes())).into())
    }
}

impl HttpClient for DirectoryClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let host = request.uri().host().unwrap_or_default().to_owned();
            let answered = timeout(ANSWER, client.answer(request)).await;
            let answered =
                answered.unwrap_or_else(|_| Err(format!("there is no answer within {} s", ANSWER.as_secs())));
            answered.map_err(|error| Error::Other(format!("asking {host}: {error}").into()))
        })
    }
}

/// In seconds or as a date (RFC 9110, section 10.2.3); `now` is the machine's time.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_directory_asks_for_time_in_seconds_or_by_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, expected) in [
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", None),
            ("-1", None),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().expect("a header"))]);
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{text}");
        }
    }
}
