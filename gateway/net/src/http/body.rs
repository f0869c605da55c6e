//! The body of a request, within its limits of size and time.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{EXPECT, HeaderMap};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};

use super::Service;
use crate::peer_task::PeerTask;
use crate::refusal::Refusal;

/// How much is read of a body that nobody wants, in bytes: more than a client's library sends by mistake.
const MOST_DISCARDED: usize = 16 << 20;
/// How long it is read.
const LONGEST_DISCARD: Duration = Duration::from_secs(5);

/// The body of one request, as far as it has not been read.
#[derive(Debug)]
pub(crate) struct RequestBody {
    /// `None` once another node reads it.
    incoming: Option<Incoming>,
    /// Whether its sender goes on sending when it is not read.
    is_coming: bool,
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, headers: &HeaderMap) -> RequestBody {
        // Who expects a word before the body sends none after a refusal.
        RequestBody { incoming: Some(incoming), is_coming: !headers.contains_key(EXPECT) }
    }

    /// Gives it to another node, which answers the request.
    pub(crate) fn take(&mut self) -> Option<Incoming> {
        self.is_coming = false;
        self.incoming.take()
    }

    /// Reads it whole.
    pub(crate) async fn read(&mut self, service: &Service) -> Result<Bytes, Refusal> {
        let limit = service.shared().settings().limits.post;
        self.read_up_to(limit, service).await
    }

    /// Reads it whole, if it has at most `limit` bytes.
    pub(crate) async fn read_up_to(&mut self, limit: usize, service: &Service) -> Result<Bytes, Refusal> {
        let time = service.shared().settings().timeouts.body;
        let Some(incoming) = &mut self.incoming else {
            return Ok(Bytes::new());
        };
        if incoming.size_hint().lower() > limit as u64 {
            return Err(Refusal::BodyTooLarge { limit });
        }
        let read = tokio::time::timeout(time, Limited::new(incoming, limit).collect()).await;
        self.is_coming = matches!(&read, Ok(Err(error)) if error.is::<LengthLimitError>());
        match read {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(_)) if self.is_coming => Err(Refusal::BodyTooLarge { limit }),
            Ok(Err(_)) => Err(Refusal::bad_request("The body broke off.")),
            Err(_) => Err(Refusal::BodyTooSlow),
        }
    }

    /// The request is answered. What is left is read beside the answer, within bounds: many peers read an answer only once
    /// they have sent everything, and lose it when the connection is closed before.
    pub(crate) fn discard(self, service: &Rc<Service>) {
        let Some(incoming) = self.incoming.filter(|incoming| self.is_coming && !incoming.is_end_stream()) else {
            return;
        };
        let mut rest = Limited::new(incoming, MOST_DISCARDED);
        let discard = async move { while let Some(Ok(_)) = rest.frame().await {} };
        let discard = async { drop(tokio::time::timeout(LONGEST_DISCARD, discard).await) };
        service.shard().tasks().spawn(PeerTask::Request, discard, || ());
    }
}
