"""What ingest stored against what is archived, frame by frame, as Jepsen compares histories.

While the house runs, the ledger follows the indexes of the frame store and decodes each fragment as
it is closed, before anybody may delete it: the numbers in its pictures are what must be found
again. In the end every committed clip is decoded, and must show exactly the numbers of exactly its
fragments, in order; every fragment must be in exactly one clip.
"""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from ingest.recovery import INTERRUPTED
from shared.errors import CradleError
from shared.framestore import FrameStore
from shared.messages import Fragment
from tests.line import decode_counters
from tests.videos import read_counter

Place = tuple[str, str, int]
"""Camera, epoch, fragment."""
LOOK_SECONDS = 1.0
UNREADABLE = -1
"""Stands for a picture whose number cannot be read."""


@dataclass(frozen=True)
class Clip:
    """A committed clip: the fragments that its manifest names, and the numbers that it shows."""

    key: str
    camera: str
    epoch: str
    first: int
    last: int
    numbers: Sequence[int]


@dataclass
class Verdict:
    """The end of the matter. All are counts of frames or of fragments, or keys of clips."""

    fragments: int = 0
    frames: int = 0
    lost: list[Place] = field(default_factory=list)
    """Closed, in no clip, and nobody says why."""
    given_up: list[Place] = field(default_factory=list)
    """Deleted by ingest for want of room, in no clip, and in the custody record."""
    untold: list[Place] = field(default_factory=list)
    """Deleted by a strike, in no clip, and not in the custody record."""
    contradicted: list[Place] = field(default_factory=list)
    """In a clip, and lost by the custody record."""
    duplicated: list[Place] = field(default_factory=list)
    """In more than one clip."""
    unknown: list[Place] = field(default_factory=list)
    """In a clip, and never closed by ingest as far as the ledger saw."""
    different: list[str] = field(default_factory=list)
    """Clips that show other numbers, or in another order, than their fragments."""

    @property
    def is_clean(self) -> bool:
        false = self.untold or self.contradicted or self.unknown or self.different
        return not (self.lost or self.duplicated or false)


def judge(
    stored: Mapping[Place, Sequence[int]],
    clips: Sequence[Clip],
    deleted: Set[Place] = frozenset(),
    told: Set[Place] = frozenset(),
) -> Verdict:
    """Compare what was closed with what is committed.

    `deleted` are fragments whose files a strike deleted, `told` those that the custody record
    calls lost.
    """
    verdict = Verdict(len(stored), sum(len(numbers) for numbers in stored.values()))
    times: Counter[Place] = Counter()
    for clip in clips:
        places = [(clip.camera, clip.epoch, number) for number in range(clip.first, clip.last + 1)]
        times.update(places)
        wanted = [number for place in places for number in stored.get(place, ())]
        if list(clip.numbers) != wanted and all(place in stored for place in places):
            verdict.different.append(clip.key)
    verdict.lost = sorted(stored.keys() - times.keys() - deleted - told)
    verdict.given_up = sorted((stored.keys() & told) - times.keys() - deleted)
    verdict.untold = sorted(deleted - times.keys() - told)
    verdict.contradicted = sorted(told & times.keys())
    verdict.duplicated = sorted(place for place, count in times.items() if count > 1)
    verdict.unknown = sorted(times.keys() - stored.keys() - deleted)
    return verdict


def numbers_in(media: bytes) -> list[int]:
    """The numbers of all pictures, in the order in which they are shown."""
    return decode_counters(media, _read)


def _read(picture: NDArray[np.uint8]) -> int:
    try:
        return read_counter(picture)
    except ValueError:
        return UNREADABLE


class Ledger:
    """Follows a frame store on a thread of its own."""

    def __init__(
        self, frames: FrameStore, cameras: Sequence[str], look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._look_seconds = look_seconds
        self._reader = frames
        self._known: dict[tuple[str, str], set[int]] = {}
        self._cameras = cameras
        self.stored: dict[Place, list[int]] = {}
        self.ends_at: dict[tuple[str, str], datetime] = {}
        """End of the last frame of an epoch, UTC."""
        self.interrupted: set[tuple[str, str]] = set()
        """Epochs that a successor had to close."""
        self.missed: dict[Place, str] = {}
        """Fragments that were closed and could not be read here, and why."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Look once more, and stop."""
        self._ended.set()
        self._thread.join(120)
        self.look()

    def _run(self) -> None:
        while not self._ended.wait(self._look_seconds):
            self.look()

    def look(self) -> None:
        """Read what is new."""
        for camera in self._cameras:
            with suppress(CradleError):  # a frame store that is away is looked at next time
                for epoch in self._reader.epochs(camera):
                    known = self._known.setdefault((camera, epoch), set())
                    index = self._reader.closed(camera, epoch, known)
                    for fragment in index.fragments:
                        self._read((camera, epoch, fragment.fragment), fragment)
                    if index.end is not None and index.end.reason == INTERRUPTED:
                        self.interrupted.add((camera, epoch))

    def _read(self, place: Place, fragment: Fragment) -> None:
        if place in self.stored or place in self.missed:
            return
        self._known[place[:2]].add(place[2])
        try:
            media = self._reader.read(fragment.path, 0, fragment.bytes)
            self.stored[place] = numbers_in(media)
            self.ends_at[place[:2]] = fragment.ends_at
        except (CradleError, OSError, ValueError) as error:  # PyAV's are of the last two
            self.missed[place] = str(error)
