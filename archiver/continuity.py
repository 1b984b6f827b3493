"""Which epochs have begun and ended, what came before a clip, and why there is nothing between."""

from itertools import pairwise
from typing import Final

from archiver.book import Run
from shared.manifest import Gap
from shared.messages import EpochEnd, Fragment

KEPT_EPOCHS: Final = 1000
"""A camera that reconnects all the time must not fill the memory."""


class Continuity:
    """The epochs of one camera, and the last fragment that went into a clip."""

    def __init__(self) -> None:
        self.ends: dict[str, EpochEnd] = {}
        self._untrue: dict[str, EpochEnd] = {}
        self._certain: set[str] = set()
        self._doubted: dict[str, None] = {}
        self._begun: dict[str, None] = {}
        self._latest: Fragment | None = None

    def begin(self, epoch: str) -> bool:
        """A fragment of this epoch was met; False if that was known."""
        if epoch in self._begun:
            return False
        self._begun[epoch] = None
        if len(self._begun) > KEPT_EPOCHS:
            del self._begun[next(iter(self._begun))]
        return True

    def end(self, end: EpochEnd, *, certain: bool = False, last_is_known: bool = False) -> bool:
        """An epoch has ended; False if that was known, or another end of it is believed.

        A message may say what is not true. So an end is believed if it is `certain`, the frame
        store's own, or if the last fragment it speaks of is known to exist, and a second one only
        if that lies behind the first end; what the frame store said is never doubted.
        """
        known = self.ends.get(end.epoch)
        if known is None and not (certain or last_is_known or end.fragments == 0):
            self._doubted[end.epoch] = None
            if len(self._doubted) > KEPT_EPOCHS:
                del self._doubted[next(iter(self._doubted))]
            return False
        if known is not None:
            is_better = last_is_known and end.fragments > known.fragments
            if known == end or not (certain or (is_better and end.epoch not in self._certain)):
                return False
            self._untrue[end.epoch] = known
        if certain:
            self._certain.add(end.epoch)
        self.ends[end.epoch] = end
        if len(self.ends) > KEPT_EPOCHS:
            oldest = next(iter(self.ends))
            del self.ends[oldest]
            self._untrue.pop(oldest, None)
            self._certain.discard(oldest)
        return True

    def has_doubted(self, epoch: str) -> bool:
        """A message spoke of an end that is not believed: the frame store will say what is true."""
        return epoch in self._doubted

    def untrue_end(self, epoch: str) -> EpochEnd | None:
        """What was said before of the epoch's end, and is not true."""
        return self._untrue.get(epoch)

    @property
    def last_reason(self) -> str | None:
        """Why the latest epoch ended; None if none has."""
        last = max(self.ends.values(), key=lambda end: end.ended_at, default=None)
        return None if last is None else last.reason

    def gap_before(self, run: Run) -> Gap | None:
        """The time without footage before a clip, if it is known what came before it.

        To be asked once for each clip, in order.
        """
        before, self._latest = self._latest, run[-1]
        first = run[0]
        if before is None:
            return None
        starts_at = before.ends_at
        if before.epoch == first.epoch and before.fragment + 1 < first.fragment:
            reason = f"fragments {before.fragment + 1}-{first.fragment - 1} are missing"
        elif before.epoch in self.ends and before.epoch != first.epoch and first.fragment == 0:
            reason = self.ends[before.epoch].reason
        else:
            return None
        if starts_at >= first.captured_at:
            return None
        return Gap(starts_at=starts_at, ends_at=first.captured_at, reason=reason)


def holes(made: list[Run]) -> list[tuple[range, Gap]]:
    """The numbers missing between the clips of one window, and the time that they were."""
    return [
        (
            range(before[-1].fragment + 1, after[0].fragment),
            Gap(
                starts_at=before[-1].ends_at,
                ends_at=max(before[-1].ends_at, after[0].captured_at),
                reason="neither delivered nor in the frame store",
            ),
        )
        for before, after in pairwise(made)
    ]
