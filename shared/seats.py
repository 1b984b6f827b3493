"""Who works on which camera: one seat a camera and stage, shared fairly between the replicas.

A seat is an exclusive consumer, so the broker itself refuses a second holder and frees the seat of
one that dies. Every living worker consumes `presence.<stage>`; their number gives the fair share,
`ceil(cameras / workers)`. A scan looks at each camera that this worker does not hold and takes it
when nobody consumes it; with more than the fair share it gives one back, so that a newcomer finds
its part free within a few scans. But not soon after it has taken one: a worker that was killed is
back a second after the others took over its cameras, and each change of hands costs a camera's
recording seconds.

A camera that the broker refuses (its queue was made with other arguments, by another version or by
hand, or lies on a node that the broker's cluster has lost) is left alone for a while and said
aloud; the others go on. Cameras that nobody has are counted (`shared/vacancy.py`), by those too
that have their share and want none.
"""

import math
import random
from collections.abc import Callable, Sequence
from typing import Protocol

from shared.clock import Clock
from shared.errors import Misconfigured, QueueAway, SeatTaken
from shared.link import Link, Subscription
from shared.log import Log
from shared.messages import Stage
from shared.topology import Queue, presence_queue
from shared.vacancy import Vacancies

SETTLED_SECONDS = 10.0
"""After a seat was taken, for so long none is given back to share fairly."""
LEAVING_SECONDS = 0.2
"""Between scans while a seat is given back: somebody waits for it."""
REFUSED_SECONDS = 30.0
"""After so long a camera that the broker refused is tried again."""
AWAY_SECONDS = 5.0
"""After so long a camera whose queue was away is tried again."""
SCAN_SECONDS = 2.0
"""After so long a scan asks no further queue: the next one goes on. Of a node that is lost each
queue costs a wait, and a loop that does not turn for a heartbeat takes itself for frozen."""
SURVEY_SECONDS = 10.0
"""Who wants no further camera looks this often whether there is one that nobody has."""


class CameraWork(Protocol):
    """What a stage does for one camera while it holds the seat."""

    @property
    def closed(self) -> bool:
        """It has ended by itself: the seat was lost, or the work cannot go on."""
        ...

    def is_ready_to_close(self) -> bool:
        """Begin to come to an end; asked again and again until `close` will take no time."""
        ...

    def close(self, reason: str) -> None:
        """Give the seat back in order; within a few seconds if it was not ready to."""
        ...


def fair_share(cameras: int, workers: int, most: int) -> int:
    """How many cameras one of `workers` should hold, never more than `most`."""
    return min(math.ceil(cameras / max(workers, 1)), most)


class Seats:
    """The seats of one worker. Not thread-safe: scan and release from one thread."""

    def __init__(
        self,
        link: Link,
        stage: Stage,
        cameras: Sequence[str],
        queue_of: Callable[[str], Queue],
        take: Callable[[str], CameraWork],
        *,
        max_cameras: int,
        clock: Clock,
        log: Log,
    ) -> None:
        self._link = link
        self._presence_queue = presence_queue(stage)
        self._vacancies = Vacancies(stage, len(cameras))
        self._cameras = list(cameras)
        self._queue_of = queue_of
        self._take = take
        self._max_cameras = max_cameras
        self._clock = clock
        self._log = log
        self._presence: Subscription | None = None
        self._workers = 1
        """As they were last counted."""
        self._is_uncounted = False
        self._taken_at = -math.inf
        self._take_from = -math.inf
        self._survey_at = -math.inf
        self._ask_until = -math.inf
        self._refused: dict[str, float] = {}
        """Cameras that the broker refused, and until when (monotonic) they are left alone."""
        self._leaving: dict[str, str] = {}
        """A camera that is held until its work has come to an end, and why."""
        self.held: dict[str, CameraWork] = {}

    def be_patient(self, seconds: float) -> None:
        """Take nothing for so long: others may be about to come back to what is theirs."""
        self._take_from = self._clock.monotonic() + seconds

    def scan(self) -> None:
        """One turn. Raises LinkLost or Unavailable when the broker does not answer at all.

        Raises Misconfigured if it refuses every camera, and none is held.
        """
        self._link.check()  # with the link all subscriptions close: that ends nobody's work here
        self._ask_until = self._clock.monotonic() + SCAN_SECONDS
        self._scan()
        self._vacancies.tell(self.held, self._clock.monotonic())

    def _scan(self) -> None:
        for camera in [camera for camera, work in self.held.items() if work.closed]:
            self.held.pop(camera).close("it has ended by itself")
            self._leaving.pop(camera, None)
            self._log.warning("seat lost", action="seat.lost", camera=camera)
        workers = self._count_workers()
        share = fair_share(len(self._cameras), workers, self._max_cameras)
        is_settled = self._clock.monotonic() - self._taken_at >= SETTLED_SECONDS
        if len(self.held) > share and is_settled and not self._leaving:
            reason = f"fair share is {share} of {workers} workers"
            self._leaving[next(reversed(self.held))] = reason
        for camera, reason in list(self._leaving.items()):
            if self.held[camera].is_ready_to_close():
                self.release(camera, reason)
                return  # the next one in the next scan
        if self._clock.monotonic() < self._take_from:
            return
        free = [camera for camera in self._cameras if camera not in self.held]
        random.shuffle(free)  # replicas that start together should not race for the same one
        while free and len(self.held) < share and not self._is_late:
            self._try_unless_refused(free.pop())
        self._survey(free)

    @property
    def _is_late(self) -> bool:
        """This scan has asked for long enough."""
        return self._clock.monotonic() >= self._ask_until

    def _survey(self, others: Sequence[str]) -> None:
        """Now and then, look whether somebody has the cameras that this worker does not want."""
        now = self._clock.monotonic()
        if now < self._survey_at:
            return
        for camera in others:
            if self._is_late:
                return  # the next scan goes on
            try:
                self._is_free(camera)
            except (Misconfigured, QueueAway):  # counted, and said aloud by who wants it
                continue
        self._survey_at = now + SURVEY_SECONDS

    def _count_workers(self) -> int:
        """With the queue that counts them away, as many as there were."""
        was_uncounted, self._is_uncounted = self._is_uncounted, False
        try:
            self._workers = self._present_workers()
        except QueueAway as error:
            self._is_uncounted = True
            if not was_uncounted:
                self._log.warning(
                    "workers not counted", action="seats.uncounted", reason=str(error)
                )
        return self._workers

    def _present_workers(self) -> int:
        if self._presence is None or self._presence.closed:
            self._presence = self._link.consume(
                self._presence_queue,
                prefetch=1,
                exclusive=False,
                on_delivery=lambda delivery: delivery.ack(),
                on_closed=lambda _reason: None,
            )
        return self._link.declare(self._presence_queue).consumers

    def _try_unless_refused(self, camera: str) -> None:
        now = self._clock.monotonic()
        if now < self._refused.get(camera, -math.inf):
            return
        try:
            self._try(camera)
        except Misconfigured as error:
            self._refused[camera] = now + REFUSED_SECONDS
            if not self.held and self._refused.keys() >= set(self._cameras):
                raise
            self.say_refused(camera, error)
        except QueueAway as error:
            self._refused[camera] = now + AWAY_SECONDS  # nobody has to act
            self._log.warning(
                "camera waits for a node of the broker",
                action="seat.away",
                camera=camera,
                reason=str(error),
            )
        else:
            self._refused.pop(camera, None)

    def say_refused(self, camera: str, error: Misconfigured) -> None:
        """For a person: the broker does not give this worker the camera."""
        self._log.error(
            "camera refused by the broker",
            action="seat.misconfigured",
            camera=camera,
            reason=str(error),
        )

    def _try(self, camera: str) -> None:
        if not self._is_free(camera):
            return
        try:
            self.held[camera] = self._take(camera)
        except SeatTaken:
            return  # another worker was quicker
        self._taken_at = self._clock.monotonic()
        self._log.info("seat taken", action="seat.taken", camera=camera, held=len(self.held))

    def _is_free(self, camera: str) -> bool:
        """Raises Misconfigured, QueueAway: no worker of this version can have it (now)."""
        try:
            is_free = self._link.declare(self._queue_of(camera)).consumers == 0
        except (Misconfigured, QueueAway):
            self._vacancies.saw(camera, True, self._clock.monotonic())
            raise
        self._vacancies.saw(camera, is_free, self._clock.monotonic())
        return is_free

    def release(self, camera: str, reason: str) -> None:
        """Give one seat back."""
        self._leaving.pop(camera, None)
        self.held.pop(camera).close(reason)
        self._log.info("seat given back", action="seat.released", camera=camera, reason=reason)

    def release_all(self, reason: str) -> None:
        """Give every seat back, and with them the presence."""
        for camera in list(self.held):
            self.release(camera, reason)
        if self._presence is not None:
            self._presence.close()
            self._presence = None
        self._vacancies.clear()

    def wait_seconds(self) -> float:
        """Until the next scan; jittered so that replicas do not scan in step."""
        if self._leaving:
            return LEAVING_SECONDS
        return random.uniform(0.8, 1.2)
