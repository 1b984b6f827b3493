"""Live output of cameras that the configuration does not name any more.

Nobody takes the seat of a camera that was taken out of it, and so nobody would ever delete its last
playlist and segments: pictures of children. Each worker looks for them when it begins and once an
hour. What has changed within an hour is left alone, for the configuration of another worker may
still name the camera; so is whatever does not have the names of live output.
"""

import re
import shutil
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from encoder.folder import LEFTOVER
from encoder.playlist import NAME, can_be_listed
from shared.clock import Clock
from shared.errors import CradleError
from shared.identity import CAMERA_PATTERN
from shared.livestore import LiveStore
from shared.log import Log

EVERY_SECONDS: Final = 3600.0
UNCHANGED: Final = timedelta(hours=1)


class Forgotten:
    """Of one root, and the bucket if there is one; used by one thread at a time."""

    def __init__(
        self,
        root: Path,
        store: LiveStore | None,
        cameras: Collection[str],
        clock: Clock,
        log: Log,
    ) -> None:
        """`cameras` are those that the configuration names."""
        self._root = root
        self._store = store
        self._cameras = frozenset(cameras)
        self._clock = clock
        self._log = log

    def clean(self) -> None:
        """Delete what is left of them. Nothing is raised: it is tried again in an hour."""
        self._try(self._clean_folders)
        if self._store is not None:
            store = self._store
            self._try(lambda: self._clean_bucket(store))

    def _try(self, job: Callable[[], None]) -> None:
        try:
            job()
        except (CradleError, OSError) as error:
            self._log.warning("old live output stays", action="live.uncleaned", reason=str(error))

    def _is_forgotten(self, name: str) -> bool:
        is_camera = re.fullmatch(CAMERA_PATTERN, name, re.ASCII) is not None
        return is_camera and name not in self._cameras

    def _has_rested(self, changed_at: datetime | None) -> bool:
        return changed_at is not None and self._clock.now() - changed_at > UNCHANGED

    def _note(self, camera: str, place: str) -> None:
        self._log.info(
            "live output of a camera that is not configured deleted",
            action="live.forgotten",
            camera=camera,
            place=place,
        )

    # -- the folder ---------------------------------------------------------------------------

    def _clean_folders(self) -> None:
        for path in sorted(self._root.iterdir()):
            if self._is_forgotten(path.name) and not path.is_symlink() and path.is_dir():
                self._try(lambda path=path: self._clean_folder(path))  # type: ignore[misc]

    def _clean_folder(self, path: Path) -> None:
        index = path / NAME
        if not index.is_file():
            return  # of something else
        newest = max(each.lstat().st_mtime for each in (path, *path.rglob("*")))
        if not self._has_rested(datetime.fromtimestamp(newest, UTC)):
            return
        for each in path.iterdir():
            if LEFTOVER.fullmatch(each.name):
                if each.is_dir() and not each.is_symlink():
                    shutil.rmtree(each)
                else:
                    each.unlink()
        index.unlink()  # last: by it the next one knows what this is
        if not any(path.iterdir()):
            path.rmdir()
        self._note(path.name, "folder")

    # -- the bucket ---------------------------------------------------------------------------

    def _clean_bucket(self, store: LiveStore) -> None:
        for camera in sorted(filter(self._is_forgotten, store.folders(store.prefix))):
            prefix = f"{store.prefix}{camera}/"
            found = [
                each
                for each in store.list(prefix)
                if (name := each.key.removeprefix(prefix)) == NAME or can_be_listed(name)
            ]
            if found and all(self._has_rested(each.modified_at) for each in found):
                store.remove_all(each.key for each in found)
                self._note(camera, "bucket")
