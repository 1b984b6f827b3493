#!/bin/sh
# Builds the image and stand-ins for what the cluster needs beside it, and writes them into an
# archive: build-images.sh FILE. Under tests/containers/with-engine.sh, which gives it an engine.
set -eu

file=$1
cd "$(dirname "$0")/../../.."
export CRADLE_TEST_STANDINS=1
# shellcheck disable=SC2046 # a list of images
set -- cradle:test rabbitmq:4.3-management chrislusf/seaweedfs:4.48 k8s.gcr.io/pause:3.2
# shellcheck disable=SC2046 # a list of images
tests/containers/build-images.sh $(sed -n 's/^ARG [A-Z]*_IMAGE=//p' deploy/docker/Dockerfile) \
    "$2" "$3" "$4"
.venv/bin/python -c 'from tests.containers.stack import build_image; build_image()'
docker save --output "$file" "$@"
