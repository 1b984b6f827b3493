"""From the bucket into the index: what is listed and not known is read, what is gone is forgotten.

A folder (a prefix of keys) is made good as a whole: `clips/`, `custody/`, `analysis/` and `holds/`
of a camera, all of it or one day. Objects are small; several are read at a time. One that cannot be
read is known as unreadable (a clip), or skipped and counted, and stops nobody.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Final

from prometheus_client import Counter

from shared.analysis import read_result
from shared.clipfolder import manifest_under, midnight
from shared.clock import milliseconds
from shared.coverage.evidence import recording_since
from shared.custody import read_custody
from shared.errors import BadMessage, Refused
from shared.identity import day_prefix, parse_clip_key
from shared.log import Log
from shared.objectstore import ObjectStore
from viewer.index import Index, Row, clip_row, note_row, record_row

READERS: Final = 8
AT_ONCE: Final = 200
"""So many rows are written in one transaction."""
HOLDS: Final = "holds/"

SKIPPED = Counter(
    "cradle_viewer_unreadable_objects_total", "Objects that cannot be read.", ["root"]
)


@dataclass(frozen=True)
class _Root:
    """A top folder of the bucket, the tables that its objects are in, and how one is read."""

    name: str
    tables: tuple[str, ...]
    read: Callable[[str], Row | None]


class Reading:
    """Brings the index up to what the bucket holds. Raises StoreUnavailable, Misconfigured."""

    def __init__(self, store: ObjectStore, index: Index, log: Log) -> None:
        self._store = store
        self._index = index
        self._log = log
        self._custody = _Root("custody", ("records",), self._record)
        self._roots = (
            _Root("clips", ("clips", "unreadable"), self._clip),
            self._custody,
            _Root("analysis", ("notes",), self._note),
        )

    # -- one object ---------------------------------------------------------------------------

    def take_clip(self, key: str) -> Row | None:
        """The clip of a manifest's key, put into the index; None if there is none (any more)."""
        return self._take(key, self._clip)

    def take_note(self, key: str) -> Row | None:
        """The result of a key, put into the index; None if there is none or it is not readable."""
        return self._take(key, self._note)

    def _take(self, key: str, read: Callable[[str], Row | None]) -> Row | None:
        row = read(key)
        if row is not None:
            self._index.put([row])
        return row

    # -- folders ------------------------------------------------------------------------------

    def take_day(self, camera: str, day: date) -> None:
        """One UTC day of a camera."""
        for root in self._roots:
            self._make_good(day_prefix(root.name, camera, midnight(day)), root)

    def take_records(self, camera: str, day: date) -> None:
        """The custody records of one UTC day."""
        self._make_good(day_prefix("custody", camera, midnight(day)), self._custody)

    def take_camera(self, camera: str) -> None:
        """Everything of a camera."""
        for root in self._roots:
            self._make_good(f"{root.name}/{camera}/", root)
        self.take_holds(camera)
        since = recording_since(self._store, camera)
        if since is not None:
            self._index.set_since(camera, milliseconds(since))

    def take_holds(self, camera: str) -> None:
        """The clips of a camera that are held."""
        holds = _Root("holds", ("holds",), lambda key: _hold(key, camera))
        self._make_good(f"{HOLDS}clips/{camera}/", holds)

    def cameras(self) -> list[str]:
        """Those that have, or had, footage."""
        return sorted(self._store.folders("clips/") | self._index.cameras())

    def _make_good(self, prefix: str, root: "_Root") -> None:
        """What comes while this reads is not seen here, and so not touched."""
        known = {table: self._index.keys(table, prefix) for table in root.tables}
        sizes = {each.key: each.bytes for each in self._store.list(prefix)}
        listed = {key for key in sizes if key.endswith(".json")}
        for table, keys in known.items():
            if keys - listed:
                self._index.remove(table, keys - listed)
        # What could not be read is tried again: it may have been the reader's fault.
        new = sorted(listed - known[root.tables[0]], reverse=True)
        with ThreadPoolExecutor(READERS, thread_name_prefix="reading") as readers:
            for keys_at_once in _portions(new, AT_ONCE):
                rows = [row for row in readers.map(root.read, keys_at_once) if row is not None]
                self._index.put(rows)
        if root.name == "clips":
            self._index.put(list(self._without_object(prefix, sizes)))

    def _without_object(self, prefix: str, sizes: dict[str, int]) -> Iterator[Row]:
        """Clips whose object is gone or has another size: they are no footage."""
        for clip in self._index.clips_below(prefix):
            size = sizes.get(clip["object_key"])
            if size == clip["bytes"] or clip["key"] not in sizes:
                continue
            words = "its object is not in the bucket"
            if size is not None:
                words = f"its object has {size} bytes instead of {clip['bytes']}"
            yield _unreadable(clip["key"], clip["epoch"], clip["first"], clip["starts"], words)

    # -- what an object says ------------------------------------------------------------------

    def _clip(self, key: str) -> Row | None:
        name = parse_clip_key(key)
        if name is None:
            return None
        try:
            manifest = manifest_under(self._store, key)
        except Refused as error:
            self._skip("clips", key, error)
            captured = milliseconds(name.captured_at)
            return _unreadable(key, name.epoch, name.first, captured, str(error))
        return None if manifest is None else clip_row(manifest)

    def _record(self, key: str) -> Row | None:
        try:
            body = self._store.read(key)
            record = None if body is None else read_custody(body)
            if record is not None and key.split("/")[1] != record.camera:
                raise BadMessage("it speaks of another camera")
        except Refused as error:
            self._skip("custody", key, error)
            return None
        return None if record is None else record_row(key, record)

    def _note(self, key: str) -> Row | None:
        try:
            body = self._store.read(key)
            result = None if body is None else read_result(body)
            if result is not None and key.split("/")[1] != result.camera:
                raise BadMessage("it speaks of another camera")
            if result is not None and not result.picture_key.startswith(
                f"analysis/{result.camera}/"
            ):
                raise BadMessage("its picture lies elsewhere")
        except Refused as error:
            self._skip("analysis", key, error)
            return None
        return None if result is None else note_row(key, result)

    def _skip(self, root: str, key: str, error: Refused) -> None:
        SKIPPED.labels(root).inc()
        self._log.warning("object unreadable", action="index.skipped", key=key, reason=str(error))


def _unreadable(key: str, epoch: str, first: int, captured: int, why: str) -> Row:
    values = {
        "key": key,
        "camera": key.split("/")[1],
        "epoch": epoch,
        "first": first,
        "captured": captured,
        "words": f"the clip of {key} cannot be read: {why}",
    }
    return Row("unreadable", values)


def _hold(key: str, camera: str) -> Row:
    return Row("holds", {"key": key, "camera": camera})


def _portions(keys: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(keys)
    while portion := list(islice(iterator, size)):
        yield portion
