"""A room for the archiver's integration tests: frame store, broker, bucket, and a worker in it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from archiver.clip import Clip
from archiver.commit import Committer
from archiver.convert import Converter
from archiver.windows import window_of
from archiver.worker import ArchiverWorker
from archiver.workfolder import WorkFolder
from shared.clock import SystemClock
from shared.config import ArchiveSettings, Settings, from_mapping
from shared.custody import CustodyRecord, read_custody
from shared.framestore import INDEX_NAME, FrameReader
from shared.health import Health
from shared.link import Delivery, Link
from shared.log import get_logger
from shared.manifest import MAX_MANIFEST_BYTES, Manifest, read_manifest
from shared.messages import EpochEnd, Event, Fragment, read_event
from shared.objectstore import ObjectStore
from shared.topology import (
    EVENTS,
    FRAMES,
    ArchiveQueue,
    Queue,
    archiver_queue,
    fragment_key,
    lost_queue,
)
from shared.worker import WorkerContext
from shared.worker import run as run_worker
from tests import support
from tests.archiver_fragments import CAMERA, Recorded, record

CLIP_SECONDS = 5
DEADLINE_SECONDS = 60.0


def an_hour_ago() -> datetime:
    """A moment at which a window begins; what is recorded there is of one day in every zone."""
    second = int(time.time()) - 3600
    before_midnight = -second % 900
    if before_midnight <= 30:
        second += before_midnight
    return datetime.fromtimestamp(second - second % CLIP_SECONDS, UTC)


def eventually(condition: Callable[[], object], seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until it holds."""
    support.eventually(condition, seconds)


@dataclass
class Room:
    """One camera's surroundings."""

    folder: Path
    broker_url: str
    archive: ArchiveSettings
    link: Link
    kind: ArchiveQueue = ArchiveQueue.CLASSIC
    events: list[Event] = field(default_factory=list)
    _closed: dict[str, dict[int, Fragment]] = field(default_factory=dict)

    @property
    def frames(self) -> Path:
        return self.folder / "frames"

    @property
    def store(self) -> ObjectStore:
        return ObjectStore(self.archive)

    def mapping(self, **archive: Any) -> dict[str, Any]:
        """A configuration, as it stands in cradle.yaml."""
        given = self.archive.model_dump(exclude_unset=True)
        given["secret_key"] = self.archive.secret_key.get_secret_value()
        return {
            "broker": {
                "url": self.broker_url,
                "heartbeat_seconds": 2,
                "archive_queue": self.kind.value,
            },
            "frames": {"url": self.frames.as_uri()},
            "archive": {**given, "clip_seconds": CLIP_SECONDS, "grace_seconds": 1, **archive},
            "metrics": {"port": 0},
            "cameras": [{"id": CAMERA, "source": "test:320x180@30"}],
        }

    def settings(self, **archive: Any) -> Settings:
        return from_mapping(self.mapping(**archive))

    def start(self) -> None:
        """Declare what ingest declares, and listen to the archiver's events."""
        for queue in (archiver_queue(CAMERA, self.kind), lost_queue()):
            self.link.declare(queue)
        mine = Queue("events-of-the-test", {"x-queue-type": "classic"}, ((EVENTS, "archiver.#"),))

        def heard(delivery: Delivery) -> None:
            self.events.append(read_event(delivery.body))
            delivery.ack()

        self.link.consume(
            mine, prefetch=100, exclusive=True, on_delivery=heard, on_closed=lambda _: None
        )

    def record(
        self, source: Path, starts_at: datetime | None = None, fragments: int | None = None
    ) -> Recorded:
        """An epoch whose fragments are written and not closed yet: its index is empty."""
        recorded = record(self.frames, source, starts_at=starts_at or an_hour_ago())
        recorded.index(())
        return replace(recorded, fragments=recorded.fragments[:fragments])

    def publish(self, *messages: Fragment | EpochEnd) -> None:
        """Close fragments in the frame store and say so, as ingest does."""
        for message in messages:
            if isinstance(message, Fragment):
                closed = self._closed.setdefault(message.epoch, {})
                closed[message.fragment] = message
                index = self.frames / CAMERA / message.epoch / INDEX_NAME
                lines = (each.to_body() + b"\n" for _, each in sorted(closed.items()))
                index.write_bytes(b"".join(lines))
            self.link.publish_and_wait(FRAMES, fragment_key(CAMERA), message.to_body())

    # -- what became of it ----------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Messages that lie in the queue; those held by a worker not counted."""
        return self.link.declare(archiver_queue(CAMERA, self.kind)).messages

    def manifests(self) -> list[Manifest]:
        bodies = [
            self.store.read(each.key, MAX_MANIFEST_BYTES)
            for each in self.store.list("clips/")
            if each.key.endswith(".json")
        ]
        return [read_manifest(body) for body in bodies if body is not None]

    def ranges(self) -> list[tuple[str, int, int]]:
        return sorted((each.epoch, each.first, each.last) for each in self.manifests())

    def custody(self) -> list[CustodyRecord]:
        bodies = [self.store.read(each.key) for each in self.store.list("custody/")]
        return [read_custody(body) for body in bodies if body is not None]

    def archived(self) -> Counter[tuple[str, int]]:
        """How often each fragment is in a committed clip."""
        return Counter(
            (each.epoch, fragment.fragment)
            for each in self.manifests()
            for fragment in each.fragments
        )

    def holds_exactly(self, *recorded: Recorded) -> bool:
        wanted = Counter(
            (each.epoch, fragment.fragment) for each in recorded for fragment in each.fragments
        )
        return self.archived() == wanted


class ThreadedWorker:
    """The archiver's worker in this process."""

    def __init__(self, settings: Settings, name: str = "archiver-test") -> None:
        clock = SystemClock()
        self.health = Health(clock)
        context = WorkerContext(settings, name, clock, get_logger(worker=name), self.health)
        self._stop = threading.Event()
        self._worker = ArchiverWorker(context)
        self._thread = threading.Thread(
            target=run_worker, args=(self._worker, context, self._stop), daemon=True
        )

    def __enter__(self) -> "ThreadedWorker":
        self._thread.start()
        eventually(lambda: self.has_seat)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the worker did not stop"
        self._worker.close()

    @property
    def has_seat(self) -> bool:
        return CAMERA in self.health.answer()[1]["states"]

    @property
    def state(self) -> str:
        return str(self.health.answer()[1]["states"].get(CAMERA))


class ProcessWorker:
    """The archiver's worker as `python -m archiver`, which can be killed."""

    def __init__(self, room: Room, fault: str = "", **archive: Any) -> None:
        path = room.folder / "cradle.yaml"
        path.write_text(json.dumps(room.mapping(**archive)), encoding="utf-8")
        self.log = room.folder / f"archiver-{time.monotonic_ns()}.log"
        environment = {**os.environ, "CRADLE_FAULT": fault}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "archiver", "--config", str(path)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    def __enter__(self) -> "ProcessWorker":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            finally:
                self.process.kill()
                self.process.wait()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def lines(self, action: str) -> list[dict[str, Any]]:
        """What it has logged of one kind."""
        found = []
        for line in self.log.read_text(encoding="utf-8").splitlines():
            if line.startswith("{"):
                entry = json.loads(line)
                if entry.get("action") == action:
                    found.append(entry)
        return found


@contextmanager
def committing(frames_root: Path, store: ObjectStore) -> Iterator[Committer]:
    """The commit of clips, without a worker around it."""
    work = WorkFolder.open(frames_root)
    frames, clock, log = FrameReader(frames_root), SystemClock(), get_logger()
    converter = Converter(frames, clock, log, timeout_seconds=30, abandon=threading.Event())
    try:
        yield Committer(store, frames, converter, work, clock, log)
        assert list(work.path.iterdir()) == [], "work files are removed"
    finally:
        work.close()


def clip_of(recorded: Recorded, first: int, last: int) -> Clip:
    """The clip of fragments `first`..`last`."""
    run = tuple(recorded.fragments[first : last + 1])
    return Clip(run, window_of(run[0], CLIP_SECONDS), CLIP_SECONDS)


class Door:
    """A way to the object store that can be shut: then connections are refused and counted."""

    def __init__(self, endpoint: str) -> None:
        self._target = (urlsplit(endpoint).hostname or "", urlsplit(endpoint).port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._shut = threading.Event()
        self._through: list[socket.socket] = []
        self.refused = 0

    def __enter__(self) -> "Door":
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shut()
        self._listener.close()

    def shut(self) -> None:
        """Break every connection, and refuse new ones."""
        self._shut.set()
        while self._through:
            with suppress(OSError):
                self._through.pop().shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        self._shut.clear()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                inside, _ = self._listener.accept()
                if self._shut.is_set():
                    self.refused += 1
                    inside.close()
                    continue
                outside = socket.create_connection(self._target, timeout=10)
                outside.settimeout(None)
                self._through += [inside, outside]
                for way in ((inside, outside), (outside, inside)):
                    threading.Thread(target=self._pump, args=way, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
