#!/bin/sh
# Runs a command where it can start a private Kubernetes (machine.py), and removes all that is left:
#   tests/k8s/cluster/with-cluster.sh COMMAND ARGUMENT...
# Builds the programs and the images first, unless CRADLE_TEST_ENGINE=/some/folder holds them from
# an earlier run. Then the command gets a network, a process table and mounts of its own. As root.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
if ! command -v dockerd >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "cradle: as root, with: apt-get install docker.io debootstrap iptables" >&2
    exit 2
fi
if [ ! -e /sys/fs/cgroup/cpuset/tasks ]; then
    echo "cradle: Kubernetes 1.20 needs control groups of version 1 (a kernel started with" \
        "systemd.unified_cgroup_hierarchy=0)" >&2
    exit 2
fi

kept=${CRADLE_TEST_ENGINE:-}
[ -z "$kept" ] || mkdir -p "$kept"
place=$(mktemp -d "${kept:-${TMPDIR:-/tmp}}/cradle-cluster.XXXXXX")
CRADLE_TEST_KUBERNETES=${kept:-$place}/kubernetes
CRADLE_TEST_IMAGES=$place/images.tar
CRADLE_TEST_CONTROL_GROUP=${place##*/}
export CRADLE_TEST_KUBERNETES CRADLE_TEST_IMAGES CRADLE_TEST_CONTROL_GROUP
running="" blow=TERM
run() { # in the background, so that a signal is answered at once and not after the command
    "$@" &
    running=$!
    status=0
    wait "$running" || status=$?
    running=""
    [ "$status" -eq 0 ] || exit "$status"
}
# shellcheck disable=SC2317 # called by the traps
finish() {
    trap - EXIT INT TERM HUP
    [ -z "$running" ] || { kill "-$blow" "$running" 2>/dev/null && wait "$running"; } || true
    for group in /sys/fs/cgroup/*/"$CRADLE_TEST_CONTROL_GROUP"; do
        turns=0 # the last of the killed may still be in it
        while [ -d "$group" ] && ! find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; do
            turns=$((turns + 1))
            [ $turns -lt 100 ] || break
            sleep 0.1
        done
    done
    rm -rf "$place"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

run "$here/build-kubernetes.sh" "$CRADLE_TEST_KUBERNETES"
run env CRADLE_TEST_ENGINE="${kept:-$place/engine}" \
    "$here/../../containers/with-engine.sh" "$here/build-images.sh" "$CRADLE_TEST_IMAGES"
[ -n "$kept" ] || rm -rf "$place/engine"

# The shell is the first process of its table: when it goes, all go. unshare(1) itself is deaf to TERM.
mkdir "$place/work"
blow=KILL
run env TMPDIR="$place/work" unshare --net --mount --pid --mount-proc --fork --kill-child \
    sh -c '"$@"; exit $?' sh "$@"
