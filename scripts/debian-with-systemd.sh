#!/usr/bin/env bash
# Boots a small Debian with a systemd of its own, and does with the package what its users do: install, ask, renew keys, open port 443, reload
# with a plugin, let the socket wait, upgrade, remove, purge. The unit's bounds are those of a real systemd here, which no other test has.
# Root, on Debian with debootstrap and systemd-container; five minutes the first time, most of it for Debian, and half a minute later.
#
#   scripts/debian-with-systemd.sh [FOLDER]      FOLDER keeps the Debian: target/debian, if it is not said
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
debian=${1:-$target/debian}
for program in debootstrap systemd-nspawn; do
    command -v "$program" >/dev/null || { echo "debian-with-systemd: apt-get install debootstrap systemd-container" >&2 && exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ ! -e "$debian/made" ]; then
    rm -rf "$debian"
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,curl bookworm "$debian/root" http://deb.debian.org/debian
    touch "$debian/made"
fi
for version in "" 0.1.1; do
    scripts/package.sh --fast ${version:+--version "$version"} --binary "${HUBGATE_BIN:-$target/release/hubgate}" \
        ${HUBGATE_GUESTS:+--plugins "$HUBGATE_GUESTS"} "$work" >/dev/null
done
root=$debian/root
# A run that failed may have left it there.
chroot "$root" dpkg --purge hubgate >/dev/null 2>&1 || true
rm -rf "$root/try"
mkdir "$root/try"
cp "$work"/*.deb "$root/try/"

cat >"$root/try/run" <<'EOF'
#!/bin/bash
exec >/try/log 2>&1
set -eux
trap 'echo $? >/try/status; systemctl poweroff' EXIT
systemctl is-system-running --wait
packages=(/try/*.deb)
# fails COMMAND…: as it should.
fails() { if "$@"; then return 1; fi; }
# answers PORT: once it does.
answers() {
    [ "$(curl --silent --retry 20 --retry-connrefused --retry-delay 1 "http://127.0.0.1:$1/healthz")" = ok ]
}
apt-get install --yes "${packages[0]}"
answers 8888
[ "$(systemctl is-enabled hubgate) $(systemctl show --property=User --value hubgate)" = "enabled hubgate" ]
hubgate keys --ready-file /run/hubgate/ready.json
before=$(cat /etc/hubgate/keys/access-keys)
hubgate keys regenerate primary --ready-file /run/hubgate/ready.json
[ "$before" != "$(cat /etc/hubgate/keys/access-keys)" ]
# What the process may do, besides what everybody may: open low ports.
grep -x $'CapEff:\t0000000000000400' "/proc/$(systemctl show --property=MainPID --value hubgate)/status"

sed -i 's/^listen = "127.0.0.1:8888"/listen = "127.0.0.1:443"/' /etc/hubgate/hubgate.toml
systemctl restart hubgate
answers 443
cp /usr/share/hubgate/plugins/history.wasm /etc/hubgate/plugins/
printf '[hubs.chat]\nmode = "serverless"\nfilters = ["history"]\n[plugins.history]\npath = "plugins/history.wasm"\n' >>/etc/hubgate/hubgate.toml
systemctl reload hubgate
asked() {
    curl --silent --header "Authorization: Bearer $(cat /etc/hubgate/admin-token)" http://127.0.0.1:8889/admin/plugins
}
for _ in $(seq 60); do asked | grep '"state":"serving"' && break; sleep 1; done
asked | grep '"state":"serving"'

systemctl stop hubgate
systemctl enable --now hubgate.socket
systemctl start hubgate
answers 8888
changed=$(cat /etc/hubgate/hubgate.toml)
process=$(systemctl show --property=MainPID --value hubgate)
apt-get install --yes "${packages[1]}"
answers 8888
[ "$process" != "$(systemctl show --property=MainPID --value hubgate)" ]
[ "$changed" = "$(cat /etc/hubgate/hubgate.toml)" ]
asked | grep '"state":"serving"'
fails grep -E 'status=31/SYS|Failed with result' <(journalctl --boot --unit hubgate)

apt-get remove --yes hubgate
[ "$(systemctl is-active hubgate)" = inactive ]
[ -s /etc/hubgate/keys/access-keys ]
apt-get purge --yes hubgate
fails ls -d /etc/hubgate
fails ls -d /var/lib/hubgate
fails getent passwd hubgate
EOF
chmod +x "$root/try/run"
printf '[Unit]\nAfter=multi-user.target\n[Service]\nExecStart=/try/run\n' >"$root/etc/systemd/system/try.service"
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -sf ../try.service "$root/etc/systemd/system/multi-user.target.wants/try.service"
# A network of its own, with nothing but loopback in it.
timeout --signal=KILL 300 systemd-nspawn --quiet --directory "$root" --private-network --register=no --keep-unit --boot </dev/null >"$work/boot" 2>&1 || true
if [ "$(cat "$root/try/status" 2>/dev/null)" != 0 ]; then
    cat "$root/try/log" 2>/dev/null || cat "$work/boot"
    echo "debian-with-systemd: failed" >&2
    exit 1
fi
echo "debian-with-systemd: all is as it should be"
