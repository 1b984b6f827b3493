"""Fragments of a frame store that is a bucket, fetched before their batches are fed.

The loop feeds all cameras and must never wait for a store. So a batch that arrives is fetched by a
thread first, those of one camera in order, and crosses to the loop only then; what could not be
fetched crosses as well, and is skipped there as gone. A batch is a whole fragment here. It is kept
for some seconds: a child that dies is fed again what it was fed last.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from shared.bucketframes import BucketFrames
from shared.clock import Clock
from shared.errors import BadFragment, BadMessage, CradleError, FragmentGone
from shared.log import Log
from shared.messages import read_batch

KEPT_SECONDS: Final = 10.0
"""Longer than the live budget."""
KEPT_BYTES: Final = 64 * 1024 * 1024


class Fetched:
    """The fragments of one camera. `fetch` from one thread, the rest from another."""

    def __init__(self, frames: BucketFrames, clock: Clock, log: Log) -> None:
        self._frames = frames
        self._clock = clock
        self._log = log
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    def fetch(self, body: bytes) -> None:
        """Fetch what a message of a batch refers to. Nothing is raised: who reads it will see."""
        try:
            path = read_batch(body).path
            data = self._frames.fetch(path)
        except BadMessage:
            return  # the loop refuses it
        except CradleError as error:
            self._log.warning("fragment not fetched", action="fetch.failed", reason=str(error))
            return
        now = self._clock.monotonic()
        with self._lock:
            self._kept[path] = data, now
            while len(self._kept) > 1 and self._is_over(now):
                self._kept.popitem(last=False)

    def _is_over(self, now: float) -> bool:
        _, (_, since) = next(iter(self._kept.items()))
        total = sum(len(data) for data, _ in self._kept.values())
        return now - since > KEPT_SECONDS or total > KEPT_BYTES

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Exactly `length` bytes. Raises FragmentGone, BadFragment if it is shorter."""
        return bytes(self._view(path, offset, length))

    def copy_to(self, path: str, offset: int, length: int, out_fd: int) -> int:
        """Copy bytes to `out_fd`; says how many fitted. Raises as `read`, BlockingIOError."""
        return os.write(out_fd, self._view(path, offset, length))

    def sizes(self, paths: Sequence[str]) -> list[int | None]:
        """How many bytes were fetched of each, None where it is not here."""
        with self._lock:
            found = [self._kept.get(path) for path in paths]
        return [None if each is None else len(each[0]) for each in found]

    def _view(self, path: str, offset: int, length: int) -> memoryview:
        with self._lock:
            found = self._kept.get(path)
        if found is None:
            raise FragmentGone(f"{path} was not fetched")
        if len(found[0]) < offset + length:
            raise BadFragment(f"{path} is shorter than {offset + length} bytes")
        return memoryview(found[0])[offset : offset + length]
