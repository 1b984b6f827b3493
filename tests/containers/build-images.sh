#!/bin/sh
# Builds stand-ins for images, where no image registry can be reached: build-images.sh [IMAGE...].
# Without a name: those of tests/services.py. An image that the engine has is left alone. What they
# are, and are not: README.md. Needs root, a Docker engine, debootstrap, and .venv (make setup-dev).
set -eu

cd "$(dirname "$0")/../.."
[ -x .venv/bin/python ] || { echo "cradle: first run: make setup-dev" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "cradle: apt-get install debootstrap" >&2; exit 2; }
[ $# -gt 0 ] || set -- $(.venv/bin/python -c \
    'from tests.services import RABBITMQ_IMAGE, STORE_IMAGE; print(RABBITMQ_IMAGE, STORE_IMAGE)')

work=$(mktemp -d "${TMPDIR:-/tmp}/cradle-images.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

failed() {
    tail -n 20 "$work/log" >&2
    exit 1
}

build() { # image folder build-argument...
    image=$1 folder=$2
    shift 2
    DOCKER_BUILDKIT=0 docker build --quiet --network none --tag "$image" "$@" "$folder" \
        >"$work/log" 2>&1 || failed
}

find_mirror() { # where this machine gets its own packages
    # shellcheck disable=SC1091
    . /etc/os-release
    # shellcheck disable=SC2016 # apt's own variable
    mirror=$(apt-get indextargets --format '$(SITE)' \
        'Created-By: Packages' 'Origin: Debian' "Codename: $VERSION_CODENAME" | head -n 1)
    [ -n "$mirror" ] || { echo "cradle: apt knows no Debian mirror; apt-get update" >&2; exit 2; }
}

base() { # name, Debian release, packages: a base image, unless it is there
    if docker image inspect "$1" >/dev/null 2>&1; then return; fi
    find_mirror
    # By sid's script: debootstrap may be older than the release, and today's are all made alike.
    timeout 1800 debootstrap --variant=minbase --include="$3" \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
        "$2" "$work/$2" "$mirror" /usr/share/debootstrap/scripts/sid >"$work/log" 2>&1 || failed
    # As slim images are, and as apt leaves nothing behind in them.
    rm -rf "$work/$2/var/cache/apt/archives" "$work/$2/var/lib/apt/lists" \
        "$work/$2/usr/share/doc" "$work/$2/usr/share/man" "$work/$2/usr/share/locale"
    mkdir -p "$work/$2/var/cache/apt/archives/partial" "$work/$2/var/lib/apt/lists/partial"
    tar -C "$work/$2" --numeric-owner --one-file-system -c . | docker import - "$1" >/dev/null
    rm -rf "${work:?}/$2"
}

build_rabbitmq() { # image, Debian release
    base "cradle-test-base:$2" "$2" rabbitmq-server
    build "$1" tests/containers/rabbitmq --build-arg "BASE=cradle-test-base:$2"
}

context() { # stand-in: its folder, to put things beside its Dockerfile
    rm -rf "$work/context"
    cp -r "tests/containers/$1" "$work/context"
}

build_python() { # image
    base cradle-test-base:python trixie ca-certificates,netbase,tzdata,python3,python3-venv
    find_mirror
    context python
    cp /etc/ssl/certs/ca-certificates.crt "$work/context"
    # debian.sources as in Debian's images, with this machine's mirror.
    for suites in "$mirror trixie trixie-updates" \
        "${mirror%/debian}/debian-security trixie-security"; do
        printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n\n' \
            "${suites%% *}" "${suites#* }" /usr/share/keyrings/debian-archive-keyring.pgp
    done >"$work/context/debian.sources"
    build "$1" "$work/context" --build-arg BASE=cradle-test-base:python
}

build_node() { # image
    "$0" "$python_image"
    context node
    cp "$(command -v node)" "$work/context/node"
    cp -r "$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")" "$work/context/npm"
    build "$1" "$work/context" --build-arg "BASE=$python_image"
}

build_weed() { # image, stand-in
    context "$2"
    (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root busybox-static)
    dpkg-deb -x "$work/"busybox-static_*.deb "$work/package"
    cp "$work/package/bin/busybox" .venv/bin/weed "$work/context"
    build "$1" "$work/context"
}

build_prometheus() { # image
    base cradle-test-base:prometheus trixie prometheus,wget
    build "$1" tests/containers/prometheus --build-arg BASE=cradle-test-base:prometheus
}

build_pause() { # image
    context pause
    (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root busybox-static)
    dpkg-deb -x "$work/"busybox-static_*.deb "$work/package"
    cp "$work/package/bin/busybox" "$work/context"
    build "$1" "$work/context"
}

python_image=$(sed -n 's/^ARG PYTHON_IMAGE=//p' deploy/docker/Dockerfile)
for each in "$@"; do
    if docker image inspect "$each" >/dev/null 2>&1; then continue; fi
    echo "cradle: building a stand-in for $each"
    case $each in
        rabbitmq:4.0-management) build_rabbitmq "$each" trixie ;;
        rabbitmq:4.3-management) build_rabbitmq "$each" forky ;;
        pgsty/silo:*) build_weed "$each" silo ;;
        chrislusf/seaweedfs:*) build_weed "$each" seaweedfs ;;
        prom/prometheus:*) build_prometheus "$each" ;;
        python:3.13-slim-trixie) build_python "$each" ;;
        k8s.gcr.io/pause:*) build_pause "$each" ;;
        node:*-trixie-slim) build_node "$each" ;;
        *) echo "cradle: no stand-in for $each is known" >&2; exit 2 ;;
    esac
done
