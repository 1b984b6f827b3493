"""Publishes closed fragments and ends of epochs until the broker has confirmed each.

The index on the disk is the outbox: its lines are the messages. Beside it stands a cursor, the
place up to which everything is confirmed. After a lost link, or in another worker, publishing goes
on from the cursor, through old epochs too; what is sent twice is a duplicate that the archiver
knows by identity. Only `WINDOW` messages are under way at once.
"""

import json
import os
import threading
from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from ingest.traces import FragmentTraces, Headers, OnResult
from shared.clock import Clock
from shared.errors import Unavailable
from shared.framestore import INDEX_NAME, FrameReader
from shared.link import Link
from shared.log import Log
from shared.topology import FRAMES, fragment_key

WINDOW: Final = 200
CURSOR_NAME: Final = "published.json"
CURSOR_SECONDS: Final = 5.0
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


@dataclass(eq=False)
class _Sent:
    """One line under way; `after` is the place behind it."""

    after: Cursor
    confirmed: bool = False


def read_cursor(folder: Path) -> Cursor:
    """The cursor of a camera's folder. Raises OSError, ValueError, KeyError, TypeError."""
    try:
        content = json.loads((folder / CURSOR_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Cursor("", 0)
    return Cursor(str(content["epoch"]), int(content["offset"]))


class Outbox:
    """The outbox of one camera. `pump` from one thread; confirms come from the link's."""

    def __init__(
        self,
        root: Path,
        camera: str,
        clock: Clock,
        log: Log,
        traces: FragmentTraces | None = None,
    ) -> None:
        self._folder = root / camera
        self._camera = camera
        self._clock = clock
        self._log = log
        self._traces = traces
        self._reader = FrameReader(root)
        self._lock = threading.Lock()
        self._cursor = self._load()
        self._position = self._cursor
        self._sent: deque[_Sent] = deque()
        self._refused = False
        self._index: tuple[str, int] | None = None
        """The epoch whose index is open, and its descriptor: it is looked at again and again."""
        self._waits: tuple[Cursor, float] | None = None
        """Where nothing more has come, and since when."""
        self._saved = self._cursor
        self._saved_at = clock.monotonic()

    def restart(self) -> None:
        """A new link: everything behind the cursor is sent again."""
        with self._lock:
            self._sent = deque()
            self._position = self._cursor
            self._refused = False

    def pump(self, link: Link) -> int:
        """Send what there is and the window allows; returns how many messages were sent."""
        if self._refused:
            self.restart()
        count = 0
        try:
            while room := WINDOW - len(self._sent):
                found = self._next_lines(room)
                for line, after in found:
                    self._send(link, line, after)
                count += len(found)
                if len(found) < room and not (found and found[-1][1].offset == ALL):
                    break
            if self._clock.monotonic() - self._saved_at >= CURSOR_SECONDS:
                self.save()
        except (OSError, Unavailable) as error:
            self._log.warning(
                "outbox waits for the disk",
                action="outbox.failed",
                camera=self._camera,
                reason=str(error),
            )
        return count

    @property
    def is_full(self) -> bool:
        """As much is under way as may be; there may be more behind it."""
        with self._lock:
            return len(self._sent) >= WINDOW

    def close(self) -> None:
        """Write the cursor down and let go of the index. Raises OSError."""
        self._let_go()
        self.save()

    def save(self) -> None:
        """Write the cursor down. Raises OSError."""
        self._saved_at = self._clock.monotonic()
        with self._lock:
            cursor = self._cursor
        if cursor == self._saved:
            return
        path = self._folder / CURSOR_NAME
        temporary = path.with_suffix(".tmp")
        temporary.write_text(
            json.dumps({"epoch": cursor.epoch, "offset": cursor.offset}), encoding="utf-8"
        )
        os.replace(temporary, path)  # noqa: PTH105 - the word of the design, and of POSIX
        self._saved = cursor

    @property
    def waiting(self) -> bool:
        """Messages are under way that the broker has not confirmed."""
        with self._lock:
            return bool(self._sent)

    # -- sending ------------------------------------------------------------------------------

    def _send(self, link: Link, line: bytes, after: Cursor) -> None:
        sent = _Sent(after)
        with self._lock:
            self._position = after
            self._sent.append(sent)
        headers: Headers | None = None
        on_result: OnResult = partial(self._result, sent)
        if self._traces is not None:
            headers, on_result = self._traces.of_line(self._camera, after.epoch, line, on_result)
        link.publish_confirmed(
            FRAMES, fragment_key(self._camera), line, headers=headers, on_result=on_result
        )

    def _result(self, sent: _Sent, good: bool) -> None:
        with self._lock:
            if not good:  # the link is lost, or the broker could not take it
                self._refused = self._refused or sent in self._sent
                return
            sent.confirmed = True
            while self._sent and self._sent[0].confirmed:
                self._cursor = self._sent.popleft().after

    # -- reading ------------------------------------------------------------------------------

    def _next_lines(self, most: int) -> list[tuple[bytes, Cursor]]:
        """Whole lines behind the position, each with the place behind it; none if there are none.

        They are of one epoch: the next call goes on with the next.
        """
        place = self._position
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

    def _lines_if_any(self, place: Cursor, most: int) -> list[tuple[bytes, Cursor]] | None:
        """Lines behind a place; None if its epoch's folder has been removed."""
        try:
            return self._lines_at(place, most)
        except FileNotFoundError:
            return [] if (self._folder / place.epoch).exists() else None  # only just begun, or gone
        except OSError as error:
            self._log.warning(
                "index unreadable",
                action="outbox.unreadable",
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
            action="outbox.passed_over",
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
            self._let_go()
            path = self._folder / place.epoch / INDEX_NAME
            self._index = place.epoch, os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        data = os.pread(self._index[1], _READ_BYTES, place.offset)
        if not data and not os.fstat(self._index[1]).st_nlink:  # deleted by the janitor, or by hand
            self._let_go()
            raise FileNotFoundError(place.epoch)
        return data

    def _let_go(self) -> None:
        index, self._index = self._index, None
        if index is not None:
            os.close(index[1])

    def _load(self) -> Cursor:
        try:
            cursor = read_cursor(self._folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._log.warning(
                "cursor unreadable, everything is published again",
                action="outbox.cursor",
                camera=self._camera,
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
