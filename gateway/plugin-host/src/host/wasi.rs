//! A quiet WASI 0.2, so that ordinary toolchains work: clocks and random bytes are real, standard output goes to the
//! plugin's log, `exit` traps, and there is no environment, no argument, no folder and no network. Its imports are counted as those of
//! the contract. Clocks, random seeds and waits for pollables come in at the [door](super::door); streams, resources that are dropped,
//! `exit` and the environment are answered from what the instance has.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::AsyncWrite;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime::format_err;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock};
use wasmtime_wasi::p2::{DynPollable, OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_io::bindings::wasi::io::poll;

use super::call::{HostCall, HostReply, Outside, Reply};
use super::last_words::{LastWords, Line};
use super::source::Source;
use super::tape::Tape;
use super::{Guest, Surroundings};
use crate::limits::{LOG_LINE_BYTES, RANDOM_BYTES, WASI_RESOURCES, WASI_WRITE_BYTES};

/// What WASI's clocks say that they can tell apart.
const RESOLUTION: Duration = Duration::from_nanos(1);

/// The WASI of one instance.
pub(super) struct QuietWasi {
    context: WasiCtx,
    resources: ResourceTable,
}

impl QuietWasi {
    fn new(surroundings: &Arc<Surroundings>, tape: &Tape, last_words: &Arc<LastWords>) -> QuietWasi {
        let clock = || Clock { surroundings: Arc::clone(surroundings), tape: tape.clone() };
        let seed = clock().ask(Outside::Seed).unwrap_or_default();
        let mut seeds = StdRng::from_seed(seed);
        let permit = Arc::new(AtomicUsize::new(WASI_WRITE_BYTES));
        let output = |level, heard_by| Output {
            surroundings: Arc::clone(surroundings),
            level,
            heard_by,
            permit: Arc::clone(&permit),
        };
        let context = WasiCtx::builder()
            .stdout(output(tracing::Level::INFO, None))
            .stderr(output(tracing::Level::WARN, Some(Arc::clone(last_words))))
            .wall_clock(clock())
            .monotonic_clock(clock())
            .insecure_random_seed(seeds.random())
            .insecure_random(StdRng::from_rng(&mut seeds))
            .secure_random(seeds)
            .max_random_size(RANDOM_BYTES as u64)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(WASI_RESOURCES);
        QuietWasi { context, resources }
    }

    /// Which of these are ready, once one is.
    async fn poll(&mut self, pollables: Vec<u32>) -> wasmtime::Result<Vec<u32>> {
        let pollables = pollables.into_iter().map(Resource::new_borrow).collect();
        poll::Host::poll(&mut self.resources, pollables).await
    }

    pub(super) async fn is_ready(&mut self, pollable: u32) -> wasmtime::Result<bool> {
        poll::HostPollable::ready(&mut self.resources, Resource::new_borrow(pollable)).await
    }
}

/// The clocks of an instance, and where its random numbers begin.
struct Clock {
    surroundings: Arc<Surroundings>,
    tape: Tape,
}

impl Clock {
    fn ask<T: Reply>(&self, call: Outside) -> Option<T> {
        let source = &*self.surroundings.source;
        // What was not recorded is found out when the replay is over.
        T::of(self.tape.answer(HostCall::Outside(call), || answer(source, call)).ok()?)
    }
}

/// What WASI has of time and chance.
pub(super) fn answer(source: &dyn Source, call: Outside) -> HostReply {
    match call {
        Outside::WallClock => source.wall_clock().into_reply(),
        Outside::MonotonicClock => source.monotonic_clock().into_reply(),
        Outside::Seed => {
            let mut seed = [0; 32];
            source.fill(&mut seed);
            seed.into_reply()
        }
    }
}

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        RESOLUTION
    }

    fn now(&self) -> Duration {
        self.ask(Outside::WallClock).unwrap_or_default()
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        RESOLUTION.as_nanos() as u64
    }

    fn now(&self) -> u64 {
        let now: Duration = self.ask(Outside::MonotonicClock).unwrap_or_default();
        u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl WasiView for Guest {
    /// Each call of an import of WASI that is not answered at the [door](super::door) comes by here once. One too many finds no resource,
    /// which is a trap as a rule; what needs none is broken off at the next tick.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let is_too_many = self.count_host_call().is_err();
        let wasi = self.quiet_wasi();
        if is_too_many {
            wasi.resources = ResourceTable::new();
            wasi.resources.set_max_capacity(0);
        }
        WasiCtxView { ctx: &mut wasi.context, table: &mut wasi.resources }
    }
}

impl Guest {
    pub(super) fn quiet_wasi(&mut self) -> &mut QuietWasi {
        let (surroundings, tape, words) = (&self.surroundings, &self.tape, &self.last_words);
        self.wasi.get_or_insert_with(|| Box::new(QuietWasi::new(surroundings, tape, words)))
    }

    /// Waits until one of these is ready, which is no processor time of the guest's; gives which are.
    pub(super) async fn poll_wasi(&mut self, pollables: Vec<u32>) -> wasmtime::Result<Vec<u32>> {
        let paused = self.pause();
        let ready = self.quiet_wasi().poll(pollables).await;
        self.go_on(paused).await;
        ready
    }
}

/// Links the WASI that is there.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    // The linker that may wait: its other half blocks the thread, which a shard must not.
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    poll::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The interface `wasi:io/poll`, with a bound of the list that one call passes.
impl poll::Host for Guest {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.len() > WASI_RESOURCES {
            return Err(format_err!(
                "it waits for {} pollables; a call may wait for {WASI_RESOURCES}",
                pollables.len()
            ));
        }
        self.perform(HostCall::Poll(pollables.iter().map(Resource::rep).collect())).await
    }
}

impl poll::HostPollable for Guest {
    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        // The list says that it is the one pollable that is ready.
        let _: Vec<u32> = self.perform(HostCall::Poll(vec![pollable.rep()])).await?;
        Ok(())
    }

    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.perform(HostCall::IsReady(pollable.rep())).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(self.ctx().table, pollable)
    }
}

/// Standard output or error: lines of the plugin's log.
struct Output {
    surroundings: Arc<Surroundings>,
    level: tracing::Level,
    /// Of standard error.
    heard_by: Option<Arc<LastWords>>,
    permit: Arc<AtomicUsize>,
}

impl Output {
    fn stream(&self) -> Lines {
        Lines {
            surroundings: Arc::clone(&self.surroundings),
            level: self.level,
            heard_by: self.heard_by.clone(),
            begun: Vec::new(),
            permit: Arc::clone(&self.permit),
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.stream())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.stream())
    }
}

/// A stream that is cut into lines; one longer than a line of the log is cut there.
struct Lines {
    surroundings: Arc<Surroundings>,
    level: tracing::Level,
    heard_by: Option<Arc<LastWords>>,
    begun: Vec<u8>,
    /// What all streams of the instance may write before the shard's other work has its turn, in bytes.
    permit: Arc<AtomicUsize>,
}

impl Lines {
    fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = LOG_LINE_BYTES - self.begun.len();
            let part = &bytes[..bytes.len().min(room)];
            let (part, whole) = match part.iter().position(|byte| *byte == b'\n') {
                Some(end) => (&part[..=end], true),
                None => (part, part.len() == room),
            };
            self.begun.extend_from_slice(part);
            bytes = &bytes[part.len()..];
            if whole {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.begun);
        let line = line.trim_end();
        let heard = self.heard_by.as_ref().map(|words| words.printed(line));
        if !line.is_empty() && heard != Some(Line::Noise) {
            self.surroundings.log_line(self.level, line, std::iter::empty());
        }
        self.begun.clear();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.end_line();
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let permit = self.permit.load(Ordering::Relaxed);
        let Some(left) = permit.checked_sub(bytes.len()) else {
            let written = bytes.len();
            return Err(StreamError::Trap(format_err!("it wrote {written} bytes; `check-write` permitted {permit}")));
        };
        self.permit.store(left, Ordering::Relaxed);
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(self.permit.load(Ordering::Relaxed))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lines {
    /// A stream without a permit has one when the shard's other work has had its turn.
    async fn ready(&mut self) {
        if self.permit.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
            self.permit.store(WASI_WRITE_BYTES, Ordering::Relaxed);
        }
    }
}

impl AsyncWrite for Lines {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
