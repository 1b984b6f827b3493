"""One message of the queue, from its body to its acknowledgement.

Read it, look whether its result is there already, judge it, store the picture and then the result,
tell everybody, acknowledge. Killed anywhere, the message comes again and meets what it left: a
stored result is not judged twice but announced again, since its announcement may never have gone
out. What cannot be obeyed goes to `cradle.lost` with its reason and stops nobody.
"""

import contextlib
from typing import Protocol

from analyzer import figures
from analyzer.judge import Judge, Judgement, NoPictures
from analyzer.states import ProviderStates
from analyzer.traces import SampleTrace
from shared import faults
from shared.analysis import SOFTWARE, JudgedPicture, Result, read_result, result_key
from shared.clock import Clock
from shared.config import AnalysisSettings
from shared.errors import AlreadyExists, BadMessage, NotConfirmed, StoreUnavailable
from shared.link import Delivery, Headers
from shared.log import Log
from shared.messages import Event, Sample, Stage, read_sample
from shared.topology import EVENTS
from shared.tracing import Tracer, step

LATE_SECONDS = 60.0
"""A sample whose interval ended longer ago is old news, or so long ago as intervals are."""


class Store(Protocol):
    """The part of the object store that results need. See `shared.objectstore`."""

    def create_bytes(self, key: str, data: bytes, *, content_type: str) -> bool: ...
    def read(self, key: str) -> bytes | None: ...


class Broker(Protocol):
    """The part of the link that results need. See `shared.link`."""

    def publish(self, exchange: str, key: str, body: bytes, *, headers: Headers) -> None: ...
    def publish_and_wait(
        self, exchange: str, key: str, body: bytes, *, headers: Headers
    ) -> None: ...
    def send_to_lost(self, delivery: Delivery, reason: str) -> None: ...


class SampleHandler:
    """Handles deliveries of the analyzer's queue. Safe to use from many threads."""

    def __init__(
        self,
        settings: AnalysisSettings,
        judge: Judge,
        store: Store,
        states: ProviderStates,
        worker: str,
        clock: Clock,
        log: Log,
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer
        self._settings = settings
        self._judge = judge
        self._store = store
        self._states = states
        self._worker = worker
        self._clock = clock
        self._log = log

    def handle(self, broker: Broker, delivery: Delivery) -> None:
        """Do all there is to do for one delivery, and acknowledge it.

        Raises Unavailable (unacknowledged: the message comes again) when the broker or the object
        store does not take part.
        """
        began = self._clock.monotonic()
        camera = ""
        trace = SampleTrace(self._tracer, delivery.headers)
        try:
            sample = read_sample(delivery.body)
            self._judge.camera_of(sample)
            camera = sample.camera
            result = self._process(broker, sample, trace)
            delivery.ack()
            trace.tell(sample, result)
        except BadMessage as error:
            result = "lost"
            broker.send_to_lost(delivery, str(error))
            self._log.warning(
                "sample refused", action="sample.lost", camera=camera, reason=str(error)
            )
        figures.SAMPLES.labels(camera, result).inc()
        figures.JUDGING.observe(self._clock.monotonic() - began)

    def _process(self, broker: Broker, sample: Sample, trace: SampleTrace) -> str:
        """What became of the sample, in one word of `figures.SAMPLES`."""
        if self._settings.provider == "off":
            return "off"
        age = (self._clock.now() - sample.ends_at).total_seconds()
        if age > max(LATE_SECONDS, self._settings.interval_seconds):
            self._log.warning(
                "sample too late", action="sample.late", camera=sample.camera, seconds=round(age)
            )
            return "late"
        key = result_key(sample)
        stored = self._store.read(key)
        if stored is not None:
            self._announce(broker, key, read_result(stored), trace.headers)
            return "duplicate"
        try:
            judgement = self._judge.judge(sample, trace.steps)
        except NoPictures as error:
            self._log.warning(
                "sample unreadable",
                action="sample.unreadable",
                camera=sample.camera,
                reason=str(error),
            )
            return "unreadable"
        result = self._result(sample, judgement, trace.trace_id)
        if result is None:
            share = judgement.measurement.changed_share
            event = self._event(sample.camera, "unchanged", {"changed_share": share})
            broker.publish(EVENTS, event.routing_key, event.to_body(), headers=trace.headers)
            return "unchanged"
        return self._commit(broker, sample, judgement, result, trace)

    def _commit(
        self,
        broker: Broker,
        sample: Sample,
        judgement: Judgement,
        result: Result,
        trace: SampleTrace,
    ) -> str:
        key = result_key(sample)
        with step(trace.steps, "store"):
            with contextlib.suppress(AlreadyExists):  # a run that died here left it
                self._store.create_bytes(
                    result.picture_key, judgement.picture.jpeg, content_type="image/jpeg"
                )
            faults.point("analyzer.after-picture")
            became = "described"
            try:
                self._store.create_bytes(key, result.to_body(), content_type="application/json")
            except AlreadyExists:
                result, became = self._stored(key), "duplicate"
        faults.point("analyzer.after-result")
        self._states.saw(broker, sample.camera, result.remote)
        self._announce(broker, key, result, trace.headers)
        figures.LAST_RESULT.labels(sample.camera).set(self._clock.now().timestamp())
        return became

    def _stored(self, key: str) -> Result:
        body = self._store.read(key)
        if body is None:
            raise StoreUnavailable(f"{key} was refused as existing and is not there")
        return read_result(body)

    def _result(self, sample: Sample, judgement: Judgement, trace_id: str | None) -> Result | None:
        """The document to store; None when the gate stayed closed."""
        if judgement.observation is None:
            return None
        remote = judgement.remote
        return Result(
            schema=1,
            camera=sample.camera,
            starts_at=sample.starts_at,
            ends_at=sample.ends_at,
            judged_at=self._clock.now(),
            judged_by="gemini" if remote is not None and remote.state == "ok" else "local",
            language=self._settings.language,
            heartbeat=sample.heartbeat,
            observation=judgement.observation,
            measured=judgement.measurement.stored,
            remote=remote,
            pictures=[
                JudgedPicture(
                    epoch=each.epoch, fragment=each.fragment, captured_at=each.captured_at
                )
                for each in sample.pictures
            ],
            picture_key=result_key(sample, "jpg"),
            picture_at=judgement.picture.captured_at,
            worker=self._worker,
            trace_id=trace_id,
            software=SOFTWARE,
        )

    def _announce(self, broker: Broker, key: str, result: Result, headers: Headers) -> None:
        seen = result.observation
        event = self._event(
            result.camera,
            "described",
            {
                "key": key,
                "picture_key": result.picture_key,
                "starts_at": result.starts_at.isoformat(),
                "ends_at": result.ends_at.isoformat(),
                "judged_by": result.judged_by,
                "activity": seen.activity,
                "children": seen.children,
                "adults": seen.adults,
                "view": seen.view,
                "summary": seen.summary,
                "changed_share": result.measured.changed_share,
                "remote_state": None if result.remote is None else result.remote.state,
            },
        )
        try:
            broker.publish_and_wait(EVENTS, event.routing_key, event.to_body(), headers=headers)
        except NotConfirmed as error:  # a page misses a hint: its queue is away; the bucket knows
            figures.UNTOLD.labels(result.camera).inc()
            self._log.warning(
                "not everybody was told", action="sample.untold", key=key, reason=str(error)
            )
        self._log.info(
            "sample described",
            action="sample.described",
            camera=result.camera,
            key=key,
            judged_by=result.judged_by,
            remote=None if result.remote is None else result.remote.state,
            changed_share=result.measured.changed_share,
        )

    def _event(self, camera: str, event: str, detail: dict[str, object]) -> Event:
        return Event.model_validate(
            {
                "schema": 1,
                "stage": Stage.ANALYZER,
                "worker": self._worker,
                "camera": camera,
                "event": event,
                "at": self._clock.now(),
                "detail": detail,
            }
        )
