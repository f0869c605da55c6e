#!/usr/bin/env bash
# What a noisy hub costs a quiet one: the latency of the quiet hub's echoes at a fixed rate while clients of another hub call
# without a pause, on the same gateway and, for comparison, on another one on the same machine, in turn.
#
#   bench/neighbours.sh [ROUNDS]        5 unless said; needs the built gateway and the guests (HUBGATE_BIN, HUBGATE_GUESTS)
# shellcheck source=bench/opening.sh
. "$(dirname "$0")/opening.sh"

for name in same other; do
    cat >"$work/$name.toml" <<TOML
server = { listen = "127.0.0.1:0", access-keys = ["a-key-for-the-bench-and-nothing-else"], data-dir = "$work/$name", shards = 1 }
admin = { listen = "127.0.0.1:0" }
hubs."*" = { mode = "serverless" }
upstream = [{ hubs = ["quiet", "noisy"], categories = ["messages"], plugin = "probe" }]
plugins.probe = { path = "$guests/probe.wasm" }
TOML
    serve "$name"
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
