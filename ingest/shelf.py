"""What lies in the frame store of one camera: closed fragments that have not been deleted.

Indexes are read once and then only where they have grown, so that a look at a day of fragments
costs little.
"""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from shared.errors import BadMessage
from shared.framestore import INDEX_NAME, FrameReader
from shared.messages import EpochEnd, read_archive_message


class Kept(NamedTuple):
    """A closed fragment whose file is there."""

    camera: str
    epoch: str
    number: int
    starts_at: datetime
    ends_at: datetime
    bytes: int
    stored_at: datetime | None
    """Since when a committed clip holds it (UTC); None while none is known to."""

    @property
    def stored(self) -> bool:
        """A committed clip is known to hold it."""
        return self.stored_at is not None


@dataclass
class _Epoch:
    position: int = 0
    fragments: dict[int, Kept] = field(default_factory=dict)
    end: EpochEnd | None = None

    def leave_only(self, names: set[str]) -> None:
        """Forget fragments whose files are not there any more."""
        gone = [number for number in self.fragments if f"{number:06d}.ts" not in names]
        for number in gone:
            del self.fragments[number]


class Shelf:
    """The fragments of one camera."""

    def __init__(self, root: Path, camera: str, *, is_spool: bool = False) -> None:
        """From a spool files go behind our back, when they are uploaded."""
        self._is_spool = is_spool
        self.folder = root / camera
        self._camera = camera
        self._reader = FrameReader(root)
        self._epochs: dict[str, _Epoch] = {}
        self.unread: dict[str, str] = {}
        """Epochs whose index could not be read at the last look, and why."""

    def look(self) -> list[Kept]:
        """All fragments that are there, epoch by epoch; `unread` then says which could not be read.

        Raises Unavailable if not even the camera's folder can be.
        """
        names = self._reader.epochs(self._camera)
        self._epochs = {name: self._epochs.get(name, _Epoch()) for name in names}
        kept: list[Kept] = []
        self.unread = {}
        for name, epoch in self._epochs.items():
            try:
                self._read_on(name, epoch)
                if self._is_spool:
                    epoch.leave_only(_files(self.folder / name))
            except OSError as error:
                self.unread[name] = str(error.strerror)
            kept += epoch.fragments.values()
        return kept

    def delete(self, kept: Kept) -> None:
        """Remove a fragment's file. Raises OSError."""
        (self.folder / kept.epoch / f"{kept.number:06d}.ts").unlink(missing_ok=True)
        self._epochs[kept.epoch].fragments.pop(kept.number, None)

    def ended(self) -> list[tuple[Path, EpochEnd]]:
        """Folders of epochs that have ended and of which nothing is kept, oldest first."""
        return [
            (self.folder / name, epoch.end)
            for name, epoch in self._epochs.items()
            if epoch.end is not None and not epoch.fragments
        ]

    def _read_on(self, name: str, epoch: _Epoch) -> None:
        """Take up the lines that were added to an index since the last look."""
        path = self.folder / name / INDEX_NAME
        try:
            with path.open("rb") as index:
                index.seek(epoch.position)
                data = index.read()
        except FileNotFoundError:
            return
        there = None if epoch.position else _files(path.parent)
        is_sound = True
        for line in data.split(b"\n")[:-1]:
            if epoch.end is not None:
                return
            try:
                record = read_archive_message(line)
            except BadMessage:
                # Whoever closes the epoch cuts it here, so what lies behind, which takes room, too,
                # is read anew at each look.
                is_sound = False
                there = _files(path.parent)
                continue
            if is_sound:
                epoch.position += len(line) + 1
            if (record.camera, record.epoch) != (self._camera, name):
                continue
            if isinstance(record, EpochEnd):
                epoch.end = record
            elif there is None or f"{record.fragment:06d}.ts" in there:
                epoch.fragments[record.fragment] = Kept(
                    self._camera,
                    name,
                    record.fragment,
                    record.captured_at,
                    record.ends_at,
                    record.bytes,
                    stored_at=None,
                )


def _files(folder: Path) -> set[str]:
    return {file.name for file in folder.glob("*.ts")}
