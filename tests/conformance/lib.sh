# Sourced by every case. $CLI is the program under test: docker when recording, trine when replaying.
#
#   c ARGS…      run "$CLI ARGS…", show the command, its stdout, its stderr (each line after "! ") and its status
#   s 'TEXT'     the same for a line of shell in which $CLI may appear
#   q ARGS…      run "$CLI ARGS…" silently; the case fails when it fails
#   up NAME [OPTIONS…]   a busybox container that sleeps and ends at once on SIGTERM, silently
#   until_ok COMMAND…    repeat until it succeeds, at most 10 s
set -u
export LC_ALL=C.UTF-8

show() { # TEXT, then a command: print both streams apart, so that their order does not matter
    local text=$1 out err status
    shift
    out=$(mktemp) err=$(mktemp)
    "$@" >"$out" 2>"$err" </dev/null
    status=$?
    printf '$ %s\n' "$text"
    cat "$out"
    [ -z "$(tail -c 1 "$out")" ] || echo '<no newline>'
    sed 's/^/! /' "$err"
    [ -z "$(tail -c 1 "$err")" ] || echo
    printf '[%s]\n' "$status"
    rm -f "$out" "$err"
    return 0
}

c() { show "trine $*" "$CLI" "$@"; }
s() { show "${1//\$CLI/trine}" bash -c "$1"; }

q() {
    local log
    log=$(mktemp)
    if ! "$CLI" "$@" >"$log" 2>&1 </dev/null; then
        echo "PREPARATION FAILED: $*"
        cat "$log"
    fi
    rm -f "$log"
}

up() {
    local name=$1
    shift
    q run -d --name "$name" "$@" busybox sh -c 'trap "exit 0" TERM; while :; do sleep 1000 & wait; done'
}

until_ok() {
    local tries=100
    while [ $tries -gt 0 ]; do
        "$@" >/dev/null 2>&1 </dev/null && return 0
        tries=$((tries - 1))
        sleep 0.1
    done
    echo "NEVER SUCCEEDED: $*"
}
export CLI
