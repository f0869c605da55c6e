#!/usr/bin/env bash
# Refreshed tokens under load: 1,000 clients, or as many as $1 says, whose tokens last 10 seconds, for 10 minutes, or as many as $2 says. Nobody
# is closed who refreshes in time, and nobody outlives a refused refresh. Needs the built gateway and the guests, as the tests do
# (HUBGATE_BIN, HUBGATE_GUESTS).
set -euo pipefail
cd "$(dirname "$0")/.."
export HUBGATE_REFRESH_CLIENTS=${1:-1000} HUBGATE_REFRESH_SECONDS=$((60 * ${2:-10}))
ulimit -n 8192
exec cargo test --release --workspace --test refresh -- --nocapture --exact \
    many_clients_stay_for_as_long_as_they_refresh_and_nobody_outlives_a_refused_refresh
