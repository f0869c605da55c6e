#!/usr/bin/env bash
# Several gateways as one at length: 1,000,000 numbered messages over three nodes, none of them lost, doubled or out of order; 1,000 joins that senders at other
# nodes see at once; nodes and NATS that are killed again and again under load, and NATS that is away for longer than anybody waits; and, with three nodes behind
# nginx, which keeps nobody at one of them, the JavaScript client on all transports and in both protocols, and the suites of the .NET rig in default, classic and
# serverless mode. Needs the built gateway and the guests, as the tests do (HUBGATE_BIN, HUBGATE_GUESTS), and nats-server, which scripts/test.sh installs, or
# HUBGATE_NATS_SERVER names; what needs .NET is left out where HUBGATE_DOTNET_RIG does not name the rig. With arguments, only those tests whose names they are part of.
set -euo pipefail
cd "$(dirname "$0")/.."
run() { cargo test --release --workspace --test cluster -- --ignored "$@"; }
if [ $# -gt 0 ]; then
    run "$@"
    exit
fi
# The suites wait for most of their time, and some of their checks look at the clock: beside each other, and beside nothing else.
status=0
run --skip dotnet:: || status=$?
run dotnet:: --test-threads 3 || status=$?
exit "$status"
