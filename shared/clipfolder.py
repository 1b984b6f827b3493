"""What the bucket says is committed, read from the names in a camera's folders.

A manifest's name says where its clip begins, the object's name where it ends; only where two
objects share one beginning (a leftover beside the clip) is the manifest itself read. One that
cannot be read is counted and logged and stops nobody: if all objects beside it hold one range, the
clip is that one, else it is passed over; nothing beside it counts as a leftover.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

from prometheus_client import Counter

from shared.errors import BadMessage, Refused, StoreUnavailable
from shared.identity import (
    ClipIdentity,
    ClipName,
    day_prefix,
    parse_clip_key,
    stamp,
)
from shared.log import get_logger
from shared.manifest import MAX_MANIFEST_BYTES, Manifest, read_manifest
from shared.objectstore import ObjectStore, StoredObject

LONGEST_CLIP_SECONDS = 900
UNREADABLE = Counter(
    "cradle_unreadable_manifests_total", "Manifests met that cannot be read.", ["camera"]
)


@dataclass(frozen=True)
class CommittedClip:
    """A clip whose manifest exists."""

    identity: ClipIdentity
    suffix: str
    committed_at: datetime | None
    """When its manifest was created (UTC, by the store's clock), if the store says so."""

    @property
    def object_key(self) -> str:
        return self.identity.object_key(self.suffix)


@dataclass(frozen=True)
class Listing:
    """What a folder holds."""

    clips: list[CommittedClip]
    leftovers: list[StoredObject]
    """Objects and posters that no manifest names."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Keys of manifests that were asked for and cannot be read, and why."""


def read_listing(
    objects: Iterable[StoredObject], manifest_of: Callable[[str], Manifest]
) -> Listing:
    """Sort the objects of one camera (in key order) into clips and leftovers.

    Raises StoreUnavailable if a manifest must be read and the store does not give it.
    """
    clips: list[CommittedClip] = []
    leftovers: list[StoredObject] = []
    unreadable: dict[str, str] = {}
    named = ((name, each) for each in objects if (name := parse_clip_key(each.key)) is not None)
    for _, group in groupby(named, key=lambda pair: _beginning(pair[0])):
        members = list(group)
        manifests = [each for name, each in members if name.suffix == "json"]
        media = [name for name, _ in members if name.suffix in {"mp4", "ts"}]
        clip = None
        if manifests and len(media) == 1:
            clip = _clip(media[0], manifests[0])
        elif manifests:
            try:
                manifest = manifest_of(manifests[0].key)
            except Refused as error:
                unreadable[manifests[0].key] = str(error)
                if len({name.last for name in media}) == 1:
                    clips.append(_clip(media[0], manifests[0]))
                continue  # which of the objects it names, nobody knows: none is a leftover
            committed_at = manifests[0].modified_at
            clip = CommittedClip(manifest.identity, manifest.container, committed_at)
        if clip is not None:
            clips.append(clip)
        leftovers += [each for name, each in members if not _belongs(name, clip)]
    return Listing(clips, leftovers, unreadable)


def _beginning(name: ClipName) -> tuple[datetime, str, int]:
    return (name.captured_at, name.epoch, name.first)


def _clip(name: ClipName, manifest: StoredObject) -> CommittedClip:
    assert name.last is not None  # noqa: S101 - only manifests leave it out
    identity = ClipIdentity(name.camera, name.epoch, name.first, name.last, name.captured_at)
    return CommittedClip(identity, name.suffix, manifest.modified_at)


def _belongs(name: ClipName, clip: CommittedClip | None) -> bool:
    if name.suffix == "json":
        return True
    if clip is None or name.last != clip.identity.last:
        return False
    return name.suffix in {"jpg", clip.suffix}


class ClipFolder:
    """One camera's clips in the bucket."""

    def __init__(self, store: ObjectStore, camera: str) -> None:
        self._store = store
        self._camera = camera

    def day(self, day: date) -> Listing:
        """One UTC day. Raises StoreUnavailable."""
        return self._read(self._store.list(self._prefix(day)))

    def everything(self) -> Listing:
        """All days; some thousand names. Raises StoreUnavailable."""
        return self._read(self._store.list(f"clips/{self._camera}/"))

    def around(self, identity: ClipIdentity, last_captured_at: datetime) -> list[CommittedClip]:
        """Clips of this epoch that share a fragment with `identity`. Raises StoreUnavailable.

        Such a clip lies in the same window, so it begins less than the longest window earlier.
        """
        earliest = identity.captured_at - timedelta(seconds=LONGEST_CLIP_SECONDS)
        found: list[CommittedClip] = []
        for day in days_between(earliest, last_captured_at):
            after = f"{self._prefix(day)}{self._camera}_{stamp(earliest)}"
            listing = self._read(self._until(last_captured_at, self._prefix(day), after))
            found += listing.clips
        return [
            clip
            for clip in found
            if clip.identity.epoch == identity.epoch
            and clip.identity.first <= identity.last
            and identity.first <= clip.identity.last
        ]

    def _until(self, latest: datetime, prefix: str, after: str) -> Iterator[StoredObject]:
        for each in self._store.list(prefix, start_after=after):
            name = parse_clip_key(each.key)
            if name is not None and name.captured_at > latest:
                return
            yield each

    def manifest(self, key: str) -> Manifest | None:
        """A manifest, None if there is none. Raises StoreUnavailable, BadMessage."""
        body = self._store.read(key, MAX_MANIFEST_BYTES)
        return None if body is None else read_manifest(body)

    def manifests(self, keys: Iterable[str]) -> list[Manifest]:
        """Those of these manifests that are there and can be read. Raises StoreUnavailable."""
        found: list[Manifest] = []
        for key in keys:
            try:
                manifest = self.manifest(key)
            except Refused as error:
                self._tell_unreadable(key, str(error))
                continue
            if manifest is not None:
                found.append(manifest)
        return found

    def _manifest(self, key: str) -> Manifest:
        manifest = self.manifest(key)
        if manifest is None:
            raise StoreUnavailable(f"{key} was listed and cannot be read")
        return manifest

    def _read(self, objects: Iterable[StoredObject]) -> Listing:
        listing = read_listing(objects, self._manifest)
        for key, reason in listing.unreadable.items():
            self._tell_unreadable(key, reason)
        return listing

    def _tell_unreadable(self, key: str, reason: str) -> None:
        UNREADABLE.labels(self._camera).inc()
        get_logger(camera=self._camera).error(
            "manifest unreadable", action="manifest.unreadable", key=key, reason=reason
        )

    def _prefix(self, day: date) -> str:
        return day_prefix("clips", self._camera, midnight(day))


def manifest_under(store: ObjectStore, key: str) -> Manifest | None:
    """The manifest of a key, which must speak of that clip; None if there is none.

    Raises StoreUnavailable, and Refused if it cannot be read or speaks of another.
    """
    body = store.read(key, MAX_MANIFEST_BYTES)
    if body is None:
        return None
    manifest = read_manifest(body)
    if manifest.identity.manifest_key != key:
        raise BadMessage("its manifest speaks of another clip")
    return manifest


def midnight(day: date) -> datetime:
    """The first moment of a UTC day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def days_between(earliest: datetime, latest: datetime) -> list[date]:
    """UTC days from one moment to another, both included."""
    first, last = earliest.astimezone(UTC).date(), latest.astimezone(UTC).date()
    return [first + timedelta(days=count) for count in range((last - first).days + 1)]
