"""What lies under one camera's `clips/`: manifests, the objects they name, and what nobody names.

A clip exists when its manifest does. Each manifest is read once and let go of again, for two months
of a camera hold millions of fragments; what stays is what its name says. An object without one is a
leftover of a commit that was interrupted, or of one that is under way; a key of another form is a
stranger. Neither is damage, and nobody here touches them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shared.clipfolder import CommittedClip, days_between, midnight
from shared.errors import Refused
from shared.identity import day_prefix, parse_clip_key
from shared.manifest import MAX_MANIFEST_BYTES, Manifest, read_manifest
from shared.objectstore import ObjectStore, StoredObject


@dataclass(frozen=True)
class Damage:
    """A clip that is not as its manifest says."""

    camera: str
    key: str
    """Of the manifest."""
    words: tuple[str, ...]


@dataclass
class Inventory:
    """Of one camera."""

    camera: str
    clips: list[CommittedClip] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)


def take_inventory(
    store: ObjectStore, camera: str, bounds: tuple[datetime, datetime] | None
) -> Inventory:
    """All clips of a camera, or those that begin within `bounds` (UTC). Raises StoreUnavailable."""
    found = Inventory(camera)
    objects: dict[str, StoredObject] = {}
    manifests: list[str] = []
    for each in _listed(store, camera, bounds):
        name = parse_clip_key(each.key)
        if name is None:
            found.strangers.append(each.key)
        elif bounds is not None and not bounds[0] <= name.captured_at < bounds[1]:
            continue
        elif name.suffix == "json":
            manifests.append(each.key)
        else:
            objects[each.key] = each
    for key in manifests:
        manifest = _read(store, key, found)
        if manifest is None:
            continue
        found.clips.append(CommittedClip(manifest.identity, manifest.container, None))
        for named in (manifest.object_key, manifest.poster_key):
            if named is not None:
                objects.pop(named, None)
    known = {_beginning(key) for key in manifests}
    unread = known - {_beginning(each.identity.manifest_key) for each in found.clips}
    found.leftovers = [key for key in objects if _beginning(key) not in unread]
    found.damages += overlaps(found.clips)
    return found


def _listed(
    store: ObjectStore, camera: str, bounds: tuple[datetime, datetime] | None
) -> list[StoredObject]:
    if bounds is None:
        return list(store.list(f"clips/{camera}/"))
    return [
        each
        for day in days_between(*bounds)
        for each in store.list(day_prefix("clips", camera, midnight(day)))
    ]


def _beginning(key: str) -> str:
    """What the keys of one clip's manifest, object and poster have in common."""
    stem = key.rpartition(".")[0]
    return stem if key.endswith(".json") else stem.rpartition("-")[0]


def _read(store: ObjectStore, key: str, found: Inventory) -> Manifest | None:
    try:
        body = store.read(key, MAX_MANIFEST_BYTES)
        if body is None:
            return None  # it has expired meanwhile
        manifest = read_manifest(body)
    except Refused as error:
        found.damages.append(Damage(found.camera, key, (f"the manifest cannot be read: {error}",)))
        return None
    if manifest.identity.manifest_key != key:
        words = (f"it is the manifest of {manifest.identity.manifest_key}",)
        found.damages.append(Damage(found.camera, key, words))
        return None
    return manifest


def overlaps(clips: Sequence[CommittedClip]) -> list[Damage]:
    """Clips that hold a fragment which an earlier one holds. Pure."""
    found: list[Damage] = []
    widest: CommittedClip | None = None
    for clip in sorted(clips, key=lambda each: (each.identity.epoch, each.identity.first)):
        if widest is None or clip.identity.epoch != widest.identity.epoch:
            widest = clip
            continue
        mine, before = clip.identity, widest.identity
        if mine.first <= before.last:
            last = min(mine.last, before.last)
            words = (f"fragments {mine.first}-{last} are in {widest.object_key}, too",)
            found.append(Damage(mine.camera, mine.manifest_key, words))
        if mine.last > before.last:
            widest = clip
    return found
