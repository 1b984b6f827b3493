#!/bin/sh
# Makes a folder with the RabbitMQ of another Debian release, to be beaten in its place:
#   tests/faults/broker-root.sh RELEASE FOLDER        trixie: 4.0, forky: 4.3
#   python -m tests.faults --broker-root FOLDER
# Needs root and debootstrap; the packages come from where this machine gets its own.
set -eu

[ $# -eq 2 ] || { echo "usage: $0 RELEASE FOLDER" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "cradle: apt-get install debootstrap" >&2; exit 2; }
# shellcheck disable=SC1091
. /etc/os-release
# shellcheck disable=SC2016 # apt's own variable
mirror=$(apt-get indextargets --format '$(SITE)' \
    'Created-By: Packages' 'Origin: Debian' "Codename: $VERSION_CODENAME" | head -n 1)
[ -n "$mirror" ] || { echo "cradle: apt knows no Debian mirror; apt-get update" >&2; exit 2; }
# By sid's script: debootstrap may be older than the release, and today's are all made alike.
timeout 1200 debootstrap --variant=minbase --include=rabbitmq-server \
    --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
    "$1" "$2" "$mirror" /usr/share/debootstrap/scripts/sid
