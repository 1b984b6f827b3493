"""The frame store, as its readers see it; and the one that is a folder.

    <root>/<camera>/<epoch>/000000.ts     one fragment, growing or closed
    <root>/<camera>/<epoch>/index.jsonl   one line for each closed fragment, then one for the end

The one that is a bucket is in `bucketframes.py`.

Only ingest writes here (`ingest/recording.py`) and deletes (`ingest/janitor.py`). A fragment is
closed when its index line exists: its bytes were on the disk before. The index holds the messages
themselves, so that whoever takes over a camera publishes exactly what its predecessor would have.
Paths come from messages and are checked against the one form that identity gives.
"""

import os
import re
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from shared.errors import BadFragment, BadMessage, FragmentGone, Unavailable
from shared.identity import CAMERA_PATTERN, EPOCH_PATTERN
from shared.messages import EpochEnd, Fragment, read_archive_message

INDEX_NAME = "index.jsonl"
_PATH = re.compile(rf"{CAMERA_PATTERN}/{EPOCH_PATTERN}/[0-9]{{6,10}}\.ts")
_EPOCH = re.compile(EPOCH_PATTERN)


@dataclass(frozen=True)
class EpochIndex:
    """What the index of one epoch says."""

    fragments: tuple[Fragment, ...]
    """Closed fragments, in order."""
    end: EpochEnd | None
    """Set once the epoch has ended."""
    bytes: int
    """Length of the part of the index that could be read."""
    torn: bool
    """The index ends in a line that was never finished: its writer died."""
    apart: frozenset[int] = frozenset()
    """Fragments that are there and are left out of `fragments`, since they were known."""


class FragmentReader(Protocol):
    """Gives the bytes of fragments."""

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Exactly `length` bytes.

        Raises FragmentGone, BadFragment if it is shorter, BadMessage for a path of another form,
        StoreUnavailable.
        """
        ...

    def copy_to(self, path: str, offset: int, length: int, out_fd: int) -> int:
        """Copy bytes to `out_fd`; says how many fitted. Raises BlockingIOError if none does now,
        and as `read` does."""
        ...

    def sizes(self, paths: Sequence[str]) -> list[int | None]:
        """How many bytes fragments of one epoch have, None where there is none.

        Raises StoreUnavailable, OSError, BadMessage.
        """
        ...


class FrameStore(FragmentReader, Protocol):
    """What its readers ask of a frame store. Safe to use from many threads."""

    @property
    def ends_are_final(self) -> bool:
        """Nothing more is closed of an epoch that has its end, and no other end follows."""
        ...

    def cameras(self) -> list[str]:
        """Cameras that have something here, sorted."""
        ...

    def epochs(self, camera: str) -> list[str]:
        """Epochs of a camera that have something here, oldest first."""
        ...

    def names(self, camera: str, epoch: str) -> frozenset[str]:
        """Names of what is there of an epoch. Raises Unavailable if this is not certain."""
        ...

    def closed(
        self,
        camera: str,
        epoch: str,
        known: Container[int] = (),
        *,
        since: datetime | None = None,
        most: int | None = None,
    ) -> EpochIndex:
        """What is closed of an epoch. Fragments in `known` may be left out, and are then `apart`.

        Those that ended before `since` may be left out, and, where each costs a request, all
        behind the first `most`: then the end is left out, too. Raises Unavailable.
        """
        ...

    def used_bytes(self) -> int:
        """Bytes of all fragments."""
        ...


def check_path(path: str) -> None:
    """Raises BadMessage if this is no path of a fragment."""
    if _PATH.fullmatch(path) is None:
        raise BadMessage(f"path {path[:80]!r} is not one of the frame store")


class FrameReader:
    """Reads fragments of a `file://` frame store. Safe to use from many threads."""

    ends_are_final: Final = True

    def __init__(self, root: Path) -> None:
        self._root = root

    def local_path(self, path: str) -> Path:
        """The file of a reference's path. Raises BadMessage for any other form of path."""
        check_path(path)
        return self._root / path

    def sizes(self, paths: Sequence[str]) -> list[int | None]:
        """As `FrameStore` says."""
        return [self._size(path) for path in paths]

    def _size(self, path: str) -> int | None:
        try:
            return self.local_path(path).stat().st_size
        except FileNotFoundError:
            return None

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Exactly `length` bytes. Raises FragmentGone, BadFragment if the file is shorter."""
        with self._open(path) as file:
            data = os.pread(file, length, offset)
        if len(data) != length:
            raise BadFragment(f"{path} ends at {offset + len(data)}, not at {offset + length}")
        return data

    def copy_to(self, path: str, offset: int, length: int, out_fd: int) -> int:
        """Let the kernel copy bytes to `out_fd`; says how many fitted.

        Raises BlockingIOError if none does now, FragmentGone, BadFragment if the file is shorter.
        """
        with self._open(path) as file:
            if os.fstat(file).st_size < offset + length:
                raise BadFragment(f"{path} is shorter than {offset + length} bytes")
            return os.sendfile(out_fd, file, offset, length)

    @contextmanager
    def _open(self, path: str) -> Iterator[int]:
        try:
            file = os.open(self.local_path(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise FragmentGone(f"{path} is not in the frame store") from None
        except OSError as error:
            raise BadFragment(f"{path} cannot be opened: {error.strerror}") from error
        try:
            yield file
        finally:
            os.close(file)

    def cameras(self) -> list[str]:
        """Cameras that have a folder here, sorted."""
        return _folders(self._root, re.compile(CAMERA_PATTERN))

    def epochs(self, camera: str) -> list[str]:
        """Epochs of a camera that have a folder, oldest first."""
        return _folders(self._root / camera, _EPOCH)

    def names(self, camera: str, epoch: str) -> frozenset[str]:
        """Names of the files in an epoch's folder; none if the folder has been removed.

        Raises Unavailable if this is not certain: a disk that is not there looks like a folder that
        is missing or empty. So the folder must hold its index; if there is none, the camera's must
        hold something (ingest keeps its cursor there).
        """
        folder = self._root / camera
        try:
            beside = _names(folder)
            names = _names(folder / epoch) if epoch in beside else frozenset()
        except OSError as error:
            raise Unavailable(f"{camera}/{epoch} cannot be listed: {error.strerror}") from error
        if INDEX_NAME not in names and (epoch in beside or not beside):
            raise Unavailable(f"the frame store of {camera} is not there: no index of {epoch}")
        return names

    def used_bytes(self) -> int:
        """As `FrameStore` says."""
        return store_bytes(self._root)

    def closed(
        self,
        camera: str,
        epoch: str,
        known: Container[int] = (),
        *,
        since: datetime | None = None,
        most: int | None = None,
    ) -> EpochIndex:
        """The index of an epoch, whole; empty if it has none yet. Raises Unavailable."""
        try:
            data = (self._root / camera / epoch / INDEX_NAME).read_bytes()
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise Unavailable(f"the index of {camera}/{epoch}: {error.strerror}") from error
        return parse_index(data)


def parse_index(data: bytes) -> EpochIndex:
    """Read an index as far as it is whole.

    It stops behind the epoch's end, and at the first line that does not parse or does not follow
    the one before it: what lies behind was not written by the epoch's owner.
    """
    fragments: list[Fragment] = []
    end: EpochEnd | None = None
    position = 0
    for line in data.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        try:
            record = read_archive_message(line)
        except BadMessage:
            break
        if fragments and (record.camera, record.epoch) != (fragments[0].camera, fragments[0].epoch):
            break
        if isinstance(record, Fragment) and record.fragment != len(fragments):
            break
        position += len(line)
        if isinstance(record, EpochEnd):
            end = record
            break
        fragments.append(record)
    return EpochIndex(tuple(fragments), end, position, torn=position != len(data))


def _names(folder: Path) -> frozenset[str]:
    with os.scandir(folder) as entries:
        return frozenset(entry.name for entry in entries)


def _folders(root: Path, pattern: re.Pattern[str]) -> list[str]:
    try:
        with os.scandir(root) as entries:
            return sorted(
                entry.name
                for entry in entries
                if pattern.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            )
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise Unavailable(f"the frame store cannot be read: {error.strerror}") from error


def store_bytes(root: Path) -> int:
    """Bytes of all fragments below `root`."""
    total = 0
    for _, _, names, folder in os.fwalk(root):
        for name in names:
            if name.endswith(".ts"):
                try:
                    total += os.stat(name, dir_fd=folder).st_size
                except OSError:  # gone meanwhile, or unreadable: then it counts when it goes
                    continue
    return total
