#!/usr/bin/env bash
# Random lives of several gateways in a simulated world, many more than every build has. `scripts/simulation.sh [SEEDS [FIRST]]`; a seed that has
# failed is run again by its number: `scripts/simulation.sh 1 SEED`.
set -euo pipefail
cd "$(dirname "$0")/.."
export SIMULATION_SEEDS=${1:-20000} SIMULATION_FIRST=${2:-0}
cargo test --release --workspace --test simulation
