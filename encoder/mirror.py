"""A camera's live folder whose public side is a bucket.

ffmpeg writes into the folder, as always. What a playlist names is put into the bucket, then the
playlist, which replaces the one before; then the segment's file goes, and later its object. On
taking a seat the playlist that the bucket holds is put into the folder first, so that its numbers
are carried on by whoever comes, on whatever host. Everything that waits for the store runs on one
strand of the camera; each publication says when it can be seen, so that a camera whose output does
not arrive is called stalled. A playlist replaces the version that its writer knows, and no other:
who was frozen, or whose request was, overwrites no successor's.
"""

import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from encoder.folder import LEAST_LINGER_SECONDS, Done, LiveFolder, last_generation
from encoder.playlist import NAME, Playlist, Segment, can_be_listed, parse
from encoder.strand import Strand
from shared.backoff import pause_seconds
from shared.clock import Clock
from shared.errors import CradleError, Overtaken, SeatTaken
from shared.livestore import LiveStore
from shared.log import Log

LONGEST_PAUSE_SECONDS: Final = 2.0
DELETE_SECONDS: Final = 10.0
"""What left the bucket's playlist is deleted together, with one request."""
TYPES: Final = {
    ".m3u8": "application/vnd.apple.mpegurl",
    ".ts": "video/mp2t",
    ".m4s": "video/iso.segment",
    ".mp4": "video/mp4",
}
_PLAYLIST_BYTES: Final = 1024 * 1024


class MirroredFolder(LiveFolder):
    """Used by the loop's thread, but for `restore`."""

    def __init__(
        self, root: Path, camera: str, clock: Clock, store: LiveStore, strand: Strand, log: Log
    ) -> None:
        super().__init__(root, camera, clock)
        self._store = store
        self._prefix = f"{store.prefix}{camera}/"
        self._strand = strand
        self._log = log
        self._stored: set[str] = set()
        """What lies in the bucket, relative to the playlist. Changed by the strand alone; `load`
        reads it while nothing is published yet."""
        self._version: str | None = None
        """Of the playlist in the bucket, as last read or written. The strand's."""
        self._lock = threading.Lock()
        self._newest: Playlist | None = None
        self._waiting: list[Done] = []
        self._gone: set[str] = set()
        """Segments and generations that are to leave the bucket; under the lock, too."""
        self._delete_at = clock.monotonic()
        self._closed = threading.Event()

    # -- taking over --------------------------------------------------------------------------

    def restore(self, then: Callable[[], None]) -> None:
        """Bring the playlist from the bucket, however long that takes; then call `then`."""
        self._strand.do(lambda: self._restore(then, 0))

    def _restore(self, then: Callable[[], None], failures: int) -> None:
        """One try; the thread is others' until the next."""
        if self._closed.is_set():
            return
        try:
            self._fetch()
        except (CradleError, OSError) as error:
            self.obstacle = str(error)
            self._log.warning(
                "live output of before not read", action="mirror.unread", reason=str(error)
            )
            pause = pause_seconds(failures + 1, LONGEST_PAUSE_SECONDS)
            self._strand.do_later(pause, lambda: self._restore(then, failures + 1))
        else:
            self.obstacle = None
            then()

    def _fetch(self) -> None:
        """Bring the playlist, and give it another version: what is under way of its last writer
        then replaces nothing any more. Raises CradleError, OSError.
        """
        self._path.mkdir(parents=True, exist_ok=True)
        self._store.probe_once()
        text = self._read_playlist()
        known = None if text is None else parse(text.decode(errors="replace"))
        if known is not None:
            self._put_playlist(f"{known.text()}# taken over {secrets.token_hex(4)}\n")
        found = (each.key.removeprefix(self._prefix) for each in self._store.list(self._prefix))
        self._stored = set(filter(can_be_listed, found))  # names become paths here
        index = self._path / NAME
        if known is None:
            index.unlink(missing_ok=True)
        else:
            index.write_text(known.text())

    def load(self, least_target_seconds: int) -> Playlist:
        """Take the folder over, as it was restored."""
        playlist = super().load(least_target_seconds)
        for name in self._stored:
            if name.partition("/")[0] not in self._listed:
                self._leave(self._path / name, LEAST_LINGER_SECONDS)
        return playlist

    def _is_there(self, uri: str) -> bool:
        return uri in self._stored

    # -- publishing ---------------------------------------------------------------------------

    def write(self, playlist: Playlist, before: Playlist, done: Done) -> None:
        """As the folder's; `done` is called, on the strand, when it can be seen in the bucket."""
        super().write(playlist, before, lambda _error: None)
        with self._lock:
            self._newest = playlist
            self._waiting.append(done)
        self._strand.do(self._publish)

    def _publish(self) -> None:
        with self._lock:
            playlist, waiting = self._newest, self._waiting
            self._newest, self._waiting = None, []
        if playlist is None:
            return  # it went with one before
        error: Exception | None = None
        try:
            self._put(playlist)
        except CradleError as failure:
            error = failure
        except Exception as failure:
            error = failure
            raise  # a fault of ours, which the strand counts; the camera must not wait for it
        finally:
            for done in waiting:
                done(error)

    def _put(self, playlist: Playlist) -> None:
        """Raises SeatTaken, StoreUnavailable, Misconfigured."""
        missing = [
            number
            for number, segment in enumerate(playlist.segments, start=1)
            if not self._put_segment(segment)
        ]
        text = playlist.without_first(max(missing, default=0)).text()
        self._demand_seat()
        try:
            self._put_playlist(text)
        except Overtaken:  # by a successor, or by a request of ours that was not answered
            self._check(playlist)
            self._put_playlist(text)

    def _put_playlist(self, text: str) -> None:
        """Raises Overtaken, StoreUnavailable, Misconfigured."""
        self._version = self._store.replace_version(
            self._prefix + NAME, text.encode(), self._version, content_type=TYPES[".m3u8"]
        )

    def _demand_seat(self) -> None:
        if self._closed.is_set():
            raise SeatTaken("the camera was dropped")

    def _put_segment(self, segment: Segment) -> bool:
        """Whether all that it takes to play it lies in the bucket."""
        uris = filter(None, (segment.map_uri, segment.uri))
        there = [self._put_file(uri) for uri in uris]
        return all(there)

    def _put_file(self, uri: str) -> bool:
        """False if it was not put in time, and is gone or cannot be read."""
        if uri in self._stored:
            return True
        self._demand_seat()
        path = self._path / uri
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return False
        except OSError as error:
            self._log.warning(
                "segment not read", action="mirror.unreadable", path=uri, reason=str(error)
            )
            return False
        self._store.replace(self._prefix + uri, data, content_type=TYPES[path.suffix])
        self._stored.add(uri)
        with suppress(OSError):
            path.unlink()
        return True

    def _check(self, playlist: Playlist) -> None:
        """Raises SeatTaken, StoreUnavailable, Misconfigured."""
        text = self._read_playlist()
        other = None if text is None else parse(text.decode(errors="replace"))
        if other is not None and last_generation(other) > last_generation(playlist):
            raise SeatTaken("another worker writes this camera's playlist")

    def _read_playlist(self) -> bytes | None:
        """The playlist in the bucket, whose version is known from now on."""
        found = self._store.read_version(self._prefix + NAME, _PLAYLIST_BYTES)
        text, self._version = (None, None) if found is None else found
        return text

    # -- leaving ------------------------------------------------------------------------------

    def clean(self) -> None:
        """As the folder's; what went there goes from the bucket soon after. Raises OSError."""
        super().clean()
        now = self._clock.monotonic()
        if self._gone and now >= self._delete_at:
            self._delete_at = now + DELETE_SECONDS
            self._strand.do(self._delete)

    def _went(self, name: str) -> None:
        with self._lock:
            self._gone.add(name)

    def _delete(self) -> None:
        with self._lock:
            gone, self._gone = self._gone, set()
        found = {name for name in self._stored if {name, name.partition("/")[0]} & gone}
        try:
            self._store.remove_all(self._prefix + name for name in sorted(found))
        except CradleError as error:
            self._log.warning("old live output stays", action="live.uncleaned", reason=str(error))
            with self._lock:
                self._gone |= gone
        else:
            self._stored -= found

    def stop(self) -> None:
        """Nothing more is to be published: the seat may be another's."""
        self._closed.set()
