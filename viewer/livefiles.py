"""Where live output is read from: the encoder's folder, or the bucket that it publishes to.

Read by threads of its own: requests that wait for an object store that hangs hold up no picture.
From a bucket each file is fetched once for all who look, who wait for that and hold no thread. A
playlist, and that something is not there, is believed for half a second; a segment, which never
changes, is kept while players still ask for it.
"""

import os
import stat
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

from shared.clock import Clock
from shared.config import Settings
from shared.errors import CradleError
from shared.keptbytes import KeptBytes
from shared.livestore import LiveStore
from shared.log import Log

MOST_BYTES: Final = 256 * 1024 * 1024
"""No segment is as large."""
PLAYLIST_SECONDS: Final = 0.5
SEGMENT_SECONDS: Final = 15.0
AWAY_SECONDS: Final = 1.0
"""So long nobody asks a store again that did not answer."""
KEPT_BYTES: Final = 128 * 1024 * 1024
FOLDER_READERS: Final = 4
BUCKET_READERS: Final = 16
"""A wall of 60 cameras asks for some 120 files a second; of a store that is 50 ms away these read
320. Not more than the client keeps connections."""
MOST_FETCHES: Final = 256
"""At once, most of which wait for a reader; what is asked for beyond is not there."""


class LiveFiles(Protocol):
    """Safe to use from many threads."""

    def read(self, name: str) -> Future[bytes | None]:
        """All of `<camera>/<file>` or `<camera>/<generation>/<file>`; None if it is not there.

        Several may be given the same future: nobody may cancel it.
        """
        ...


class FolderFiles:
    """Those of a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._readers = ThreadPoolExecutor(FOLDER_READERS, thread_name_prefix="live")

    def read(self, name: str) -> Future[bytes | None]:
        """As `LiveFiles` says."""
        return self._readers.submit(self._read, name)

    def _read(self, name: str) -> bytes | None:
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
        self._readers = ThreadPoolExecutor(BUCKET_READERS, thread_name_prefix="live")
        self._kept = KeptBytes(clock, seconds=SEGMENT_SECONDS, most_bytes=KEPT_BYTES)
        """Empty: it is not there."""
        self._lock = threading.Lock()
        self._fetching: dict[str, Future[bytes | None]] = {}
        self._away_until = float("-inf")

    def read(self, name: str) -> Future[bytes | None]:
        """As `LiveFiles` says."""
        with self._lock:
            fetching = self._fetching.get(name)
            if fetching is not None:
                return fetching  # who comes meanwhile is given what this one brings
            found = self._look(name)
            if found is None and len(self._fetching) < MOST_FETCHES:
                fetching = self._readers.submit(self._fetch, name)
                self._fetching[name] = fetching
                return fetching
        known: Future[bytes | None] = Future()
        known.set_result(found or None)
        return known

    def _look(self, name: str) -> bytes | None:
        """What is known of a file; None if it has to be asked for."""
        found = self._kept.get(name, PLAYLIST_SECONDS)
        if found is None and not name.endswith(".m3u8"):
            found = self._kept.get(name, SEGMENT_SECONDS) or None
        return found

    def _fetch(self, name: str) -> bytes | None:
        try:
            return self._ask(name)
        finally:
            with self._lock:
                self._fetching.pop(name, None)

    def _ask(self, name: str) -> bytes | None:
        if self._clock.monotonic() < self._away_until:
            return None
        try:
            data = self._store.read(self._store.prefix + name, MOST_BYTES)
        except CradleError as error:
            self._away_until = self._clock.monotonic() + AWAY_SECONDS
            self._log.warning("live output not read", action="live.unread", reason=str(error))
            return None
        self._kept.add(name, data or b"")
        return data


def open_live(settings: Settings, clock: Clock, log: Log) -> LiveFiles:
    """The live output of a configuration. Raises Misconfigured."""
    place = settings.live.bucket
    if place is None:
        return FolderFiles(settings.live.root)
    return BucketFiles(LiveStore(settings.archive, place), clock, log)
