"""A running compose stack for tests, from a copy of deploy/compose with secrets of its own.

The camera is the RTSP server of the other tests, on this host; a small forwarder opens it to the
containers alone, on the address of Docker's bridge. Nothing is left when the stack ends, for its
containers, volumes and networks have a project name of their own.
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from minio import Minio
from minio.error import S3Error

from deploy.local.ports import free_ports
from shared.config import MetricsSettings
from shared.messages import Stage
from tests.footage import CAMERA, Footage, newest
from tests.rtsp import RtspServer
from tests.support import eventually

REPOSITORY: Final = Path(__file__).parents[2]
STAGES: Final = ("ingest", "encoder", "archiver", "analyzer", "viewer")
START_SECONDS: Final = 400.0
SETTLE_SECONDS: Final = 150.0
STANDINS: Final = os.environ.get("CRADLE_TEST_STANDINS") == "1"
"""No registry here: SeaweedFS instead of Silo, and no Grafana."""
IMAGE: Final = "cradle:test"
README: Final = REPOSITORY / "deploy" / "compose" / "README.md"
BROKER_JOBS: Final = {"rabbitmq": "rabbitmq", "rabbitmq-queues": "rabbitmq"}
"""The service behind each of Prometheus' jobs that are no stage's."""
PORTS: Final = (
    "VIEWER_PORT",
    "BROKER_PAGE_PORT",
    "STORE_PAGE_PORT",
    "PROMETHEUS_PORT",
    "GRAFANA_PORT",
)
"""Variables of compose.yaml: a stack of the tests stands beside others."""

ROOMS: Final = """
timezone: Asia/Seoul
frames: {keep_stored_minutes: 60}
archive: {clip_seconds: 10, grace_seconds: 2}
analysis: {interval_seconds: 5}
cameras:
  - {id: camera-1, source: "%s"}
"""


class Stack(Footage):
    """One project of docker compose."""

    def __init__(self, folder: Path, files: list[str]) -> None:
        self.folder = folder / "compose"
        self.project = f"cradle-test-{secrets.token_hex(4)}"
        shutil.copytree(
            REPOSITORY / "deploy" / "compose",
            self.folder,
            ignore=shutil.ignore_patterns(".env*", "private"),
        )
        for beside in ("prometheus", "grafana"):
            if (REPOSITORY / "deploy" / beside).is_dir():
                shutil.copytree(REPOSITORY / "deploy" / beside, folder / beside)
        self._environment = {
            **{name: value for name, value in os.environ.items() if "CRADLE" not in name},
            "COMPOSE_FILE": ":".join(files),
            "CRADLE_IMAGE": IMAGE,
            "VIEWER_ADDRESS": "127.0.0.1",
            **dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True)),
        }
        self.secrets: dict[str, str] = {}
        self._live_in_bucket = "compose.s3.yaml" in files

    def prepare(self, camera: str) -> str:
        """What a person does first; returns what it said."""
        said = subprocess.run(
            ["./prepare", camera], cwd=self.folder, check=True, capture_output=True, text=True
        ).stdout
        lines = (self.folder / ".env").read_text().splitlines()
        self.secrets = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
        (self.folder / "private" / "cradle.yaml").write_text(ROOMS % camera)
        return said

    def compose(self, *words: str, seconds: float = START_SECONDS) -> str:
        """docker compose, in the stack's folder; returns its standard output."""
        return run(
            *("docker", "compose"),
            "-p",
            self.project,
            *words,
            at=self.folder,
            env=self._environment,
            seconds=seconds,
        )

    @property
    def page(self) -> str:
        """Where the viewer answers."""
        return f"http://127.0.0.1:{self._environment['VIEWER_PORT']}"

    @property
    def services(self) -> list[str]:
        """All that can run here."""
        chosen = self.compose("config", "--services").split()
        return [each for each in chosen if not (STANDINS and each == "grafana")]

    def up(self, *words: str) -> None:
        """Start what is not started, and wait until it is healthy."""
        self.compose("up", "--detach", "--no-build", "--wait", *words)

    def down(self) -> None:
        """End all of it, and forget its data."""
        self.compose("--profile", "tools", "down", "--volumes", "--timeout", "20")

    def containers(self, service: str = "", *, running: bool = True) -> list[dict[str, Any]]:
        """What `docker inspect` says, in the order of their names."""
        words = ["ps", "--quiet", *([] if running else ["--all"]), *([service] if service else [])]
        ids = self.compose(*words).split()
        found: list[dict[str, Any]] = json.loads(docker("inspect", *ids)) if ids else []
        return sorted(found, key=lambda each: str(each["Name"]))

    def address_of(self, service: str) -> str:
        """Of a container in the network of the stages, as this host reaches it."""
        return self.addresses_of(service)[0]

    def addresses_of(self, service: str) -> list[str]:
        """Those of all its containers."""
        network = f"{self.project}_default"
        networks = (each["NetworkSettings"]["Networks"] for each in self.containers(service))
        return [str(each[network]["IPAddress"]) for each in networks]

    def not_scraped(self) -> set[tuple[str, str]]:
        """Job and address of what Prometheus should reach and does not, or not yet."""
        text = self.in_container(
            "prometheus", "wget -q -O - 'http://127.0.0.1:9090/api/v1/targets?state=active'"
        )
        reached = {
            (each["labels"]["job"], each["labels"]["instance"].rpartition(":")[0])
            for each in json.loads(text)["data"]["activeTargets"]
            if each["health"] == "up"
        }
        services = {**{stage: stage for stage in STAGES}, **BROKER_JOBS}
        wanted = {
            (job, address)
            for job, service in services.items()
            for address in self.addresses_of(service)
        }
        return wanted - reached

    def cradle(self, *words: str) -> str:
        """A command of the image, as a person runs it."""
        return self.compose("run", "--rm", "--no-deps", "-T", "cradle", *words)

    def follow(self, script: str) -> str:
        """Commands of the README, on this project and image and not a person's."""
        script = re.sub(r"\bcradle_\$", f"{self.project}_$", script)
        script = re.sub(r"\bcradle -C\b", f"{IMAGE} -C", script)
        shell = f"""
            docker() {{
                [ "$1" = compose ] || {{ command docker "$@"; return; }}
                shift
                [ "$*" != "up --detach" ] ||
                    set -- up --detach --no-build --wait {" ".join(self.services)}
                command docker compose -p {self.project} "$@"
            }}
            set -e
        """
        return run(
            *("sh", "-c", f"{shell}\n{script}"),
            at=self.folder,
            env=self._environment,
            seconds=2 * START_SECONDS,
        )

    def in_container(self, service: str, script: str) -> str:
        """What a shell in the service's first container prints."""
        return docker("exec", self.containers(service)[0]["Id"], "sh", "-c", script)

    def states(self, service: str) -> dict[str, str]:
        """What a worker's /healthz says of its cameras; nothing while it does not answer."""
        ask = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"
        port = MetricsSettings().port_of(Stage(service))
        with suppress(subprocess.CalledProcessError, IndexError):
            said = self.in_container(service, f"python -c '{ask}' http://127.0.0.1:{port}/healthz")
            found: dict[str, str] = json.loads(said)["states"]
            return found
        return {}

    def store(self, user: str = "operator") -> Minio:
        """The object store, as one of its users."""
        return Minio(
            f"{self.address_of('store')}:9000",
            user,
            self.secrets[f"STORE_{user.upper()}_SECRET"],
            secure=False,
            region="us-east-1",
        )

    def playlist(self) -> str:
        """The live playlist as the encoder last wrote it, or nothing."""
        if self._live_in_bucket:
            with suppress(S3Error):
                found = self.store().get_object("cradle-live", f"{CAMERA}/index.m3u8")
                return bytes(found.read()).decode()
            return ""
        with suppress(subprocess.CalledProcessError, IndexError):
            return self.in_container("viewer", f"cat /var/lib/cradle/live/{CAMERA}/index.m3u8")
        return ""

    def wait_live(self, seconds: float = SETTLE_SECONDS) -> None:
        """Wait until new segments come."""
        before = newest(self.playlist())
        eventually(
            lambda: (now := newest(self.playlist())) and now != before,
            seconds,
            "the camera is live",
            every_seconds=1,
        )

    def wait_healthy(self, service: str, count: int = 1) -> None:
        """Wait until so many containers of a service are well."""
        eventually(
            lambda: (
                sum(
                    each["State"].get("Health", {}).get("Status") == "healthy"
                    for each in self.containers(service)
                )
                >= count
            ),
            SETTLE_SECONDS,
            f"{service} is healthy",
            every_seconds=1,
        )


def docker(*words: str, seconds: float = 120) -> str:
    """The docker command."""
    return run("docker", *words, seconds=seconds)


def run(
    *words: str, at: Path | None = None, env: dict[str, str] | None = None, seconds: float
) -> str:
    """A command's standard output. Its error output is shown if it fails."""
    done = subprocess.run(
        words, cwd=at, env=env, capture_output=True, text=True, timeout=seconds, check=False
    )
    if done.returncode != 0:
        print(f"{' '.join(words)}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        done.check_returncode()
    return done.stdout


def build_image() -> None:
    """The image, with the network of this host: a build fetches packages."""
    run(
        *("docker", "build", "--network", "host", "--file", "deploy/docker/Dockerfile"),
        *("--tag", IMAGE, "."),
        at=REPOSITORY,
        env={**os.environ, "DOCKER_BUILDKIT": _buildkit()},
        seconds=3000,
    )


def _buildkit() -> str:
    """As compose builds it; where the client has no BuildKit, as Docker did before."""
    asked = subprocess.run(
        ("docker", "buildx", "version"), capture_output=True, timeout=30, check=False
    )
    return "1" if asked.returncode == 0 else "0"


@contextmanager
def running_stack(folder: Path, video: Path, *overrides: str) -> Iterator[Stack]:
    """Build, prepare, start, and take everything away again."""
    build_image()
    gateway = _bridge()
    files = ["compose.yaml", *(["compose.seaweedfs.yaml"] if STANDINS else []), *overrides]
    stack = Stack(folder, files)
    with RtspServer() as camera, open_to(gateway, camera.port) as port:
        camera.mount("room", video)
        stack.prepare(f"rtsp://{gateway}:{port}/room")
        try:
            stack.up(*stack.services)
            yield stack
        finally:
            with suppress(subprocess.CalledProcessError):
                print(stack.compose("logs", "--no-color", "--tail", "12", *STAGES)[-20000:])
            stack.down()


def _bridge() -> str:
    """This host's address on Docker's bridge: the first of its network."""
    network = json.loads(docker("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]
    return str(next(ip_network(network["Subnet"]).hosts()))


@contextmanager
def open_to(address: str, port: int, at: int = 0) -> Iterator[int]:
    """Pass connections to `address` on to loopback; gives the port there, `at` if it is named."""
    with socket.create_server((address, at)) as listener:
        threading.Thread(target=_accept, args=(listener, port), daemon=True).start()
        yield listener.getsockname()[1]


def _accept(listener: socket.socket, port: int) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", port), 10)
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    for each in (one, other):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
