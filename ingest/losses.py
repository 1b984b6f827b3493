"""What was deleted unarchived: written down beside the camera's epochs, then into custody.

A fragment that must go and is not known to be stored may be stored all the same: its `stored` event
got lost. So it is noted on the disk first; once the bucket answers, it is asked which of them a
clip holds, and for the others a custody record says what was lost and why, unless the file is still
there: who noted it was killed, or could not delete it. With the bucket away the notes wait, and the
disk is kept free meanwhile.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from ingest import figures
from ingest.shelf import Kept
from shared.clipfolder import ClipFolder, days_between
from shared.custody import FragmentsLost, write_custody
from shared.errors import BadMessage, CradleError, StoreUnavailable
from shared.framestore import FrameReader, FrameStore
from shared.identity import fragment_path, parse_clip_key
from shared.log import Log
from shared.messages import CameraId, EpochId, FragmentNumber, ShortText, Stage
from shared.objectstore import ObjectStore
from shared.ranges import Ranges


class DeletedFragment(BaseModel):
    """One fragment of a note."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    number: FragmentNumber = Field(description="Its number in the epoch.")
    starts_at: AwareDatetime = Field(description="Capture time of its first frame, UTC.")
    ends_at: AwareDatetime = Field(description="Capture time of the end of its last frame, UTC.")


class Note(BaseModel):
    """Fragments of one epoch that were deleted, not known to be stored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    camera: CameraId = Field(description="Camera id.")
    epoch: EpochId = Field(description="Epoch id.")
    reason: ShortText = Field(description="Why they were deleted: quota, retention.")
    fragments: list[DeletedFragment] = Field(min_length=1, description="Which, in order.")

    @property
    def name(self) -> str:
        """File name; two notes never have the same, for a fragment is deleted once."""
        return f"deleted-{self.epoch}-{self.fragments[0].number:06d}.json"


class Losses:
    """The notes of one frame store. Used by one thread."""

    def __init__(
        self, root: Path, store: ObjectStore, log: Log, frames: Sequence[FrameStore] = ()
    ) -> None:
        """A fragment is still there if it is in `root`, or in one of the buckets `frames`."""
        self._root = root
        self._frames = frames
        self._store = store
        self._log = log
        self._unwritten: list[Note] = []

    def note(self, reason: str, fragments: Sequence[Kept]) -> None:
        """Note the loss of `fragments`, before they are deleted. Raises OSError: none may be."""
        for note in _notes(reason, fragments):
            self._write(note)

    @contextmanager
    def noted(self, reason: str, fragments: Sequence[Kept]) -> Iterator[None]:
        """Note the loss of `fragments`, which are deleted within, from the notes' own disk."""
        self._unwritten += _notes(reason, fragments)
        with suppress(OSError):  # on a full disk there is room for a note only afterwards
            self._write_all()
        yield
        self._write_all()

    def report(self, cameras: Collection[str]) -> None:
        """Turn the notes of these cameras into custody records, as far as the bucket answers."""
        for camera in sorted(cameras):
            for path in sorted((self._root / camera).glob("deleted-*.json")):
                try:
                    self._report(Note.model_validate_json(path.read_bytes()))
                    path.unlink()
                except StoreUnavailable as error:
                    self._log.warning("losses not reported", action="losses.wait", reason=error)
                    return
                except (CradleError, OSError) as error:  # the note is kept, and the next one read
                    figures.UNREPORTED.labels(camera).inc()
                    self._log.error(
                        "loss not reported", action="losses.kept", camera=camera, reason=error
                    )
                except ValidationError as error:
                    self._log.error("note unreadable", action="losses.unreadable", reason=error)
                    path.rename(path.with_suffix(".unreadable"))

    def _write_all(self) -> None:
        while self._unwritten:
            self._write(self._unwritten[0])
            del self._unwritten[0]

    def _write(self, note: Note) -> None:
        path = self._root / note.camera / note.name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(note.model_dump_json().encode())
            file.flush()
            os.fsync(file.fileno())  # before what it speaks of is deleted
        os.replace(temporary, path)  # noqa: PTH105 - the word of the design, and of POSIX

    def _report(self, note: Note) -> None:
        """Raises StoreUnavailable, BadMessage."""
        there = self._there(note)
        gone = [each for each in note.fragments if each.number not in there]
        committed = self._committed(note) if gone else Ranges()
        lost = [each for each in gone if each.number not in committed]
        for run in runs(lost):
            record = FragmentsLost(
                camera=note.camera,
                epoch=note.epoch,
                first=run[0].number,
                last=run[-1].number,
                starts_at=run[0].starts_at,
                ends_at=run[-1].ends_at,
                by=Stage.INGEST,
                reason=note.reason,
            )
            write_custody(self._store, record)
            figures.EXPIRED.labels(note.camera, note.reason).inc(len(run))
            self._log.error(
                "fragments deleted that no clip holds",
                action="losses.lost",
                camera=note.camera,
                epoch=note.epoch,
                first=record.first,
                last=record.last,
                reason=note.reason,
            )

    def _there(self, note: Note) -> set[int]:
        """Fragments of a note that are there all the same. Raises StoreUnavailable."""
        paths = {
            each.number: fragment_path(note.camera, note.epoch, each.number)
            for each in note.fragments
        }
        sizes = FrameReader(self._root).sizes(list(paths.values()))
        there = {number for number, size in zip(paths, sizes, strict=True) if size is not None}
        for frames in self._frames:
            names = frames.names(note.camera, note.epoch)  # one listing, however many they are
            there |= {each for each, path in paths.items() if path.rpartition("/")[2] in names}
        return there

    def _committed(self, note: Note) -> Ranges:
        """Fragments of the note's epoch that committed clips hold.

        Raises StoreUnavailable, BadMessage if a manifest cannot be read that alone could tell.
        """
        ranges = Ranges()
        folder = ClipFolder(self._store, note.camera)
        earliest = note.fragments[0].starts_at - timedelta(hours=1)  # a clip begins before
        for day in days_between(earliest, note.fragments[-1].starts_at):
            listing = folder.day(day)
            clips = [clip.identity for clip in listing.clips if clip.identity.epoch == note.epoch]
            for clip in clips:
                ranges.add(clip.first, clip.last)
            for key, reason in listing.unreadable.items():
                name = parse_clip_key(key)
                if name is None or name.epoch != note.epoch:
                    continue
                if name.first not in {clip.first for clip in clips}:
                    raise BadMessage(f"{key}: {reason}")
        return ranges


def runs(fragments: Sequence[DeletedFragment]) -> list[list[DeletedFragment]]:
    """Runs of successive numbers."""
    found: list[list[DeletedFragment]] = []
    for fragment in fragments:
        if found and found[-1][-1].number + 1 == fragment.number:
            found[-1].append(fragment)
        else:
            found.append([fragment])
    return found


def _notes(reason: str, fragments: Sequence[Kept]) -> list[Note]:
    found: dict[tuple[str, str], list[DeletedFragment]] = {}
    for each in sorted(fragments):
        found.setdefault((each.camera, each.epoch), []).append(
            DeletedFragment(number=each.number, starts_at=each.starts_at, ends_at=each.ends_at)
        )
    return [
        Note(camera=camera, epoch=epoch, reason=reason, fragments=of_epoch)
        for (camera, epoch), of_epoch in found.items()
    ]
