#!/usr/bin/env bash
# What a plugin whose calls hang, or trap, costs the clients of another hub: the latency of echoes at a fixed rate, answered by one
# plugin, beside 32 clients that call the other one again and again. The floor is what the same callers cost while they call another
# gateway on the same machine: they, and that gateway, take processors from the echoes too.
#
#   bench/fair.sh [ROUNDS]        3 unless said; needs the built gateway and the guests (HUBGATE_BIN, HUBGATE_GUESTS), and python3
# shellcheck source=bench/opening.sh
. "$(dirname "$0")/opening.sh"

for gateway in one another; do
    cat >"$work/$gateway.toml" <<TOML
server = { listen = "127.0.0.1:0", access-keys = ["a-key-for-the-bench-and-nothing-else"], data-dir = "$work/$gateway", shards = 1 }
admin = { listen = "127.0.0.1:0" }
hubs."*" = { mode = "serverless" }
hubs.other = { negotiate = { anonymous = true } }
upstream = [{ hubs = ["echo"], categories = ["messages"], plugin = "probe" }, { hubs = ["other"], plugin = "other" }]
plugins.probe = { path = "$guests/probe.wasm" }
plugins.other = { path = "$guests/probe.wasm" }
TOML
    LOG=off serve $gateway
done

echo "round  callers of        at           calls     p50 µs    p99 µs"
# Measures echoes of one gateway beside callers of METHOD at GATEWAY; "nothing" has no callers.
measure() { # ROUND METHOD GATEWAY
    if [ "$2" != nothing ]; then
        rm -f "$work/calling"
        bench/callers.py "$work/$3.json" other "$2" 32 12 >"$work/calls" & callers=$!
        until [ -e "$work/calling" ]; do sleep 0.1; done
    fi
    "$hubgate" bench echo --clients 50 --rate 1000 --time 10s --rounds 1 --no-floor --json \
        --connection-string "$(cat "$work/one.connection")" --hub echo 2>/dev/null >"$work/echoes"
    if [ "$2" != nothing ]; then wait "$callers"; else echo 0 >"$work/calls"; fi
    python3 - "$@" "$(cat "$work/calls")" "$work/echoes" <<'PYTHON'
import json, sys
number, method, gateway, calls, echoes = sys.argv[1:]
measured = json.load(open(echoes))
assert measured["lost"] == 0 and measured["perSecond"] > 990, measured
print(f"{number:6} {method:17} {gateway:8} {calls:>9} {measured['p50Micros']:10.0f} {measured['p99Micros']:9.0f}")
PYTHON
}

for round in $(seq "${1:-3}"); do
    measure "$round" nothing -
    for method in version spin trap; do
        measure "$round" $method another
        measure "$round" $method one
    done
done
