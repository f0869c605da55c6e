#!/bin/sh
# Checks that console/dist is what its sources come to, with exactly the packages of the lock file. Needs Node and npm; the packages come from
# npm's cache or registry.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R package.json package-lock.json tsconfig.json build.mjs test.mjs src licenses "$work"
(
  cd "$work"
  npm ci --ignore-scripts --no-audit --no-fund --silent
  npm run --silent build >/dev/null
  npm test --silent
)
if ! diff -r "$work/dist" dist >"$work/difference"; then
  cut -c1-200 "$work/difference" | head -20 >&2
  echo "console/dist is not what the sources come to: run \`npm ci && npm run build\` in console/, and commit what it yields" >&2
  exit 1
fi
echo "console/dist is what its sources come to"
