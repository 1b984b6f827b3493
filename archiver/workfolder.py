"""Where clips are made before they are uploaded: a folder of this process alone.

It lies beside the frame store, on a disk made for footage (in the system's temporary folder if that
is not writable). The process keeps a lock on it; at start the folders of processes that are gone,
whose locks the kernel has freed, are removed. Names are never used twice.
"""

import fcntl
import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from shared.errors import Misconfigured

FOLDER: Final = "archiver-work"


class WorkFolder:
    """Files of clips that are being made."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self._numbers = itertools.count()

    @classmethod
    def open(cls, frames_root: Path) -> "WorkFolder":
        """Remove what dead processes left, and make a folder. Raises Misconfigured."""
        fault = ""
        for parent in (frames_root.parent / FOLDER, Path(tempfile.gettempdir()) / FOLDER):
            try:
                parent.mkdir(parents=True, exist_ok=True)
                remove_leftovers(parent)
                return cls._make(parent)
            except OSError as error:
                fault = f"{parent}: {error.strerror}"
        raise Misconfigured(f"the archiver has no folder to work in ({fault}); make it writable")

    @classmethod
    def _make(cls, parent: Path) -> "WorkFolder":
        while True:
            path = parent / f"{os.getpid()}-{secrets.token_hex(4)}"
            path.mkdir(mode=0o700)
            lock = _try_lock(path)
            if lock is not None:  # else another process took it for a leftover just now
                return cls(path, lock)

    @contextmanager
    def file(self, suffix: str) -> Iterator[Path]:
        """A name for a new file; what has this name afterwards, with any suffix, is removed."""
        stem = f"{next(self._numbers)}"
        try:
            yield self.path / f"{stem}.{suffix}"
        finally:
            for path in self.path.glob(f"{stem}.*"):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def remove_leftovers(parent: Path) -> int:
    """Remove the folders of processes that are gone; says how many."""
    removed = 0
    for path in list(parent.iterdir()):
        lock = _try_lock(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)
            removed += 1
    return removed


def _try_lock(path: Path) -> int | None:
    """A lock on a folder that is still there, None if another process has it."""
    lock = None
    with suppress(OSError):
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_ino == path.stat().st_ino:
            return lock
    if lock is not None:
        os.close(lock)
    return None
