#!/usr/bin/env bash
# Builds and runs one peer until it is interrupted: run.sh tungstenite|fastwebsockets|socketioxide|ws ADDRESS
set -euo pipefail
cd "$(dirname "$0")"
peer=${1:?tungstenite, fastwebsockets, socketioxide or ws}
address=${2:?the address to listen at, such as 127.0.0.1:9001}
case $peer in
ws)
    [ -d node/node_modules ] || npm ci --no-audit --no-fund --prefix node >&2
    exec node node/ws.mjs "$address"
    ;;
tungstenite | fastwebsockets | socketioxide)
    target=${CARGO_TARGET_DIR:-target}/peers
    cargo build --release --manifest-path rust/Cargo.toml --target-dir "$target" --bin "$peer" >&2
    exec "$target/release/$peer" "$address"
    ;;
*) echo "run.sh: there is no peer $peer" >&2; exit 2 ;;
esac
