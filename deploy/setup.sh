#!/bin/sh
# Installs what Cradle needs on Debian 12 and makes .venv: `setup.sh run|test PYTHON LOCKFILE`.
# Only what is missing is installed. Needs root or sudo for Debian packages, nothing else.
set -eu

purpose=$1 python=$2 lock=$3

missing=""
want() { # program-or-test package...
    probe=$1
    shift
    sh -c "$probe" >/dev/null 2>&1 || missing="$missing $*"
}
want "command -v ffmpeg" ffmpeg
want "test -x /usr/lib/rabbitmq/bin/rabbitmq-server" rabbitmq-server
want "command -v setpriv" util-linux
want "$python -c 'import venv, ensurepip'" python3-venv
# The page plays live with hls.js, which comes from the npm registry.
want "command -v npm" nodejs npm
if [ "$purpose" = test ]; then
    # A real RTSP server that nobody here wrote: GStreamer's, run by the system's own Python.
    want "/usr/bin/python3 -c 'import gi; gi.require_version(\"GstRtspServer\", \"1.0\")'" \
        python3-gi gir1.2-gst-rtsp-server-1.0
    want "gst-inspect-1.0 rtph264pay" gstreamer1.0-tools gstreamer1.0-plugins-good
    want "gst-inspect-1.0 h264parse" gstreamer1.0-plugins-bad gstreamer1.0-plugins-base
    # A real player: hls.js in Debian's Chromium.
    want "command -v chromium" chromium
    want "command -v promtool" prometheus # checks alert rules; nothing starts it
    want "fc-list :lang=ko | grep -q ." fontconfig fonts-nanum # for its screenshots
fi

if [ -n "$missing" ]; then
    if [ "$(id -u)" -eq 0 ]; then as_root=""; else as_root="sudo"; fi
    if ! command -v apt-get >/dev/null; then
        echo "cradle: please install:$missing" >&2
        exit 2
    fi
    echo "cradle: installing$missing"
    # Debian would start a broker of its own; Cradle runs a private one. Keep it from starting.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
        $as_root chmod +x "$policy"
        trap '$as_root rm -f "$policy"' EXIT
    fi
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    # shellcheck disable=SC2086 # a list of packages
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

echo "cradle: preparing .venv"
[ -x .venv/bin/python ] || "$python" -m venv .venv
# The lock is the whole closure, so nothing is resolved: pip before 23.3 takes a newer release of a
# package that is locked with an extra and also needed without one (github.com/pypa/pip/issues/9644).
.venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --no-deps --require-hashes -r "$lock"
.venv/bin/python -m pip check --disable-pip-version-check >/dev/null
.venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --no-deps --no-build-isolation -e .

from_npm() { # folder what
    if ! [ "$1/node_modules/.package-lock.json" -nt "$1/package-lock.json" ]; then
        echo "cradle: preparing $2"
        npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund --silent
    fi
}
from_npm viewer/page hls.js
if [ "$purpose" = test ]; then
    from_npm tests/player axe-core
    from_npm tests/k8s kubectl
fi
