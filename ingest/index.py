"""Makes closed fragments durable, then real: sync the bytes, append the line, tell the outbox.

One thread a worker does this for all cameras, so that a slow disk delays the archive's references
and not the live picture. The index line is the moment a fragment becomes closed. Lines must not
have holes: when one cannot be written, its epoch takes no more, the capture is told at its next
fragment and begins anew, and what was written is closed from its bytes as soon as the disk allows.
An index that has grown by another hand belongs to a successor (this process was frozen and its
seat taken): then nothing is appended; the successor has closed what it found.
"""

import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from prometheus_client import Counter, Gauge

from ingest import figures
from ingest.recording import BrokenEpoch, ClosedFragment, Closing
from ingest.recovery import append_lines, close_epoch
from shared import faults
from shared.clock import Clock
from shared.errors import FrameStoreFailed
from shared.framestore import INDEX_NAME
from shared.log import Log
from shared.messages import EpochEnd, Fragment

BACKLOG = 10_000
"""Closed fragments that may wait for the disk."""
RETRY_SECONDS = 5.0

WAITING = Gauge(
    "cradle_ingest_index_waiting_fragments", "Closed fragments that wait to be made durable."
)
FAILED = Counter(
    "cradle_ingest_index_failures_total", "Index lines that could not be written.", ["reason"]
)

OnLine = Callable[[Fragment | EpochEnd], None]


class Index:
    """Appends to the indexes of this worker's epochs."""

    def __init__(self, root: Path, on_line: OnLine, clock: Clock, log: Log) -> None:
        """`on_line` is called on the index's thread once a line is written."""
        self._root = root
        self._on_line = on_line
        self._clock = clock
        self._log = log
        self._queue: queue.Queue[Closing | None] = queue.Queue(BACKLOG)
        self._lengths: dict[tuple[str, str], int] = {}
        self._refused: dict[tuple[str, str], str] = {}
        """Epochs that take no more lines, and why."""
        self._unclosed: dict[tuple[str, str], BrokenEpoch] = {}
        """Epochs whose writer is through with them, to be closed from their bytes."""
        self._retry_at = 0.0
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, item: Closing) -> None:
        """Take a closed fragment or an epoch's end; never blocks.

        Raises FrameStoreFailed if the epoch takes no more: then only a BrokenEpoch may follow.
        """
        epoch = _epoch_of(item)
        if isinstance(item, BrokenEpoch):
            self._refused.setdefault(epoch, item.reason)
        reason = None if isinstance(item, BrokenEpoch) else self._refused.get(epoch)
        if reason is None:
            try:
                self._queue.put_nowait(item)
            except queue.Full:
                FAILED.labels("backlog").inc()
                reason = self._refused[epoch] = "the disk of the frame store does not keep up"
        if reason is not None:
            if isinstance(item, ClosedFragment):
                os.close(item.file)
            raise FrameStoreFailed(reason)

    def stop(self, timeout_seconds: float) -> bool:
        """Work off what waits; False if the time did not suffice."""
        try:
            self._queue.put(None, timeout=timeout_seconds)
        except queue.Full:
            return False
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    # -- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            item: Closing | None = None
            with suppress(queue.Empty):
                item = self._queue.get(timeout=RETRY_SECONDS if self._unclosed else None)
                if item is None:
                    self._close_broken()
                    return
            WAITING.set(self._queue.qsize())
            if item is not None:
                self._take_whatever_happens(item)
            if self._unclosed and self._clock.monotonic() >= self._retry_at:
                self._close_broken()

    def _take_whatever_happens(self, item: Closing) -> None:
        try:
            self._take(item)
        except Exception as error:  # this thread serves all cameras
            self._refuse(item, "bug", f"{type(error).__name__}: {error}")

    def _take(self, item: Closing) -> None:
        epoch = _epoch_of(item)
        if epoch in self._refused and not isinstance(item, ClosedFragment):
            self._unclosed[epoch] = BrokenEpoch(*epoch, self._refused[epoch])
            self._retry_at = 0.0
            return
        try:
            if isinstance(item, ClosedFragment):
                faults.point("ingest.before-sync")
                self._sync(item)
                faults.point("ingest.before-line")
                self._append(item.record)
                faults.point("ingest.after-line")
            elif isinstance(item, EpochEnd):
                self._append(item)
        except OSError as error:
            self._refuse(item, "os", f"the frame store cannot be written: {error.strerror}")

    def _sync(self, item: ClosedFragment) -> None:
        try:
            if _epoch_of(item) not in self._refused:
                os.fdatasync(item.file)
        finally:
            os.close(item.file)

    def _append(self, record: Fragment | EpochEnd) -> None:
        epoch = (record.camera, record.epoch)
        if epoch in self._refused:
            return
        path = self._root / record.camera / record.epoch / INDEX_NAME
        length = append_lines(path, [record], self._lengths.get(epoch, 0))
        if length is None:
            self._refuse(record, "superseded", "another worker has closed this epoch")
            return
        if isinstance(record, EpochEnd):
            self._lengths.pop(epoch, None)
        else:
            self._lengths[epoch] = length
        self._tell(record)

    def _tell(self, record: Fragment | EpochEnd) -> None:
        try:
            self._on_line(record)
        except Exception as error:  # the line is written; who hears of it must not stop the next
            figures.SURVIVED.labels("index").inc()
            self._log.error("line not told", action="index.untold", exc_info=error)

    def _refuse(self, item: Closing | Fragment, kind: str, reason: str) -> None:
        """Let an epoch take no more; its writer hears of it when it comes with the next."""
        epoch = _epoch_of(item)
        self._refused[epoch] = reason
        FAILED.labels(kind).inc()
        self._log.error(
            "epoch takes no more fragments",
            action=f"index.{kind}",
            camera=epoch[0],
            epoch=epoch[1],
            reason=reason,
        )
        if isinstance(item, EpochEnd | BrokenEpoch):  # nothing more will come of it
            self._unclosed[epoch] = BrokenEpoch(*epoch, reason)

    def _close_broken(self) -> None:
        """Close what can be closed now; the rest is tried again, or left to the next start."""
        self._retry_at = self._clock.monotonic() + RETRY_SECONDS
        for epoch, broken in list(self._unclosed.items()):
            try:
                end = close_epoch(self._root, *epoch, broken.reason, self._log)
            except Exception as error:  # it is tried again, and the others are not kept waiting
                figures.SURVIVED.labels("recovery").inc()
                self._log.warning(
                    "epoch cannot be closed yet",
                    action="index.unclosed",
                    camera=broken.camera,
                    epoch=broken.epoch,
                    reason=error,
                )
                continue
            del self._unclosed[epoch]
            self._refused.pop(epoch, None)
            self._lengths.pop(epoch, None)
            if end is not None:
                self._tell(end)


def _epoch_of(item: Closing | Fragment) -> tuple[str, str]:
    record = item.record if isinstance(item, ClosedFragment) else item
    return record.camera, record.epoch
