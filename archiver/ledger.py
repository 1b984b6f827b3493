"""Which fragments of one camera are settled: committed in a clip, or lost for good.

Filled from the bucket's folders, a day at a time and only for days that matter, and by what this
worker commits itself. It lives as long as the seat: whoever takes the seat reads anew.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from shared.clipfolder import CommittedClip, days_between, midnight
from shared.clock import milliseconds
from shared.identity import epoch_started_at
from shared.ranges import Ranges

LONGEST_EPOCH_DAYS = 3
"""Epochs last 12 hours; for one that claims more than this the whole camera folder is read."""
_SLACK = timedelta(hours=1)  # between an epoch's id and its first frame's capture time


class Ledger:
    """Settled fragments, by epoch and number."""

    def __init__(self, clip_seconds: int) -> None:
        self._clip_seconds = clip_seconds
        self._committed: dict[str, Ranges] = {}
        self._lost: dict[str, set[int]] = {}
        self._days: set[date] = set()
        self._every_day = False
        self.windows: set[int] = set()
        """Starts (Unix seconds) of windows that have a clip."""

    def missing_days(self, epoch: str, captured_at: datetime) -> list[date] | None:
        """Days that must be read before this fragment can be judged; None: all there are."""
        if self._every_day:
            return []
        begun = epoch_started_at(epoch)
        days = days_between(min(begun - _SLACK, captured_at), max(begun, captured_at))
        if len(days) > LONGEST_EPOCH_DAYS:
            return None
        return self.unread(days)

    def unread(self, days: Iterable[date]) -> list[date]:
        """Those of `days` that have not been read."""
        return [] if self._every_day else [day for day in days if day not in self._days]

    def read(self, days: Iterable[date] | None, clips: Iterable[CommittedClip]) -> None:
        """Take in what those days' folders (None: all) hold."""
        for clip in clips:
            identity = clip.identity
            self.commit(identity.epoch, identity.first, identity.last, identity.captured_at)
        if days is None:
            self._every_day = True
        else:
            self._days.update(days)

    def commit(self, epoch: str, first: int, last: int, captured_at: datetime) -> None:
        """A clip with these fragments exists."""
        self._committed.setdefault(epoch, Ranges()).add(first, last)
        second = milliseconds(captured_at) // 1000
        self.windows.add(second - second % self._clip_seconds)

    def lose(self, epoch: str, first: int, last: int) -> None:
        """These fragments are gone, and the custody record says so."""
        self._lost.setdefault(epoch, set()).update(range(first, last + 1))

    @property
    def lost(self) -> dict[str, frozenset[int]]:
        """What was lost, as it stands now."""
        return {epoch: frozenset(numbers) for epoch, numbers in self._lost.items()}

    @property
    def committed(self) -> dict[str, Ranges]:
        """What was committed, as it stands now."""
        return {epoch: ranges.copy() for epoch, ranges in self._committed.items()}

    def find(self, epoch: str, numbers: Iterable[int]) -> None:
        """These fragments were written off and lie in the frame store all the same."""
        left = self._lost.pop(epoch, set()).difference(numbers)
        if left:
            self._lost[epoch] = left

    def has_committed(self, epoch: str, number: int) -> bool:
        return epoch in self._committed and number in self._committed[epoch]

    def has_lost(self, epoch: str, number: int) -> bool:
        return epoch in self._lost and number in self._lost[epoch]

    def has_settled(self, epoch: str, number: int) -> bool:
        """No work is left for this fragment."""
        return self.has_committed(epoch, number) or self.has_lost(epoch, number)

    def forget(self, before: date) -> None:
        """Let go of what lies before that day: it is read again should it ever matter."""
        if self._every_day:
            return
        self._days = {day for day in self._days if day >= before}
        # An epoch is dropped whole: none that reaches a day that is kept.
        oldest = before - timedelta(days=LONGEST_EPOCH_DAYS)
        for epochs in (self._committed, self._lost):
            for epoch in [each for each in epochs if epoch_started_at(each).date() < oldest]:
                epochs.pop(epoch)
        first_second = int(midnight(before).timestamp())
        self.windows = {start for start in self.windows if start >= first_second}
