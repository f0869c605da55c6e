//! A quiet WASI 0.2, so that ordinary toolchains work: clocks and random bytes are real, standard output goes to the
//! plugin's log, `exit` traps, and there is no environment, no argument, no folder and no network. Its imports are counted and
//! metered as those of the contract.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime::format_err;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{DynPollable, OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_io::bindings::wasi::io::poll;

use super::{Guest, Surroundings};
use crate::limits::{LOG_LINE_BYTES, RANDOM_BYTES, WASI_RESOURCES, WASI_WRITE_BYTES};

/// The WASI of one instance.
pub(super) struct QuietWasi {
    context: WasiCtx,
    resources: ResourceTable,
}

impl QuietWasi {
    fn new(surroundings: &Arc<Surroundings>) -> QuietWasi {
        let permit = Arc::new(AtomicUsize::new(WASI_WRITE_BYTES));
        let output = |level| Output { surroundings: Arc::clone(surroundings), level, permit: Arc::clone(&permit) };
        let context = WasiCtx::builder()
            .stdout(output(tracing::Level::INFO))
            .stderr(output(tracing::Level::WARN))
            .max_random_size(RANDOM_BYTES as u64)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(WASI_RESOURCES);
        QuietWasi { context, resources }
    }
}

impl WasiView for Guest {
    /// Each call of an import of WASI comes by here once. One too many finds no resource, which is a trap as a rule; what needs none is
    /// broken off at the next tick.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let is_too_many = self.count_host_call().is_err();
        let surroundings = &self.surroundings;
        let wasi = self.wasi.get_or_insert_with(|| Box::new(QuietWasi::new(surroundings)));
        if is_too_many {
            wasi.resources = ResourceTable::new();
            wasi.resources.set_max_capacity(0);
        }
        WasiCtxView { ctx: &mut wasi.context, table: &mut wasi.resources }
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
        self.ctx().table.poll(pollables).await
    }
}

impl poll::HostPollable for Guest {
    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.ctx().table.block(pollable).await
    }

    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.ctx().table.ready(pollable).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(self.ctx().table, pollable)
    }
}

/// Standard output or error: lines of the plugin's log.
struct Output {
    surroundings: Arc<Surroundings>,
    level: tracing::Level,
    permit: Arc<AtomicUsize>,
}

impl Output {
    fn stream(&self) -> Lines {
        Lines {
            surroundings: Arc::clone(&self.surroundings),
            level: self.level,
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
        if !line.is_empty() {
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
