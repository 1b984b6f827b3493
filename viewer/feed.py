"""Events of the broker, into the index and to open pages.

A clip that was stored and a room that was judged are read from the bucket under the key that the
event names, and put into the index. With the broker away, pages, live and the archive go on; what
was missed is read when it is back. A bad message is counted and forgotten: nobody waits for it.
"""

import queue
import threading
from datetime import timedelta
from typing import Final

from prometheus_client import Counter

from shared.backoff import LONGEST_BROKER_SECONDS, pause_seconds
from shared.coverage.causes import cause_of
from shared.errors import BadMessage, CradleError, LinkLost, QueueAway, StoreUnavailable
from shared.link import Delivery, Link
from shared.messages import Event, SessionsEnded, Stage, read_told
from shared.topology import viewer_queue
from viewer import answers
from viewer.context import Context
from viewer.reader import Reader
from viewer.reading import Reading
from viewer.states import Expired, Said

PREFETCH: Final = 200
TURN_SECONDS: Final = 1.0
SPARE_QUEUES: Final = 2
"""A queue is made where the link is, so the first one is on a node that lives."""
RECORDS_SECONDS: Final = 3.0
"""After a source came or went, its record is in the bucket."""

EVENTS = Counter("cradle_viewer_events_total", "Events taken.", ["stage"])
BROKEN_OFF = Counter("cradle_viewer_feeds_broken_off_total", "Faults that ended a session.")
BAD = Counter("cradle_viewer_bad_events_total", "Events that cannot be read.")


class Feed:
    """One thread."""

    def __init__(self, context: Context, reading: Reading, reader: Reader) -> None:
        self._name = context.name
        self._settings = context.settings.broker
        self._reading = reading
        self._reader = reader
        self._states = context.states
        self._broker = context.broker
        self._endings = context.endings
        self._hub = context.hub
        self._clock = context.clock
        self._log = context.log
        self._told: dict[str, tuple[str, str]] = {}
        self._expired: dict[str, Expired] = {}

    def run(self, stop: threading.Event) -> None:
        """Until told to stop; the broker's absence is waited out."""
        failures = 0
        while not stop.is_set():
            try:
                self.run_once(stop)
            except CradleError as error:
                self._tell_away(str(error))
            except Exception as error:  # what people see must not stop for a bug of ours
                BROKEN_OFF.inc()
                self._tell_away(f"{type(error).__name__}: {error}")
            failures = 0 if self._states.broker_since else failures + 1
            self._states.broker_since = None
            stop.wait(pause_seconds(failures, LONGEST_BROKER_SECONDS))

    def _tell_away(self, reason: str) -> None:
        self._states.broker_reason = reason
        self._log.warning("no events arrive", action="feed.interrupted", reason=reason)

    def run_once(self, stop: threading.Event) -> None:
        """Connect and take events. Raises CradleError."""
        arrived: queue.SimpleQueue[Delivery | CradleError] = queue.SimpleQueue()
        with Link(
            self._settings.url, f"viewer {self._name}", self._settings.heartbeat_seconds
        ) as link:
            self._listen(link, arrived)
            self._broker.link = link
            self._states.broker_since = self._clock.now()
            self._reader.days_soon()  # what was missed: the queue outlives us by an hour only
            self._endings.repeat(link, now=True)
            self._log.info("events arrive", action="feed.begun")
            look_at = 0.0
            try:
                while not stop.is_set():
                    link.check()
                    self._endings.repeat(link)
                    try:
                        each = arrived.get(timeout=TURN_SECONDS)
                    except queue.Empty:
                        self.tell_changes()
                        continue
                    if isinstance(each, CradleError):
                        raise each
                    self._take_safely(each.body)
                    each.ack()
                    if self._clock.monotonic() >= look_at:
                        look_at = self._clock.monotonic() + TURN_SECONDS
                        self.tell_changes()
            finally:
                self._broker.link = None

    def _listen(self, link: Link, arrived: "queue.SimpleQueue[Delivery | CradleError]") -> None:
        """On this replica's queue, or a spare one if that lies on a node that the broker has lost.

        What is in it counts as missed, and expires. Raises CradleError.
        """
        for name in (self._name, *(f"{self._name}.spare-{each}" for each in range(SPARE_QUEUES))):
            try:
                link.consume(
                    viewer_queue(name),
                    prefetch=PREFETCH,
                    exclusive=True,
                    on_delivery=arrived.put,
                    on_closed=lambda reason: arrived.put(LinkLost(reason)),
                )
            except QueueAway as error:
                away = error
                self._log.warning("queue away", action="feed.queue_away", reason=str(error))
            else:
                return
        raise away

    def _take_safely(self, body: bytes) -> None:
        """What is wrong with one event must not keep all others from the page."""
        try:
            self.take(body)
        except Exception as error:
            BAD.inc()
            self._log.error(
                "event not taken",
                action="feed.broke",
                reason=f"{type(error).__name__}: {error}",
                exc_info=error,
            )
            self._reader.days_soon()

    def take(self, body: bytes) -> None:
        """One event."""
        try:
            event = read_told(body)
        except BadMessage as error:
            BAD.inc()
            self._log.warning("event unreadable", action="feed.bad", reason=str(error))
            return
        if isinstance(event, SessionsEnded):
            EVENTS.labels(Stage.VIEWER).inc()
            self._endings.take(event)
            return
        EVENTS.labels(event.stage).inc()
        before = self._states.last(event.camera, Stage.INGEST, "online", "offline")
        self._states.take(event)
        if (event.stage, event.event) == (Stage.ARCHIVER, "stored"):
            self._take_clip(event)
        elif (event.stage, event.event) == (Stage.ANALYZER, "described"):
            self._take_note(event)
        elif (event.stage, event.event) == (Stage.INGEST, "expired"):
            self._tell_expired(event.camera)
        elif event.stage == Stage.INGEST and not _says_the_same(before, event):
            self._reader.records_soon(event.camera, RECORDS_SECONDS)
        self.tell_changes(event.camera)

    def tell_changes(self, *cameras: str) -> None:
        """Tell pages how live cameras are, where that has changed."""
        for camera in cameras or tuple(self._told):
            now = self._states.live(camera)
            if self._told.get(camera) != now:
                self._told[camera] = now
                live, reason = now
                cause = cause_of(reason).value if reason else ""
                facts = {"id": camera, "live": live, "cause": cause, "reason": reason}
                self._hub.tell("camera", facts)

    def _tell_expired(self, camera: str) -> None:
        """Ingest says it again and again; pages are told what is new."""
        expired = self._states.expired(camera)
        if expired is not None and self._expired.get(camera) != expired:
            self._expired[camera] = expired
            self._hub.tell("expired", {"id": camera, "expired": expired.model_dump(mode="json")})

    def _take_clip(self, event: Event) -> None:
        key = str(event.detail.get("manifest_key", ""))
        if not key.startswith(f"clips/{event.camera}/"):
            BAD.inc()
            return
        try:
            row = self._reading.take_clip(key)
        except StoreUnavailable:
            self._reader.day_soon(event.camera)
            return
        if row is not None and row.table == "clips":
            facts = answers.clip(row.values, set()).model_dump(mode="json")
            self._hub.tell("clip", {"camera": event.camera, "clip": facts})
        self._reader.records_soon(event.camera, RECORDS_SECONDS)

    def _take_note(self, event: Event) -> None:
        key = str(event.detail.get("key", ""))
        if not key.startswith(f"analysis/{event.camera}/"):
            BAD.inc()
            return
        try:
            row = self._reading.take_note(key)
        except StoreUnavailable:
            self._reader.day_soon(event.camera)
            return
        if row is not None:
            late = self._clock.now() - event.at > timedelta(hours=1)
            facts = answers.note(row.values).model_dump(mode="json")
            self._hub.tell("note", {"note": facts, "is_late": late})


def _says_the_same(before: Said | None, event: Event) -> bool:
    """Ingest says again and again how a camera is."""
    return before is not None and (before.event, before.detail) == (event.event, event.detail)
