#!/usr/bin/env bash
# Stateful reconnect at length: JavaScript clients in both hub protocols, of a component and of hub servers, whose WebSockets are cut 1,000 times
# each, or as often as $1 says, while they talk; and all checks of the .NET rig about it, in all modes, with all versions of its client. Needs the
# built gateway and the guests, as the tests do (HUBGATE_BIN, HUBGATE_GUESTS); what needs .NET is left out where HUBGATE_DOTNET_RIG does not name the rig.
set -euo pipefail
cd "$(dirname "$0")/.."
export HUBGATE_CUTS=${1:-1000}
run() { cargo test --release --workspace "$@" --nocapture; }
run --test reconnect -- official_clients
if [ -n "${HUBGATE_DOTNET_RIG:-}" ]; then
    run --test dotnet -- javascript_clients_of_a_hub_server_miss
    run --test dotnet -- --ignored the_checks_pass_with_all_versions
fi
