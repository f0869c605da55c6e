#!/usr/bin/env bash
# Makes sure that Rust can build for wasm32-unknown-unknown. Prints only the variables that a build then needs:
#
#     variables=$(scripts/wasm-target.sh) && eval "$variables"
#
# Where the target is installed, or rustup can install it, nothing is printed. Where it cannot (a closed network),
# Debian's compiler comes with the sources of its own standard library, which are built once into a cache.
set -euo pipefail

target=wasm32-unknown-unknown
packages=(rustc-web cargo-web rust-web-src rust-web-llvm)
cache=$(realpath -m "${HUBGATE_CACHE:-$HOME/.cache/hubgate}")
sysroot=$cache/wasm-sysroot

say() { echo "wasm-target: $*" >&2; }

target_is_installed() {
    local libraries
    libraries=$("${RUSTC:-rustc}" --print target-libdir --target "$target" 2>/dev/null) || return 1
    compgen -G "$libraries/libstd-*.rlib" >/dev/null
}

# A standard library serves only the very compiler that has built it.
sysroot_is_ready() {
    [ -f "$sysroot/compiler" ] && [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ] &&
        [ "$(/usr/bin/rustc -vV)" = "$(<"$sysroot/compiler")" ]
}

# Debian's rust-lld is a link that dangles until the linker's own package is there. rustup's serves as well.
linker() {
    local linkers=(/usr/bin/rust-lld "$(rustc --print sysroot 2>/dev/null)"/lib/rustlib/*/bin/rust-lld)
    local linker
    for linker in "${linkers[@]}"; do
        if [ -x "$linker" ]; then echo "$linker" && return; fi
    done
    return 1
}

provide() {
    if dpkg -s "$@" >/dev/null 2>&1; then return; fi
    if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
        say "rustup cannot add the target $target, so this is needed: apt-get install $*"
        return 1
    fi
    say "installing $*"
    # A compiler that is in the way is its owner's to remove.
    local apt=(apt-get -qq -y --no-remove -o DPkg::Lock::Timeout=300)
    "${apt[@]}" update >&2
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" install "$@" >&2
}

build_sysroot() {
    say "building the standard library for $target, once"
    local seed=$sysroot.seed made=$sysroot.new
    rm -rf "$seed" "$made"
    mkdir -p "$seed/src" "$made/lib/rustlib/$target/lib"
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
    # Bitcode lets the guests' link-time optimisation reach into the standard library.
    env -u CARGO -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u RUSTC_WRAPPER RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS=-Cembed-bitcode=yes \
        /usr/bin/cargo build --manifest-path "$seed/Cargo.toml" --target-dir "$seed/target" --release \
        -Zbuild-std=std,panic_abort --target "$target" >&2
    cp "$seed/target/$target/release/deps"/lib*.rlib "$made/lib/rustlib/$target/lib/"
    rm -f "$made/lib/rustlib/$target/lib"/libseed-*
    /usr/bin/rustc -vV >"$made/compiler"
    rm -rf "$sysroot" "$seed"
    mv "$made" "$sysroot"
}

if target_is_installed; then exit 0; fi
# The flags that name the folder are split at spaces, and only they can be set for the guests' target alone.
case $sysroot in *[[:space:]]*)
    say "$sysroot: set HUBGATE_CACHE to a folder without a space in its path"
    exit 1
    ;;
esac
if ! sysroot_is_ready || ! linker >/dev/null; then
    if command -v rustup >/dev/null; then
        timeout 60 rustup target add "$target" >/dev/null 2>&1 || say "rustup cannot add the target $target"
        if target_is_installed; then exit 0; fi
    fi
    mkdir -p "$cache"
    exec 9>"$sysroot.lock"
    flock 9
    provide "${packages[@]}"
    if ! linker >/dev/null; then provide "$(readlink /usr/bin/rust-lld)"; fi
    if ! sysroot_is_ready; then build_sysroot; fi
fi

printf 'export %s=%q\n' \
    CARGO /usr/bin/cargo \
    RUSTC /usr/bin/rustc \
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER "$(linker)" \
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS "--sysroot=$sysroot"
