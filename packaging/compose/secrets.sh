#!/bin/sh
# Makes the access key and the admin token of compose.yaml, where there are none.
set -eu
cd "$(dirname "$0")"
mkdir -p -m 0700 secrets
for name in access-keys admin-token; do
    [ -s "secrets/$name" ] && continue
    { head -c 48 /dev/urandom | base64 | tr -d '\n' && echo; } >"secrets/$name"
    # Containers have users of their own; nobody else gets through the folder.
    chmod 0444 "secrets/$name"
done
