"""The spool of a frame store that is a bucket: what was left in it by an ingest that died.

Whoever takes over a camera on another host cannot see this disk. So an ingest that starts, and has
the spool to itself, closes whatever epochs lie open in it, those of cameras that others record by
now too: their last fragment is uploaded, and their true end is known. Workers on one host may share
a spool; each holds a shared lock for as long as it lives, and who is not alone closes nothing. The
lock is on the folder itself: a disk that is read-only for now must not keep a worker from starting.
"""

import fcntl
import os
from pathlib import Path

from ingest.recovery import recover
from shared.errors import CradleError
from shared.framestore import FrameReader
from shared.log import Log


class Spool:
    """One worker's hold on it."""

    def __init__(self, root: Path, log: Log) -> None:
        """`root` exists. Raises OSError."""
        self._root = root
        self._log = log
        self._lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def take(self) -> None:
        """Close what lies open, if nobody else may be writing it. Raises OSError."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._lock, fcntl.LOCK_SH)  # who closes is soon done
            return
        for camera in FrameReader(self._root).cameras():
            try:
                recover(self._root, camera, self._log)
            except (CradleError, OSError) as error:  # it is tried again with the camera's seat
                self._log.warning(
                    "left open", action="spool.left_open", camera=camera, reason=str(error)
                )
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._lock)
