"""Collects from the bucket what it says of one camera around one day.

Clips: the manifests of the UTC days that the day touches, each held against the listing: a clip
whose object is gone or has another size is no footage. Custody records: of the same days, of the
half day after them (an epoch is at most 12 h long, and its end says how many fragments it had), and
back to the last day before that speaks of an epoch, so that a camera that has been away for weeks
is still explained. What cannot be read is named, never passed over.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from shared.clipfolder import (
    LONGEST_CLIP_SECONDS,
    days_between,
    manifest_under,
    midnight,
)
from shared.clock import from_milliseconds, milliseconds
from shared.coverage.day import Evidence
from shared.coverage.epochs import Unreadable
from shared.coverage.footage import Span, Stretch, stretches_of
from shared.custody import CustodyRecord, read_custody
from shared.errors import Refused
from shared.identity import ClipName, day_prefix, epoch_started_at, parse_clip_key, parse_stamp
from shared.manifest import Gap, Manifest
from shared.objectstore import ObjectStore

LONGEST_EPOCH: Final = timedelta(hours=13)
"""Longer than any: ingest ends one after 12 h, at its next key frame."""
AROUND: Final = timedelta(seconds=LONGEST_CLIP_SECONDS + 60)
"""A clip that begins this much earlier may reach into the day; its last fragment may be long."""


@dataclass
class _Collected:
    stretches: list[Stretch] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    records: list[CustodyRecord] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def collect(store: ObjectStore, camera: str, day: Span) -> Evidence:
    """Everything that `cover` needs. Raises StoreUnavailable, Misconfigured."""
    collector = _Collector(store, camera)
    starts, ends = from_milliseconds(day.starts), from_milliseconds(day.ends)
    since = recording_since(store, camera)
    if since is not None:
        collector.take_clips(starts - AROUND, ends + AROUND)
        collector.take_records(starts, ends + LONGEST_EPOCH, since)
    found = collector.found
    return Evidence(
        camera=camera,
        stretches=tuple(found.stretches),
        records=tuple(found.records),
        gaps=tuple(found.gaps),
        unreadable=tuple(found.unreadable),
        damaged_records=tuple(found.damaged),
        recording_since=None if since is None else milliseconds(since),
    )


def recording_since(store: ObjectStore, camera: str) -> datetime | None:
    """When the first epoch ever began; its record, unlike its clips, never expires."""
    found = []
    for each in store.list(f"custody/{camera}/"):
        moment = _record_time(each.key)
        if moment is not None and each.key.endswith("_begun.json"):
            found.append(moment)
            break
    for each in store.list(f"clips/{camera}/"):
        name = parse_clip_key(each.key)
        if name is not None and name.suffix == "json":
            found.append(epoch_started_at(name.epoch))
            break
    return min(found, default=None)


class _Collector:
    def __init__(self, store: ObjectStore, camera: str) -> None:
        self._store = store
        self._camera = camera
        self.found = _Collected()

    # -- clips --------------------------------------------------------------------------------

    def take_clips(self, earliest: datetime, latest: datetime) -> None:
        for day in days_between(earliest, latest):
            sizes = {each.key: each.bytes for each in self._store.list(self._prefix("clips", day))}
            for key in sizes:
                name = parse_clip_key(key)
                if name is None or name.suffix != "json":
                    continue
                if name.camera == self._camera and earliest <= name.captured_at < latest:
                    self._take_clip(key, name, sizes)

    def _take_clip(self, key: str, name: ClipName, sizes: dict[str, int]) -> None:
        try:
            manifest = self._manifest(key, sizes)
        except Refused as error:
            words = f"the clip of {key} cannot be read: {error}"
            self.found.unreadable.append(Unreadable(name.epoch, name.first, words))
            return
        if manifest is not None:
            self.found.stretches += stretches_of(manifest)
            self.found.gaps += manifest.gaps

    def _manifest(self, key: str, sizes: dict[str, int]) -> Manifest | None:
        """None if it has expired meanwhile. Raises Refused if the clip is not what it says."""
        manifest = manifest_under(self._store, key)
        if manifest is None:
            return None
        size = sizes.get(manifest.object_key)
        if size is None:
            raise Refused("its object is not in the bucket")
        if size != manifest.bytes:
            raise Refused(f"its object has {size} bytes instead of {manifest.bytes}")
        return manifest

    # -- custody records ----------------------------------------------------------------------

    def take_records(self, starts: datetime, latest: datetime, since: datetime) -> None:
        for day in days_between(starts, latest):
            self._take_records_of(day)
        for day in reversed(days_between(since, starts)):
            if day < starts.date() and self._take_records_of(day):
                return

    def _take_records_of(self, day: date) -> bool:
        """Read a UTC day's records; whether one of them speaks of an epoch's begin or end."""
        speaks_of_epoch = False
        for each in self._store.list(self._prefix("custody", day)):
            try:
                body = self._store.read(each.key)
                record = None if body is None else read_custody(body)
            except Refused as error:
                self.found.damaged.append(f"{each.key} cannot be read: {error}")
                continue
            if record is not None and record.camera == self._camera:
                self.found.records.append(record)
                speaks_of_epoch |= record.kind in {"epoch-begun", "epoch-ended"}
        return speaks_of_epoch

    def _prefix(self, root: str, day: date) -> str:
        return day_prefix(root, self._camera, midnight(day))


def _record_time(key: str) -> datetime | None:
    """The moment in a custody record's name."""
    parts = key.rpartition("/")[2].split("_")
    try:
        return parse_stamp(parts[1])
    except (IndexError, ValueError):
        return None
