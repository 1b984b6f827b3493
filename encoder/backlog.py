"""The batches of one camera that wait for ffmpeg, and those that ffmpeg has but may lose.

What was fed stays unacknowledged until the next fragment begins. If the child dies before, it comes
back to the head of what waits; if the worker dies, the broker gives it to the successor.
"""

from collections import deque
from typing import Final

from encoder.cursor import Cursor, begins_fragment
from shared.link import Delivery
from shared.messages import Batch

MOST_HELD: Final = 16
"""Batches of one fragment that are fed and not acknowledged: half of what the broker gives."""


class Backlog:
    """In order of arrival. True while something waits."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Batch, Delivery]] = deque()
        self._held: deque[tuple[Batch, Delivery]] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, batch: Batch, delivery: Delivery) -> None:
        self._waiting.append((batch, delivery))

    @property
    def first(self) -> Batch:
        """The one to be dealt with."""
        return self._waiting[0][0]

    def newest_of(self, epoch: str) -> Batch:
        """The one of an epoch, of which there is one, that came last."""
        return next(batch for batch, _ in reversed(self._waiting) if batch.epoch == epoch)

    def has_newer_key_frame(self) -> bool:
        """A later fragment of the first one's epoch begins here."""
        first = self.first
        return any(
            begins_fragment(each) and each.epoch == first.epoch and each.fragment > first.fragment
            for each, _ in self._waiting
        )

    def end_of_fragment(self) -> int:
        """How much of the first one's fragment is known to be in the store, in bytes."""
        place = (self.first.epoch, self.first.fragment)
        return max(
            each.offset + each.bytes
            for each, _ in self._waiting
            if (each.epoch, each.fragment) == place
        )

    def bring_forward(self, cursor: Cursor | None) -> bool:
        """Put the batch that continues a run before all others, if it waits; whether it did."""
        for place, (batch, _) in enumerate(self._waiting):
            if cursor is not None and cursor.continued_by(batch):
                self._waiting.rotate(-place)
                found = self._waiting.popleft()
                self._waiting.rotate(place)
                self._waiting.appendleft(found)
                return True
        return False

    def leave_out(self) -> None:
        """The first one is not fed."""
        self._waiting.popleft()[1].ack()

    def hold(self) -> None:
        """The first one was fed whole."""
        if begins_fragment(self.first) or len(self._held) == MOST_HELD:
            self.acknowledge()
        self._held.append(self._waiting.popleft())

    def acknowledge(self) -> None:
        """Nothing that was fed will be needed again."""
        while self._held:
            self._held.popleft()[1].ack()

    def take_back(self) -> None:
        """The child is gone: what is held is to be fed again."""
        self._waiting.extendleft(reversed(self._held))
        self._held.clear()

    def clear_waiting(self) -> None:
        """Forget what waits; unacknowledged, it goes back to the broker with the seat."""
        self._waiting.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        self._held.clear()
