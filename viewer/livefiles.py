"""Where live output is read from: the encoder's folder, or the bucket that it publishes to.

From a bucket each file is fetched once for all who look: a playlist is believed for half a second,
a segment, which never changes, is kept while players still ask for it.
"""

import os
import stat
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final, Protocol

from shared.clock import Clock
from shared.config import Settings
from shared.errors import CradleError
from shared.livestore import LiveStore
from shared.log import Log

MOST_BYTES: Final = 256 * 1024 * 1024
"""No segment is as large."""
PLAYLIST_SECONDS: Final = 0.5
SEGMENT_SECONDS: Final = 15.0
AWAY_SECONDS: Final = 1.0
"""So long nobody asks a store again that did not answer."""
KEPT_BYTES: Final = 128 * 1024 * 1024


class LiveFiles(Protocol):
    """Safe to use from many threads."""

    def read(self, name: str) -> bytes | None:
        """All of `<camera>/<file>` or `<camera>/<generation>/<file>`; None if it is not there."""
        ...


class FolderFiles:
    """Those of a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes | None:
        """As `LiveFiles` says."""
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(self._root / name, flags)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
                    return None
                return file.read()
        except OSError:
            return None


class BucketFiles:
    """Those of a bucket."""

    def __init__(self, store: LiveStore, clock: Clock, log: Log) -> None:
        self._store = store
        self._clock = clock
        self._log = log
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._fetching: dict[str, threading.Lock] = {}
        self._away_until = float("-inf")

    def read(self, name: str) -> bytes | None:
        """As `LiveFiles` says."""
        found = self._look(name)
        if found is not None:
            return found
        with self._lock:
            mine = self._fetching.setdefault(name, threading.Lock())
        with mine:  # who comes meanwhile is given what this one brings
            found = self._look(name)
            if found is None:
                found = self._fetch(name)
        with self._lock:
            self._fetching.pop(name, None)
        return found

    def _look(self, name: str) -> bytes | None:
        seconds = PLAYLIST_SECONDS if name.endswith(".m3u8") else SEGMENT_SECONDS
        with self._lock:
            kept = self._kept.get(name)
        return kept[0] if kept and self._clock.monotonic() - kept[1] < seconds else None

    def _fetch(self, name: str) -> bytes | None:
        if self._clock.monotonic() < self._away_until:
            return None
        try:
            data = self._store.read(self._store.prefix + name, MOST_BYTES)
        except CradleError as error:
            self._away_until = self._clock.monotonic() + AWAY_SECONDS
            self._log.warning("live output not read", action="live.unread", reason=str(error))
            return None
        if data is not None:
            self._keep(name, data)
        return data

    def _keep(self, name: str, data: bytes) -> None:
        now = self._clock.monotonic()
        with self._lock:
            self._kept.pop(name, None)
            self._kept[name] = data, now
            total = sum(len(kept) for kept, _ in self._kept.values())
            while self._kept:
                oldest, (kept, since) = next(iter(self._kept.items()))
                if total <= KEPT_BYTES and now - since < SEGMENT_SECONDS:
                    return
                del self._kept[oldest]
                total -= len(kept)


def open_live(settings: Settings, clock: Clock, log: Log) -> LiveFiles:
    """The live output of a configuration. Raises Misconfigured."""
    place = settings.live.bucket
    if place is None:
        return FolderFiles(settings.live.root)
    return BucketFiles(LiveStore(settings.archive, place), clock, log)
