//! The end of a shard: its clients, its hub servers and its HTTP connections.

use std::rc::Rc;
use std::time::Duration;

use hubgate_core::{Input, Shard};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::ShardThread;
use crate::inbox::Farewell;

/// How long HTTP connections have to bring the request that they were opened for, once all clients are gone.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

impl ShardThread {
    /// Sends all clients and hub servers away, and waits until they are gone.
    pub(super) async fn drain(self: Rc<Self>, farewell: Farewell, answer: oneshot::Sender<()>) {
        self.http.end();
        let mut empty_since = None;
        loop {
            // A client that was just being upgraded may come while others leave.
            let pace = self.shared.settings().drain.closes;
            self.feed(match farewell {
                Farewell::Orderly => Input::Drain { per_second: pace },
                Farewell::AtOnce => Input::DrainNow,
            });
            match self.is_empty() {
                true => {
                    let since = *empty_since.get_or_insert_with(Instant::now);
                    if self.http.is_empty() || since.elapsed() >= LAST_REQUESTS {
                        let _ = answer.send(());
                        return;
                    }
                }
                false => empty_since = None,
            }
            let all_gone = async {
                tokio::select! {
                    () = self.is_drained.notified(), if empty_since.is_none() => {}
                    () = self.http.all_gone() => {}
                }
            };
            drop(timeout(Shard::tick_period().into(), all_gone).await);
        }
    }

    /// Whether no client and no hub server is connected, and nobody waits for a send.
    pub(super) fn is_empty(&self) -> bool {
        self.core.borrow().is_empty() && self.servers.borrow().is_empty() && self.asked.borrow().is_empty()
    }
}
