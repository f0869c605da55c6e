//! The body of an operator's request. None is read before its token is known.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hubgate_plugin_host::MAX_COMPONENT_BYTES;
use hyper::body::{Body as _, Incoming};
use serde::de::DeserializeOwned;

use super::Admin;
use super::outcome::Denial;
use crate::http::Query;
use crate::refusal::Refusal;

/// How long a component may take to arrive.
const COMPONENT_TIME: Duration = Duration::from_secs(120);

/// Whether the query asks what would come of a change, and not for the change.
pub(super) fn is_dry_run(uri: &Uri) -> Result<bool, Denial> {
    match Query::of(uri).get("dry-run").as_deref() {
        None | Some("false") => Ok(false),
        Some("" | "true") => Ok(true),
        Some(_) => Err(Denial::bad_request("`dry-run` has no value, or is `true` or `false`.")),
    }
}

/// Reads an object in JSON, of `server.limits.post` at most.
pub(super) async fn read_json<T: DeserializeOwned>(
    admin: &Admin,
    request: &mut Request<Incoming>,
) -> Result<T, Denial> {
    expect(request.headers(), "application/json")?;
    let (limit, time) = {
        let settings = admin.shared.settings();
        (settings.limits.post, settings.timeouts.body)
    };
    let body = read(request.body_mut(), limit, time, || Refusal::BodyTooLarge { limit }.into()).await?;
    serde_json::from_slice(&body)
        .map_err(|error| Denial::bad_request(format!("The body is not what is expected here: {error}.")))
}

/// Reads a component.
pub(super) async fn read_component(request: &mut Request<Incoming>) -> Result<Bytes, Denial> {
    expect(request.headers(), "application/wasm")?;
    let too_large = || {
        let text = format!("Nothing was swapped: the component is larger than {MAX_COMPONENT_BYTES} bytes.");
        Denial::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    read(request.body_mut(), MAX_COMPONENT_BYTES, COMPONENT_TIME, too_large).await
}

fn expect(headers: &HeaderMap, expected: &str) -> Result<(), Denial> {
    let sent = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match sent.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(expected) {
        true => Ok(()),
        false => {
            let text = format!("The body must be of the type `{expected}`, as `Content-Type` says.");
            Err(Denial::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
        }
    }
}

async fn read(
    body: &mut Incoming,
    limit: usize,
    time: Duration,
    too_large: impl Fn() -> Denial,
) -> Result<Bytes, Denial> {
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(time, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Denial::bad_request("The body broke off.")),
        Err(_) => Err(Denial::new(StatusCode::REQUEST_TIMEOUT, "The body took too long.")),
    }
}
