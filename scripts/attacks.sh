#!/usr/bin/env bash
# Plays attacks against a gateway and prints a Markdown table of what they make it hold: tests/examples/attacks. All of them
# take some five minutes, at most 3 GiB of memory and 3,000 file descriptors, on loopback alone.
#
#   scripts/attacks.sh [--bin FILE] [ATTACK…]
#
# FILE is the gateway that is attacked; without it, HUBGATE_BIN or the one in cargo's target folder. The plugins are in
# HUBGATE_GUESTS, or are built there first. An ATTACK that does not exist prints the names of those that do.
set -euo pipefail

if [ "${1:-}" = --bin ]; then
    HUBGATE_BIN=$(realpath "${2:?--bin needs the file of a gateway}")
    shift 2
fi
cd "$(dirname "$0")/.."

target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
export HUBGATE_BIN=${HUBGATE_BIN:-$target/release/hubgate}
export HUBGATE_GUESTS=${HUBGATE_GUESTS:-$target/guests}
if [ ! -e "$HUBGATE_GUESTS/hostile.wasm" ]; then scripts/build-guests.sh "$HUBGATE_GUESTS" >&2; fi
# With the features of the whole workspace, as the tests are built, so that nothing is built twice.
cargo build --quiet --release --workspace --example attacks
ulimit -n 8192
exec "$target/release/examples/attacks" "$@"
