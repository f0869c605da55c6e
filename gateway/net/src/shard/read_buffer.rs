//! The buffer that all connections of a shard read into, one after another.

use std::cell::Cell;

/// Bytes that one read takes.
const READ_BUFFER: usize = 64 * 1024;

pub(crate) struct ReadBuffer(Cell<Vec<u8>>);

impl ReadBuffer {
    pub(super) fn new() -> ReadBuffer {
        ReadBuffer(Cell::new(vec![0; READ_BUFFER]))
    }

    /// For as long as one connection reads.
    pub(crate) fn take(&self) -> Vec<u8> {
        let buffer = self.0.take();
        match buffer.is_empty() {
            false => buffer,
            true => vec![0; READ_BUFFER],
        }
    }

    pub(crate) fn put_back(&self, buffer: Vec<u8>) {
        self.0.set(buffer);
    }
}
