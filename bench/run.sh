#!/usr/bin/env bash
# Measures the gateway, with 1, 2 and 4 shards, and the peers, in interleaved rounds: one JSON object a line on standard
# output, with the target's name. `bench/table.py` makes a table of them.
#
#   bench/run.sh > results.jsonl        ROUNDS=5 and TIME=2s unless set; needs the built gateway and the guests
#
# BEFORE names the binary of another version, which is measured in the same rounds as `before-2`. PEERS="" leaves the peers out,
# MEMORY=no what tells of memory, which takes eight minutes.
# shellcheck source=bench/opening.sh
. "$(dirname "$0")/opening.sh"

rounds=${ROUNDS:-5}
time=${TIME:-2s}
ulimit -n 20000

gateway() { # NAME SHARDS BINARY
    cat >"$work/$1.toml" <<TOML
server = { listen = "127.0.0.1:0", access-keys = ["a-key-for-the-bench-and-nothing-else"], shards = $2, data-dir = "$work/$1-data" }
admin = { listen = "127.0.0.1:0" }
hubs."*" = { mode = "serverless" }
hubs.proxied = { mode = "default" }
upstream = [{ hubs = ["bare"], categories = ["messages"], plugin = "probe" }, { hubs = ["probe"], plugin = "probe" }]
plugins.probe = { path = "$guests/probe.wasm" }
TOML
    serve "$1" "$3"
}

measure() { # NAME SCENARIO OPTIONS…
    local name=$1
    shift
    local where=()
    case $name in
    shards-* | before-*)
        local hub=bare
        [[ $* != *--hub-servers* ]] || hub=proxied
        where=(--connection-string "$(cat "$work/$name.connection")" --hub $hub)
        ;;
    socketioxide) where=(--url "http://$(cat "$work/$name.address")" --dialect socket-io) ;;
    *) where=(--connection-string "Endpoint=http://$(cat "$work/$name.address");AccessKey=none;Version=1.0;" --hub x) ;;
    esac
    "$hubgate" bench "$@" "${where[@]}" --rounds 1 --json 2>>"$work/errors" |
        sed "s/^{/{\"target\":\"${name%-fresh-*}\",/" || { echo "$name $*: $(tail -n 3 "$work/errors")" >&2; }
}

peer() { # NAME PORT
    echo "127.0.0.1:$2" >"$work/$1.address"
    bench/peers/run.sh "$1" "127.0.0.1:$2" >/dev/null 2>&1 &
    until (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null; do sleep 0.2; done
}

for shards in 1 2 4; do gateway "shards-$shards" "$shards" "$hubgate"; done
both=(shards-2)
if [ -n "${BEFORE:-}" ]; then
    gateway before-2 2 "$BEFORE"
    both+=(before-2)
fi
peers=(${PEERS-tungstenite fastwebsockets ws socketioxide})
port=${PEER_PORT:-9701}
for name in "${peers[@]}"; do
    peer "$name" "$port"
    port=$((port + 1))
done

for round in $(seq "$rounds"); do
    echo "round $round of $rounds" >&2
    for name in "${both[@]}" "${peers[@]}"; do
        measure "$name" echo --clients 100 --time "$time"
        measure "$name" broadcast --clients 1000 --time "$time"
        measure "$name" broadcast --clients 1000 --burst 10 --time "$time"
    done
    for name in "${both[@]}"; do measure "$name" broadcast --clients 1000 --mixed --time "$time"; done
    for connections in 1 5 15; do
        for name in "${both[@]}"; do measure "$name" echo --clients 100 --hub-servers $connections --time "$time"; done
    done
    for clients in 100 300 3000 5000 9000; do
        for name in "${both[@]}"; do measure "$name" broadcast --clients "$clients" --time "$time"; done
    done
    for groups in 1 100; do
        for name in "${both[@]}"; do measure "$name" group --clients 1000 --groups "$groups" --time "$time"; done
    done
    for name in shards-1 shards-4; do
        measure "$name" echo --clients 100 --time "$time"
        measure "$name" broadcast --clients 1000 --time "$time"
    done
    for name in "${both[@]}"; do
        measure "$name" broadcast --clients 1000 --rate 20 --time "$time"
        measure "$name" rest --clients 50 --time "$time"
        measure "$name" connect --time "$time"
    done
done
[ "${MEMORY:-yes}" = yes ] || exit 0
# Memory is told by processes that have done nothing else. It takes a minute of large messages until what a receiver does
# not read fills the kernel's buffers and its outbox.
fresh=0
measure_fresh() { # OPTIONS…
    fresh=$((fresh + 1))
    gateway "shards-2-fresh-$fresh" 2 "$hubgate"
    measure "shards-2-fresh-$fresh" "$@"
    kill $!
}
measure_fresh idle --clients 9000 --time 30s
# In 15 seconds each silent client gets one ping.
measure_fresh idle --clients 9000 --silent --time 15s
for round in 1 2; do
    for stalled in 0 1; do
        measure_fresh broadcast --clients 1000 --rate 20 --stalled $stalled --size 10000 --time 80s --no-floor
    done
done
