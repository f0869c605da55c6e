//! How an answer that passes between two nodes is ended from either side.

use std::sync::Arc;

use http::request::Parts;
use tokio::sync::Notify;

/// The way by which the answer of another node comes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Way(Arc<Notify>);

impl Way {
    /// Nothing more comes.
    pub(crate) fn end(&self) {
        self.0.notify_one();
    }

    /// Until it is ended. Only one task may wait.
    pub(super) async fn ended(&self) {
        self.0.notified().await;
    }
}

/// In the extensions of a request that another node has passed on: that node stops. A poll is to be answered then.
#[derive(Debug, Clone, Default)]
pub(super) struct WayEnds(Arc<Notify>);

impl WayEnds {
    pub(super) fn begin(&self) {
        self.0.notify_one();
    }

    /// Until the node that has passed the request on stops. A request that nobody has passed on ends by itself.
    pub(super) async fn of(request: &Parts) {
        match request.extensions.get::<WayEnds>() {
            Some(way) => way.0.notified().await,
            None => std::future::pending().await,
        }
    }
}
