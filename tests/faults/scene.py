"""The house on trial: broker, store, cameras, and two workers of each stage.

Workers talk to the broker through a gate of their stage's own and to the store through the doorway.
One that has died is started again a second later. All is done from one thread, which must call
`pause` or `until` instead of sleeping: they look after the workers. Every blow is written down, for
the watchers and for the page.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from deploy.local.broker import Broker
from deploy.local.store import Store
from shared.bucketframes import BucketFrames
from shared.config import ArchiveSettings
from shared.objectstore import ObjectStore
from tests.faults.doorway import Doorway, process_behind
from tests.faults.otherbroker import OtherBroker
from tests.faults.plan import OTHER_FOOTAGE, Plan, make_footage
from tests.gate import Gate
from tests.line import Line, line
from tests.rtsp import RtspServer
from tests.services import BrokerService

STAGES = ("ingest", "encoder", "archiver", "analyzer")
REPLICAS = 2
AGAIN_SECONDS = 1.0
"""After so long a dead worker is started again."""
HEARTBEAT_SECONDS = 10
STOP_SECONDS = 40.0
"""An orderly stop takes no longer."""
TURN_SECONDS = 0.1
BUCKETS = {"frames": {"url": "s3://cradle-frames"}, "live": {"url": "s3://cradle-live"}}
FRAME_STORE_BYTES = 128 * 1024 * 1024


@dataclass(frozen=True)
class Death:
    """A worker was killed, or froze until `ended_at`."""

    worker: str
    at: datetime
    ended_at: datetime | None = None


@dataclass
class Blow:
    """One fault: what was done, and when it was over (UTC)."""

    kind: str
    began_at: datetime
    ended_at: datetime | None = None
    detail: str = ""


@dataclass
class Scene:
    """Everything that runs. Made by `scene`."""

    folder: Path
    broker: Broker
    store: Store
    doorway: Doorway
    gates: dict[str, Gate]
    line: Line
    rtsp: RtspServer
    files: dict[str, Path]
    random: random.Random
    deaths: list[Death] = field(default_factory=list)
    freezes: list[Death] = field(default_factory=list)
    fallen: list[str] = field(default_factory=list)
    """Workers that ended and were neither killed nor told to."""
    blows: list[Blow] = field(default_factory=list)
    deleted: set[tuple[str, str, int]] = field(default_factory=set)
    """Fragments whose files a strike deleted: camera, epoch, number."""
    restarts: int = 0
    is_tended: bool = True
    away: set[str] = field(default_factory=set)
    """Stages whose workers are not started again."""
    _due: dict[str, float] = field(default_factory=dict)
    _struck_at: dict[int, datetime] = field(default_factory=dict)
    """By process: when a strike killed it."""
    _told: set[int] = field(default_factory=set)
    """Processes that were told to stop."""
    _frozen: set[str] = field(default_factory=set)

    @property
    def cameras(self) -> list[str]:
        return [camera["id"] for camera in self.line.config["cameras"]]

    @property
    def bucket(self) -> ObjectStore:
        """The bucket, past the doorway."""
        return ObjectStore(self.line.archive)

    @property
    def management(self) -> BrokerService:
        address = f"127.0.0.1:{self.broker.ports['amqp']}"
        return BrokerService(
            address, self.broker.management_url, self.broker.user, self.broker.password
        )

    def control(self, *arguments: str) -> None:
        """Say something to the broker as its operator, by `rabbitmqctl`."""
        root = ["chroot", str(self.broker.root)] if isinstance(self.broker, OtherBroker) else []
        subprocess.run(
            [
                *root,
                "/usr/lib/rabbitmq/bin/rabbitmqctl",
                "-q",
                "-n",
                "cradle@localhost",
                *arguments,
            ],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder / "broker" / "home"),
                "LANG": "C.UTF-8",
                "ERL_EPMD_PORT": str(self.broker.ports["epmd"]),
            },
            check=True,
            timeout=60,
            capture_output=True,
        )

    def set_clock(self, seconds: float) -> None:
        """From now on the wall clock of all workers is wrong by so much."""
        write_at_once(self.folder / "clock", str(seconds))

    # -- time ---------------------------------------------------------------------------------

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self.until(lambda: False, seconds)

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for something for a while, looking after the workers; whether it came."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._tend()
            time.sleep(TURN_SECONDS)
        return True

    def delete(self, path: str) -> None:
        """A fragment is gone, as if the frame store had lost it."""
        store = self.line.frame_store
        if isinstance(store, BucketFrames):
            store.remove(path)
        else:
            (self.line.frames / path).unlink(missing_ok=True)

    # -- workers ------------------------------------------------------------------------------

    def start(self) -> None:
        for stage in STAGES:
            for number in range(1, REPLICAS + 1):
                self._start(f"{stage}-{number}")

    def _start(self, name: str) -> None:
        gate = self.gates[name.partition("-")[0]]
        self.line.start(
            name,
            CRADLE_BROKER__URL=gate.url,
            CRADLE_FAULTS_CLOCK=str(self.folder / "clock"),
            PYTHONPATH=f"{Path(__file__).with_name('clock')}:{Path(__file__).parents[2]}",
        )

    def _tend(self) -> None:
        if not self.is_tended:
            return
        now = time.monotonic()
        for name, worker in self.line.workers.items():
            if worker.poll() is None or name.partition("-")[0] in self.away:
                continue
            if name not in self._due:
                self._due[name] = now + AGAIN_SECONDS
                struck_at = self._struck_at.pop(worker.pid, None)
                if worker.pid not in self._told:
                    self.deaths.append(Death(name, struck_at or datetime.now(UTC)))
                    if struck_at is None:
                        self.fallen.append(f"{name}, exit code {worker.returncode}")
            elif now >= self._due[name]:
                del self._due[name]
                self.restarts += 1
                self._start(name)

    def living(self, stage: str) -> list[str]:
        """Workers of a stage that run and are not frozen."""
        return [
            name
            for name, worker in sorted(self.line.workers.items())
            if name.startswith(f"{stage}-") and worker.poll() is None and name not in self._frozen
        ]

    def kill(self, worker: str) -> None:
        """SIGKILL, as the kernel does when memory is short."""
        process = self.line.workers[worker]
        self._struck_at[process.pid] = datetime.now(UTC)
        process.kill()
        process.wait(10)

    def stop(self, worker: str) -> None:
        """Tell it to stop, as a rolling restart does, and wait until it has."""
        process = self.line.workers[worker]
        self._told.add(process.pid)
        process.terminate()
        self.until(lambda: process.poll() is not None, STOP_SECONDS)

    def kill_behind(self, port: int) -> None:
        """SIGKILL the worker whose connection comes from this port of loopback."""
        name = self.worker_behind(port)
        if name is not None:
            pid = self.line.workers[name].pid
            self._struck_at[pid] = datetime.now(UTC)
            os.kill(pid, signal.SIGKILL)

    def worker_behind(self, port: int) -> str | None:
        """The worker whose connection comes from this port of loopback."""
        names = {worker.pid: name for name, worker in list(self.line.workers.items())}
        pid = process_behind(port, list(names))
        return None if pid is None else names[pid]

    @contextmanager
    def frozen(self, worker: str) -> Iterator[None]:
        """SIGSTOP for a while."""
        process = self.line.workers[worker]
        process.send_signal(signal.SIGSTOP)
        self._frozen.add(worker)
        began_at = datetime.now(UTC)
        try:
            yield
        finally:
            self.freezes.append(Death(worker, began_at, datetime.now(UTC)))
            self._frozen.discard(worker)
            process.send_signal(signal.SIGCONT)

    def end_cameras(self) -> None:
        """Whichever server it is by then."""
        self.rtsp.kill()

    # -- the end ------------------------------------------------------------------------------

    def stop_ingest(self) -> None:
        """End all epochs in order, so that the archiver may store what there is."""
        self.is_tended = False
        for name in [name for name in self.line.workers if name.startswith("ingest-")]:
            self.line.workers[name].terminate()
        for name in [name for name in self.line.workers if name.startswith("ingest-")]:
            self.line.workers.pop(name).wait(STOP_SECONDS)
        self.is_tended = True


@contextmanager
def scene(folder: Path, seed: int, plan: Plan = Plan()) -> Iterator[Scene]:  # noqa: B008 - frozen
    """A house that is not started yet, below `folder`; whatever runs at the end is killed."""
    with ExitStack() as stack:
        broker: Broker
        if plan.broker_root is None:
            broker = Broker(folder / "broker")
        else:
            broker = OtherBroker(folder / "broker", plan.broker_root, stack)
        store = Store(folder / "store")
        broker.start()
        stack.callback(broker.kill)
        store.start()
        stack.callback(store.kill)
        files = make_footage(folder / "footage", plan.file_cameras)
        (folder / "frames").mkdir()
        if plan.has_small_disk:
            _mount_small(folder / "frames", stack)
        rtsp = RtspServer()
        cameras: list[dict[str, Any]] = [
            {"id": name, "source": path.as_uri(), "loop": True}
            if name.startswith("file-")
            else {"id": name, "source": rtsp.mount(name, path)}
            for name, path in files.items()
            if name != OTHER_FOOTAGE
        ]
        broker.wait_ready()
        store.wait_ready()
        doorway = stack.enter_context(Doorway(urlsplit(store.endpoint).port or 0))
        gates = {stage: stack.enter_context(Gate(broker.url)) for stage in STAGES}
        archive = ArchiveSettings(
            endpoint=store.endpoint,
            access_key=store.access_key,
            secret_key=SecretStr(store.secret_key),
            bucket="cradle",
        )
        places = BUCKETS if plan.on_buckets else {}
        for name in ("cradle", *(each["url"].removeprefix("s3://") for each in places.values())):
            ObjectStore(archive, name).ensure_bucket()
        made = stack.enter_context(
            line(
                folder,
                broker.url,
                archive,
                cameras,
                broker={"heartbeat_seconds": HEARTBEAT_SECONDS},
                frames={"keep_stored_minutes": 1} | places.get("frames", {}),
                live=places.get("live", {}),
                analysis={"interval_seconds": 10},
            )
        )
        made.config["archive"] |= {"endpoint": doorway.url, "clip_seconds": plan.clip_seconds}
        house = Scene(folder, broker, store, doorway, gates, made, rtsp, files, random.Random(seed))
        house.set_clock(0)
        stack.callback(house.end_cameras)
        yield house


def _mount_small(folder: Path, stack: ExitStack) -> None:
    """A small disk of its own, that can be filled, where we may mount one."""
    options = f"size={FRAME_STORE_BYTES}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "cradle-faults", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode == 0:
        stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)


def write_at_once(path: Path, text: str) -> None:
    """Write a file that others read at any moment."""
    beside = path.with_suffix(".new")
    beside.write_text(text, encoding="ascii")
    os.replace(beside, path)
