"""Is the worker of this container well? Asked by Docker every few seconds: exit code 0 or 1.

The stage is the one that the container was started with; its port comes from the same settings as
the worker's. Reading those takes half a second of computing, so the port is kept in /tmp, which is
this container's alone. A container that runs no stage has nothing to ask and is well.
"""

import os
import sys
import tempfile
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

PATIENCE_SECONDS = 8.0
STAGES = ("ingest", "encoder", "archiver", "analyzer", "viewer")
"""As in shared/messages.py, whose import would cost as much as reading the settings."""


def main() -> int:
    """The exit code."""
    stage = stage_of(Path("/proc/1/cmdline").read_bytes())
    return 0 if stage is None or is_well(port_of(stage)) else 1


def stage_of(command_line: bytes) -> str | None:
    """Of the container's first process: `tini -- cradle-stage encoder ...`."""
    words = command_line.decode(errors="replace").split("\0")
    return next((word for word in words if word in STAGES), None)


def port_of(stage: str) -> int:
    """Where the worker serves /healthz."""
    kept = Path(tempfile.gettempdir()) / "cradle-health-port"
    try:
        return int(kept.read_text())
    except (OSError, ValueError):
        port = _port_by_settings(stage)
    with suppress(OSError):  # then it is read each time
        kept.write_text(str(port))
    return port


def _port_by_settings(stage: str) -> int:
    from shared import config  # noqa: PLC0415 - seldom, and takes half a second
    from shared.messages import Stage  # noqa: PLC0415

    file = os.environ.get("CRADLE_CONFIG", "/etc/cradle/cradle.yaml")
    return config.load(Path(file)).metrics.port_of(Stage(stage))


def is_well(port: int) -> bool:
    """Whether /healthz says so."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
