"""The frame store that is a bucket, for stages that share no disk.

    <prefix><camera>/<epoch>/000000.ts         one closed fragment, created once
    <prefix><camera>/<epoch>/end-000131.json   the last word of an epoch of 131 fragments

There is no index: names are listed, and what a fragment's line in an index would say is its
object's user metadata (base64, since metadata is ASCII), so that one request both stores the bytes
and closes the fragment. An end that was not true is followed by another: the one of more fragments
counts. Nothing grows here, so a batch is a whole fragment. Ingest alone writes here
(`ingest/uploads.py`) and deletes (`ingest/bucketjanitor.py`).
"""

import base64
import os
import re
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Final, NoReturn, TypeVar

from shared.bucketplace import BucketPlace
from shared.config import ArchiveSettings, Settings
from shared.createonly import RETRIES, CreateOnlyPool
from shared.errors import (
    AlreadyExists,
    BadFragment,
    BadMessage,
    FragmentGone,
    Misconfigured,
    Refused,
    StoreUnavailable,
)
from shared.framestore import EpochIndex, FrameReader, FrameStore, check_path
from shared.identity import CAMERA_PATTERN, EPOCH_PATTERN, fragment_path
from shared.messages import MAX_FRAGMENT_BYTES, EpochEnd, Fragment, read_archive_message
from shared.objectstore import ObjectStore, StoredObject

Asked = TypeVar("Asked")

RECORD: Final = "record"
"""Name of the metadata; S3 allows 2 kB of it, a fragment's line has some 500 bytes."""
READ_SECONDS: Final = 10.0
"""A fragment is small, and live waits for it."""
EARLY: Final = "early"
"""Name of the metadata of what was put before its turn: the number that was to come first."""
LOOKERS: Final = 8
"""Records that are asked for at once."""
PORTION: Final = 4 * LOOKERS
"""What is handed to them at once: at an exit no more must be worked off."""
_END = re.compile(r"end-(?P<fragments>\d{6,7})\.json", re.ASCII)
_FRAGMENT = re.compile(r"(?P<number>\d{6,7})\.ts", re.ASCII)
_END_BYTES: Final = 4096


class BucketFrames:
    """Reads, writes and deletes. Safe to use from many threads."""

    ends_are_final: Final = False

    def __init__(
        self,
        archive: ArchiveSettings,
        place: BucketPlace,
        read_seconds: float = READ_SECONDS,
        retries: int = RETRIES,
    ) -> None:
        """Connects to nothing yet. Raises Misconfigured."""
        self._prefix = place.prefix
        pool = CreateOnlyPool(place.bucket, read_seconds, retries)
        self.store = ObjectStore(
            archive,
            place.bucket,
            named="frames.url",
            pool=pool,
            part_bytes=MAX_FRAGMENT_BYTES,  # nobody aborts what a kill leaves of an upload in parts
            looks_after_silence=False,  # what was not answered is put again
        )
        self._lookers = ThreadPoolExecutor(LOOKERS, thread_name_prefix="records")
        self._copied = threading.local()
        """Of each thread: the fragment that it copies, which goes into a pipe bit by bit."""

    # -- reading ------------------------------------------------------------------------------

    def read(self, path: str, offset: int, length: int) -> bytes:
        """As `FrameStore` says."""
        check_path(path)
        try:
            with _patience():
                data = self.store.read_range(self._prefix + path, offset, length)
        except Refused as error:
            raise BadFragment(f"{path}: {error}") from error
        if data is None:
            _gone(path)
        if len(data) != length:
            raise BadFragment(f"{path} ends at {offset + len(data)}, not at {offset + length}")
        return data

    def copy_to(self, path: str, offset: int, length: int, out_fd: int) -> int:
        """As `FrameStore` says."""
        data = self._whole(path)
        if len(data) < offset + length:
            raise BadFragment(f"{path} is shorter than {offset + length} bytes")
        written = os.write(out_fd, memoryview(data)[offset : offset + length])
        if offset + written == len(data):
            del self._copied.fragment
        return written

    def _whole(self, path: str) -> bytes:
        kept_path, data = getattr(self._copied, "fragment", ("", b""))
        if kept_path != path:
            data = self.fetch(path)
            self._copied.fragment = path, data
        return data

    def fetch(self, path: str) -> bytes:
        """All of a fragment. Raises FragmentGone, BadMessage, StoreUnavailable."""
        check_path(path)
        with _patience():
            data = self.store.read(self._prefix + path, limit_bytes=MAX_FRAGMENT_BYTES)
        if data is None:
            _gone(path)
        return data

    def sizes(self, paths: Sequence[str]) -> list[int | None]:
        """As `FrameStore` says. One listing, however many there are, and a request for each that it
        does not show: some stores' listings are late."""
        for path in paths:
            check_path(path)
        there: dict[str, int | None] = {}
        if len(paths) == 1:
            return [self._size(paths[0])]
        with _patience():
            for folder in {path.rpartition("/")[0] for path in paths}:
                listed = self.store.list(f"{self._prefix}{folder}/")
                there |= {each.key.removeprefix(self._prefix): each.bytes for each in listed}
        unseen = [path for path in paths if path not in there]
        there |= zip(unseen, self._ask(self._size, unseen), strict=True)
        return [there[path] for path in paths]

    def _size(self, path: str) -> int | None:
        with _patience():
            found = self.store.stat(self._prefix + path)
        return None if found is None else found.bytes

    def cameras(self) -> list[str]:
        """As `FrameStore` says."""
        with _patience():
            return _matching(self.store.folders(self._prefix), CAMERA_PATTERN)

    def epochs(self, camera: str) -> list[str]:
        """As `FrameStore` says."""
        with _patience():
            return _matching(self.store.folders(f"{self._prefix}{camera}/"), EPOCH_PATTERN)

    def names(self, camera: str, epoch: str) -> frozenset[str]:
        """As `FrameStore` says: a bucket that answers is certain."""
        with _patience():
            return frozenset(each.key.rpartition("/")[2] for each in self._list(camera, epoch))

    def closed(
        self,
        camera: str,
        epoch: str,
        known: Container[int] = (),
        *,
        since: datetime | None = None,
        most: int | None = None,
    ) -> EpochIndex:
        """As `FrameStore` says."""
        if most == 0:
            return EpochIndex((), None, 0, torn=False)
        names = self.names(camera, epoch)
        numbers = sorted(number for name in names if (number := fragment_number(name)) is not None)
        wanted = [number for number in numbers if number not in known]
        described = self._describe(fragment_path(camera, epoch, each) for each in wanted)
        there = set(numbers)
        end = self._end(camera, epoch, names)
        last = 0 if end is None else end.fragments
        told = (
            record
            for record, early in described
            if record.fragment < last  # what is not there by now is not waited for
            or all(each in there or each in known for each in range(early, record.fragment))
        )
        if since is not None:
            told = (record for record in told if record.ends_at >= since)
        fragments = tuple(islice(told, most))
        return EpochIndex(
            fragments=fragments,
            end=None if len(fragments) == most else end,
            bytes=0,
            torn=False,
            apart=frozenset(numbers).difference(wanted),
        )

    def records(self, paths: Iterable[str]) -> list[Fragment]:
        """What is said of fragments, in order; those that are gone meanwhile, or of which nothing
        can be read, are left out. Raises StoreUnavailable."""
        return [record for record, _ in self._describe(paths)]

    def _describe(self, paths: Iterable[str]) -> Iterator[tuple[Fragment, int]]:
        """Each with the first number that had to come before it."""
        return (each for each in self._ask(self._record, paths) if each is not None)

    def _ask(self, ask: Callable[[str], Asked], paths: Iterable[str]) -> Iterator[Asked]:
        """The answers, in order; of no more than are wanted and a portion."""
        rest = iter(paths)
        while portion := list(islice(rest, PORTION)):
            yield from self._lookers.map(ask, portion)

    def _record(self, path: str) -> tuple[Fragment, int] | None:
        with _patience():
            found = self.store.stat(self._prefix + path)
        try:
            record = None if found is None else parse_record(found)
        except BadMessage:
            return None  # a foreign object: nobody's business here
        if found is None or record is None or record.path != path:
            return None
        early = found.metadata.get(EARLY, "")
        return record, int(early) if early.isdecimal() else record.fragment

    def close(self) -> None:
        """Ask for nothing more."""
        self._lookers.shutdown(wait=False, cancel_futures=True)

    def _end(self, camera: str, epoch: str, names: Iterable[str]) -> EpochEnd | None:
        ends = sorted((count, name) for name in names if (count := end_count(name)) is not None)
        for _, name in reversed(ends):
            with _patience():
                data = self.store.read(f"{self._prefix}{camera}/{epoch}/{name}", _END_BYTES)
            try:
                end = read_archive_message(data or b"")
            except BadMessage:
                continue
            if isinstance(end, EpochEnd) and (end.camera, end.epoch) == (camera, epoch):
                return end
        return None

    def used_bytes(self) -> int:
        """As `FrameStore` says. Lists the whole bucket."""
        return sum(each.bytes for each in self.store.list(self._prefix) if each.key.endswith(".ts"))

    def of_camera(self, camera: str) -> list[StoredObject]:
        """All that lies there of a camera; keys are relative to the store. Raises Unavailable."""
        return [
            StoredObject(each.key.removeprefix(self._prefix), each.bytes, each.modified_at)
            for each in self.store.list(f"{self._prefix}{camera}/")
        ]

    def _list(self, camera: str, epoch: str) -> Iterable[StoredObject]:
        return self.store.list(f"{self._prefix}{camera}/{epoch}/")

    # -- writing ------------------------------------------------------------------------------

    def put(self, record: Fragment, data: bytes, early_from: int | None = None) -> None:
        """Store a fragment; with it, it is closed. It may be there already.

        It is `early_from` where fragments from that number on are to come before it: it can be
        read at once, and is in the index when those are there, or an end says that it is of the
        epoch. Raises AlreadyExists if other bytes are there, StoreUnavailable, Misconfigured.
        """
        early = {} if early_from is None else {EARLY: str(early_from)}
        self.store.create_bytes(
            self._prefix + record.path,
            data,
            content_type="video/mp2t",
            metadata={RECORD: base64.b64encode(record.to_body()).decode(), **early},
        )

    def put_end(self, end: EpochEnd) -> None:
        """Store the last word of an epoch. One of as many fragments may be there already."""
        key = f"{self._prefix}{end.camera}/{end.epoch}/end-{end.fragments:06d}.json"
        try:
            self.store.create_bytes(key, end.to_body(), content_type="application/json")
        except AlreadyExists:
            return  # somebody closed the epoch in its writer's absence, and as it was

    def remove(self, path: str) -> None:
        """Delete what lies under a path that is relative to the store. Raises StoreUnavailable."""
        self.store.remove(self._prefix + path)

    def remove_all(self, paths: Iterable[str]) -> None:
        """Delete all of these, many at once. Raises StoreUnavailable."""
        self.store.remove_all(self._prefix + path for path in paths)


def open_frames(settings: Settings) -> FrameStore:
    """The frame store of a configuration. Raises Misconfigured."""
    place = settings.frames.bucket
    if place is None:
        return FrameReader(settings.frames.root)
    return BucketFrames(settings.archive, place)


def fragment_number(name: str) -> int | None:
    """Of a fragment's name in its epoch; None for anything else."""
    match = _FRAGMENT.fullmatch(name)
    return None if match is None else int(match["number"])


def end_count(name: str) -> int | None:
    """How many fragments an end speaks of, by its name; None for anything else."""
    match = _END.fullmatch(name)
    return None if match is None else int(match["fragments"])


def parse_record(found: StoredObject) -> Fragment:
    """What the metadata of a fragment says. Raises BadMessage."""
    try:
        data = base64.b64decode(found.metadata.get(RECORD, ""), validate=True)
        record = read_archive_message(data)
    except ValueError as error:
        raise BadMessage(f"{found.key}: {error}") from error
    if not isinstance(record, Fragment) or record.bytes != found.bytes:
        raise BadMessage(f"{found.key}: its metadata speaks of something else")
    return record


@contextmanager
def _patience() -> Iterator[None]:
    """A reader waits where the store refuses its key: one is changed while stages run, and nothing
    that was recorded may be given up for it. Whoever writes there tells people."""
    try:
        yield
    except Misconfigured as error:
        raise StoreUnavailable(str(error)) from error


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    return sorted(name for name in names if re.fullmatch(pattern, name, re.ASCII))


def _gone(path: str) -> NoReturn:
    raise FragmentGone(f"{path} is not in the frame store")
