#!/usr/bin/env bash
# Builds the components that tests serve into the folder $1: probe.wasm and probe-2.wasm (versions 1 and 2), probe-hub.wasm and
# probe-hub-2.wasm likewise, chat.wasm, chat-js.wasm and ordinary-js.wasm, wasi.wasm, which asks for all of WASI, hostile.wasm, which
# turns on its host, filter.wasm, which does what messages tell it, filter-js.wasm, door.wasm and door-2.wasm, which do what requests
# tell them, the plugins of plugins/, hub-SAMPLE.wasm of examples/hubs, and conformance-LANGUAGE-handler.wasm and -filter.wasm.
# What neither its sources, nor the SDKs, nor the builder have changed is not built again.
# Needs the built gateway: HUBGATE_BIN, or the one in cargo's target folder, and the tools of tests/languages.
set -euo pipefail
cd "$(dirname "$0")/.."

output=${1:?the folder to build into}
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
hubgate=${HUBGATE_BIN:-$target/release/hubgate}
variables=$(scripts/wasm-target.sh)
eval "$variables"
export PATH=$target/languages/bin:$PATH
mkdir -p "$output"

# digest FOLDER: of its files, of the SDKs and the contract that it may use, of the builder and of the tools.
digest() {
    {
        echo "${PROBE_VERSION-} ${DOOR_VERSION-} $(rustc --version) $(go version)"
        find "$1" sdk wit plugins gateway/cli/src/commands/plugin_build Cargo.lock tests/languages/*.* -type f -not -path '*/node_modules/*' -not -path '*/target/*' -not -path '*/__pycache__/*' -print0 |
            LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum
}

# build FOLDER NAME: the project in the folder, as NAME.wasm.
build() {
    local made
    made=$(digest "$1")
    if [ -f "$output/$2.wasm" ] && [ "$(cat "$output/$2.digest" 2>/dev/null)" = "$made" ]; then return; fi
    "$hubgate" plugin build "$1" -o "$output/$2.wasm"
    echo "$made" >"$output/$2.digest"
}

# link_packages PROJECT: the packages of tests/languages and the SDK, as npm installs them.
link_packages() {
    rm -rf "$1/node_modules"
    mkdir "$1/node_modules"
    ln -s "$PWD"/tests/languages/node_modules/{.bin,*} "$1/node_modules/"
    ln -s "$PWD/sdk/js" "$1/node_modules/hubgate"
}

# Tests build projects with these packages, also where what they are built into is at hand.
for project in examples/chat-js tests/guests/javascript; do
    link_packages "$project"
done

PROBE_VERSION=2 build examples/probe probe-2
PROBE_VERSION=1 build examples/probe probe
PROBE_VERSION=2 build examples/probe-hub probe-hub-2
PROBE_VERSION=1 build examples/probe-hub probe-hub
build examples/chat-rust chat
build examples/chat-js chat-js
build tests/guests/javascript ordinary-js
build tests/guests/wasi wasi
build tests/guests/hostile hostile
build tests/guests/filter filter
DOOR_VERSION=2 build tests/guests/door door-2
DOOR_VERSION=1 build tests/guests/door door
build tests/guests/filter-javascript filter-js
for plugin in redact rate-limit json-schema history presence; do
    build "plugins/$plugin" "$plugin"
done
for sample in chat ticker shape upload ask; do
    link_packages "examples/hubs/$sample"
    build "examples/hubs/$sample" "hub-$sample"
done
for project in tests/guests/conformance/*/*/; do
    language=$(basename "$(dirname "$project")")
    case $language in js | ts) link_packages "${project%/}" ;; esac
    build "${project%/}" "conformance-$language-$(basename "$project")"
done
