//! A quiet WASI 0.2, so that ordinary toolchains work: clocks and random bytes are real, standard output goes to the
//! plugin's log, `exit` traps, and there is no environment, no argument, no folder and no network.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::{Guest, Surroundings};
use crate::limits::{LOG_LINE_BYTES, RANDOM_BYTES, WASI_RESOURCES};

/// The WASI of one instance.
pub(super) struct QuietWasi {
    context: WasiCtx,
    resources: ResourceTable,
}

impl QuietWasi {
    fn new(surroundings: &Arc<Surroundings>) -> QuietWasi {
        let output = |level| Output { surroundings: Arc::clone(surroundings), level };
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
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let surroundings = &self.surroundings;
        let wasi = self.wasi.get_or_insert_with(|| Box::new(QuietWasi::new(surroundings)));
        WasiCtxView { ctx: &mut wasi.context, table: &mut wasi.resources }
    }
}

/// Standard output or error: lines of the plugin's log.
struct Output {
    surroundings: Arc<Surroundings>,
    level: tracing::Level,
}

impl Output {
    fn stream(&self) -> Lines {
        Lines { surroundings: Arc::clone(&self.surroundings), level: self.level, begun: Vec::new() }
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
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
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
