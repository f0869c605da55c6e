#!/usr/bin/env bash
# What a noisy hub costs a quiet one: the latency of the quiet hub's echoes at a fixed rate while clients of another hub call
# without a pause, on the same gateway and, for comparison, on another one on the same machine, in turn.
#
#   bench/neighbours.sh [ROUNDS]        5 unless said; needs the built gateway and the guests (HUBGATE_BIN, HUBGATE_GUESTS)
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
hubgate=${HUBGATE_BIN:-$target/release/hubgate}
guests=${HUBGATE_GUESTS:-$target/guests}
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT

for name in same other; do
    cat >"$work/$name.toml" <<TOML
server = { listen = "127.0.0.1:0", access-keys = ["a-key-for-the-bench-alone"], data-dir = "$work/$name", shards = 1 }
admin = { listen = "127.0.0.1:0" }
hubs."*" = { mode = "serverless" }
upstream = [{ hubs = ["quiet", "noisy"], categories = ["messages"], plugin = "probe" }]
plugins.probe = { path = "$guests/probe.wasm" }
TOML
    "$hubgate" --log error serve --config "$work/$name.toml" --ready-file "$work/$name.json" &
    until [ -e "$work/$name.json" ]; do sleep 0.1; done
    sed 's/.*"connectionString":"\([^"]*\)".*/\1/' "$work/$name.json" >"$work/$name.connection"
done

bench() { # GATEWAY HUB SCENARIO OPTIONS…
    local connection hub=$2
    connection=$(cat "$work/$1.connection")
    shift 2
    "$hubgate" bench "$@" --rounds 1 --no-floor --json --connection-string "$connection" --hub "$hub" 2>/dev/null
}

for round in $(seq "${1:-5}"); do
    for where in other same; do
        bench "$where" noisy echo --clients 50 --burst 500 --time 8s >/dev/null &
        noise=$!
        # Until the noise has connected.
        sleep 1
        bench same quiet echo --clients 10 --rate 500 --time 3s | sed "s/^{/{\"noise\":\"$where\",\"round\":$round,/"
        wait "$noise" || true
    done
done
