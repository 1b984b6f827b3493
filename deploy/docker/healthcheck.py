"""Is the worker of this container well? Asked by Docker every few seconds: exit code 0 or 1.

The stage is the one that the container was started with; its port comes from the same settings as
the worker's. Reading those takes half a second of computing, so the port is kept in /tmp, which is
this container's alone. A container that runs no stage has nothing to ask and is well.

Docker starts again what has ended, and leaves alone what hangs (moby/moby#28400). So a worker whose
answers have been bad for long enough is killed from here; its container ends with it, and is
started again. `cradle up` does the same (deploy/local/vigil.py), Kubernetes by its own probe.
"""

import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

PATIENCE_SECONDS = 8.0
HUNG_SECONDS = 90.0
"""Bad answers for so long: it hangs. A frozen broker holds its workers up for three heartbeats."""
FIRST_ANSWER_SECONDS = 300.0
"""The same, before its first good answer: libraries are slow to load where everything is."""
STAGES = ("ingest", "encoder", "archiver", "analyzer", "viewer")
"""As in shared/messages.py, whose import would cost as much as reading the settings."""


def main() -> int:
    """The exit code."""
    stage = stage_of(Path("/proc/1/cmdline").read_bytes())
    if stage is None:
        return 0
    well = is_well(port_of(stage))
    worker = worker_of(stage)
    if worker is not None and hangs(worker, well=well, now=time.monotonic()):
        print(f"{stage} hangs and is killed")
        os.kill(worker.pid, signal.SIGKILL)
    return 0 if well else 1


def stage_of(command_line: bytes) -> str | None:
    """Of the container's first process: `tini -- cradle-stage encoder ...`."""
    words = command_line.decode(errors="replace").split("\0")
    return next((word for word in words if word in STAGES), None)


class Worker(NamedTuple):
    """A process, through one life."""

    pid: int
    started: str
    """When, in the kernel's own count."""


def worker_of(stage: str, processes: Path = Path("/proc")) -> Worker | None:
    """The process of the stage: `python -m encoder ...`."""
    for folder in processes.glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_text(errors="replace").split("\0")
            if words[1:3] == ["-m", stage]:
                facts = (folder / "stat").read_text().rpartition(")")[2].split()
                return Worker(int(folder.name), facts[19])  # see proc(5)
    return None


def hangs(worker: Worker, *, well: bool, now: float) -> bool:
    """Note how this look went; whether all looks for too long were bad. `now` is monotonic."""
    file = Path(tempfile.gettempdir()) / "cradle-health-looks"
    name = f"{worker.pid}:{worker.started}"
    try:
        known, answered, bad_since = file.read_text().split()
    except (OSError, ValueError):
        known, answered, bad_since = "", "", ""
    if known != name:
        answered, bad_since = "no", "none"
    if well:
        answered, bad_since = "yes", "none"
    elif bad_since == "none":
        bad_since = str(now)
    with suppress(OSError):  # then nobody remembers, and nobody is killed
        file.write_text(f"{name} {answered} {bad_since}")
    limit_seconds = HUNG_SECONDS if answered == "yes" else FIRST_ANSWER_SECONDS
    return bad_since != "none" and now - float(bad_since) >= limit_seconds


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
