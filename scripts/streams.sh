#!/usr/bin/env bash
# Streams from a component to many clients: 1,000 streams of 1,000 items, or as many as $1 and $2 say, none of them lost, doubled or out of
# order. Needs the built gateway and the guests, as the tests do (HUBGATE_BIN, HUBGATE_GUESTS).
set -euo pipefail
cd "$(dirname "$0")/.."
export HUBGATE_STREAMS=${1:-1000} HUBGATE_STREAM_ITEMS=${2:-1000}
cargo test --release --workspace --test streams -- --exact many_streams_of_many_clients_run_beside_each_other_and_beside_calls
