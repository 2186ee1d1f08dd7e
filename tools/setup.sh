#!/bin/bash
# Install what Trine needs on Debian 12: packages, .venv, byte code. Does nothing that is done already.
#
#   tools/setup.sh            what building, testing and trying it need
#   tools/setup.sh compare    also docker.io, podman and crun, for `make bench` and `make conformance-record`
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
    ca-certificates
    python3.11 python3.11-venv
    gcc libc6-dev python3.11-dev      # python-iptables has a small C part and no wheel
    iptables nftables iproute2        # what trine-network drives
    libseccomp2 procps                # the runtime's filter; `trine top`
    busybox-static mmdebstrap         # the test images
    apache2-utils curl iperf3         # tests of published ports and of the bridge
    bzip2 xz-utils zstd skopeo umoci  # tests of images that others made
    systemd                           # tests of deploy/, in a machine of namespaces; it takes over nothing here
)
if [[ "${1:-}" == compare ]]; then
    packages+=(docker.io podman crun runc)
fi

run_quietly() { # the command's output is shown only when it fails
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1 </dev/null; then
        echo "setup: failed: $*" >&2
        tail -30 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

missing=()
for package in "${packages[@]}"; do
    [[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" == installed ]] || missing+=("$package")
done
unpacked=.cache/registry/usr/bin/docker-registry
need_registry=
command -v docker-registry >/dev/null || [[ -x $unpacked ]] || need_registry=1

if [[ ${#missing[@]} -gt 0 || -n $need_registry ]]; then
    if [[ $(id -u) != 0 ]]; then
        echo "setup: run as root once to install: ${missing[*]} docker-registry" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    echo "setup: apt-get update"
    run_quietly apt-get -q update
fi
if [[ ${#missing[@]} -gt 0 ]]; then
    echo "setup: apt-get install ${missing[*]}"
    # No package may start a daemon now (invoke-rc.d(8)): these tests start their own, by hand.
    policy=
    if [[ ! -e /usr/sbin/policy-rc.d ]]; then
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
        policy=1
    fi
    trap '[[ -z "$policy" ]] || rm -f /usr/sbin/policy-rc.d' EXIT
    run_quietly apt-get -q install -y --no-install-recommends "${missing[@]}"
fi
if [[ -n $need_registry ]]; then
    # Only its program is wanted, not a registry service of the host: unpack, don't install.
    echo "setup: unpacking Debian's docker-registry to .cache/registry"
    rm -rf .cache/registry && mkdir -p .cache/registry
    (cd .cache/registry && run_quietly apt-get -q download docker-registry && dpkg-deb -x docker-registry_*.deb . && rm -f ./*.deb)
fi

# python3.11 of Debian by its full name: a version manager's shim would cost 140 ms at every start.
python=/usr/bin/python3.11
stamp=.venv/.trine-setup
want=$(cat pyproject.toml tools/setup.sh | sha256sum | cut -d ' ' -f 1)
unset PYTHONDONTWRITEBYTECODE
if [[ "$(cat $stamp 2>/dev/null)" != "$want $PWD" ]]; then
    echo "setup: .venv"
    [[ -x .venv/bin/python ]] || run_quietly $python -m venv .venv
    run_quietly .venv/bin/pip install -q --disable-pip-version-check -e '.[dev]'
    # Without byte code every start of the command line compiles again what it imports.
    .venv/bin/python -m compileall -q .venv/lib/python3.11/site-packages >/dev/null || true
    echo "$want $PWD" >$stamp
fi
.venv/bin/python -m compileall -q protos services cli tools
