//! The only door to new tasks and threads of this crate, so that each has an owner that hears of its panic.
//!
//! - A vital task, without which others wait for ever: its panic ends the gateway, in order ([`Vitals::fail`]).
//! - A task of one peer: its panic ends what that peer has here, and nothing else. It is logged and counted.
//! - Work that somebody waits for: whoever waits is told of the panic.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::{io, thread};

use hubgate_core::id::ShardIndex;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};

use crate::cluster_link::ClusterLink;
use crate::peer_task::PeerTask;
use crate::shared::Shared;
use crate::vitals::Vitals;

/// Work ended by a panic; the panic's own message in the log says where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway panicked over it")]
pub struct Panicked;

pin_project_lite::pin_project! {
    /// A future whose panic is its outcome.
    #[derive(Debug)]
    pub(crate) struct Caught<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Caught<F> {
    pub(crate) fn new(future: F) -> Caught<F> {
        Caught { future }
    }
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.project().future;
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    }
}

pin_project_lite::pin_project! {
    /// A task of a peer, with what removes the peer if it panics.
    struct Guarded<F, B> {
        #[pin]
        task: Caught<F>,
        kind: PeerTask,
        tasks: ShardTasks,
        bury: Option<B>,
    }
}

impl<F: Future<Output = ()>, B: FnOnce()> Future for Guarded<F, B> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let outcome = ready!(this.task.poll(cx));
        if let (Err(Panicked), Some(bury)) = (outcome, this.bury.take()) {
            this.tasks.peer_task_panicked(*this.kind, bury);
        }
        Poll::Ready(())
    }
}

/// Starts the tasks of one shard on its thread, and hears of their panics.
#[derive(Debug, Clone)]
pub(crate) struct ShardTasks {
    shard: ShardIndex,
    shared: Arc<Shared>,
}

impl ShardTasks {
    pub(crate) fn new(shard: ShardIndex, shared: Arc<Shared>) -> ShardTasks {
        ShardTasks { shard, shared }
    }

    /// The way to other nodes, if the gateway is one of several.
    pub(crate) fn cluster(&self) -> Option<&ClusterLink> {
        self.shared.cluster.as_ref()
    }

    /// Starts a task of one peer. If it panics, `bury` removes what is left of the peer.
    pub(crate) fn spawn(
        &self,
        kind: PeerTask,
        task: impl Future<Output = ()> + 'static,
        bury: impl FnOnce() + 'static,
    ) {
        tokio::task::spawn_local(Guarded { task: Caught::new(task), kind, tasks: self.clone(), bury: Some(bury) });
    }

    /// Starts a task without which the shard cannot go on.
    pub(crate) fn spawn_vital(&self, name: &'static str, task: impl Future<Output = ()> + 'static) {
        let tasks = self.clone();
        tokio::task::spawn_local(async move {
            if Caught::new(task).await.is_err() {
                tasks.shared.vitals.fail(format!("{name} of shard {} panicked", tasks.shard.0));
            }
        });
    }

    fn peer_task_panicked(&self, kind: PeerTask, bury: impl FnOnce()) {
        self.shared.metrics.task_panicked(kind);
        tracing::error!(task = kind.name(), "a task panicked: its peer is closed, all others go on");
        if catch_unwind(AssertUnwindSafe(bury)).is_err() {
            let what = format!("shard {} panicked when it removed the peer of a panic", self.shard.0);
            self.shared.vitals.fail(what);
        }
    }
}

/// Starts a task without which the gateway cannot go on, on this thread's runtime.
pub(crate) fn spawn_vital(
    vitals: Arc<Vitals>,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) -> AbortHandle {
    let task = tokio::spawn(async move {
        if Caught::new(task).await.is_err() {
            vitals.fail(format!("{name} panicked"));
        }
    });
    task.abort_handle()
}

/// The same, of a task that stays on this thread; on a local runtime.
pub(crate) fn spawn_vital_here(vitals: Arc<Vitals>, name: &'static str, task: impl Future<Output = ()> + 'static) {
    tokio::task::spawn_local(async move {
        if Caught::new(task).await.is_err() {
            vitals.fail(format!("{name} panicked"));
        }
    });
}

/// Starts a task whose end somebody waits for.
pub(crate) fn spawn_awaited<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(task)
}

/// Runs what a web client needs for its connections; a connection that panics is lost for its requests, which fail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WebClientTasks;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for WebClientTasks {
    fn execute(&self, task: F) {
        tokio::spawn(task);
    }
}

/// What comes of work on another thread.
pub type Working<T> = Pin<Box<dyn Future<Output = Result<T, Panicked>> + Send>>;

/// Does what may wait for a disk on a thread of its own.
pub fn on_a_thread<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<Working<T>> {
    let (done, is_done) = oneshot::channel();
    start_thread(name, move || drop(done.send(work())))?;
    Ok(Box::pin(async move { is_done.await.map_err(|_| Panicked) }))
}

/// Starts a thread whose owner keeps the handle, or hears of its end by other means.
pub(crate) fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_work_hears_of_its_panic() {
        assert_eq!(Caught::new(async { 1 }).await, Ok(1));
        assert_eq!(Caught::new(async { panic!("on purpose") }).await, Err::<(), _>(Panicked));
        let working = on_a_thread("works", || 2).expect("a thread");
        assert_eq!(working.await, Ok(2));
        let panicking = on_a_thread("panics", || panic!("on purpose")).expect("a thread");
        assert_eq!(panicking.await, Err::<(), _>(Panicked));
    }

    #[tokio::test]
    async fn the_end_of_a_vital_task_by_a_panic_is_the_gateways_failure() {
        let vitals = Arc::new(Vitals::new(1, None));
        spawn_vital(vitals.clone(), "a follower", async {});
        spawn_vital(vitals.clone(), "a leader", async { panic!("on purpose") });
        assert_eq!(vitals.failed().await, "a leader panicked");
    }
}
