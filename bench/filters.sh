#!/usr/bin/env bash
# What filters cost an echo and a broadcast: hubs without, with one and with five of `redact` (a pattern that is not found), with
# five that do not want to see the method, and with one of `rate-limit`, which writes into its state for each call, in turn. One
# JSON object a line, with the hub's name as its target.
#
#   bench/filters.sh [ROUNDS]     5 unless said; needs the built gateway and the guests (HUBGATE_BIN, HUBGATE_GUESTS)
# shellcheck source=bench/opening.sh
. "$(dirname "$0")/opening.sh"
ulimit -n 20000

cat >"$work/hubgate.toml" <<TOML
server = { listen = "127.0.0.1:0", access-keys = ["a-key-for-the-bench-and-nothing-else"], data-dir = "$work/data", shards = 2 }
admin = { listen = "127.0.0.1:0" }
hubs."*" = { mode = "serverless" }
hubs.one = { filters = ["f1"] }
hubs.five = { filters = ["f1", "f2", "f3", "f4", "f5"] }
hubs.unseen = { filters = ["u1", "u2", "u3", "u4", "u5"] }
hubs.counted = { filters = ["c"] }
upstream = [{ categories = ["messages"], plugin = "probe" }]
plugins.probe = { path = "$guests/probe.wasm" }
plugins.c = { path = "$guests/rate-limit.wasm", config = { limits = "* 1000000000/h" } }
TOML
for number in 1 2 3 4 5; do
    cat >>"$work/hubgate.toml" <<TOML
plugins.f$number = { path = "$guests/redact.wasm", config = { patterns = '\b\d{4}-\d{4}\b' } }
plugins.u$number = { path = "$guests/redact.wasm", targets = ["other"], config = { patterns = '\b\d{4}-\d{4}\b' } }
TOML
done
serve hubgate
connection=$(cat "$work/hubgate.connection")

for round in $(seq "${1:-5}"); do
    echo "round $round" >&2
    for hub in none one five unseen counted; do
        for scenario in "echo --clients 100" "broadcast --clients 1000"; do
            # shellcheck disable=SC2086
            "$hubgate" bench $scenario --time 2s --rounds 1 --json --connection-string "$connection" --hub "$hub" \
                2>/dev/null | sed "s/^{/{\"target\":\"$hub\",/"
        done
    done
done
