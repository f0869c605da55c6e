//! Bytes that wait for a client: WebSocket control frames, polls and event streams whose reader does not read.
