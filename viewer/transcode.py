"""An HEVC clip as H.264, for browsers that cannot play it: encoded while it is sent.

One thread a clip starts ffmpeg, feeds it from the bucket and passes on what it makes; it ends when
the reader goes away, for the queue between them is short. Few at a time: live comes first.
"""

import os
import select
import threading
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import Final

from shared.child import Child
from shared.errors import CradleError
from shared.log import Log
from shared.objectstore import ObjectStore

AT_ONCE: Final = 1
QUEUED_PIECES: Final = 16
PIECE_BYTES: Final = 64 * 1024
PATIENCE_SECONDS: Final = 30.0
"""A reader that takes nothing for so long has gone."""

COMMAND: Final = (
    *("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "warning", "-threads", "2"),
    *("-f", "mp4", "-i", "pipe:0", "-map", "0:v:0", "-map", "0:a:0?"),
    *(
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-crf",
        "23",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "copy",
    ),
    *("-movflags", "frag_keyframe+empty_moov+default_base_moof", "-f", "mp4", "pipe:1"),
)

_places = threading.Semaphore(AT_ONCE)


def as_h264(store: ObjectStore, key: str, size: int, log: Log) -> Iterator[bytes] | None:
    """The clip, encoded anew, in pieces (fragmented MP4); None if too many are asked for."""
    if not _places.acquire(blocking=False):
        return None
    work = _Transcode(store, key, size, log)
    threading.Thread(target=work.run, name="transcode", daemon=True).start()
    return work.pieces()


class _Transcode:
    def __init__(self, store: ObjectStore, key: str, size: int, log: Log) -> None:
        self._source = store.stream(key, 0, size)
        self._key = key
        self._log = log
        self._made: Queue[bytes | None] = Queue(QUEUED_PIECES)
        self._gone = threading.Event()

    def pieces(self) -> Iterator[bytes]:
        try:
            while (piece := self._made.get(timeout=PATIENCE_SECONDS)) is not None:
                yield piece
        except Empty:
            self._log.error("transcoding hangs", action="transcode.hung", key=self._key)
        finally:
            self._gone.set()

    def run(self) -> None:
        try:
            with Child(COMMAND, name="transcode", log=self._log, stdin=True, stdout=True) as child:
                os.setpriority(os.PRIO_PROCESS, child.pid, 15)
                self._pump(child)
        except (CradleError, OSError) as error:
            self._log.error(
                "transcoding failed", action="transcode.failed", key=self._key, reason=str(error)
            )
        finally:
            _places.release()
            self._put(None)

    def _pump(self, child: Child) -> None:
        rest = memoryview(b"")
        is_fed = False
        while not self._gone.is_set():
            if not rest and not is_fed:
                piece = next(self._source, None)
                rest = memoryview(piece or b"")
                if piece is None:
                    is_fed = True
                    child.close_stdin()
            writable = [] if is_fed else [child.stdin_fd]
            can_read, can_write, _ = select.select([child.stdout_fd], writable, [], 5.0)
            if can_write:
                try:
                    rest = rest[os.write(child.stdin_fd, rest[:PIECE_BYTES]) :]
                except BrokenPipeError:
                    is_fed = True
            if can_read:
                made = os.read(child.stdout_fd, PIECE_BYTES)
                if not made:
                    return
                self._put(made)

    def _put(self, piece: bytes | None) -> None:
        waited = 0.0
        while not self._gone.is_set() and waited < PATIENCE_SECONDS:
            with suppress(Full):
                return self._made.put(piece, timeout=0.5)
            waited += 0.5
        self._gone.set()
        return None
