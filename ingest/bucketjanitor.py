"""Keeps the frame store that is a bucket within its limits: the janitor's work, by listings.

For each camera held: fragments in a committed clip go `keep_stored_minutes` after its commit; at
`retention_hours` all go; over the camera's share of `quota_gib` the oldest, first the stored. What
goes and is not known to be stored is noted before (`losses.py`). What a fragment's metadata says is
asked for once. An epoch without an end, to which nothing is added and whose writer's spool is not
here, is closed as it stands: should its writer come back, its own end counts more fragments.
Lifecycle rules of the bucket are a backstop at best: some stores run them once a day.
"""

import shutil
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from ingest import figures
from ingest.choice import GIB, choose
from ingest.confirmation import Confirmation
from ingest.losses import Losses
from ingest.recovery import INTERRUPTED
from ingest.shelf import Kept
from shared.bucketframes import BucketFrames, end_count, fragment_number
from shared.clock import Clock
from shared.config import Settings
from shared.errors import CradleError
from shared.identity import fragment_path
from shared.log import Log
from shared.messages import EpochEnd, Fragment
from shared.objectstore import ObjectStore

ABANDONED_SECONDS: Final = 60.0
"""An epoch to which nothing was added for so long has no writer any more: fragments come each
second, and one that is handing over has ended in a quarter of this."""


@dataclass
class _Epoch:
    """What a listing shows of an epoch."""

    numbers: set[int] = field(default_factory=set)
    ends: dict[str, datetime | None] = field(default_factory=dict)
    """Paths of its last words, and when they were written."""


@dataclass
class _Camera:
    kept: dict[tuple[str, int], Kept] = field(default_factory=dict)
    seen: list[Kept] = field(default_factory=list)
    """What there was at the last look, each with the time since when it is stored."""
    confirmation: Confirmation | None = None
    quiet: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By epoch: its newest fragment, and since when (monotonic) it is that."""


class BucketJanitor:
    """Cleans after cameras, one at a time; on the janitor's thread."""

    def __init__(
        self,
        settings: Settings,
        frames: BucketFrames,
        store: ObjectStore,
        losses: Losses,
        clock: Clock,
        log: Log,
    ) -> None:
        self._settings = settings.frames
        self._configured = {camera.id for camera in settings.cameras}
        self._frames = frames
        self._store = store
        self._losses = losses
        self._clock = clock
        self._log = log
        self._cameras: dict[str, _Camera] = {}
        self._bytes: dict[str, int] = {}

    @property
    def bytes(self) -> int:
        """Of the cameras that were cleaned last."""
        return sum(self._bytes.values())

    def kept(self, camera: str) -> list[Kept]:
        """What a camera had at the last look, before it was cleaned."""
        known = self._cameras.get(camera)
        return [] if known is None else known.seen

    def forgotten(self) -> set[str]:
        """Cameras that no configuration names any more. Whoever comes first cleans after them."""
        try:
            return set(self._frames.cameras()) - self._configured
        except CradleError as error:
            self._log.warning("bucket not listed", action="bucket.unlisted", reason=str(error))
            return set()

    def clean(self, camera: str) -> None:
        """One turn for a camera. Raises StoreUnavailable, OSError."""
        known = self._cameras.setdefault(camera, _Camera())
        if known.confirmation is None:
            known.confirmation = Confirmation(self._settings.words, self._store, self._log)
        epochs = self._look(camera)
        self._take_in(camera, known, epochs)
        there = [known.kept[place] for place in sorted(known.kept)]
        now = self._clock.now()
        known.seen = kept = known.confirmation.look(there, now)
        self._bytes[camera] = own = sum(each.bytes for each in kept)
        share = self._settings.quota_gib * GIB / max(1, len(self._configured))
        chosen = choose(
            kept,
            now,
            keep_stored=timedelta(minutes=self._settings.keep_stored_minutes),
            retention=timedelta(hours=self._settings.retention_hours),
            over_bytes=own - share,
        )
        for reason, fragments in chosen.items():
            self._delete(camera, known, reason, fragments)
        self._close_abandoned(camera, known, epochs)
        self._remove_ends(epochs, now)
        self._forget_words(camera, epochs)

    def _look(self, camera: str) -> dict[str, _Epoch]:
        epochs: dict[str, _Epoch] = {}
        for each in self._frames.of_camera(camera):
            _, _, rest = each.key.partition("/")
            epoch, _, name = rest.partition("/")
            number = fragment_number(name)
            if number is not None:
                epochs.setdefault(epoch, _Epoch()).numbers.add(number)
            elif end_count(name) is not None:
                epochs.setdefault(epoch, _Epoch()).ends[each.key] = each.modified_at
        return epochs

    def _take_in(self, camera: str, known: _Camera, epochs: dict[str, _Epoch]) -> None:
        """Ask what is said of fragments that were not there at the last look."""
        places = {(name, number) for name, epoch in epochs.items() for number in epoch.numbers}
        known.kept = {place: kept for place, kept in known.kept.items() if place in places}
        new = sorted(places - known.kept.keys())
        for record in self._frames.records(fragment_path(camera, *place) for place in new):
            known.kept[record.epoch, record.fragment] = _kept(record)

    def _delete(self, camera: str, known: _Camera, reason: str, chosen: list[Kept]) -> None:
        if not chosen:
            return
        unstored = [each for each in chosen if not each.stored]
        with self._losses.noted(reason, unstored):
            for each in chosen:
                self._frames.remove(fragment_path(each.camera, each.epoch, each.number))
                known.kept.pop((each.epoch, each.number), None)
        figures.DELETED.labels(reason).inc(len(chosen))
        tell = self._log.error if unstored else self._log.info
        tell(
            "fragments deleted",
            action="janitor.deleted",
            camera=camera,
            reason=reason,
            count=len(chosen),
            not_known_to_be_stored=len(unstored),
        )

    def _close_abandoned(self, camera: str, known: _Camera, epochs: dict[str, _Epoch]) -> None:
        now = self._clock.monotonic()
        quiet: dict[str, tuple[int, float]] = {}
        for name, epoch in epochs.items():
            newest = max(epoch.numbers, default=None)
            last = None if newest is None else known.kept.get((name, newest))
            is_ours = (self._settings.root / camera / name).exists()
            if epoch.ends or newest is None or last is None or is_ours:
                continue
            before = known.quiet.get(name, (newest, now))
            quiet[name] = before if before[0] == newest else (newest, now)
            if now - quiet[name][1] < ABANDONED_SECONDS:
                continue
            end = EpochEnd(
                camera=camera,
                epoch=name,
                fragments=newest + 1,
                ended_at=last.ends_at,
                reason=INTERRUPTED,
            )
            self._frames.put_end(end)
            self._log.info(
                "epoch of another host closed as it stands",
                action="bucket.closed",
                camera=camera,
                epoch=name,
                fragments=end.fragments,
            )
        known.quiet = quiet

    def _remove_ends(self, epochs: dict[str, _Epoch], now: datetime) -> None:
        """The last words of epochs of which nothing is left, once nobody waits for them."""
        limit = timedelta(hours=self._settings.retention_hours)
        for epoch in epochs.values():
            for path, written_at in epoch.ends.items():
                if not epoch.numbers and written_at is not None and now - written_at > limit:
                    self._frames.remove(path)

    def _forget_words(self, camera: str, epochs: dict[str, _Epoch]) -> None:
        folder = self._settings.words / camera
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in epochs:
                shutil.rmtree(path, ignore_errors=True)


def _kept(record: Fragment) -> Kept:
    return Kept(
        record.camera,
        record.epoch,
        record.fragment,
        record.captured_at,
        record.ends_at,
        record.bytes,
        stored_at=None,
    )
