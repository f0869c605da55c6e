#!/usr/bin/env bash
# Runs all tests, and installs what they need: with apt where it is root, otherwise it names what is missing and fails.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step "what the tests need"
missing=()
{ command -v cc && command -v make; } >/dev/null || missing+=(build-essential)
command -v valgrind >/dev/null || missing+=(valgrind)
{ command -v node && command -v npm; } >/dev/null || missing+=(nodejs npm)
[ -x /usr/bin/chromium ] || missing+=(chromium)
command -v ip >/dev/null || missing+=(iproute2)
[ -x /usr/sbin/nginx ] || missing+=(nginx-light)
command -v javac >/dev/null || missing+=(default-jdk-headless)
command -v mvn >/dev/null || missing+=(maven)
command -v go >/dev/null || missing+=(golang-go)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "test: these packages are missing: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
command -v cargo >/dev/null || { echo "test: Rust is missing: https://rustup.rs" >&2; exit 1; }
npm ci --no-audit --no-fund --prefix tests/clients/javascript
npm ci --no-audit --no-fund --prefix examples/chat-rust/www
npm ci --no-audit --no-fund --prefix examples/poll/www
npm ci --no-audit --no-fund --prefix examples/hubs/www
npm ci --no-audit --no-fund --prefix tests/languages

target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
# install_python FOLDER REQUIREMENTS: a virtual environment in the target folder, made again when the requirements change.
install_python() {
    local folder=$target/$1
    if cmp -s "$2" "$folder/requirements.txt"; then return; fi
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$2"
    cp "$2" "$folder/"
}
install_python python tests/clients/python/requirements.txt
install_python languages tests/languages/requirements.txt
install_python schemathesis tests/schemathesis/requirements.txt
install_python nats tests/nats/requirements.txt

java=$target/java
if ! cmp -s tests/clients/java/pom.xml "$java/pom.xml"; then
    rm -rf "$java"
    mvn --quiet --batch-mode --file tests/clients/java/pom.xml dependency:copy-dependencies -DoutputDirectory="$java/lib"
    cp tests/clients/java/pom.xml "$java/"
fi
javac -cp "$java/lib/*" -d "$java/classes" tests/clients/java/src/main/java/Scenarios.java
(cd tests/clients/go && go build -o "$target/go/client" .)
mkdir -p "$target/deployment"
(cd tests/deployment && go build -o "$target/deployment/" . helm.sh/helm/v3/cmd/helm)

# Prometheus's own tool, out of Debian's package, which would start a server if it were installed.
promtool=$target/prometheus/usr/bin/promtool
if [ ! -x "$promtool" ]; then
    rm -rf "$target/prometheus"
    mkdir -p "$target/prometheus"
    (
        cd "$target/prometheus"
        apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }
        dpkg-deb --extract prometheus_*.deb .
        rm -rf prometheus_*.deb usr/bin/prometheus usr/share
    )
fi
(cd tests/acme && go build -o "$target/go/pebble" github.com/letsencrypt/pebble/v2/cmd/pebble)

deny=$target/tools/bin/cargo-deny
[ -x "$deny" ] || cargo install --quiet --locked --root "$target/tools" cargo-deny@0.20.2

step "dependencies: licences, sources, versions, advisories"
"$deny" check bans licenses sources
if timeout 60 "$deny" fetch db 2>/dev/null; then
    "$deny" check --disable-fetch advisories
else
    echo "The database of advisories cannot be reached from here: they are not checked."
fi

step "format and lints"
if cargo fmt --version >/dev/null 2>&1; then cargo fmt --all --check; fi
if cargo clippy --version >/dev/null 2>&1; then cargo clippy --release --workspace --all-targets -- -D warnings; fi

step "the gateway and the components"
cargo build --release -p hubgate
export HUBGATE_BIN=$target/release/hubgate
export HUBGATE_GUESTS=$target/guests
scripts/build-guests.sh "$HUBGATE_GUESTS"

step "the SDK and the filters"
cargo test --manifest-path sdk/rust/Cargo.toml
cargo package --quiet --allow-dirty --manifest-path sdk/rust/Cargo.toml
cargo test --manifest-path plugins/Cargo.toml

step "the tests"
rm -rf "$target/clients"
cargo test --release --workspace --no-run
# In two lanes beside each other, because much of them waits. Tests with .NET wait for time-outs for most of their time, and run all at once. When
# they are over, those of ASP.NET SignalR follow, and those that build components and share the folders of their tools; they give way to the others, some of which look at the
# clock. Three lanes at a time are too many for two processors: a gateway waits more than a minute for its plugins then.
builders=(aspnet browser command_line console_files dev_watch documents go_and_c javascript language_conformance live_poll moderation ordinary_toolchains
    plugin_build plugin_languages python_sdk sdk)
mapfile -t others < <(cargo metadata --format-version 1 --no-deps | python3 -c '
import json, sys
targets = [target for package in json.load(sys.stdin)["packages"] for target in package["targets"]]
print(*sorted({target["name"] for target in targets if "test" in target["kind"]} - set(sys.argv[1:])), sep="\n")
' "${builders[@]}" dotnet)
named=()
# name TEST…: the arguments that make cargo run these.
name() {
    named=()
    for test in "$@"; do named+=(--test "$test"); done
}
longest=30m
lanes=() failed=()
# lane NICENESS ARGUMENT…: runs tests in a process group of their own, which ends when its leader is told to, and in any case some day.
lane() {
    local niceness=$1
    shift
    exec timeout --kill-after=30s "$longest" nice -n "$niceness" cargo test --release --workspace --no-fail-fast "$@"
}
# ended WHAT PROCESS [LOG]: waits for a lane, shows what it has written, and notes it if it has failed.
ended() {
    local status=0
    wait "$2" || status=$?
    if [ -n "${3:-}" ]; then cat "$3"; fi
    case $status in
        0) ;;
        124 | 137) failed+=("$1 (not over after $longest)") ;;
        *) failed+=("$1") ;;
    esac
}
# Whatever ends this script ends the lanes: an interrupt does not reach them.
end_lanes() {
    kill "${lanes[@]}" 2>/dev/null || true
    wait
}
trap end_lanes EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

lane 0 --test dotnet -- --test-threads=16 >"$target/dotnet.log" 2>&1 &
lanes+=($!)
name "${builders[@]}"
{ tail --pid="${lanes[0]}" -f /dev/null && lane 5 "${named[@]}"; } >"$target/builders.log" 2>&1 &
lanes+=($!)
name "${others[@]}"
lane 0 --lib --bins "${named[@]}" &
lanes+=($!)
ended "tests" "${lanes[2]}"
lane 0 --quiet --doc &
lanes+=($!)
ended "examples in comments" "${lanes[3]}"
ended "tests that build components" "${lanes[1]}" "$target/builders.log"
ended "tests with .NET" "${lanes[0]}" "$target/dotnet.log"
if [ ${#failed[@]} -gt 0 ]; then
    printf 'test: failed: %s\n' "${failed[@]}" >&2
    exit 1
fi

step "what the page about clients says"
scripts/compatibility.py "$target/clients" --check

step "all tests passed"
