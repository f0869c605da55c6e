//! The body of a request, within its limits of size and time.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};

use super::answer::Refusal;
use crate::shard::ShardThread;

/// Reads a whole body.
pub(crate) async fn read(shard: &ShardThread, body: Incoming) -> Result<Bytes, Refusal> {
    let (limit, time) = {
        let settings = shard.shared.settings();
        (settings.limits.post, settings.timeouts.body)
    };
    if body.size_hint().lower() > limit as u64 {
        return Err(Refusal::BodyTooLarge { limit });
    }
    match tokio::time::timeout(time, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge { limit }),
        Ok(Err(_)) => Err(Refusal::bad_request("The body broke off.")),
        Err(_) => Err(Refusal::BodyTooSlow),
    }
}
