#!/usr/bin/env bash
# What swaps of a component with an engine inside cost those who are served: the latency of echoes at a fixed rate, answered
# by one plugin, without and with another one being swapped every second, in turn.
#
#   bench/swap.sh [ROUNDS]        5 unless said; needs the built gateway and the guests (HUBGATE_BIN, HUBGATE_GUESTS)
# shellcheck source=bench/opening.sh
. "$(dirname "$0")/opening.sh"

cp "$guests/chat-js.wasm" "$work/other.wasm"
cat >"$work/hubgate.toml" <<TOML
server = { listen = "127.0.0.1:0", access-keys = ["a-key-for-the-bench-and-nothing-else"], data-dir = "$work/data" }
admin = { listen = "127.0.0.1:0" }
hubs."*" = { mode = "serverless" }
upstream = [{ hubs = ["echo"], categories = ["messages"], plugin = "probe" }, { hubs = ["other"], plugin = "other" }]
plugins.probe = { path = "$guests/probe.wasm" }
plugins.other = { path = "other.wasm" }
TOML
serve hubgate
connection=$(cat "$work/hubgate.connection")

number=0
swap() {
    while true; do
        for next in ordinary-js chat-js; do
            cp "$guests/$next.wasm" "$work/next"
            # A custom section of its own makes it one that was never compiled.
            printf '\0\6\1n%04d' $((number = (number + 1) % 10000)) >>"$work/next"
            mv "$work/next" "$work/other.wasm"
            sleep 1
        done
    done
}

for round in $(seq "${1:-5}"); do
    for swaps in false true; do
        if $swaps; then swap & swapper=$!; fi
        "$hubgate" bench echo --clients 50 --rate 2000 --time 6s --rounds 1 --no-floor --json \
            --connection-string "$connection" --hub echo 2>/dev/null | sed "s/^{/{\"swaps\":$swaps,/"
        if $swaps; then kill "$swapper"; wait "$swapper" 2>/dev/null || true; fi
    done
done
