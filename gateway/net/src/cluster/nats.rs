//! The connection to NATS: frames out, frames in, and whether it is there.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use async_nats::{Client, ConnectOptions, Event, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use hubgate_core::id::NodeId;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::LAST_WORDS;
use crate::cluster_link::id;
use crate::nats_options;
use crate::settings::ClusterSettings;

/// Frames that have come and are not taken yet, in number. What comes beyond is dropped, and sent again later.
const INCOMING_FRAMES: usize = 2 << 10;
/// The longest frame that is published, in bytes, even if the server would take longer ones: others wait while one is on its way.
const LONGEST_FRAME: usize = 1 << 20;

/// Why the node cannot begin to look for servers.
#[derive(Debug, thiserror::Error)]
pub(super) enum NatsError {
    #[error("cluster.credentials-file: {0}")]
    Credentials(io::Error),
    #[error("the client for NATS cannot be made: {0}")]
    Client(#[from] async_nats::ConnectError),
    #[error("the node's subjects cannot be listened to: {0}")]
    Subscribe(#[from] async_nats::SubscribeError),
}

/// What comes from NATS.
#[derive(Debug)]
pub(super) enum Happened {
    /// Frames of so many bytes reach others from now on.
    Connected {
        max_frame: usize,
    },
    /// None do.
    Disconnected,
    Received(Bytes),
    /// No server lets the node in, for this reason.
    Refused(String),
    /// Frames were dropped because the node has not taken those before them.
    Dropped,
}

/// The connection, which is made again whenever it is lost.
#[derive(Debug)]
pub(super) struct Nats {
    name: String,
    has_tls: bool,
    client: Client,
    to_all: Subscriber,
    to_this: Subscriber,
    events: mpsc::UnboundedReceiver<Event>,
    unpublished: VecDeque<(Subject, Bytes)>,
}

impl Nats {
    /// Begins to look for servers; [`Happened::Connected`] tells when one is found.
    pub(super) async fn start(settings: &ClusterSettings, node: NodeId) -> Result<Nats, NatsError> {
        let (happened, events) = mpsc::unbounded_channel();
        let client = options(settings, node)?.event_callback(move |event| {
            // The node may have left.
            drop(happened.send(event));
            std::future::ready(())
        });
        let client = client.connect(nats_options::servers(settings)).await?;
        Ok(Nats {
            to_all: client.subscribe(subject_of_all(&settings.name)).await?,
            to_this: client.subscribe(subject_of(&settings.name, node)).await?,
            name: settings.name.clone(),
            has_tls: settings.tls.is_some(),
            client,
            events,
            unpublished: VecDeque::new(),
        })
    }

    /// The node goes by another id from now on.
    pub(super) async fn rename(&mut self, node: NodeId) -> Result<(), NatsError> {
        self.to_this = self.client.subscribe(subject_of(&self.name, node)).await?;
        Ok(())
    }

    /// What comes next, while frames leave that are published. Nothing for this node alone comes unless `takes_data`: others send it no
    /// more than it has acknowledged, and hear that it is there by what it says to all.
    pub(super) async fn next(&mut self, takes_data: bool) -> Happened {
        loop {
            tokio::select! {
                // It is known first what the others are about.
                biased;
                Some(event) = self.events.recv() => {
                    if let Some(happened) = self.happened(event) {
                        return happened;
                    }
                }
                Some(message) = self.to_all.next() => return Happened::Received(message.payload),
                Some(message) = self.to_this.next(), if takes_data => return Happened::Received(message.payload),
                () = publish_some(&self.client, &mut self.unpublished), if !self.unpublished.is_empty() => {}
            }
        }
    }

    /// What has come already.
    pub(super) fn received_already(&mut self) -> Option<Bytes> {
        let mut cx = Context::from_waker(Waker::noop());
        [&mut self.to_all, &mut self.to_this].into_iter().find_map(|from| match from.poll_next_unpin(&mut cx) {
            Poll::Ready(Some(message)) => Some(message.payload),
            Poll::Ready(None) | Poll::Pending => None,
        })
    }

    fn happened(&mut self, event: Event) -> Option<Happened> {
        match event {
            Event::Connected => {
                // What waits is of before: all that matters is published again.
                self.unpublished.clear();
                Some(Happened::Connected { max_frame: self.client.max_payload().min(LONGEST_FRAME) })
            }
            Event::Disconnected | Event::Closed => {
                self.unpublished.clear();
                Some(Happened::Disconnected)
            }
            Event::SlowConsumer(_) => Some(Happened::Dropped),
            Event::ClientError(error) => Some(Happened::Refused(explained(&error.to_string(), self.has_tls))),
            Event::ServerError(error) => Some(Happened::Refused(explained(&error.to_string(), self.has_tls))),
            Event::LameDuckMode | Event::Draining => None,
        }
    }

    pub(super) fn publish_to_all(&mut self, frame: Bytes) {
        self.unpublished.push_back((subject_of_all(&self.name), frame));
    }

    pub(super) fn publish(&mut self, to: NodeId, frame: Bytes) {
        self.unpublished.push_back((subject_of(&self.name, to), frame));
    }

    /// Lets what is published leave, as far as it can at once.
    pub(super) fn flush(&mut self) {
        let publishing = pin!(publish_some(&self.client, &mut self.unpublished));
        // Whether it is over or not is seen by what is left.
        let _ = publishing.poll(&mut Context::from_waker(Waker::noop()));
    }

    /// Lets all leave that is published, unless that takes too long.
    pub(super) async fn end(mut self) {
        let last = async {
            publish_some(&self.client, &mut self.unpublished).await;
            drop(self.client.flush().await);
        };
        drop(timeout(LAST_WORDS, last).await);
    }
}

/// Publishes frames one after the other. What is not published when it is dropped is there still.
async fn publish_some(client: &Client, unpublished: &mut VecDeque<(Subject, Bytes)>) {
    while let Some((subject, frame)) = unpublished.front() {
        // One that is too long for a server which takes less than the one before is cut anew.
        if let Err(error) = client.publish(subject.clone(), frame.clone()).await {
            tracing::debug!(%error, "a frame for other nodes was not published");
        }
        unpublished.pop_front();
    }
}

/// An error of the client for NATS, which does not say what to do.
fn explained(error: &str, has_tls: bool) -> String {
    let lower = error.to_ascii_lowercase();
    let cure = if lower.contains("tls error") || (lower.contains("io error") && has_tls) {
        ": no server listens there, or it has no TLS, or its certificate is not of an authority that `cluster.tls.ca-file` or the system trusts"
    } else if lower.contains("io error") {
        ": no server listens there, or it wants TLS"
    } else if lower.contains("authorization") {
        ": `cluster.token-file`, `cluster.credentials-file`, or `cluster.user` and `cluster.password-file` say who this node is"
    } else {
        ""
    };
    format!("{error}{cure}")
}

fn subject_of_all(name: &str) -> Subject {
    format!("{name}.all").into()
}

fn subject_of(name: &str, node: NodeId) -> Subject {
    format!("{name}.node.{}", id(node)).into()
}

fn options(settings: &ClusterSettings, node: NodeId) -> Result<ConnectOptions, NatsError> {
    let name = format!("hubgate {} {}", settings.name, id(node));
    let options = nats_options::options(settings, name).map_err(NatsError::Credentials)?;
    Ok(options.subscription_capacity(INCOMING_FRAMES).skip_subject_validation(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_have_only_the_clusters_name_and_an_id() {
        assert_eq!(subject_of_all("hubgate").as_str(), "hubgate.all");
        assert_eq!(subject_of("a_b-1", NodeId(0xab)).as_str(), "a_b-1.node.000000ab");
    }

    #[test]
    fn errors_say_what_to_do() {
        assert!(explained("nats: TLS error", false).contains("cluster.tls.ca-file"));
        assert!(explained("nats: IO error", true).contains("certificate"));
        assert!(explained("nats: IO error", false).contains("no server listens there"));
        assert!(explained("nats: Authorization Violation", false).contains("cluster.token-file"));
        assert_eq!(explained("timed out", true), "timed out");
    }
}
