"""What leaves the bucket: clips and analyses past their days, and leftovers that are not clips.

Whole UTC days, only once their last second is older than `retention_days`. A clip with a hold
(an object `holds/<manifest key>`, put there by hand) stays, and with it the analyses of its time.
The manifest goes first: from then on the clip does not exist, and a crash leaves only objects that
the next turn finds in the same expired day. Custody records stay for good.

A leftover (an object that no manifest names, of an upload whose worker died) is removed after a
day, and only if committed clips cover its fragments: else it may still be adopted.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

from shared.clipfolder import ClipFolder
from shared.identity import CAMERA_PATTERN, parse_clip_key, parse_stamp
from shared.manifest import Manifest
from shared.objectstore import ObjectStore
from shared.ranges import Ranges

HOLDS = "holds/"
LEFTOVER_AGE = timedelta(days=1)
LEFTOVER_DAYS = 3
"""How many days back leftovers are looked for."""

_DAY = re.compile(r"[^/]+/[^/]+/(\d{4})/(\d{2})/(\d{2})/")
_STAMP = re.compile(r"_(\d{8}T\d{9}Z)_")


@dataclass
class Removed:
    """How many objects were removed, by kind."""

    clips: int = 0
    analyses: int = 0
    leftovers: int = 0
    held: list[str] = field(default_factory=list)
    """Manifest keys of clips that are past their days and stay."""


def last_day_to_keep(now: datetime, retention_days: int) -> date:
    """The oldest UTC day of which nothing expires yet."""
    return (now.astimezone(UTC) - timedelta(days=retention_days)).date()


class Expiry:
    """Cleans one camera's folders. Raises StoreUnavailable anywhere; the next turn goes on."""

    def __init__(self, store: ObjectStore, camera: str, retention_days: int) -> None:
        self._store = store
        self._camera = camera
        self._retention_days = retention_days
        self._folder = ClipFolder(store, camera)

    def run(self, now: datetime) -> Removed:
        """One turn."""
        removed = Removed()
        keep_from = last_day_to_keep(now, self._retention_days)
        holds = {
            each.key.removeprefix(HOLDS)
            for each in self._store.list(f"{HOLDS}clips/{self._camera}/")
        }
        for keys in self._days(f"clips/{self._camera}/", keep_from):
            self._expire_clips(keys, holds, removed)
        held = self._folder.manifests(removed.held)
        if len(held) == len(removed.held):  # else nobody knows which analyses the hold is for
            self._expire_analyses(keep_from, held, removed)
        self._remove_leftovers(now, holds, removed)
        return removed

    def _days(self, prefix: str, keep_from: date) -> Iterator[list[str]]:
        """The keys of expired days, a day at a time, oldest first."""

        def expired() -> Iterator[tuple[date, str]]:
            for each in self._store.list(prefix):
                day = day_of(each.key)
                if day is not None and day >= keep_from:
                    return  # keys sort by day
                if day is not None:
                    yield day, each.key

        for _, group in groupby(expired(), key=lambda pair: pair[0]):
            yield [key for _, key in group]

    def _expire_clips(self, keys: list[str], holds: set[str], removed: Removed) -> None:
        manifests: list[str] = []
        others: list[str] = []
        for key in keys:
            name = parse_clip_key(key)
            if name is None:
                continue  # foreign, and nobody's business here
            if _manifest_key(key) in holds:
                if name.suffix == "json":
                    removed.held.append(key)
            elif name.suffix == "json":
                manifests.append(key)
            else:
                others.append(key)
        for key in manifests + others:
            self._store.remove(key)
        removed.clips += len(manifests)

    def _expire_analyses(self, keep_from: date, held: list[Manifest], removed: Removed) -> None:
        for keys in self._days(f"analysis/{self._camera}/", keep_from):
            for key in keys:
                moment = _moment_of(key)
                if moment is None:
                    continue  # foreign, and nobody's business here
                if any(each.starts_at <= moment <= each.ends_at for each in held):
                    continue
                self._store.remove(key)
                removed.analyses += 1

    def _remove_leftovers(self, now: datetime, holds: set[str], removed: Removed) -> None:
        today = now.astimezone(UTC).date()
        for back in range(1, LEFTOVER_DAYS + 1):
            listing = self._folder.day(today - timedelta(days=back))
            committed: dict[str, Ranges] = {}
            for clip in listing.clips:
                ranges = committed.setdefault(clip.identity.epoch, Ranges())
                ranges.add(clip.identity.first, clip.identity.last)
            for each in listing.leftovers:
                name = parse_clip_key(each.key)
                if name is None or name.last is None or _manifest_key(each.key) in holds:
                    continue
                covered = name.epoch in committed and committed[name.epoch].covers(
                    name.first, name.last
                )
                old = each.modified_at is not None and now - each.modified_at > LEFTOVER_AGE
                if covered and old:
                    self._store.remove(each.key)
                    removed.leftovers += 1


def forgotten_cameras(store: ObjectStore, configured: Collection[str]) -> list[str]:
    """Cameras that were taken out of the configuration and have clips or analyses.

    Raises StoreUnavailable.
    """
    there = (store.folders("clips/") | store.folders("analysis/")).difference(configured)
    return sorted(each for each in there if re.fullmatch(CAMERA_PATTERN, each) is not None)


def expire_forgotten(
    store: ObjectStore, configured: Collection[str], retention_days: int, now: datetime
) -> int:
    """Expire what cameras have left that nobody holds a seat of; says how many clips went.

    Raises StoreUnavailable.
    """
    return sum(
        Expiry(store, camera, retention_days).run(now).clips
        for camera in forgotten_cameras(store, configured)
    )


def day_of(key: str) -> date | None:
    """The UTC day of a key `<root>/<camera>/<YYYY>/<MM>/<DD>/...`; None for any other key."""
    match = _DAY.match(key)
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None


def _moment_of(key: str) -> datetime | None:
    match = _STAMP.search(key)
    try:
        return None if match is None else parse_stamp(match[1])
    except ValueError:
        return None


def _manifest_key(key: str) -> str:
    """The manifest's key of a clip's object, poster or manifest."""
    stem = key.rpartition(".")[0]
    folder, _, name = stem.rpartition("/")
    camera_and_time, _, numbers = name.rpartition("_")
    return f"{folder}/{camera_and_time}_{numbers.partition('-')[0]}.json"
