#!/usr/bin/env bash
# Builds the components that tests serve into the folder $1: probe.wasm and probe-2.wasm (versions 1 and 2), chat.wasm,
# chat-js.wasm and ordinary-js.wasm, wasi.wasm, which asks for all of WASI, hostile.wasm, which turns on its host, filter.wasm,
# which does what messages tell it, filter-js.wasm and the filters of plugins/.
# Needs the built gateway: HUBGATE_BIN, or the one in cargo's target folder.
set -euo pipefail
cd "$(dirname "$0")/.."

output=${1:?the folder to build into}
hubgate=${HUBGATE_BIN:-$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/hubgate}
variables=$(scripts/wasm-target.sh)
eval "$variables"
mkdir -p "$output"

PROBE_VERSION=2 "$hubgate" plugin build examples/probe -o "$output/probe-2.wasm"
PROBE_VERSION=1 "$hubgate" plugin build examples/probe -o "$output/probe.wasm"
"$hubgate" plugin build examples/chat-rust -o "$output/chat.wasm"
"$hubgate" plugin build examples/chat-js -o "$output/chat-js.wasm"
"$hubgate" plugin build tests/guests/javascript -o "$output/ordinary-js.wasm"
"$hubgate" plugin build tests/guests/wasi -o "$output/wasi.wasm"
"$hubgate" plugin build tests/guests/hostile -o "$output/hostile.wasm"
"$hubgate" plugin build tests/guests/filter -o "$output/filter.wasm"
"$hubgate" plugin build tests/guests/filter-javascript -o "$output/filter-js.wasm"
for filter in redact rate-limit json-schema; do
    "$hubgate" plugin build "plugins/$filter" -o "$output/$filter.wasm"
done
