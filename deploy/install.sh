#!/bin/bash
# Install Trine as a systemd service of this Debian 12 host, or remove it again: install.sh [remove]
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=/opt/trine
[[ $(id -u) == 0 ]] || { echo "install: run as root" >&2; exit 1; }

if [[ "${1:-}" == remove ]]; then
    systemctl disable --now trined 2>/dev/null || true
    rm -f /etc/systemd/system/trined.service /usr/lib/sysusers.d/trine.conf /usr/lib/tmpfiles.d/trine.conf
    for name in trine trined trine-image trine-network trine-runtime trine-oci; do
        [[ "$(readlink "/usr/bin/$name" 2>/dev/null)" == "$prefix/bin/$name" ]] && rm -f "/usr/bin/$name"
    done
    rm -rf "$prefix"
    systemctl daemon-reload 2>/dev/null || true
    echo "install: removed; /var/lib/trine and /etc/trine stay"
    exit 0
fi

apt-get -q update
DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
    python3.11-venv gcc libc6-dev python3.11-dev iptables nftables iproute2 libseccomp2 procps ca-certificates
[[ -x $prefix/bin/python ]] || /usr/bin/python3.11 -m venv "$prefix"
"$prefix/bin/pip" install -q --disable-pip-version-check .
env -u PYTHONDONTWRITEBYTECODE "$prefix/bin/python" -m compileall -q "$prefix/lib" >/dev/null || true
for name in trine trined trine-image trine-network trine-runtime trine-oci; do
    ln -sfn "$prefix/bin/$name" "/usr/bin/$name"
done
install -D -m 644 deploy/trined.service /etc/systemd/system/trined.service
install -D -m 644 deploy/trine.sysusers /usr/lib/sysusers.d/trine.conf
install -D -m 644 deploy/trine.tmpfiles /usr/lib/tmpfiles.d/trine.conf
getent group trine >/dev/null || groupadd --system trine
if [[ -d /run/systemd/system ]]; then
    systemd-tmpfiles --create /usr/lib/tmpfiles.d/trine.conf
    systemctl daemon-reload
    systemctl enable --now trined
    echo "install: trined runs; add people to its group: usermod -aG trine NAME"
else
    echo "install: no systemd here; start it by hand: trined"
fi
