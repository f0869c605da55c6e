#!/usr/bin/env bash
# Makes packages of a built gateway, in the folder that is named: hubgate_VERSION_ARCH.deb for Debian and Ubuntu, and
# hubgate-VERSION-TARGET.tar.gz for other systems. docs/install.md says how they are installed.
#
#   scripts/package.sh [--binary FILE] [--plugins FOLDER] [--version VERSION] [--fast] FOLDER
#
# --binary   the gateway, which runs here: target/release/hubgate as a rule
# --plugins  has the built plugins of plugins/, as in scripts/build-guests.sh; without it they are built
# --version  another version than that of the sources
# --fast     compresses hardly at all
#
# The same binary and plugins give the same bytes, if SOURCE_DATE_EPOCH is the same: the time of the last commit, if it is not set.
# HUBGATE_MAINTAINER says who makes the package.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."

metadata=$(cargo metadata --format-version 1 --no-deps)
# of_metadata EXPRESSION: what a Python expression makes of it.
of_metadata() { python3 -c "import json, sys; m = json.load(sys.stdin); print($1)" <<<"$metadata"; }
binary=$(of_metadata 'm["target_directory"]')/release/hubgate
version=$(of_metadata '[p["version"] for p in m["packages"] if p["name"] == "hubgate"][0]')
plugins= compression=(-Zxz --threads-max=1) level=9 output=
while [ $# -gt 0 ]; do
    case $1 in
    --binary) binary=$2 && shift 2 ;;
    --plugins) plugins=$2 && shift 2 ;;
    --version) version=$2 && shift 2 ;;
    --fast) compression=(-Znone) level=1 && shift ;;
    -*) echo "package: there is no option $1" >&2 && exit 2 ;;
    *) output=$1 && shift ;;
    esac
done
[ -n "$output" ] || { echo "package: which folder should they be made in?" >&2 && exit 2; }
[ -x "$binary" ] || { echo "package: $binary is not there: cargo build --release -p hubgate" >&2 && exit 1; }
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
case $(readelf --file-header "$binary" | sed -n 's/ *Machine: *//p') in
*X86-64) architecture=amd64 target=x86_64-linux-gnu ;;
AArch64) architecture=arm64 target=aarch64-linux-gnu ;;
*) echo "package: $binary is for a machine that is not known here" >&2 && exit 1 ;;
esac
libc=$(readelf --wide --version-info "$binary" | grep -o 'GLIBC_[0-9.]*' | sort --unique --version-sort | tail -1)

mkdir -p "$output"
output=$(cd "$output" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ -z "$plugins" ]; then
    plugins=$work/plugins
    for plugin in history json-schema presence rate-limit redact; do
        "$binary" plugin build "plugins/$plugin" -o "$plugins/$plugin.wasm"
    done
fi

# share FOLDER: what both packages have alike, below it.
share() {
    mkdir -p "$1/plugins"
    for plugin in history json-schema presence rate-limit redact; do cp "$plugins/$plugin.wasm" "$1/plugins/"; done
    cp -RL packaging/grafana packaging/prometheus "$1/"
}
# documents FOLDER: the documents, below it.
documents() {
    mkdir -p "$1/languages"
    cp docs/*.md SECURITY.md "$1/"
    cp docs/languages/*.md "$1/languages/"
}
# settle FOLDER: the same modes and times, wherever it was made.
settle() {
    chmod -R u=rwX,go=rX "$1"
    find "$1" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
}

# --- the archive
name=hubgate-$version-$target
root=$work/tar/$name
mkdir -p "$root/bin" "$root/systemd"
cp "$binary" "$root/bin/hubgate"
cp packaging/hubgate.service packaging/hubgate.socket "$root/systemd/"
cp LICENSE README.md CHANGELOG.md "$root/"
share "$root"
documents "$root/docs"
cp -RL packaging/helm packaging/compose "$root/"
settle "$root"
tar --create --directory "$work/tar" --sort=name --format=gnu --owner=0 --group=0 --numeric-owner "$name" |
    gzip --no-name "-$level" >"$output/$name.tar.gz"

# --- the package for Debian
root=$work/deb
manual=$root/usr/share/man/man1/hubgate.1.gz
shell=$root/usr/share/bash-completion/completions/hubgate
units=$root/usr/lib/systemd/system
papers=$root/usr/share/doc/hubgate
mkdir -p "$root/usr/bin" "${manual%/*}" "${shell%/*}" "$units/hubgate.service.d" "$root/etc/hubgate/plugins" "$root/DEBIAN"
cp "$binary" "$root/usr/bin/hubgate"
"$binary" man | gzip --no-name -9 >"$manual"
"$binary" completions bash >"$shell"
share "$root/usr/share/hubgate"
documents "$papers"
gzip --no-name -9 <CHANGELOG.md >"$papers/changelog.gz"
{ echo "Hubgate is licensed under the Apache License, Version 2.0." && echo && cat LICENSE; } >"$papers/copyright"
cp packaging/hubgate.service packaging/hubgate.socket "$units/"
cp packaging/deb/service.conf "$units/hubgate.service.d/10-package.conf"
cp packaging/deb/hubgate.toml "$root/etc/hubgate/"
cp packaging/deb/{postinst,prerm,postrm} "$root/DEBIAN/"
echo /etc/hubgate/hubgate.toml >"$root/DEBIAN/conffiles"
cat >"$root/DEBIAN/control" <<EOF
Package: hubgate
Version: ${version/-/\~}
Architecture: $architecture
Maintainer: ${HUBGATE_MAINTAINER:-Hubgate <root@localhost>}
Installed-Size: $(du --apparent-size --summarize --block-size=1024 "$root" | cut -f1)
Depends: init-system-helpers (>= 1.54~), libc6 (>= ${libc#GLIBC_}), libgcc-s1, passwd
Recommends: ca-certificates
Section: net
Priority: optional
Description: self-hosted realtime gateway
 Speaks the protocols of Azure SignalR Service, and runs serverless handlers
 inside itself, as WebAssembly components that are swapped while clients stay
 connected.
EOF
(cd "$root" && find etc usr -type f -print0 | LC_ALL=C sort --zero-terminated | xargs -0 md5sum >DEBIAN/md5sums)
settle "$root"
chmod 0640 "$root/etc/hubgate/hubgate.toml"
chmod 0755 "$root/DEBIAN"/{postinst,prerm,postrm}
dpkg-deb --root-owner-group "${compression[@]}" --build "$root" "$output/hubgate_${version/-/\~}_$architecture.deb" >/dev/null
ls -1 "$output/$name.tar.gz" "$output/hubgate_${version/-/\~}_$architecture.deb"
