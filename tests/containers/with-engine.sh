#!/bin/sh
# Runs a command with the services of the tests in containers:
#   tests/containers/with-engine.sh COMMAND ARGUMENT...
# Where a Docker engine is reachable it is used as it is. Else, and then as root, a private one is
# started, with stand-ins for the images, and all of it is gone at the end. See README.md.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
export CRADLE_TEST_SERVICES=containers

if docker info >/dev/null 2>&1; then
    exec "$@"
fi
if ! command -v dockerd >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "cradle: no Docker engine; as root: apt-get install docker.io debootstrap" >&2
    exit 2
fi

place=${CRADLE_TEST_ENGINE:-}
[ -n "$place" ] || place=$(mktemp -d "${TMPDIR:-/tmp}/cradle-engine.XXXXXX")
mkdir -p "$place"
export DOCKER_HOST="unix://$place/docker.sock"
# The engine is on this machine, even if this machine is itself a container. And Ryuk, which
# removes what a killed session leaves, is an image too: here the engine goes with all it holds.
export TESTCONTAINERS_CONNECTION_MODE=docker_host TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1
export TESTCONTAINERS_RYUK_DISABLED=true

engine="" command=""
# shellcheck disable=SC2317 # called by the traps
finish() {
    trap - EXIT INT TERM HUP
    [ -z "$command" ] || { kill "$command" 2>/dev/null && wait "$command"; } || true
    if [ -n "$engine" ]; then
        left=$(timeout 20 docker ps --all --quiet) || left=""
        # shellcheck disable=SC2086 # a list of ids
        [ -z "$left" ] || timeout 60 docker rm --force --volumes $left >/dev/null || true
        kill "$engine" 2>/dev/null || true
        wait "$engine" 2>/dev/null || true
        [ -n "$had_bridge" ] || ip link delete docker0 2>/dev/null || true
    fi
    [ -n "${CRADLE_TEST_ENGINE:-}" ] || rm -rf "$place"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# No rules in the machine's firewall: containers reach nothing outside, and Docker's proxy publishes
# their ports, on loopback only.
had_bridge=""
if [ -e /sys/class/net/docker0 ]; then had_bridge=yes; fi
dockerd --data-root "$place/data" --exec-root "$place/run" --pidfile "$place/docker.pid" \
    --host "$DOCKER_HOST" --ip 127.0.0.1 \
    --iptables=false --ip6tables=false --ip-masq=false --ip-forward=false \
    >"$place/dockerd.log" 2>&1 &
engine=$!
turns=0
until docker info >/dev/null 2>&1; do
    turns=$((turns + 1))
    if [ $turns -gt 120 ] || ! kill -0 "$engine" 2>/dev/null; then
        tail -n 20 "$place/dockerd.log" >&2
        exit 1
    fi
    sleep 0.5
done

if [ -n "${CRADLE_TEST_STACK:-}" ]; then
    # The images of the stack that can be stood in for: not Grafana, which no registry here holds,
    # and SeaweedFS in Silo's place. And Docker's compose and BuildKit's client, of Debian 13.
    export CRADLE_TEST_STANDINS=1
    compose=$here/../../deploy/compose
    # shellcheck disable=SC2046 # a list of images
    "$here/build-images.sh" $(sed -n 's/^ARG [A-Z]*_IMAGE=//p' "$here/../../deploy/docker/Dockerfile") \
        $(sed -n 's/.*image: ${[A-Z_]*_IMAGE:-\(.*\)}$/\1/p' "$compose"/*.yaml | sort -u |
            grep -E '^(rabbitmq|prom|chrislusf)[:/]')
    export DOCKER_CONFIG="$place/client"
    plugins="$DOCKER_CONFIG/cli-plugins"
    mkdir -p "$plugins"
    [ -x "$plugins/docker-buildx" ] || docker run --rm --network host --volume "$plugins:/out" \
        python:3.13-slim-trixie sh -c 'apt-get update -qq && cd /tmp \
            && apt-get download -qq -o APT::Sandbox::User=root docker-compose docker-buildx \
            && for package in docker-*.deb; do dpkg-deb -x "$package" .; done \
            && cp usr/libexec/docker/cli-plugins/docker-* /out/'
else
    "$here/build-images.sh"
fi
# In the background, so that a signal is answered at once and not after the command.
"$@" &
command=$!
status=0
wait "$command" || status=$?
command=""
exit "$status"
