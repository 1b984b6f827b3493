"""Where the live stream of a camera has got to, and what to do with the next batch.

ffmpeg must see an unbroken run of frames that begins at a key frame. A batch that continues the run
is fed. The first batch of a fragment begins at a key frame, so a run may begin there. Everything
else is skipped with a reason that is counted: live is never old and never waits for what is lost.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.messages import Batch

LIVE_BUDGET_SECONDS: Final = 5.0
"""What was written longer ago is not live. The broker drops at the same age."""
TOO_OLD: Final = "old"
"""The reason of a batch that is over it."""


class Step(StrEnum):
    """What to do with a batch."""

    FEED = "feed"
    BEGIN = "begin"
    """Feed it to a new generation."""
    SKIP = "skip"
    """Leave it out; the run goes on."""
    BREAK = "break"
    """Leave it out; the run is over until the next key frame."""


@dataclass(frozen=True)
class Verdict:
    """What to do, and, if frames are left out by it, why."""

    step: Step
    reason: str = ""


@dataclass(frozen=True)
class Cursor:
    """The last batch of the run."""

    epoch: str
    fragment: int
    part: int
    end: int
    """Byte after it in the fragment's file."""

    @classmethod
    def after(cls, batch: Batch) -> "Cursor":
        return cls(batch.epoch, batch.fragment, batch.part, batch.offset + batch.bytes)

    def continued_by(self, batch: Batch) -> bool:
        """The batch is the very next one."""
        if batch.epoch != self.epoch:
            return False
        if batch.fragment == self.fragment:
            return batch.part == self.part + 1 and batch.offset == self.end
        return batch.fragment == self.fragment + 1 and begins_fragment(batch)

    def holds(self, batch: Batch) -> bool:
        """The batch was fed already."""
        place = (batch.fragment, batch.part)
        return batch.epoch == self.epoch and place <= (self.fragment, self.part)


def begins_fragment(batch: Batch) -> bool:
    """The batch begins at a key frame."""
    return batch.part == 0 and batch.offset == 0


def judge(cursor: Cursor | None, batch: Batch, age_seconds: float) -> Verdict:
    """What to do with `batch` when the run has got to `cursor` (None: there is no run)."""
    if cursor is not None and cursor.holds(batch):
        return Verdict(Step.SKIP, "repeated")
    if age_seconds > LIVE_BUDGET_SECONDS:
        return Verdict(Step.BREAK, TOO_OLD)
    if cursor is not None and cursor.continued_by(batch):
        return Verdict(Step.FEED)
    if begins_fragment(batch):
        gap = cursor is not None and cursor.epoch == batch.epoch
        return Verdict(Step.BEGIN, "gap" if gap else "")
    return Verdict(Step.BREAK, "no-key-frame" if cursor is None else "gap")
