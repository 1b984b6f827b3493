"""Fragments of a frame store that is a bucket, fetched before their batches are fed.

The loop feeds all cameras and must never wait for a store. So a batch that arrives is fetched by a
thread first, those of one camera in order, and crosses to the loop only then; what could not be
fetched, or is not live any more, crosses as well and is skipped there. A batch is a whole fragment
here. It is kept for some seconds: a child that dies is fed again what it was fed last.
"""

import os
from collections.abc import Sequence
from typing import Final

from encoder.cursor import LIVE_BUDGET_SECONDS
from shared.bucketframes import BucketFrames
from shared.clock import Clock
from shared.errors import BadFragment, BadMessage, CradleError, FragmentGone
from shared.keptbytes import KeptBytes
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
        self._kept = KeptBytes(clock, seconds=KEPT_SECONDS, most_bytes=KEPT_BYTES)

    def fetch(self, body: bytes) -> None:
        """Fetch what a message of a batch refers to. Nothing is raised: who reads it will see."""
        try:
            batch = read_batch(body)
            age = self._clock.now() - batch.written_at
            if age.total_seconds() > LIVE_BUDGET_SECONDS:
                return  # the loop leaves it out; after an outage there are many
            self._kept.add(batch.path, self._frames.fetch(batch.path))
        except BadMessage:
            return  # the loop refuses it
        except CradleError as error:
            self._log.warning("fragment not fetched", action="fetch.failed", reason=str(error))

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Exactly `length` bytes. Raises FragmentGone, BadFragment if it is shorter."""
        return bytes(self._view(path, offset, length))

    def copy_to(self, path: str, offset: int, length: int, out_fd: int) -> int:
        """Copy bytes to `out_fd`; says how many fitted. Raises as `read`, BlockingIOError."""
        return os.write(out_fd, self._view(path, offset, length))

    def sizes(self, paths: Sequence[str]) -> list[int | None]:
        """How many bytes were fetched of each, None where it is not here."""
        found = map(self._kept.get, paths)
        return [None if each is None else len(each) for each in found]

    def _view(self, path: str, offset: int, length: int) -> memoryview:
        found = self._kept.get(path)
        if found is None:
            raise FragmentGone(f"{path} was not fetched")
        if len(found) < offset + length:
            raise BadFragment(f"{path} is shorter than {offset + length} bytes")
        return memoryview(found)[offset : offset + length]
