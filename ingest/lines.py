"""The lines of one camera's indexes, epoch after epoch, read on from a place.

Who goes through them (the outbox publishes them, `uploads.py` stores what they speak of) keeps a
cursor: the place up to which it is through, in a file beside the epochs.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.clock import Clock
from shared.framestore import INDEX_NAME, FrameReader
from shared.log import Log

PATIENCE_SECONDS: Final = 60.0
"""So long a later epoch waits for the end of the one before: its writer may be handing over."""
ALL: Final = -1
"""In a cursor: the whole epoch, its end included."""
_READ_BYTES: Final = 256 * 1024
_END_MARK: Final = b'"kind":"epoch-end"'


@dataclass(frozen=True)
class Cursor:
    """A place in the indexes of one camera: a byte offset in the index of an epoch, or ALL."""

    epoch: str
    offset: int

    def reaches(self, other: "Cursor") -> bool:
        """Whether it lies at `other`, or behind it."""
        if self.epoch != other.epoch:
            return self.epoch > other.epoch
        return self.offset == ALL or (other.offset != ALL and self.offset >= other.offset)


def read_cursor(path: Path) -> Cursor:
    """The cursor in a file. Raises OSError, ValueError, KeyError, TypeError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Cursor("", 0)
    return Cursor(str(content["epoch"]), int(content["offset"]))


def write_cursor(path: Path, cursor: Cursor) -> None:
    """Put a cursor into a file, whole. Raises OSError."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(
        json.dumps({"epoch": cursor.epoch, "offset": cursor.offset}), encoding="utf-8"
    )
    os.replace(temporary, path)  # noqa: PTH105 - the word of the design, and of POSIX


class IndexLines:
    """Used by one thread."""

    def __init__(self, root: Path, camera: str, clock: Clock, log: Log) -> None:
        self._folder = root / camera
        self._camera = camera
        self._clock = clock
        self._log = log
        self._reader = FrameReader(root)
        self._index: tuple[str, int] | None = None
        """The epoch whose index is open, and its descriptor: it is looked at again and again."""
        self._waits: tuple[Cursor, float] | None = None
        """Where nothing more has come, and since when."""

    def after(self, place: Cursor, most: int) -> list[tuple[bytes, Cursor]]:
        """Whole lines behind a place, each with the place behind it; none if there are none.

        They are of one epoch: the next call goes on with the next. Raises Unavailable.
        """
        while True:
            if place.epoch and place.offset != ALL:
                found = self._lines_if_any(place, most)
                if found:
                    return found
                if found is not None and not self._is_given_up(place):
                    return []
            epochs = self._reader.epochs(self._camera)
            following = next((each for each in epochs if each > place.epoch), None)
            if following is None:
                return []
            place = Cursor(following, 0)

    def within(self, place: Cursor, most: int) -> list[tuple[bytes, Cursor]]:
        """As `after`, of the place's own epoch only."""
        return self._lines_if_any(place, most) or []

    def count(self, place: Cursor) -> int:
        """How many lines of its epoch lie before a place; 0 if they cannot be read."""
        try:
            data = (self._folder / place.epoch / INDEX_NAME).read_bytes()
        except OSError:
            return 0
        return data[: len(data) if place.offset == ALL else place.offset].count(b"\n")

    def older(self, place: Cursor) -> list[str]:
        """Epochs before that of a place. Raises Unavailable."""
        return [each for each in self._reader.epochs(self._camera) if each < place.epoch]

    def _lines_if_any(self, place: Cursor, most: int) -> list[tuple[bytes, Cursor]] | None:
        """Lines behind a place; None if its epoch's folder has been removed."""
        try:
            return self._lines_at(place, most)
        except FileNotFoundError:
            return [] if (self._folder / place.epoch).exists() else None  # only just begun, or gone
        except OSError as error:
            self._log.warning(
                "index unreadable",
                action="lines.unreadable",
                camera=self._camera,
                epoch=place.epoch,
                reason=error.strerror,
            )
            return []

    def _is_given_up(self, place: Cursor) -> bool:
        """A later epoch has waited for long: the archiver finds the rest of this one by itself."""
        now = self._clock.monotonic()
        if self._waits is None or self._waits[0] != place:
            self._waits = place, now
        if now - self._waits[1] < PATIENCE_SECONDS:
            return False
        if not any(each > place.epoch for each in self._reader.epochs(self._camera)):
            return False
        self._log.warning(
            "epoch without an end is passed over",
            action="lines.passed_over",
            camera=self._camera,
            epoch=place.epoch,
        )
        return True

    def _lines_at(self, place: Cursor, most: int) -> list[tuple[bytes, Cursor]]:
        data = self._read(place)
        found: list[tuple[bytes, Cursor]] = []
        offset = place.offset
        for line in data.split(b"\n")[:-1][:most]:
            offset += len(line) + 1
            is_end = _END_MARK in line
            found.append((line, Cursor(place.epoch, ALL if is_end else offset)))
            if is_end:
                break
        return found

    def _read(self, place: Cursor) -> bytes:
        """What the index of an epoch holds from a place on. Raises OSError."""
        if self._index is None or self._index[0] != place.epoch:
            self.close()
            path = self._folder / place.epoch / INDEX_NAME
            self._index = place.epoch, os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        data = os.pread(self._index[1], _READ_BYTES, place.offset)
        if not data and not os.fstat(self._index[1]).st_nlink:  # deleted by the janitor, or by hand
            self.close()
            raise FileNotFoundError(place.epoch)
        return data

    def close(self) -> None:
        """Let go of the index."""
        index, self._index = self._index, None
        if index is not None:
            os.close(index[1])

    def load(self, name: str) -> Cursor:
        """The cursor in the camera's file `name`; the beginning if it cannot be used."""
        try:
            cursor = read_cursor(self._folder / name)
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._log.warning(
                "cursor unreadable, everything is gone through again",
                action="lines.cursor",
                camera=self._camera,
                name=name,
                reason=error,
            )
            return Cursor("", 0)
        return cursor if self._stands_between_lines(cursor) else Cursor(cursor.epoch, 0)

    def _stands_between_lines(self, cursor: Cursor) -> bool:
        """A power cut may have taken lines from the index that were confirmed."""
        if cursor.offset in {0, ALL}:
            return True
        try:
            with (self._folder / cursor.epoch / INDEX_NAME).open("rb") as index:
                index.seek(cursor.offset - 1)
                return index.read(1) == b"\n"
        except (OSError, ValueError):
            return False
