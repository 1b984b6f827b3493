"""The last word on fragments that no clip holds, read from the bucket and from the frame store.

A hole between clips need not be a loss: where stages share no disk, the host that recorded it may
be away, with the fragments in its spool, and come back. The spool's own janitor deletes them at
`frames.retention_hours` and says so. What nobody has spoken of a while later is lost. And a loss
that was not true, for a clip holds those fragments after all, is followed by a record that says so.
Nothing is remembered: every few hours the days are read that may hold such a thing, so neither a
change of the seat nor an archive that is away for a week forgets one.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

from archiver.expiry import last_day_to_keep
from shared.bucketframes import fragment_number
from shared.clipfolder import ClipFolder, days_between, midnight
from shared.custody import FragmentsFound, FragmentsLost, read_custody
from shared.errors import Refused, Unavailable
from shared.framestore import FrameStore
from shared.identity import ClipIdentity, day_prefix, epoch_started_at, parse_clip_key
from shared.manifest import Gap
from shared.objectstore import ObjectStore
from shared.ranges import Ranges

NEVER_CAME: Final = "in no clip, and nobody brought them in time"
LOOK_BACK: Final = timedelta(days=7)
"""Beyond the time for which fragments are awaited."""
SLACK: Final = timedelta(hours=1)
"""Between an epoch's id and the capture time of its first frame."""


Piece = ClipIdentity | FragmentsLost
"""What accounts for fragments."""


@dataclass(frozen=True)
class Hole:
    """Fragments that are lost."""

    epoch: str
    numbers: range
    gap: Gap


@dataclass(frozen=True)
class LastWord:
    """What is to be recorded."""

    lost: list[Hole]
    found: list[FragmentsFound]


@dataclass
class _Epoch:
    """What the bucket says of one."""

    clips: list[ClipIdentity] = field(default_factory=list)
    lost: list[FragmentsLost] = field(default_factory=list)
    found: Ranges = field(default_factory=Ranges)
    is_doubtful: bool = False
    """Something of it cannot be read."""

    @property
    def pieces(self) -> list[Piece]:
        return [*self.clips, *self.lost]

    def holes(self) -> Iterator[tuple[range, datetime]]:
        """Numbers that nothing accounts for, and when what comes behind them begins."""
        last = max((each.last for each in self.clips), default=-1)
        for numbers in _ranges(self.pieces).gaps(0, last):
            behind = (each for each in self.pieces if each.first == numbers.stop)
            yield numbers, min(_starts_at(each) for each in behind)


class Absences:
    """Of one camera. Raises StoreUnavailable; the next look goes on."""

    def __init__(
        self,
        store: ObjectStore,
        frames: FrameStore,
        camera: str,
        *,
        retention_days: int,
        awaited_seconds: float,
    ) -> None:
        """Clips expire after `retention_days`; a fragment is awaited for `awaited_seconds`."""
        self._store = store
        self._frames = frames
        self._camera = camera
        self._folder = ClipFolder(store, camera)
        self._retention_days = retention_days
        self._awaited = timedelta(seconds=awaited_seconds)

    def look(self, now: datetime, under_way: Collection[str]) -> LastWord:
        """Everything that must be said by now. Nothing of epochs that are `under_way`."""
        since = (now - self._awaited - LOOK_BACK).astimezone(UTC).date()
        first_day = max(since, last_day_to_keep(now, self._retention_days))
        epochs = self._read(days_between(midnight(first_day), now))
        word = LastWord([], [])
        for name, epoch in sorted(epochs.items()):
            word.found.extend(_found(epoch))
            is_whole = epoch_started_at(name) - SLACK >= midnight(first_day)
            if is_whole and not epoch.is_doubtful and name not in under_way:
                word.lost.extend(self._lost(name, epoch, now))
        return word

    def _read(self, days: list[date]) -> dict[str, _Epoch]:
        epochs: dict[str, _Epoch] = defaultdict(_Epoch)
        for day in days:
            listing = self._folder.day(day)
            for clip in listing.clips:
                epochs[clip.identity.epoch].clips.append(clip.identity)
            for key in listing.unreadable:
                name = parse_clip_key(key)
                if name is not None:
                    epochs[name.epoch].is_doubtful = True
            self._read_records(day, epochs)
        return epochs

    def _read_records(self, day: date, epochs: dict[str, _Epoch]) -> None:
        for each in self._store.list(day_prefix("custody", self._camera, midnight(day))):
            if not each.key.endswith(("_lost.json", "_found.json")):
                continue
            try:
                body = self._store.read(each.key)
                record = None if body is None else read_custody(body)
            except Refused:
                for name in each.key.split("_")[2:3]:
                    epochs[name].is_doubtful = True
                continue
            if isinstance(record, FragmentsLost):
                epochs[record.epoch].lost.append(record)
            elif isinstance(record, FragmentsFound):
                epochs[record.epoch].found.add(record.first, record.last)

    def _lost(self, name: str, epoch: _Epoch, now: datetime) -> list[Hole]:
        """None while any of them lies in the frame store: it is archived first."""
        due = [each for each in epoch.holes() if each[1] + self._awaited <= now]
        if not due:
            return []
        try:
            there = map(fragment_number, self._frames.names(self._camera, name))
            if any(number in numbers for number in there for numbers, _ in due):
                return []
            return [
                Hole(name, numbers, self._gap(epoch, name, numbers, ends_at))
                for numbers, ends_at in due
            ]
        except (Refused, Unavailable):
            return []  # not certain now

    def _gap(self, epoch: _Epoch, name: str, numbers: range, ends_at: datetime) -> Gap:
        """Raises Refused if the manifest of the clip before cannot be read."""
        starts_at = epoch_started_at(name)
        for each in epoch.pieces:
            if each.last == numbers.start - 1:
                starts_at = self._ends_at(each)
        return Gap(starts_at=min(starts_at, ends_at), ends_at=ends_at, reason=NEVER_CAME)

    def _ends_at(self, piece: Piece) -> datetime:
        if isinstance(piece, FragmentsLost):
            return piece.ends_at
        manifest = self._folder.manifest(piece.manifest_key)
        return piece.captured_at if manifest is None else manifest.ends_at


def _found(epoch: _Epoch) -> Iterator[FragmentsFound]:
    """Corrections of what was called lost and a clip holds, without those that were made."""
    for record in epoch.lost:
        for first, last in _ranges(epoch.clips):
            shared = max(first, record.first), min(last, record.last)
            for numbers in epoch.found.gaps(*shared):
                yield FragmentsFound(
                    camera=record.camera,
                    epoch=record.epoch,
                    first=numbers[0],
                    last=numbers[-1],
                    starts_at=record.starts_at,
                    corrects=record.key,
                )


def _starts_at(piece: Piece) -> datetime:
    return piece.starts_at if isinstance(piece, FragmentsLost) else piece.captured_at


def _ranges(pieces: Sequence[Piece]) -> Ranges:
    ranges = Ranges()
    for each in pieces:
        ranges.add(each.first, each.last)
    return ranges
