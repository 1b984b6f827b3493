"""The folder of one camera's live output, `<live>/<camera>/`.

    index.m3u8          the public playlist, replaced whole at each new segment
    <generation>/       what one run of ffmpeg wrote: segments, init.mp4

Whoever holds the camera's seat owns the folder. On taking it, the playlist there is carried on and
folders that it does not name (of runs that were killed) are marked to go. A segment that left the
playlist stays a while for players that are still reading the list from before; a generation goes
with its last segment. Nothing is synced to disk: after a power cut a torn playlist is no loss, it
is recognised and begun anew. A worker that froze, lost its seat and woke up between two looks at
the clock could put its old list over its successor's, so each write looks first whose file it is.
"""

import errno
import os
import re
import shutil
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from encoder.playlist import NAME, Playlist, parse
from shared.clock import Clock
from shared.errors import SeatTaken
from shared.identity import EPOCH_PATTERN, new_epoch

LEAST_LINGER_SECONDS: Final = 15.0
"""Longer than a player takes to fetch what an older list names."""

Done = Callable[[Exception | None], None]
"""Called when a playlist can be seen, or with the reason why it cannot."""

LEFTOVER = re.compile(rf"{EPOCH_PATTERN}|\.{re.escape(NAME)}\.\d+\.tmp")
"""Names, beside the playlist's, of what lies in such a folder."""


class LiveFolder:
    """One camera's folder; used by one thread."""

    def __init__(self, root: Path, camera: str, clock: Clock) -> None:
        self.obstacle: str | None = None
        """Why it cannot be taken over yet."""
        self._path = root / camera
        self._index = str(self._path / NAME)  # looked at each second: pathlib would cost more
        self._temporary = str(self._path / f".{NAME}.{os.getpid()}.tmp")
        self._clock = clock
        self._ours: tuple[int, int] | None = None
        self._leaving: deque[tuple[float, Path]] = deque()
        self._running: set[str] = set()
        self._listed: set[str] = set()

    def load(self, least_target_seconds: int) -> Playlist:
        """Take the folder over; says what the playlist goes on from. Raises OSError."""
        self._path.mkdir(parents=True, exist_ok=True)
        found = self._read()
        playlist = found or Playlist.started_at(self._clock.now(), least_target_seconds)
        missing = [
            number
            for number, segment in enumerate(playlist.segments, start=1)
            if not self._is_there(segment.uri)
        ]
        playlist = playlist.without_first(max(missing, default=0))
        self._listed = {segment.generation for segment in playlist.segments}
        with os.scandir(self._path) as entries:
            for entry in entries:
                if entry.name not in self._listed and LEFTOVER.fullmatch(entry.name):
                    self._leave(Path(entry.path), LEAST_LINGER_SECONDS)
        return playlist

    def _is_there(self, uri: str) -> bool:
        return (self._path / uri).is_file()

    def _read(self) -> Playlist | None:
        try:
            text = Path(self._index).read_text(encoding="utf-8")
            self._ours = self._identity()
        except (FileNotFoundError, UnicodeDecodeError):
            return None
        return parse(text)

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._index)  # noqa: PTH116
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def new_generation(self) -> tuple[str, Path]:
        """Name (as an epoch's: sorted behind what is there, unique) and folder for a run of ffmpeg.

        Raises OSError.
        """
        name = new_epoch(self._clock.now(), max(self._listed | self._running, default=None))
        path = self._path / name
        path.mkdir(parents=True)  # all may be gone of a camera that was silent for an hour
        self._running.add(name)
        return name, path

    def end_generation(self, name: str) -> None:
        """Nothing is written there any more: it goes with its last segment."""
        self._running.discard(name)
        if name not in self._listed:
            self._leave(self._path / name, LEAST_LINGER_SECONDS)

    def write(self, playlist: Playlist, before: Playlist, done: Done) -> None:
        """Publish `playlist`, which followed on `before`; `done` is told when it can be seen.

        Raises SeatTaken if another worker has published a younger generation, OSError.
        """
        identity = self._identity()
        if identity is not None and identity != self._ours:
            other = self._read()
            if other is not None and last_generation(other) > last_generation(playlist):
                raise SeatTaken("another worker writes this camera's playlist")
        self._ours = self._replace(playlist.text().encode())
        self._listed = {segment.generation for segment in playlist.segments}
        self._mark_left(before, playlist)
        done(None)

    def _replace(self, data: bytes) -> tuple[int, int]:
        """Put a new playlist in the place of the old, whole; says which file it is."""
        file = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            if os.write(file, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            status = os.fstat(file)
        finally:
            os.close(file)
        os.replace(self._temporary, self._index)  # noqa: PTH105
        return status.st_ino, status.st_mtime_ns

    def _mark_left(self, before: Playlist, after: Playlist) -> None:
        listed = {segment.uri for segment in after.segments}
        linger = LEAST_LINGER_SECONDS + sum(each.duration_seconds for each in before.segments)
        for segment in before.segments:
            if segment.uri not in listed:
                self._leave(self._path / segment.uri, linger)

    def _leave(self, path: Path, linger_seconds: float) -> None:
        self._leaving.append((self._clock.monotonic() + linger_seconds, path))

    def clean(self) -> None:
        """Delete what has been out of the playlist for long enough. Raises OSError."""
        while self._leaving and self._leaving[0][0] <= self._clock.monotonic():
            _, path = self._leaving.popleft()
            if path.parent == self._path:
                self._remove(path)
                continue
            path.unlink(missing_ok=True)
            self._went(f"{path.parent.name}/{path.name}")
            waits = any(other.parent == path.parent for _, other in self._leaving)
            if not waits and path.parent.name not in self._listed | self._running:
                self._remove(path.parent)

    def _remove(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(FileNotFoundError):
                path.unlink()
        self._went(path.name)

    def _went(self, name: str) -> None:
        """A segment or a whole generation was deleted; relative to the playlist."""

    def stop(self) -> None:
        """Nothing more is to be published."""


def last_generation(playlist: Playlist) -> str:
    """The youngest one that it names; sortable."""
    return playlist.segments[-1].generation if playlist.segments else ""
