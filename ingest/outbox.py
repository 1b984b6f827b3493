"""Publishes closed fragments and ends of epochs until the broker has confirmed each.

The index on the disk is the outbox: its lines are the messages. Beside it stands a cursor, the
place up to which everything is confirmed. After a lost link, or in another worker, publishing goes
on from the cursor, through old epochs too; what is sent twice is a duplicate that the archiver
knows by identity. Only `WINDOW` messages are under way at once.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from ingest.lines import ALL, Cursor, IndexLines, write_cursor
from ingest.traces import FragmentTraces, Headers, OnResult
from shared.clock import Clock
from shared.errors import Unavailable
from shared.link import Link
from shared.log import Log
from shared.topology import FRAMES, fragment_key

WINDOW: Final = 200
CURSOR_NAME: Final = "published.json"
CURSOR_SECONDS: Final = 5.0


@dataclass(eq=False)
class _Sent:
    """One line under way; `after` is the place behind it."""

    after: Cursor
    confirmed: bool = False


class Outbox:
    """The outbox of one camera. `pump` from one thread; confirms come from the link's."""

    def __init__(
        self,
        root: Path,
        camera: str,
        clock: Clock,
        log: Log,
        reaches: Callable[[Cursor], bool] | None = None,
        traces: FragmentTraces | None = None,
    ) -> None:
        """`reaches` says whether lines before a place may be published; without it, all may."""
        self._folder = root / camera
        self._camera = camera
        self._clock = clock
        self._log = log
        self._reaches = reaches
        self._traces = traces
        self._lines = IndexLines(root, camera, clock, log)
        self._lock = threading.Lock()
        self._cursor = self._lines.load(CURSOR_NAME)
        self._position = self._cursor
        self._sent: deque[_Sent] = deque()
        self._refused = False
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
        """As much is under way as may be; there may be more behind it, and nothing was refused."""
        with self._lock:
            return not self._refused and len(self._sent) >= WINDOW

    def close(self) -> None:
        """Write the cursor down and let go of the index. Raises OSError."""
        self._lines.close()
        self.save()

    def save(self) -> None:
        """Write the cursor down. Raises OSError."""
        self._saved_at = self._clock.monotonic()
        with self._lock:
            cursor = self._cursor
        if cursor == self._saved:
            return
        write_cursor(self._folder / CURSOR_NAME, cursor)
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

    def _next_lines(self, most: int) -> list[tuple[bytes, Cursor]]:
        found = self._lines.after(self._position, most)
        if self._reaches is None:
            return found
        return [each for each in found if self._reaches(each[1])]
