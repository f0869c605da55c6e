//! Work of host calls that is too long for one turn of a shard: it is done by another thread, while the shard goes on.

use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::format_err;

/// What a host call looks through in place, in bytes: some 100 µs of JSON. More is done by another thread.
pub(crate) const IN_PLACE_BYTES: usize = 32 << 10;

/// Where long work of one plugin is done: one piece at a time, so that a plugin has one thread more than its shards at most.
#[derive(Debug)]
pub(crate) struct Offload(Semaphore);

impl Default for Offload {
    fn default() -> Offload {
        Offload(Semaphore::new(1))
    }
}

impl Offload {
    /// Does work over so many bytes, in place if they are few. Gives the processor time that another thread took.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> wasmtime::Result<(T, Duration)> {
        if bytes <= IN_PLACE_BYTES {
            return Ok((work(), Duration::ZERO));
        }
        let _turn = self.0.acquire().await.map_err(|_| format_err!("the plugin is gone"))?;
        let work = move || {
            let started = thread_time();
            let output = work();
            (output, thread_time().saturating_sub(started))
        };
        let working = tokio::task::spawn_blocking(work);
        // Others have their turn even if the work is over at once.
        tokio::task::yield_now().await;
        working.await.map_err(|_| format_err!("the host panicked over what the guest passed"))
    }
}

/// The processor time of this thread so far.
fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value that outlives the call.
    match unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) } {
        0 => Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0)),
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_work_leaves_the_thread_to_others_and_its_processor_time_is_told() {
        let offload = Offload::default();
        let here = std::thread::current().id();
        let (thread, took) = offload.run(IN_PLACE_BYTES, || std::thread::current().id()).await.unwrap();
        assert_eq!((thread, took), (here, Duration::ZERO));
        let busy = || {
            let until = thread_time() + Duration::from_millis(3);
            while thread_time() < until {}
            std::thread::current().id()
        };
        let (thread, took) = offload.run(IN_PLACE_BYTES + 1, busy).await.unwrap();
        assert_ne!(thread, here);
        assert!(took >= Duration::from_millis(3), "{took:?}");
    }
}
