"""How each camera's provider was last found: for /metrics, /healthz, the log and the page.

A remote provider that cannot be asked stops nothing, so this is where it is seen: a change of
state is one log line and one event `analyzer.<camera>.provider`, and the state stands in the
metrics until the next change.
"""

import threading
from typing import Protocol

from analyzer import figures
from shared.analysis import Remote
from shared.clock import Clock
from shared.health import Health
from shared.link import Headers
from shared.log import Log
from shared.messages import Event, Stage
from shared.topology import EVENTS


class Broker(Protocol):
    """Where events go. See `shared.link`."""

    def publish(self, exchange: str, key: str, body: bytes, *, headers: Headers) -> None: ...


class ProviderStates:
    """One state a camera. Safe to use from many threads."""

    def __init__(self, worker: str, health: Health, clock: Clock, log: Log) -> None:
        self._worker = worker
        self._health = health
        self._clock = clock
        self._log = log
        self._lock = threading.Lock()
        self._states: dict[str, str] = {}

    def saw(self, broker: Broker, camera: str, remote: Remote | None) -> None:
        """Note how the provider was found for one sample; None where only `local` is asked."""
        state, reason = ("local", "") if remote is None else (remote.state, remote.reason)
        with self._lock:
            before = self._states.get(camera)
            self._states[camera] = state
        if state == before:
            return
        if before is not None:
            figures.PROVIDER_STATE.labels(camera, before).set(0)
        figures.PROVIDER_STATE.labels(camera, state).set(1)
        self._health.set(camera, f"{state}: {reason}" if reason else state)
        level = self._log.info if state in {"ok", "local"} else self._log.warning
        level(
            "provider changed state",
            action="provider.state",
            camera=camera,
            state=state,
            before=before,
            reason=reason,
        )
        event = Event(
            schema=1,
            stage=Stage.ANALYZER,
            worker=self._worker,
            camera=camera,
            event="provider",
            at=self._clock.now(),
            detail={"state": state, "reason": reason},
        )
        broker.publish(EVENTS, event.routing_key, event.to_body(), headers={})
