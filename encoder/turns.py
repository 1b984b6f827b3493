"""Turns: how often one worker may begin again for cameras that missed something.

A machine that is short of time makes every camera late at once, and a new ffmpeg for each of them
costs more than feeding those that run: they would all be late again, for ever. What is carried goes
on with the ffmpeg it has (`encoder/camera.py`); those that are transcoded begin again one after the
other, while what waits is left out, which costs next to nothing.
"""

from typing import Final

from shared.clock import Clock

SPACING_SECONDS: Final = 0.5
"""Between two such beginnings; ffmpeg takes about 0.1 s of a core to start."""


class Turns:
    """Shared by the cameras of one worker; used by the loop's thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_at = float("-inf")

    def take(self) -> bool:
        """Take the turn, if there is one now."""
        now = self._clock.monotonic()
        if now < self._next_at:
            return False
        self._next_at = now + SPACING_SECONDS
        return True
