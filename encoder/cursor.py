"""Where the live stream of a camera has got to, and what to do with the next batch.

ffmpeg must see an unbroken run of frames that begins at a key frame. A batch that continues the run
is fed. The first batch of a fragment begins at a key frame, so a run may begin there, or go on
behind a hole. Everything else is skipped with a reason that is counted: live is never old and never
waits for what is lost.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from shared.messages import Batch

LIVE_BUDGET_SECONDS: Final = 5.0
"""What was written longer ago is not live. The broker drops at the same age."""
TOO_OLD: Final = "old"
"""The reason of a batch that is over it."""
CATCH_UP_SECONDS: Final = LIVE_BUDGET_SECONDS / 2
"""Who leaves out batches anyhow begins with none that is older, if there is a newer key frame: it
would be too late again at once."""


class Step(StrEnum):
    """What to do with a batch."""

    FEED = "feed"
    BEGIN = "begin"
    """Feed it to a new generation."""
    RESUME = "resume"
    """It begins at a key frame after a hole: feed it, if the generation bears that."""
    REPEATED = "repeated"
    """It was fed already, or is of an epoch that was left: a predecessor's last words."""
    LEAVE_OUT = "leave out"
    """The run goes on, or begins, at a later batch."""
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
    broken: bool = False
    """What came next was left out or lost."""

    @classmethod
    def after(cls, batch: Batch) -> "Cursor":
        return cls(batch.epoch, batch.fragment, batch.part, batch.offset + batch.bytes)

    def broken_off(self) -> "Cursor":
        return replace(self, broken=True)

    def may_lack_the_end(self, batch: Batch) -> bool:
        """The batch begins the next fragment: only the file can tell whether this one was whole."""
        return self.continued_by(batch) and batch.fragment != self.fragment

    def continued_by(self, batch: Batch) -> bool:
        """The batch is the very next one, as far as numbers tell."""
        if batch.epoch != self.epoch or self.broken:
            return False
        if batch.fragment == self.fragment:
            return batch.part == self.part + 1 and batch.offset == self.end
        return batch.fragment == self.fragment + 1 and begins_fragment(batch)

    def is_past(self, batch: Batch) -> bool:
        """The run is past this batch: it was fed already, or is of an epoch that was left."""
        place = (batch.epoch, batch.fragment, batch.part)
        return place <= (self.epoch, self.fragment, self.part)


def begins_fragment(batch: Batch) -> bool:
    """The batch begins at a key frame."""
    return batch.part == 0 and batch.offset == 0


def judge(cursor: Cursor | None, batch: Batch, age_seconds: float) -> Verdict:
    """What to do with `batch` when the run has got to `cursor` (None: there is no run)."""
    if cursor is not None and cursor.is_past(batch):
        return Verdict(Step.REPEATED, "repeated")
    if age_seconds > LIVE_BUDGET_SECONDS:
        return Verdict(Step.LEAVE_OUT, TOO_OLD)
    if cursor is not None and cursor.continued_by(batch):
        return Verdict(Step.FEED)
    same = cursor is not None and cursor.epoch == batch.epoch
    if begins_fragment(batch):
        return Verdict(Step.RESUME, "gap") if same else Verdict(Step.BEGIN)
    if cursor is None:
        return Verdict(Step.LEAVE_OUT, "no-key-frame")
    return Verdict(Step.LEAVE_OUT if same else Step.BREAK, "gap")
