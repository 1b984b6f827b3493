"""What an ingest has besides where its frame store is a bucket: spool, uploads, others' epochs."""

from pathlib import Path
from typing import Final

from ingest.elsewhere import Elsewhere
from ingest.spool import Spool
from ingest.uploads import OnUploaded, Uploads
from shared.bucketframes import BucketFrames
from shared.bucketplace import BucketPlace
from shared.clock import Clock
from shared.config import Settings
from shared.errors import Misconfigured, Unavailable
from shared.framestore import FrameReader
from shared.log import Log

ANSWER_SECONDS: Final = 3.0
"""So long an upload waits for its answer. It is sent once: a carrier that waited through several
tries would hold up other cameras, and live would be over."""


class Remote:
    """Of one worker."""

    def __init__(
        self, settings: Settings, place: BucketPlace, told: OnUploaded, clock: Clock, log: Log
    ) -> None:
        """Closes what a dead worker left in the spool.

        Raises Misconfigured if there is none, Unavailable if it cannot be read.
        """
        self._root: Path = settings.frames.root
        try:
            self._spool = Spool(self._root, log)
            self._spool.take()
        except Unavailable:
            self._spool.close()  # whoever tries again is not alone with it otherwise
            raise
        except OSError as error:
            raise Misconfigured(
                f"frames.spool: {self._root} cannot be used ({error.strerror})"
            ) from error
        self.frames = BucketFrames(settings.archive, place)
        self._hasty = BucketFrames(settings.archive, place, ANSWER_SECONDS, retries=0)
        self.uploads = Uploads(self._root, self._hasty, told, clock, log)
        self._elsewhere = Elsewhere(self.frames, clock, log)

    def start(self) -> None:
        self.uploads.start()
        self._elsewhere.start()

    def cameras(self) -> list[str]:
        """Those that an earlier run has left something of, or that are recorded now."""
        return FrameReader(self._root).cameras()

    def newest(self, camera: str) -> str:
        """The newest epoch of a camera that was seen in the bucket."""
        return self._elsewhere.newest(camera)

    def stop(self) -> None:
        """Uploads have been finished."""
        self._elsewhere.stop()
        self._spool.close()
        self.frames.close()
        self._hasty.close()
