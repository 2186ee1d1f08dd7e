#!/bin/bash
# Install Trine as a service of this Debian 12 host, or take it off again.
#
#   deploy/install.sh              trined as one unit, which runs the three services
#   deploy/install.sh separate     each service as a unit of its own
#   deploy/install.sh remove       stop and remove it; /var/lib/trine, /etc/trine and the group stay
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=/opt/trine
units=/etc/systemd/system
programs=(trine trined trine-image trine-network trine-runtime trine-oci)
services=(trine-image.service trine-network.service trine-runtime.service)
packages=(python3.11-venv gcc libc6-dev python3.11-dev iptables nftables iproute2 libseccomp2 procps ca-certificates)

with_systemd() { # run a command that needs a running systemd(1); nothing where there is none
    [[ ! -d /run/systemd/system ]] || "$@"
}

install_packages() {
    local package missing=()
    for package in "${packages[@]}"; do
        [[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" == installed ]] || missing+=("$package")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    apt-get -q update
    DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}"
}

install_programs() {
    [[ -x $prefix/bin/python ]] || /usr/bin/python3.11 -m venv "$prefix"
    "$prefix/bin/pip" install -q --disable-pip-version-check .
    # Without byte code every start of the command line would compile again what it imports.
    env -u PYTHONDONTWRITEBYTECODE "$prefix/bin/python" -m compileall -q "$prefix/lib" >/dev/null || true
    for name in "${programs[@]}"; do
        ln -sfn "$prefix/bin/$name" "/usr/bin/$name"
    done
}

install_files() {
    install -D -m 644 deploy/trined.service $units/trined.service
    install -D -m 644 deploy/trine.sysusers /usr/lib/sysusers.d/trine.conf
    install -D -m 644 deploy/trine.tmpfiles /usr/lib/tmpfiles.d/trine.conf
    install -D -m 644 deploy/completion/trine.bash /usr/share/bash-completion/completions/trine
    install -D -m 644 deploy/README.md /usr/share/doc/trine/README.md
    install -D -m 644 deploy/daemon.json /usr/share/doc/trine/daemon.json
    getent group trine >/dev/null || groupadd --system trine
    if [[ $1 == separate ]]; then
        install -D -m 644 -t $units "${services[@]/#/deploy/separate/}"
        install -D -m 644 deploy/separate/trined.conf $units/trined.service.d/separate.conf
    fi
}

remove_separate() { # back to one unit: trined runs the services itself
    [[ -e $units/trined.service.d/separate.conf ]] || return 0
    with_systemd systemctl disable --quiet --now "${services[@]}"
    rm -f "${services[@]/#/$units/}" $units/trined.service.d/separate.conf
    rmdir --ignore-fail-on-non-empty $units/trined.service.d
}

remove() {
    local running
    if running=$(trine ps -q 2>/dev/null) && [[ -n $running ]]; then
        echo "install: stopping $(wc -l <<<"$running") containers"
        xargs trine stop >/dev/null <<<"$running"
    fi
    [[ ! -e $units/trined.service ]] || with_systemd systemctl disable --quiet --now trined
    remove_separate
    # Bridge, rules, the port holder: what outlives a stop of the service.
    [[ ! -x $prefix/bin/trine-network ]] || "$prefix/bin/trine-network" --cleanup
    for name in "${programs[@]}"; do
        [[ "$(readlink "/usr/bin/$name" 2>/dev/null)" != "$prefix/bin/$name" ]] || rm -f "/usr/bin/$name"
    done
    rm -f $units/trined.service /usr/lib/sysusers.d/trine.conf /usr/lib/tmpfiles.d/trine.conf \
        /usr/share/bash-completion/completions/trine
    rm -rf "$prefix" /usr/share/doc/trine /run/trine
    with_systemd systemctl daemon-reload
    echo "install: removed; /var/lib/trine, /etc/trine and the group trine stay"
}

case "${1:-}" in
"" | separate | remove) ;;
*)
    echo "install: unknown word $1; see the head of deploy/install.sh" >&2
    exit 2
    ;;
esac
if [[ $(id -u) != 0 ]]; then
    echo "install: run as root" >&2
    exit 1
fi
if [[ "${1:-}" == remove ]]; then
    remove
    exit 0
fi

install_packages
install_programs
[[ "${1:-}" == separate ]] || remove_separate
install_files "${1:-}"
if [[ ! -d /run/systemd/system ]]; then
    echo "install: no systemd here; start it by hand: trined"
    exit 0
fi
systemd-tmpfiles --create /usr/lib/tmpfiles.d/trine.conf
systemctl daemon-reload
wanted=(trined)
[[ "${1:-}" != separate ]] || wanted=("${services[@]}" trined)
systemctl enable --quiet "${wanted[@]}"
systemctl restart "${wanted[@]}" # also an update: containers run on
echo "install: trined runs; add people to its group: usermod -aG trine NAME"
