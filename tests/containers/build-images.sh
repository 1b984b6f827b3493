#!/bin/sh
# Builds stand-ins for the images that tests/services.py names, where no image registry can be
# reached. An image that the engine has is left alone. What they are, and are not: README.md.
# Needs root, a Docker engine, debootstrap, and .venv (make setup-dev).
set -eu

cd "$(dirname "$0")/../.."
[ -x .venv/bin/python ] || { echo "cradle: first run: make setup-dev" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "cradle: apt-get install debootstrap" >&2; exit 2; }
images=$(.venv/bin/python -c \
    'from tests.services import MINIO_IMAGE, RABBITMQ_IMAGE; print(RABBITMQ_IMAGE, MINIO_IMAGE)')

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

build_rabbitmq() { # image, Debian release
    # The packages come from where this machine gets its own.
    # shellcheck disable=SC1091
    . /etc/os-release
    # shellcheck disable=SC2016 # apt's own variable
    mirror=$(apt-get indextargets --format '$(SITE)' \
        'Created-By: Packages' 'Origin: Debian' "Codename: $VERSION_CODENAME" | head -n 1)
    [ -n "$mirror" ] || { echo "cradle: apt knows no Debian mirror; apt-get update" >&2; exit 2; }
    # By sid's script: debootstrap may be older than the release, and today's are all made alike.
    timeout 1200 debootstrap --variant=minbase --include=rabbitmq-server \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
        "$2" "$work/$2" "$mirror" /usr/share/debootstrap/scripts/sid >"$work/log" 2>&1 || failed
    rm -rf "$work/$2/var/cache/apt/archives" "$work/$2/var/lib/apt/lists"
    tar -C "$work/$2" --numeric-owner --one-file-system -c . |
        docker import - "cradle-test-base:$2" >/dev/null
    rm -rf "${work:?}/$2"
    build "$1" tests/containers/rabbitmq --build-arg "BASE=cradle-test-base:$2"
}

build_minio() { # image
    mkdir "$work/package" "$work/context"
    (cd "$work/package" && apt-get download -qq -o APT::Sandbox::User=root busybox-static)
    dpkg-deb -x "$work/package/"busybox-static_*.deb "$work/package"
    cp "$work/package/bin/busybox" .venv/bin/weed tests/containers/minio/* "$work/context"
    build "$1" "$work/context"
}

for each in $images; do
    if docker image inspect "$each" >/dev/null 2>&1; then continue; fi
    echo "cradle: building a stand-in for $each"
    case $each in
        rabbitmq:4.0-management) build_rabbitmq "$each" trixie ;;
        rabbitmq:4.3-management) build_rabbitmq "$each" forky ;;
        quay.io/minio/minio:*) build_minio "$each" ;;
        *) echo "cradle: no stand-in for $each is known" >&2; exit 2 ;;
    esac
done
