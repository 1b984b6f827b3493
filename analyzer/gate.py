"""The change gate: a sample in which nothing has changed is not worth a call.

Children sleep for hours, and nights are long: most samples of a day look like the one before. The
gate compares a sample's pictures with each other and with the last picture of the interval before,
so that a slow change between two samples is seen too. A heartbeat passes always: it is the proof
that somebody still looks.
"""

from dataclasses import dataclass

from analyzer.measurement import Measurement


@dataclass(frozen=True)
class Gate:
    """Decides whether a sample is judged."""

    change_threshold: float
    """Share (0..1) of the picture that must have changed: `analysis.change_threshold`."""

    def opens(self, measurement: Measurement, *, heartbeat: bool) -> bool:
        return heartbeat or measurement.changed_share >= self.change_threshold
