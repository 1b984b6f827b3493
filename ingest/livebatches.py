"""Batches, told as they are written; and what of an open fragment the broker's absence has cost.

Live can begin only at a key frame. When the broker is back, the batches of each fragment that is
still open are said again from its key frame on: an encoder need not wait for the next one, which
for a camera with few key frames is seconds away. One that has them knows them by their numbers.
"""

import threading
from collections.abc import Set
from datetime import datetime
from typing import Final

from ingest import figures
from ingest.traces import FragmentTraces
from shared.link import Link
from shared.messages import Batch, Fragment
from shared.topology import FRAMES, batch_key

MOST: Final = 64
"""So many batches the queue of an encoder holds: of more it would drop the key frame."""


class LiveBatches:
    """Of all cameras. `say` is called from the threads of the captures."""

    def __init__(self, traces: FragmentTraces | None = None) -> None:
        self._traces = traces
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._open: dict[str, list[Batch]] = {}
        """By camera: what was written of its newest fragment."""

    def say(self, batch: Batch) -> None:
        """A batch was written."""
        with self._lock:
            if batch.part == 0:
                self._open[batch.camera] = []
            told = self._open.setdefault(batch.camera, [])
            if len(told) < MOST:
                told.append(batch)
            if self._link is None:
                figures.UNSENT_BATCHES.labels(batch.camera).inc()
            else:
                self._publish(self._link, batch)

    def resume(self, link: Link, cameras: Set[str]) -> None:
        """There is a new session; `cameras` are those that are recorded here."""
        with self._lock:
            self._link = link
            for gone in self._open.keys() - cameras:
                del self._open[gone]
            for batches in self._open.values():
                for batch in batches if len(batches) < MOST else ():
                    self._publish(link, batch)

    def pause(self) -> None:
        """The session has ended."""
        with self._lock:
            self._link = None

    def _publish(self, link: Link, batch: Batch) -> None:
        headers = None if self._traces is None else self._traces.of_batch(batch)
        link.publish(FRAMES, batch_key(batch.camera), batch.to_body(), headers=headers)


def whole(fragment: Fragment, now: datetime) -> Batch:
    """A fragment as one batch: where nothing grows, live is told when it is there whole, `now`."""
    return Batch(
        camera=fragment.camera,
        epoch=fragment.epoch,
        fragment=fragment.fragment,
        path=fragment.path,
        part=0,
        offset=0,
        bytes=fragment.bytes,
        frames=fragment.frames,
        captured_at=fragment.captured_at,
        written_at=now,
        stream=fragment.stream,
    )
