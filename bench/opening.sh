# shellcheck shell=bash
# What the scripts of this folder begin with: the gateway (HUBGATE_BIN) and the guests (HUBGATE_GUESTS), or those in cargo's target
# folder, and a folder that goes when they end, as what they have started does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
hubgate=${HUBGATE_BIN:-$target/release/hubgate}
guests=${HUBGATE_GUESTS:-$target/guests}
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT

# Starts the gateway whose configuration is $work/NAME.toml, the binary BINARY if that is given. Its ready file is $work/NAME.json, its
# connection string is in $work/NAME.connection.
serve() { # NAME [BINARY]
    "${2:-$hubgate}" --log "${LOG:-error}" serve --config "$work/$1.toml" --ready-file "$work/$1.json" &
    until [ -e "$work/$1.json" ]; do
        # It says by itself why it does not start.
        kill -0 $! || exit 1
        sleep 0.1
    done
    sed 's/.*"connectionString":"\([^"]*\)".*/\1/' "$work/$1.json" >"$work/$1.connection"
}
