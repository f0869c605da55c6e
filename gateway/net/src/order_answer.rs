//! What operators are told of their orders.

use tokio::sync::oneshot;

/// Told what came of an order: once all threads go by it, or why everything stays as it is. Dropped where the gateway stops before either is
/// known; closed once whoever has asked is gone.
pub type OrderAnswer<T> = oneshot::Sender<Result<T, OrderRefusal>>;

/// Why everything stays as it is, and where it can be changed; a text for operators.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OrderRefusal(pub String);
