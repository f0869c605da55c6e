//! Whether a server is connected.

use std::future::{Ready, ready};
use std::sync::Arc;

use async_nats::Event;
use tokio::sync::watch;

/// The state of the connection, as it changes.
#[derive(Debug, Clone)]
pub(super) struct Link(watch::Receiver<Arc<LinkState>>);

#[derive(Debug, Clone, Default)]
pub(super) struct LinkState {
    pub(super) is_connected: bool,
    /// Connections so far.
    pub(super) connections: u64,
    /// Why no server lets the gateway in, as far as is known.
    trouble: Option<String>,
}

impl LinkState {
    /// Why nothing can be asked now.
    pub(super) fn reason(&self) -> String {
        let trouble = self.trouble.as_deref().unwrap_or("the connection is lost, or was never made");
        format!("no NATS server is connected ({trouble})")
    }
}

impl Link {
    /// With what is to be told of what happens.
    pub(super) fn new() -> (Link, impl Fn(Event) -> Ready<()> + Send + Sync + 'static) {
        let (state, link) = watch::channel(Arc::<LinkState>::default());
        let happened = move |event| {
            state.send_if_modified(|state| Arc::make_mut(state).happens(event));
            ready(())
        };
        (Link(link), happened)
    }

    pub(super) fn now(&self) -> Arc<LinkState> {
        self.0.borrow().clone()
    }

    /// What `asked` comes to, unless the connection is lost over it.
    pub(super) async fn unless_over<T>(&self, connections: u64, asked: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            answer = asked => Some(answer),
            () = self.is_over(connections) => None,
        }
    }

    /// Waits until it is another connection than that one, or none.
    pub(super) async fn is_over(&self, connections: u64) {
        let is_over = |state: &Arc<LinkState>| !state.is_connected || state.connections != connections;
        // An error says that the client is gone.
        drop(self.0.clone().wait_for(is_over).await);
    }
}

impl LinkState {
    /// Says whether that changes anything.
    fn happens(&mut self, event: Event) -> bool {
        match event {
            Event::Connected => {
                *self = LinkState { is_connected: true, connections: self.connections + 1, trouble: None };
            }
            Event::Disconnected | Event::Closed => self.is_connected = false,
            Event::ClientError(error) => self.trouble = Some(error.to_string()),
            Event::ServerError(error) => self.trouble = Some(error.to_string()),
            Event::SlowConsumer(_) | Event::LameDuckMode | Event::Draining => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use async_nats::ServerError;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_over_when_it_is_lost_also_if_there_is_another_one() {
        let (link, happened) = Link::new();
        assert!(!link.now().is_connected);
        happened(Event::Connected).await;
        assert_eq!((link.now().is_connected, link.now().connections), (true, 1));
        happened(Event::Disconnected).await;
        link.is_over(1).await;
        happened(Event::ServerError(ServerError::AuthorizationViolation)).await;
        assert!(link.now().reason().contains("authorization violation"), "{}", link.now().reason());
        happened(Event::Connected).await;
        link.is_over(1).await;
        assert_eq!(link.now().connections, 2);
    }
}
