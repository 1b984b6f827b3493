"""What OpenCV can measure in a sample: how much changed, how bright it is, whether it is flat.

Pictures are compared small and blurred, so that sensor noise and a moved leaf do not count, and
after taking out the common shift in brightness, so that a cloud does not either. Pixels under a
privacy mask count for nothing. The gate decides by these numbers, `local` puts them in words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analyzer.pictures import DecodedPicture, Sketch
from shared.analysis import Measured
from shared.observation import View

CHANGED_LEVELS = 24
"""A pixel has changed when it differs by more of 256 levels; noise after the blur stays under 8."""
DARK_LEVEL = 24
"""Mean brightness under which little can be seen."""
FLAT_LEVELS = 6
"""Spread of brightness under which a picture is one colour: no furnished room is."""


@dataclass(frozen=True)
class Measurement:
    """The numbers of one sample."""

    changed_share: float
    """Largest share (0..1) of the seen picture that changed between two neighbours in time."""
    most_changed: int
    """Index of the picture that differs most from the one before it."""
    brightness: float
    """Mean brightness (0..255) of the last picture."""
    spread: float
    """Standard deviation of brightness of the last picture, blurred."""

    @property
    def view(self) -> View:
        """How well the room can be seen in the last picture."""
        if self.brightness < DARK_LEVEL:
            return View.DARK  # a covered lens in an unlit room measures the same
        return View.COVERED if self.spread < FLAT_LEVELS else View.CLEAR

    @property
    def stored(self) -> Measured:
        """As a result holds it."""
        return Measured(
            changed_share=self.changed_share,
            brightness=self.brightness,
            spread=self.spread,
            view=self.view,
        )


def measure(pictures: Sequence[DecodedPicture], previous: Sketch | None) -> Measurement:
    """Compare the pictures (oldest first, at least one) with each other and with `previous`.

    A single picture with nothing to compare it with counts as changed.
    """
    sketches = [picture.sketch for picture in pictures]
    chain = sketches if previous is None else [previous, *sketches]
    shares = [changed_share(one, other) for one, other in pairwise(chain)]
    if previous is None:
        shares = [1.0 if len(pictures) == 1 else 0.0, *shares]
    most_changed = int(np.argmax(shares)) if max(shares) > 0 else len(pictures) - 1
    values = sketches[-1].gray[sketches[-1].seen].astype(np.float32)
    return Measurement(
        changed_share=round(max(shares), 4),
        most_changed=most_changed,
        brightness=round(float(values.mean()), 1) if values.size else 0.0,
        spread=round(float(values.std()), 1) if values.size else 0.0,
    )


def changed_share(before: Sketch, after: Sketch) -> float:
    """Share (0..1) of the pixels seen in both that differ; 1.0 if their shapes do."""
    if before.gray.shape != after.gray.shape:
        return 1.0
    seen = before.seen & after.seen
    if not seen.any():
        return 0.0
    difference = after.gray[seen].astype(np.float32) - before.gray[seen]
    difference -= np.median(difference)
    return float(np.mean(np.abs(difference) > CHANGED_LEVELS))
