"""Closes what a predecessor left open: run when a camera's capture starts, before anything else.

An epoch without its last word had a writer that died, or a disk that failed. Fragments behind its
index were written but never made durable: each is copied as far as it is whole, its frames are
counted in its bytes, and it gets its index line; then the epoch's end is written. Nothing is taken
from messages or memory: `epoch.json` (written when the epoch began) and the bytes say all.

The writer may not be dead but frozen, and wake up. A copy is a new file, so what it still writes
goes into one that has no name any more; and it never appends to an index that has grown without it.
"""

import errno
import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from prometheus_client import Counter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from ingest.timeline import TICKS, captured_at
from shared.errors import BadFragment, BadMessage
from shared.framestore import INDEX_NAME, FrameReader, parse_index
from shared.identity import epoch_started_at, fragment_path
from shared.log import Log
from shared.messages import EpochEnd, Fragment, StreamParameters, read_archive_message
from shared.transport import PACKET_BYTES, frame_offsets, frame_time

EPOCH_FILE = "epoch.json"

LEFT = Counter(
    "cradle_ingest_unrecoverable_files_total", "Fragment files that could not be closed."
)

INTERRUPTED = "ingest was interrupted"
"""Why an epoch ended that its owner did not close."""


class EpochBeginning(BaseModel):
    """`epoch.json`: what a successor must know to close an epoch."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    began_at: AwareDatetime = Field(description="Capture time of the first frame, UTC.")
    stream: StreamParameters = Field(description="Parameters of the epoch.")


@dataclass(frozen=True)
class IndexTail:
    """How an index ends."""

    last: Fragment | EpochEnd | None
    """Its last whole line."""
    bytes: int
    """Length up to the end of that line."""
    size: int
    """Length of the file; more than `bytes` if its writer died within a line."""


def begin_epoch(folder: Path, began_at: datetime, stream: StreamParameters) -> None:
    """Make an epoch's folder, which must not exist, with its `epoch.json`. Raises OSError."""
    folder.mkdir(parents=True, mode=0o750)
    beginning = EpochBeginning(began_at=began_at, stream=stream)
    try:
        _write_durably(folder / EPOCH_FILE, beginning.model_dump_json().encode())
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@dataclass(frozen=True)
class Recovered:
    """What came of it."""

    ends: list[EpochEnd]
    failed: dict[str, OSError]
    """Epochs that the disk did not let close; they are left as they were."""


def recover(root: Path, camera: str, log: Log, spare: str | None = None) -> Recovered:
    """Close every epoch of a camera that has no end, except `spare`, whose writer is still at it.

    One that cannot be read or written keeps no other from being closed. Raises Unavailable if not
    even the folder can be read.
    """
    found = Recovered([], {})
    for epoch in FrameReader(root).epochs(camera):
        if epoch == spare:
            continue
        try:
            end = close_epoch(root, camera, epoch, INTERRUPTED, log)
        except OSError as error:
            log.warning(
                "epoch cannot be closed yet",
                action="recovery.failed",
                camera=camera,
                epoch=epoch,
                reason=error.strerror,
            )
            found.failed[epoch] = error
            continue
        if end is not None:
            found.ends.append(end)
    return found


def close_epoch(root: Path, camera: str, epoch: str, reason: str, log: Log) -> EpochEnd | None:
    """Close one epoch, saving the fragments behind its index; None if it was closed before.

    Raises OSError if the disk is full or cannot be written: then nothing has changed.
    """
    folder = root / camera / epoch
    tail = read_tail(folder / INDEX_NAME)
    if isinstance(tail.last, EpochEnd):
        return None
    last = tail.last
    saved = _save_fragments(root, camera, epoch, 0 if last is None else last.fragment + 1, log)
    last = saved[-1] if saved else last
    end = EpochEnd(
        camera=camera,
        epoch=epoch,
        fragments=0 if last is None else last.fragment + 1,
        ended_at=epoch_started_at(epoch) if last is None else last.ends_at,
        reason=reason[:300],
    )
    if tail.size > tail.bytes:
        os.truncate(folder / INDEX_NAME, tail.bytes)
    if append_lines(folder / INDEX_NAME, [*saved, end], tail.bytes) is None:
        raise OSError(errno.EBUSY, "the index grew while its epoch was closed")
    log.info(
        "epoch closed from its bytes",
        action="recovery.closed",
        camera=camera,
        epoch=epoch,
        reason=reason,
        fragments=end.fragments,
        saved=len(saved),
    )
    return end


def read_tail(path: Path) -> IndexTail:
    """The end of an index: all of it is parsed only if it looks damaged. Raises OSError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return IndexTail(None, 0, 0)
    whole = data.rfind(b"\n") + 1
    try:
        last = read_archive_message(data[: max(whole - 1, 0)].rpartition(b"\n")[2])
    except BadMessage:
        last = None
    lines = data.count(b"\n")
    if isinstance(last, EpochEnd):
        is_sound = lines == last.fragments + 1
    else:
        is_sound = last is not None and lines == last.fragment + 1
    if not is_sound:
        index = parse_index(data)
        last = index.end or (index.fragments[-1] if index.fragments else None)
        whole = index.bytes
    return IndexTail(last, whole, len(data))


def append_lines(path: Path, records: list[Fragment | EpochEnd], expected: int) -> int | None:
    """Append to an index of `expected` bytes; its new length, or None if it has another length.

    Raises OSError, and then the index is as it was.
    """
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    try:
        if os.fstat(file).st_size != expected:
            return None
        lines = b"".join(record.to_body() + b"\n" for record in records)
        if os.write(file, lines) != len(lines):
            os.ftruncate(file, expected)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return expected + len(lines)
    finally:
        os.close(file)


def _save_fragments(root: Path, camera: str, epoch: str, known: int, log: Log) -> list[Fragment]:
    """Make the files of an epoch from number `known` on durable, as far as they can be read."""
    folder = root / camera / epoch
    behind = sorted(
        int(path.stem)
        for path in folder.glob("*.ts")
        if path.stem.isdecimal() and int(path.stem) >= known
    )
    saved: list[Fragment] = []
    for number in behind:
        record = None
        if number == known + len(saved):  # behind a hole nothing can be announced in order
            record = _save_fragment(root, camera, epoch, number, log)
        if record is None:
            break
        saved.append(record)
    if saved:
        _sync_folder(folder)
    left = behind[len(saved) :]
    if left:
        LEFT.inc(len(left))
        log.warning(
            "files without a readable frame are left to the janitor",
            action="recovery.left",
            camera=camera,
            epoch=epoch,
            first=left[0],
            count=len(left),
        )
    return saved


def _save_fragment(root: Path, camera: str, epoch: str, number: int, log: Log) -> Fragment | None:
    """Replace a fragment by a durable copy of what is whole; None if no frame begins in it."""
    relative = fragment_path(camera, epoch, number)
    path = root / relative
    try:
        beginning = EpochBeginning.model_validate_json((path.parent / EPOCH_FILE).read_bytes())
        data = path.read_bytes()
        data = data[: len(data) // PACKET_BYTES * PACKET_BYTES]
        offsets = [int(offset) for offset in frame_offsets(data)]
        times = [time for offset in offsets if (time := frame_time(data, offset)) is not None]
        record = _describe(camera, epoch, number, beginning, len(data), offsets, times)
    except (OSError, ValueError, BadFragment, OverflowError) as error:
        log.warning("file unreadable", action="recovery.unreadable", path=relative, reason=error)
        return None
    if record is not None:
        copy = path.with_suffix(".copy")
        copy.unlink(missing_ok=True)
        _write_durably(copy, data)
        os.replace(copy, path)  # noqa: PTH105 - the word of the design, and of POSIX
    return record


def _describe(
    camera: str,
    epoch: str,
    number: int,
    beginning: EpochBeginning,
    size: int,
    offsets: list[int],
    times: list[int],
) -> Fragment | None:
    if not times:
        return None
    rate = beginning.stream.frames_per_second or 25
    return Fragment(
        camera=camera,
        epoch=epoch,
        fragment=number,
        path=fragment_path(camera, epoch, number),
        bytes=size,
        frames=len(offsets),
        captured_at=captured_at(beginning.began_at, times[0]),
        duration_seconds=(max(times) - times[0]) / TICKS + 1 / rate,
        key_frame_bytes=offsets[1] if len(offsets) > 1 else size,
        stream=beginning.stream,
    )


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _write_durably(path: Path, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
        os.fsync(file)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)
