#!/usr/bin/env bash
# ASP.NET SignalR at length: all checks of its rig in default and in classic mode, which wait for time-outs, and clients whose WebSockets are cut 1,000
# times, or as often as $1 says. Needs the built gateway, as the tests do (HUBGATE_BIN, HUBGATE_GUESTS), and HUBGATE_ASPNET_RIG, which names the rig.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${HUBGATE_ASPNET_RIG:?it has to name the program of the rig}"
export HUBGATE_CUTS=${1:-1000}
run() { cargo test --release --workspace --test aspnet "$@" --nocapture; }
run -- each_broadcast
run -- --ignored
