"""Fragments into one MP4, without touching a picture: `ffmpeg -c copy`, `+faststart`.

The fragments go through a pipe by sendfile, so their number costs no file descriptors and the bytes
never pass through Python. The MP4 is then read back and its video packets counted: they must be the
frames that the references promise. Whatever goes wrong (no ffmpeg, ffmpeg fails or takes too long,
a count that differs, any exception), the original bytes are the clip: the fragments joined, which
players read as they are. Only a fragment that is no longer there stops the making.
"""

import hashlib
import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
import ffmpeg

from archiver import figures
from archiver.clip import Clip, Container, Made, MadeFile
from shared.child import Child
from shared.clock import Clock
from shared.errors import (
    BadFragment,
    ChildFailed,
    CradleError,
    FragmentGone,
    Refused,
    StoreUnavailable,
    Unavailable,
)
from shared.framestore import FrameStore
from shared.log import Log
from shared.messages import Fragment
from shared.transport import AUDIO_PID, count_frames, packets

PIPE_BYTES: Final = 1024 * 1024
LATE_AUDIO: Final = {"analyzeduration": 120_000_000, "probesize": 64 * 1024 * 1024}
"""How far (microseconds, bytes) to look for sound that begins late in a clip."""
LONGEST_PAUSE_SECONDS: Final = 86_400
"""Sound that pauses comes back in its place. (Default: 10 s, after which ffmpeg closes the gap and
the sound is ahead of the picture by as much.)"""
REFILL_SECONDS: Final = 0.004
"""A full pipe of PIPE_BYTES is given this long to empty, so that much fits in at once; ffmpeg takes
about as long for it, and asking at every 32 KiB that it reads costs as much as the copying."""
UNPROBED: Final = {"codec_whitelist": "none"}
"""For libavformat: look at no picture while opening; what is asked of a file does not need it."""
_TURN_SECONDS: Final = 0.5


class FragmentUnreadable(BadFragment):
    """The file of a fragment is there, and its bytes cannot be read."""

    def __init__(self, fragment: Fragment, reason: str) -> None:
        super().__init__(f"{fragment.path} cannot be read: {reason}")
        self.number = fragment.fragment


class FragmentsGone(Refused):
    """Fragments of the clip are no longer in the frame store."""

    def __init__(self, numbers: frozenset[int]) -> None:
        super().__init__(f"fragments {sorted(numbers)} are no longer in the frame store")
        self.numbers = numbers


class Abandoned(Unavailable):
    """The worker is stopping and cannot wait for this conversion."""


@dataclass
class _Deadline:
    """When ffmpeg has had its time, of which the frame store takes none."""

    at: float
    """Monotonic."""


class Converter:
    """Makes clips in the work folder. Used by many threads."""

    def __init__(
        self,
        frames: FrameStore,
        clock: Clock,
        log: Log,
        *,
        timeout_seconds: float,
        abandon: threading.Event,
    ) -> None:
        self._frames = frames
        self._clock = clock
        self._log = log
        self._timeout_seconds = timeout_seconds
        self._abandon = abandon

    def make(self, clip: Clip, path: Path) -> MadeFile:
        """The clip as MP4 at `path`, or its original bytes beside it.

        Raises FragmentsGone, Abandoned; Unavailable without the frame store; OSError if not even
        the bytes could be written.
        """
        sizes = self._sizes(clip)
        try:
            _check_sizes(clip, sizes)
            return self._convert(clip, path)
        except (FragmentsGone, Abandoned, StoreUnavailable):
            raise
        except FragmentGone:
            self._sizes(clip)  # says which are gone
            raise
        except Exception as error:  # no fault of a tool may cost footage
            reason = str(error) if isinstance(error, CradleError) else repr(error)
            figures.ORIGINALS_KEPT.labels(clip.identity.camera, type(error).__name__).inc()
            self._log.warning(
                "conversion failed, the original bytes are kept",
                action="clip.original_kept",
                camera=clip.identity.camera,
                epoch=clip.identity.epoch,
                first=clip.identity.first,
                last=clip.identity.last,
                reason=reason,
            )
            return self.join(clip, path.with_suffix(".ts"), reason)

    def _sizes(self, clip: Clip) -> list[int]:
        """Sizes of the fragments' files in bytes.

        Raises FragmentsGone; Unavailable if the frame store is not there, which loses nothing.
        """
        found = self._frames.sizes([fragment.path for fragment in clip.fragments])
        pairs = list(zip(clip.fragments, found, strict=True))
        missing = [fragment for fragment, size in pairs if size is None]
        if not all(found):
            names = self._frames.names(clip.identity.camera, clip.identity.epoch)
            if any(Path(each.path).name in names for each in missing):
                raise Unavailable("the frame store was away for a moment")
            raise FragmentsGone(frozenset(each.fragment for each, size in pairs if not size))
        return [size or 0 for size in found]

    def _convert(self, clip: Clip, path: Path) -> MadeFile:
        deadline = _Deadline(self._clock.monotonic() + self._timeout_seconds)
        sound = clip.fragments[0].stream.audio_codec is not None
        try:
            self._run(clip, path, deadline, sound=sound)
        except ChildFailed:
            # ffmpeg cannot write the header when the sound it was promised begins late or never.
            if not sound or self._clock.monotonic() > deadline.at:
                raise
            with self._apart_from(deadline):
                heard = self._has_audio(clip)
            options = LATE_AUDIO if heard else {}
            self._run(clip, path, deadline, sound=heard, options=options)
        counted = count_packets(path, "mp4")
        if counted != clip.frames:
            raise ChildFailed(f"the MP4 holds {counted} frames and not {clip.frames}")
        return MadeFile(path, self._describe(path, "mp4", None, counted))

    def _run(
        self,
        clip: Clip,
        path: Path,
        deadline: _Deadline,
        *,
        sound: bool,
        options: dict[str, Any] | None = None,
    ) -> None:
        command = convert_command(
            path, hevc=clip.fragments[0].stream.video_codec == "hevc", sound=sound, options=options
        )
        log = self._log.bind(camera=clip.identity.camera)
        with Child(command, name="conversion", log=log, stdin=True, stdout=False) as child:
            roomy = child.enlarge_stdin(PIPE_BYTES)
            self._feed(child, clip, deadline, REFILL_SECONDS if roomy else 0.0)
            child.close_stdin()
            status = self._until(deadline, lambda: child.wait(_TURN_SECONDS))
            if status != 0:
                raise ChildFailed(f"ffmpeg ended with {status}: {child.last_words}")

    def _feed(self, child: Child, clip: Clip, deadline: _Deadline, refill_seconds: float) -> None:
        writable = select.poll()
        writable.register(child.stdin_fd, select.POLLOUT)
        for fragment in clip.fragments:
            self._check_not_stopping()  # where the store is slow, the pipe is never full
            offset = 0
            while offset < fragment.bytes:
                try:
                    with self._apart_from(deadline):
                        offset += self._frames.copy_to(
                            fragment.path, offset, fragment.bytes - offset, child.stdin_fd
                        )
                except BlockingIOError:
                    self._until(deadline, lambda: writable.poll(_TURN_SECONDS * 1000) or None)
                    self._abandon.wait(refill_seconds)
                except BrokenPipeError:
                    return  # it has ended; its status and last words say why

    @contextmanager
    def _apart_from(self, deadline: _Deadline) -> Iterator[None]:
        """What is done within is the frame store's, which has time-outs of its own."""
        began = self._clock.monotonic()
        try:
            yield
        finally:
            deadline.at += self._clock.monotonic() - began

    def _check_not_stopping(self) -> None:
        if self._abandon.is_set():
            raise Abandoned("the archiver is stopping")

    def _until(self, deadline: _Deadline, attempt: Callable[[], Any]) -> Any:
        while True:
            self._check_not_stopping()
            if self._clock.monotonic() > deadline.at:
                raise ChildFailed(f"ffmpeg took longer than {self._timeout_seconds:g} s")
            result = attempt()
            if result is not None:
                return result

    def _has_audio(self, clip: Clip) -> bool:
        for fragment in clip.fragments:
            rows = packets(self._frames.read(fragment.path, 0, fragment.bytes))
            pids = ((rows[:, 1] & 0x1F).astype("uint16") << 8) | rows[:, 2]
            if bool((pids == AUDIO_PID).any()):
                return True
        return False

    def join(self, clip: Clip, path: Path, reason: str) -> MadeFile:
        """The original bytes of all fragments, one after the other. Raises FragmentsGone."""
        sizes = self._sizes(clip)
        counted: int | None = 0
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            for fragment, size in zip(clip.fragments, sizes, strict=True):
                try:
                    self._copy(fragment, size, file)
                except (BadFragment, OSError) as error:
                    self._check_readable(fragment, size)  # else it is our own file that failed
                    raise error from None
                counted = self._count(fragment.path, size, counted)
        except FragmentGone:
            self._sizes(clip)
            raise
        finally:
            os.close(file)
        return MadeFile(path, self._describe(path, "ts", reason, counted))

    def _copy(self, fragment: Fragment, size: int, file: int) -> None:
        offset = 0
        while offset < size:
            offset += self._frames.copy_to(fragment.path, offset, size - offset, file)

    def _check_readable(self, fragment: Fragment, size: int) -> None:
        """Raises FragmentUnreadable if the disk does not give the fragment's bytes."""
        try:
            self._frames.read(fragment.path, 0, size)
        except FragmentGone:
            return
        except (BadFragment, OSError) as error:
            raise FragmentUnreadable(fragment, str(error)) from error

    def _count(self, path: str, size: int, sum_before: int | None) -> int | None:
        if sum_before is None:
            return None
        try:
            return sum_before + count_frames(self._frames.read(path, 0, size))
        except BadFragment:
            return None

    def _describe(self, path: Path, container: Any, reason: str | None, frames: int | None) -> Made:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return Made(container, reason, path.stat().st_size, sha256, frames)


def _check_sizes(clip: Clip, sizes: list[int]) -> None:
    for fragment, size in zip(clip.fragments, sizes, strict=True):
        if size != fragment.bytes:
            raise BadFragment(f"{fragment.path} has {size} bytes and not {fragment.bytes}")


def convert_command(
    path: Path, *, hevc: bool, sound: bool, options: dict[str, Any] | None = None
) -> list[str]:
    """ffmpeg's arguments: a transport stream on standard input to an MP4 at `path`."""
    source = ffmpeg.input(
        "pipe:0", format="mpegts", dts_delta_threshold=LONGEST_PAUSE_SECONDS, **(options or {})
    )
    streams = [source["v:0"], source["a:0?"]] if sound else [source["v:0"]]
    tag = {"tag:v": "hvc1"} if hevc else {}  # Apple's players refuse ffmpeg's default, hev1
    output = ffmpeg.output(*streams, str(path), f="mp4", c="copy", movflags="+faststart", **tag)
    command: list[str] = ffmpeg.compile(
        output.global_args("-hide_banner", "-nostats", "-v", "error"), overwrite_output=True
    )
    return command


def count_packets(path: Path, container: Container) -> int:
    """Video packets that a player gets from a media file. Raises ChildFailed if it cannot be read.

    An MP4 says where each of them lies; those that do not lie inside the file do not count.
    """
    form = {"mp4": "mp4", "ts": "mpegts"}[container]
    try:
        with av.open(str(path), "r", format=form, container_options=UNPROBED) as file:
            video = file.streams.video[0]
            if container == "ts":
                return sum(1 for packet in file.demux(video) if packet.size)
            end = path.stat().st_size
            return sum(1 for each in video.index_entries if 0 < each.size <= end - each.pos)
    except (av.FFmpegError, IndexError) as error:
        raise ChildFailed(f"the file cannot be read back: {error}") from error
