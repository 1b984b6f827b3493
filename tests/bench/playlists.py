"""Watches playlists as players do, and keeps what they named.

Twenty times a second every playlist is looked at. A segment that is named for the first time is
published: at the moment when the playlist was moved to its name, which the file system notes on the
file itself (ctime), so looking late costs no accuracy. If one is replaced between two looks, what
it named counts as published with the next. Segments get a second name (hard link), so that they can
be read once nothing is measured any more.
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True)
class Publication:
    """One segment when it appeared."""

    camera: int
    published_ns: int
    """Wall clock, nanoseconds; from the kernel's tick, a few milliseconds coarse."""
    duration_seconds: float
    file: Path | None
    """Its second name; None if it appeared before segments were kept."""


def named_segments(text: str) -> list[tuple[str, float]]:
    """Address and duration of each segment that a media playlist lists."""
    found = []
    duration = 0.0
    for line in text.splitlines():
        if line.startswith("#EXTINF:"):
            duration = float(line[8:].partition(",")[0])
        elif line and not line.startswith("#"):
            found.append((line, duration))
    return found


class PlaylistWatch:
    """Looks at some playlists, from a thread of its own."""

    def __init__(self, playlists: Mapping[int, Path], kept: Path) -> None:
        """`playlists`: by number of the camera. `kept`: folder for the second names."""
        self.publications: list[Publication] = []
        self._playlists = dict(playlists)
        self._kept = kept
        self._seen: dict[int, set[str]] = {camera: set() for camera in playlists}
        self._looked: dict[int, tuple[int, int]] = {}
        self._keeps = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="playlists", daemon=True)
        kept.mkdir(parents=True)

    def start(self) -> None:
        self._thread.start()

    def keep(self) -> None:
        """From now on keep the segments."""
        self._keeps.set()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def published(self) -> int:
        """Segments so far of the camera that has the fewest."""
        return min((len(seen) for seen in self._seen.values()), default=0)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            for camera, playlist in self._playlists.items():
                try:
                    self._look(camera, playlist)
                except FileNotFoundError:
                    continue  # not there yet

    def _look(self, camera: int, playlist: Path) -> None:
        status = playlist.stat()
        if self._looked.get(camera) == (status.st_ino, status.st_mtime_ns):
            return
        with playlist.open(encoding="utf-8") as file:
            status = os.fstat(file.fileno())
            named = named_segments(file.read())
        self._looked[camera] = (status.st_ino, status.st_mtime_ns)
        for address, duration in named:
            if address not in self._seen[camera]:
                self._seen[camera].add(address)
                kept = self._second_name(camera, playlist.parent / address)
                self.publications.append(Publication(camera, status.st_ctime_ns, duration, kept))

    def _second_name(self, camera: int, segment: Path) -> Path | None:
        if not self._keeps.is_set():
            return None
        kept = self._kept / f"{camera:04d}-{len(self.publications):08d}{segment.suffix}"
        try:
            kept.hardlink_to(segment)
        except FileNotFoundError:
            return None  # a player would have found nothing either
        return kept
