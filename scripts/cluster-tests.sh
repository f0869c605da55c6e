#!/usr/bin/env bash
# Several gateways as one at length: 1,000,000 numbered messages over three nodes, none of them lost, doubled or out of order; 1,000 joins that senders at other
# nodes see at once; nodes and NATS that are killed again and again under load, and NATS that is away for longer than anybody waits. Needs the built gateway
# (HUBGATE_BIN) and nats-server, which scripts/test.sh installs, or HUBGATE_NATS_SERVER names.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo test --release --workspace --test cluster -- --ignored "$@"
