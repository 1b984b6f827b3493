"""Cameras that nobody works on, as one worker of a stage sees them.

Seats looks at cameras anyway when it wants one, and now and then at all that it does not hold; what
it finds it says here. Each worker of a stage serves its own view, so a dashboard takes the largest
of `unowned`, and the sum of `held`; of `configured` all say the same. A new session with the broker
begins with an empty view.
"""

from collections.abc import Collection

from prometheus_client import Gauge

from shared.messages import Stage

HELD = Gauge("cradle_seats_held_cameras", "Cameras whose seat this worker has.", ["stage"])
CONFIGURED = Gauge(
    "cradle_seats_configured_cameras",
    "Cameras of the configuration, whoever has them; the same while the broker is away.",
    ["stage"],
)
UNOWNED = Gauge(
    "cradle_seats_unowned_cameras",
    "Cameras that no worker of the stage has, as this one sees it.",
    ["stage"],
)
OLDEST_UNOWNED = Gauge(
    "cradle_seats_unowned_oldest_seconds",
    "For how long the longest of them has had nobody, since it was first seen so; 0 without any.",
    ["stage"],
)


class Vacancies:
    """Since when (monotonic seconds) which camera has had nobody. Not thread-safe."""

    def __init__(self, stage: Stage, cameras: int) -> None:
        self._stage = stage
        CONFIGURED.labels(stage).set(cameras)
        self._since: dict[str, float] = {}
        self.clear()

    def saw(self, camera: str, is_free: bool, now: float) -> None:
        """What a look at a camera's seat has shown; one that was free before still is."""
        if is_free:
            self._since.setdefault(camera, now)
        else:
            self._since.pop(camera, None)

    def tell(self, held: Collection[str], now: float) -> None:
        """Serve what is known; the cameras that this worker holds have somebody."""
        for camera in held:
            self._since.pop(camera, None)
        HELD.labels(self._stage).set(len(held))
        UNOWNED.labels(self._stage).set(len(self._since))
        OLDEST_UNOWNED.labels(self._stage).set(now - min(self._since.values(), default=now))

    def clear(self) -> None:
        """From now on nothing is known, and nothing is held."""
        self._since.clear()
        self.tell((), 0.0)
