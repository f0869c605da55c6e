#!/usr/bin/env bash
# Schemathesis over the gateway's own OpenAPI document, with all of its checks: 100 requests at random for each operation, or as many as $1 says, beside
# those for the edges of each parameter. Needs the built gateway, as the tests do (HUBGATE_BIN), and what scripts/test.sh installs.
set -euo pipefail
cd "$(dirname "$0")/.."
export HUBGATE_SCHEMATHESIS_EXAMPLES=${1:-100}
exec cargo test --release --workspace --test schemathesis -- --nocapture
