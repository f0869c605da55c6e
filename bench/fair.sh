#!/usr/bin/env bash
# What a plugin whose calls hang, or trap, costs the clients of another hub: the latency of echoes at a fixed rate, answered by one
# plugin, alone and beside 32 clients that call the other one again and again, in turn.
#
#   bench/fair.sh [ROUNDS]        3 unless said; needs the built gateway and the guests (HUBGATE_BIN, HUBGATE_GUESTS), and python3
# shellcheck source=bench/opening.sh
. "$(dirname "$0")/opening.sh"

cat >"$work/hubgate.toml" <<TOML
server = { listen = "127.0.0.1:0", access-keys = ["a-key-for-the-bench-and-nothing-else"], data-dir = "$work/data", shards = 1 }
admin = { listen = "127.0.0.1:0" }
hubs."*" = { mode = "serverless" }
hubs.other = { negotiate = { anonymous = true } }
upstream = [{ hubs = ["echo"], categories = ["messages"], plugin = "probe" }, { hubs = ["other"], plugin = "other" }]
plugins.probe = { path = "$guests/probe.wasm" }
plugins.other = { path = "$guests/probe.wasm" }
TOML
LOG=off serve hubgate
connection=$(cat "$work/hubgate.connection")

for round in $(seq "${1:-3}"); do
    for beside in nothing spin trap version; do
        calls=0
        if [ $beside != nothing ]; then
            rm -f "$work/calling"
            bench/callers.py "$work/hubgate.json" other $beside 32 12 >"$work/calls" & callers=$!
            until [ -e "$work/calling" ]; do sleep 0.1; done
        fi
        "$hubgate" bench echo --clients 50 --rate 1000 --time 10s --rounds 1 --no-floor --json \
            --connection-string "$connection" --hub echo 2>/dev/null | sed "s/^{/{\"beside\":\"$beside\",/"
        if [ $beside != nothing ]; then wait "$callers"; echo "round $round: $(cat "$work/calls") calls of $beside" >&2; fi
    done
done
