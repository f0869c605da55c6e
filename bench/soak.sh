#!/usr/bin/env bash
# Moderate load for a long time, with swaps and reloads all the while: one line of JSON every 30 seconds with the
# gateway's memory, descriptors and threads. They must not grow.
#
#   bench/soak.sh [SECONDS]        1800 unless said; needs the built gateway and the guests (HUBGATE_BIN, HUBGATE_GUESTS)
# shellcheck source=bench/opening.sh
. "$(dirname "$0")/opening.sh"

seconds=${1:-1800}

configure() { # CONNECTIONS
    cat >"$work/new.toml" <<TOML
server = { listen = "127.0.0.1:0", access-keys = ["a-key-for-the-bench-and-nothing-else"], limits = { connections = $1 } }
admin = { listen = "127.0.0.1:0" }
hubs."*" = { mode = "serverless" }
upstream = [{ plugin = "probe" }]
plugins.probe = { path = "probe.wasm" }
TOML
    mv "$work/new.toml" "$work/hubgate.toml"
}

configure 5000
cp "$guests/probe.wasm" "$work/probe.wasm"
serve hubgate
gateway=$!
connection=$(cat "$work/hubgate.connection")

load() { # SCENARIO OPTIONS…
    while kill -0 "$gateway" 2>/dev/null; do
        "$hubgate" bench "$@" --connection-string "$connection" --hub "soak_$1" --rounds 1 --time 60s --no-floor --json >>"$work/results" || echo "$*" >>"$work/failures"
    done
}
load echo --clients 100 --rate 500 &
load group --clients 100 --groups 5 --rate 20 &
load rest --clients 20 --rate 100 &
load connect --clients 20 &

for ((second = 0; second <= seconds; second += 5)); do
    # Versions in turn; every fourth file is none.
    case $((second / 5 % 4)) in
    0 | 2) cp "$guests/probe-2.wasm" "$work/next" ;;
    1) cp "$guests/probe.wasm" "$work/next" ;;
    3) echo nonsense >"$work/next" ;;
    esac
    mv "$work/next" "$work/probe.wasm"
    configure $((5000 + second % 2))
    if ((second % 30 == 0)); then
        status() { awk -v name="$1:" '$1 == name { print $2 }' "/proc/$gateway/status"; }
        echo "{\"second\":$second,\"residentKilobytes\":$(status VmRSS),\"peakKilobytes\":$(status VmHWM),\"descriptors\":$(ls "/proc/$gateway/fd" | wc -l),\"threads\":$(status Threads)}"
    fi
    sleep 5
done
echo "{\"runs\":$(wc -l <"$work/results"),\"failures\":$(cat "$work/failures" 2>/dev/null | wc -l),\"lost\":$(grep -o '"lost":[0-9]*' "$work/results" | cut -d: -f2 | awk "{ sum += \$1 } END { print sum + 0 }")}"
