#!/usr/bin/env bash
# Makes sure that Rust can build for wasm32-unknown-unknown, and prints the variables that building needs, for `eval`.
#
# Where rustup has the target, or can fetch it, there is nothing to print. Where it cannot (a closed network), Debian's
# rustc-web brings the sources of its own standard library, which are built once into a cache.
set -euo pipefail

target=wasm32-unknown-unknown
if command -v rustup >/dev/null; then
    if rustup target list --installed 2>/dev/null | grep -qx "$target"; then exit 0; fi
    if timeout 60 rustup target add "$target" >&2 2>/dev/null; then exit 0; fi
fi

sysroot=${HUBGATE_CACHE:-$HOME/.cache/hubgate}/wasm-sysroot
libraries=$sysroot/lib/rustlib/$target/lib
mkdir -p "$(dirname "$sysroot")"
exec 9>"$sysroot.lock"
flock 9

packages=(rustc-web cargo-web rust-web-src)
if ! dpkg -s "${packages[@]}" >/dev/null 2>&1; then
    if [ "$(id -u)" != 0 ]; then
        echo "wasm-target: rustup cannot add $target, so these packages are needed: apt-get install ${packages[*]}" >&2
        exit 1
    fi
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${packages[@]}" >&2
fi

if ! ls "$libraries"/libstd-*.rlib >/dev/null 2>&1; then
    echo "wasm-target: building the standard library for $target, once" >&2
    seed=$(mktemp -d)
    trap 'rm -rf "$seed"' EXIT
    mkdir "$seed/src"
    : >"$seed/src/lib.rs"
    cat >"$seed/Cargo.toml" <<'TOML'
[package]
name = "seed"
version = "0.1.0"
edition = "2021"
[profile.release]
panic = "abort"
opt-level = "s"
[workspace]
TOML
    env -u CARGO -u RUSTFLAGS RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS=-Cembed-bitcode=yes \
        /usr/bin/cargo build --manifest-path "$seed/Cargo.toml" --target-dir "$seed/target" --release \
        -Zbuild-std=std,panic_abort --target "$target" >&2
    rm -rf "$sysroot"
    mkdir -p "$libraries"
    cp "$seed/target/$target/release/deps"/lib*.rlib "$libraries/"
    rm -f "$libraries"/libseed*
fi

linker=$(command -v rust-lld wasm-ld wasm-ld-14 2>/dev/null | head -n 1 || true)
if [ -z "$linker" ] && command -v rustc >/dev/null; then
    linker=$(ls "$(rustc --print sysroot)"/lib/rustlib/*/bin/rust-lld 2>/dev/null | head -n 1 || true)
fi
if [ -z "$linker" ]; then
    echo "wasm-target: no linker for WebAssembly: install Debian's package lld, or a Rust toolchain with rust-lld" >&2
    exit 1
fi

echo "export CARGO=/usr/bin/cargo"
echo "export RUSTC=/usr/bin/rustc"
echo "export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER='$linker'"
echo "export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS='--sysroot $sysroot'"
