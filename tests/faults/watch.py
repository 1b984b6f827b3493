"""What is looked at while the house is beaten: live, the bucket, and memory.

Each look is short and on a thread of its own; what cannot be looked at now is looked at next time.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from shared.errors import CradleError
from tests.faults.scene import Scene

LIVE_SECONDS = 0.1
BUCKET_SECONDS = 5.0
MEMORY_SECONDS = 5.0
KEPT_FOR_EVER = ("clips/", "analysis/", "custody/")


@dataclass(frozen=True)
class Advance:
    """The public playlist of a camera has gone on."""

    at: datetime
    sequence: int


@dataclass(frozen=True)
class Memory:
    """Resident bytes of one worker at one age."""

    worker: str
    pid: int
    age_seconds: float
    resident_bytes: int


@dataclass
class Watch:
    """What was seen."""

    advances: dict[str, list[Advance]] = field(default_factory=lambda: defaultdict(list))
    faults: list[str] = field(default_factory=list)
    """Playlists that went back or said that they had ended."""
    overwritten: set[str] = field(default_factory=set)
    memory: list[Memory] = field(default_factory=list)
    _objects: dict[str, tuple[int, datetime | None]] = field(default_factory=dict)

    def look_at_live(self, scene: Scene) -> None:
        for camera in scene.cameras:
            text = scene.line.playlist(camera)
            sequence = scene.line.media_sequence(camera)
            seen = self.advances[camera]
            if "#EXT-X-ENDLIST" in text:
                self.faults.append(f"{camera}: the playlist says that live is over")
            if not sequence or (seen and sequence == seen[-1].sequence):
                continue
            if seen and sequence < seen[-1].sequence:
                self.faults.append(f"{camera}: from {seen[-1].sequence} back to {sequence}")
            seen.append(Advance(datetime.now(UTC), sequence))

    def look_at_bucket(self, scene: Scene) -> None:
        with suppress(CradleError):
            bucket = scene.bucket
            for prefix in KEPT_FOR_EVER:
                for each in bucket.list(prefix):
                    now = (each.bytes, each.modified_at)
                    if self._objects.setdefault(each.key, now) != now:
                        self.overwritten.add(each.key)

    def look_at_memory(self, scene: Scene) -> None:
        for name, worker in list(scene.line.workers.items()):
            with suppress(OSError, IndexError):
                self.memory.append(_memory(name, worker.pid))

    def longest_stall(self, began_at: datetime, ended_at: datetime) -> float:
        """The longest time within a span in which some camera did not go on (seconds)."""
        longest = 0.0
        for advances in self.advances.values():
            inside = [each.at for each in advances if began_at <= each.at <= ended_at]
            for earlier, later in pairwise([began_at, *inside, ended_at]):
                longest = max(longest, (later - earlier).total_seconds())
        return longest

    def first_advance(self, began_at: datetime, ended_at: datetime) -> float:
        """How long it took until all cameras had gone on, within a span (seconds)."""
        longest = 0.0
        for advances in self.advances.values():
            first = min((each.at for each in advances if each.at > began_at), default=ended_at)
            longest = max(longest, (min(first, ended_at) - began_at).total_seconds())
        return longest


def _memory(name: str, pid: int) -> Memory:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    ticks = 100  # USER_HZ, of which the start time is told, is this on every Linux
    age_seconds = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / ticks
    return Memory(name, pid, age_seconds, int(fields[21]) * 4096)


@contextmanager
def watching(scene: Scene) -> Iterator[Watch]:
    """Watch for as long as the block runs."""
    watch = Watch()
    ended = threading.Event()
    looks: Sequence[tuple[Callable[[Scene], None], float]] = (
        (watch.look_at_live, LIVE_SECONDS),
        (watch.look_at_bucket, BUCKET_SECONDS),
        (watch.look_at_memory, MEMORY_SECONDS),
    )

    def run(look: Callable[[Scene], None], every_seconds: float) -> None:
        while not ended.wait(every_seconds):
            look(scene)

    threads = [threading.Thread(target=run, args=each, daemon=True) for each in looks]
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        ended.set()
        for thread in threads:
            thread.join(70)
