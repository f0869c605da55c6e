//! The worker threads, as the main thread and the admin listener see them. Nobody waits for one of them without a bound.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hubgate_core::ShardStatus;
use hubgate_core::id::ShardIndex;
use hubgate_plugin_host::PluginHost;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::cluster_link::ClusterLink;
use crate::inbox::{Farewell, INBOX, Inbox, InboxSender, LocalMessage};
use crate::shared::Shared;
use crate::tasks::{Caught, start_thread};
use crate::worker;

/// Questions of plugins that wait for their shard.
const QUESTIONS: usize = 256;
/// How long an operator waits for a shard's answer; after that, what it said last has to do.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a reload waits for a shard.
const CONFIGURE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection waits for the shard whose turn it is before the next one gets it.
const DEAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Nobody waits longer, whatever the configuration says.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long the last clients have to hear that they may come back.
const LAST_CLOSES: Duration = Duration::from_secs(1);
/// How long the shards' threads may take to end once they are told to.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is looked whether they have.
const STOP_POLL: Duration = Duration::from_millis(5);

/// The way to the shards.
#[derive(Debug, Clone)]
pub(crate) struct Shards {
    shared: Arc<Shared>,
    inboxes: Vec<InboxSender>,
    /// What each has told last.
    statuses: Arc<Mutex<Vec<ShardStatus>>>,
}

/// The threads of the shards.
#[derive(Debug)]
pub(crate) struct ShardThreads(Vec<JoinHandle<()>>);

impl Shards {
    /// Starts the threads.
    pub(crate) fn start(shared: &Arc<Shared>, plugins: &PluginHost) -> io::Result<(Shards, ShardThreads)> {
        let (inboxes, receivers): (Vec<_>, Vec<_>) =
            (0..shared.settings().shards).map(|_| mpsc::channel(INBOX)).unzip();
        let mut threads = Vec::new();
        for (index, inbox) in receivers.into_iter().enumerate() {
            let (shared, plugins, inboxes) = (shared.clone(), plugins.clone(), inboxes.clone());
            let run = move || run(index, shared, &plugins, inboxes, inbox);
            threads.push(start_thread(&format!("shard-{index}"), run)?);
        }
        let statuses = Arc::new(Mutex::new(vec![ShardStatus::default(); inboxes.len()]));
        Ok((Shards { shared: shared.clone(), inboxes, statuses }, ShardThreads(threads)))
    }

    /// The ways to all shards.
    pub(crate) fn inboxes(&self) -> Vec<InboxSender> {
        self.inboxes.clone()
    }

    /// The way to a shard that gives signs of life, if one does.
    pub(crate) fn responsive(&self) -> &InboxSender {
        let is_responsive = |index: &usize| !self.shared.vitals.shard(*index).is_silent();
        &self.inboxes[(0..self.inboxes.len()).find(is_responsive).unwrap_or_default()]
    }

    /// Hands a connection to the shard whose turn it is, unless that one takes nothing: `turn` counts the turns.
    pub(crate) async fn deal(&self, turn: &mut usize, connection: LocalMessage) {
        for only_responsive in [true, false] {
            for _ in &self.inboxes {
                *turn = (*turn + 1) % self.inboxes.len();
                let inbox = &self.inboxes[*turn];
                if only_responsive && self.shared.vitals.shard(*turn).is_silent() {
                    continue;
                }
                let permit = match inbox.try_reserve() {
                    Ok(permit) => Ok(permit),
                    Err(mpsc::error::TrySendError::Closed(())) => continue,
                    Err(mpsc::error::TrySendError::Full(())) => tokio::time::timeout(DEAL_TIMEOUT, inbox.reserve())
                        .await
                        .unwrap_or(Err(mpsc::error::SendError(()))),
                };
                if let Ok(permit) = permit {
                    return permit.send(connection.into());
                }
            }
        }
        tracing::warn!("a connection is closed, because no worker thread takes it");
    }

    /// Lets all shards go on with the settings that are shared now.
    pub(crate) async fn configure(&self) {
        let core = self.shared.settings().core.clone();
        let answers = self.ask(|answer| LocalMessage::Configure(core.clone(), answer), CONFIGURE_TIMEOUT).await;
        if answers.contains(&None) {
            tracing::warn!("a worker thread does not answer: it goes on with the configuration before, until it does");
        }
    }

    /// What all shards know: of one that does not answer, what it knew last.
    pub(crate) async fn statuses(&self) -> ShardStatus {
        let answers = self.ask(LocalMessage::Status, STATUS_TIMEOUT).await;
        let mut statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        for (status, answer) in statuses.iter_mut().zip(answers) {
            if let Some(answer) = answer {
                *status = answer;
            }
        }
        let mut all = ShardStatus::default();
        for status in statuses.iter() {
            all.hubs.extend(status.hubs.iter().cloned());
            all.forgotten += &status.forgotten;
        }
        all
    }

    /// All metrics, in the text that Prometheus reads.
    pub(crate) async fn metrics(&self) -> Result<String, fmt::Error> {
        let statuses = self.statuses().await;
        let shared = &self.shared;
        shared.metrics.set_outboxes(shared.outboxes.held());
        let cluster = shared.cluster.as_ref().map(ClusterLink::status);
        let has_own_certificate = shared.settings().acme.is_some();
        let certificate = has_own_certificate.then_some(&*shared.certificate);
        let spans = shared.telemetry.export().map(|export| export.counts());
        let log = shared.resource_log.as_deref();
        shared.metrics.encode(statuses, &shared.directory, cluster.as_deref(), certificate, spans, log)
    }

    /// Sends all clients away, and waits until they are gone.
    pub(crate) async fn drain_within(&self, timeout: Duration) {
        let drain = |farewell, timeout| self.ask(move |gone| LocalMessage::Drain(farewell, gone), timeout);
        let began = Instant::now();
        // The second time those are met that were on their way from one shard to another.
        for _ in 0..2 {
            if drain(Farewell::Orderly, timeout.saturating_sub(began.elapsed())).await.contains(&None) {
                tracing::warn!(?timeout, "server.drain-timeout is over before all clients are gone");
                drain(Farewell::AtOnce, LAST_CLOSES).await;
                return;
            }
        }
    }

    /// Asks all shards at once; `None` of those that have not answered in time.
    pub(crate) async fn ask<T>(
        &self,
        question: impl Fn(oneshot::Sender<T>) -> LocalMessage,
        timeout: Duration,
    ) -> Vec<Option<T>> {
        // A time beyond all clocks is none.
        let deadline = Instant::now() + timeout.min(LONGEST_WAIT);
        let mut asked = Vec::new();
        for inbox in &self.inboxes {
            let (answer, answered) = oneshot::channel();
            asked.push((inbox, inbox.try_send(question(answer).into()), answered));
        }
        let mut answers = Vec::new();
        for (inbox, sent, answered) in asked {
            let answer = async {
                if let Err(mpsc::error::TrySendError::Full(question)) = sent {
                    inbox.send(question).await.ok()?;
                }
                answered.await.ok()
            };
            answers.push(timeout_at(deadline, answer).await.ok().flatten());
        }
        answers
    }

    /// Ends the threads; gives the names of those that do not end.
    pub(crate) async fn stop(&self, threads: ShardThreads) -> Vec<String> {
        let deadline = Instant::now() + STOP_TIMEOUT;
        for inbox in &self.inboxes {
            drop(timeout_at(deadline, inbox.send(LocalMessage::Stop.into())).await);
        }
        let mut stuck = Vec::new();
        for thread in threads.0 {
            while !thread.is_finished() && Instant::now() < deadline {
                tokio::time::sleep(STOP_POLL).await;
            }
            match thread.is_finished() {
                // What it ended by is known already.
                true => drop(thread.join()),
                false => stuck.extend(thread.thread().name().map(str::to_owned)),
            }
        }
        stuck
    }
}

/// What the thread of a shard does.
fn run(index: usize, shared: Arc<Shared>, plugins: &PluginHost, inboxes: Vec<InboxSender>, inbox: Inbox) {
    let vitals = shared.vitals.clone();
    let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => return vitals.fail(format!("shard {index} has no poller: {error}")),
    };
    let (ask, questions) = mpsc::channel(QUESTIONS);
    let plugins = plugins.shard(ask);
    let serving = worker::run(ShardIndex(index as u16), shared, plugins, questions, inboxes, inbox);
    if runtime.block_on(Caught::new(serving)).is_err() {
        vitals.fail(format!("shard {index} panicked"));
    }
}
