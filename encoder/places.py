"""Where one camera's bytes come from and its live output goes to: folders, or a bucket each."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from encoder.fetched import Fetched
from encoder.folder import LiveFolder
from encoder.forgotten import EVERY_SECONDS, Forgotten
from encoder.mirror import MirroredFolder
from encoder.publication import OnLoop
from encoder.strand import Strand
from shared.bucketframes import BucketFrames
from shared.clock import Clock
from shared.config import LiveSettings, Settings
from shared.framestore import FragmentReader, FrameReader
from shared.link import Delivery
from shared.livestore import LiveStore
from shared.log import Log

THREADS: Final = 8
"""That fetch, and as many that publish, for all cameras of a worker."""
FETCH_SECONDS: Final = 3.0
"""For an answer, and there is no second try: what comes later is not live."""


@dataclass(frozen=True)
class Places:
    """Of one camera."""

    settings: LiveSettings
    frames: FragmentReader
    folder: LiveFolder
    on_loop: OnLoop = lambda callback: callback()
    """Has a callback run on the loop's thread."""
    fetch: Callable[[Delivery, Callable[[], None]], None] = lambda _delivery, then: then()
    """Makes the bytes of a batch ready to be read at once; then calls back, in order."""
    ready: Callable[[Callable[[], None]], None] = lambda then: then()
    """Calls back once the folder can be taken over."""


class Stores:
    """What the cameras of one worker share."""

    def __init__(self, settings: Settings, clock: Clock, log: Log) -> None:
        """Connects to nothing yet. Raises Misconfigured."""
        self._settings = settings
        self._clock = clock
        self._log = log
        frames, live = settings.frames.bucket, settings.live.bucket
        self._frames = (
            None
            if frames is None
            else BucketFrames(settings.archive, frames, FETCH_SECONDS, retries=0)
        )
        self._live = None if live is None else LiveStore(settings.archive, live)
        self._fetchers = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")
        self._publishers = ThreadPoolExecutor(THREADS, thread_name_prefix="publish")
        named = [camera.id for camera in settings.cameras]
        self._forgotten = Forgotten(settings.live.root, self._live, named, clock, log)
        self._cleaning = Strand(self._publishers, log)
        self._clean_at = clock.monotonic()

    def places(self, camera: str, on_loop: OnLoop, log: Log) -> Places:
        """Those of one camera."""
        settings, clock = self._settings, self._clock
        places = local_places(settings, camera, clock)
        if self._frames is not None:
            fetched = Fetched(self._frames, clock, log)
            strand = Strand(self._fetchers, log)
            fetch = partial(_fetch, fetched, strand)
            places = replace(places, frames=fetched, fetch=fetch)
        if self._live is not None:
            strand = Strand(self._publishers, log)
            root = settings.live.root
            folder = MirroredFolder(root, camera, clock, self._live, strand, log)
            places = replace(places, folder=folder, ready=folder.restore, on_loop=on_loop)
        return places

    def clean_in_time(self) -> None:
        """A turn for what is done once an hour: to delete output of forgotten cameras."""
        if self._clock.monotonic() >= self._clean_at:
            self._clean_at += EVERY_SECONDS
            self._cleaning.do(self._forgotten.clean)

    def close(self) -> None:
        """Let the threads end; what waits is left."""
        for pool in (self._fetchers, self._publishers):
            pool.shutdown(wait=False, cancel_futures=True)


def local_places(settings: Settings, camera: str, clock: Clock) -> Places:
    """Those of a camera where everything is a folder."""
    frames = FrameReader(settings.frames.root)
    return Places(settings.live, frames, LiveFolder(settings.live.root, camera, clock))


def _fetch(fetched: Fetched, strand: Strand, delivery: Delivery, then: Callable[[], None]) -> None:
    def job() -> None:
        try:
            fetched.fetch(delivery.body)
        finally:  # else it would be held for ever, and in the end nothing more would come
            then()

    strand.do(job)
