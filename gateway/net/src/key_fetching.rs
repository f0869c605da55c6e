//! Fetches the keys of identity providers when the gateway starts, and follows them while it runs.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hubgate_wire::token::identity::{KeySet, LONGEST_KEY_SET};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use tokio::time::timeout;

use crate::provider_keys::{KeyUrl, Source};
use crate::shared::Shared;
use crate::tasks::{self, Caught};
use crate::web_client::{self, WebClient, whole_text};

/// How long a fetch may take.
const FETCH: Duration = Duration::from_secs(10);
/// How often keys are fetched without anybody asking for it.
const REFRESH: Duration = Duration::from_secs(600);
/// How long after a fetch that failed the next one begins: this long the first time, then twice as long as before, up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Follows the keys at these URLs from now on, on this thread's runtime, and no others.
pub(crate) fn follow<'u>(shared: &Shared, urls: impl Iterator<Item = &'u KeyUrl>) {
    for source in shared.provider_keys.follow(urls) {
        let connector = web_client::connector_with(HttpConnector::new(), web_client::tls(shared));
        let client = web_client::builder().build(connector);
        let task = fetch_again_and_again(Arc::downgrade(&source), client);
        tasks::spawn_vital(shared.vitals.clone(), "following an identity provider's keys", task);
    }
}

/// As long as somebody has their source.
async fn fetch_again_and_again(source: Weak<Source>, client: WebClient<GaiResolver>) {
    let mut retry = FIRST_RETRY;
    while let Some(source) = source.upgrade() {
        source.begin();
        let fetched = try_once(&client, source.url()).await;
        let wait = if fetched.is_ok() { REFRESH } else { retry };
        retry = if fetched.is_ok() { FIRST_RETRY } else { (2 * retry).min(LONGEST_RETRY) };
        source.end(fetched);
        let _ = timeout(wait, source.is_wanted()).await;
    }
}

async fn try_once(client: &WebClient<GaiResolver>, url: &KeyUrl) -> Result<KeySet, String> {
    match Caught::new(timeout(FETCH, fetch(client, url))).await {
        Ok(Ok(fetched)) => fetched,
        Ok(Err(_)) => Err(format!("there is no answer within {} s", FETCH.as_secs())),
        Err(panicked) => Err(panicked.to_string()),
    }
}

async fn fetch(client: &WebClient<GaiResolver>, url: &KeyUrl) -> Result<KeySet, String> {
    let request = Request::get(url.uri().clone()).header(ACCEPT, "application/json");
    let request = request.body(Full::<Bytes>::default()).map_err(|error| error.to_string())?;
    let answer = client.request(request).await.map_err(|error| whole_text(&error))?;
    if answer.status() != StatusCode::OK {
        return Err(format!("it is answered with {}", answer.status()));
    }
    let body = Limited::new(answer.into_body(), LONGEST_KEY_SET).collect().await;
    let body = body.map_err(|error| format!("its answer cannot be read: {error}"))?;
    KeySet::parse(&body.to_bytes()).map_err(|error| error.to_string())
}
