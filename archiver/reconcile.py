"""The frame store against what is committed: the store is the truth, the queue a hint.

Messages get lost where a confirm cannot see it (a queue deleted and bound again), and a worker can
die between a commit and its event. So on taking a seat, and every ten minutes, the indices of the
frame store are read: the camera's book takes up what it does not know, and what was written off and
lies there all the same (a disk that was away and came back), and on taking a seat the
`stored` event of clips whose fragments still lie in the store is published once more.
"""

from collections.abc import Collection, Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from archiver.book import Book
from shared.clipfolder import ClipFolder, CommittedClip
from shared.clock import from_milliseconds, milliseconds
from shared.custody import EmptyWindow
from shared.errors import Unavailable
from shared.framestore import EpochIndex, FrameStore
from shared.identity import fragment_path
from shared.manifest import Manifest
from shared.messages import EpochEnd, Fragment

RECONCILE_SECONDS = 600.0
EMPTY_AFTER_SECONDS = 900.0
"""A window this long over, of which nobody has heard, was empty."""
LONGEST_LOOK_BACK = timedelta(days=1)


@dataclass(frozen=True)
class Found:
    """What a look at the frame store brought."""

    indices: dict[str, EpochIndex]
    """Of the camera's epochs, oldest first, without those that are settled."""
    again: dict[str, set[int]]
    """Fragments that were written off and are there, by epoch."""
    unread: dict[str, str]
    """Epochs whose index could not be read, and why."""


def look(
    frames: FrameStore,
    camera: str,
    settled: Collection[str],
    lost: Mapping[str, Collection[int]],
    known: Mapping[str, Container[int]],
    oldest: datetime,
    most: int,
) -> Found:
    """Read the frame store. Epochs that lost something are never settled.

    What is committed or under way (`known`) need not be described, nor more than `untold` takes
    with `oldest` and `most`: in a bucket that costs a request each. What was lost and is there all
    the same must be.

    One index that cannot be read hides no other. Raises Unavailable if the folder cannot be.
    """
    found = Found({}, {}, {})
    left = most
    for epoch in frames.epochs(camera):
        if epoch in lost:
            with suppress(Unavailable):  # one folder without an index stops nothing
                names = frames.names(camera, epoch)
                found.again[epoch] = {
                    each
                    for each in lost[epoch]
                    if fragment_path(camera, epoch, each).rpartition("/")[2] in names
                }
        if epoch in lost or epoch not in settled:
            try:
                index = frames.closed(camera, epoch, known.get(epoch, ()), since=oldest, most=left)
            except Unavailable as error:
                found.unread[epoch] = str(error)
                continue
            found.indices[epoch] = index
            left = max(0, left - len(index.fragments))
    return found


def untold(
    indices: dict[str, EpochIndex],
    book: Book,
    ends: Mapping[str, EpochEnd],
    oldest: datetime,
    most: int,
) -> list[Fragment | EpochEnd]:
    """What the store holds and no message has brought, oldest first, at most `most` fragments.

    An end that differs from the one in `ends` is told, too: that one was not true.

    Nothing that ended before `oldest`: its clip may have expired.
    """
    found: list[Fragment | EpochEnd] = []
    count = 0
    for epoch, index in indices.items():
        for fragment in index.fragments:
            if book.knows(epoch, fragment.fragment) or fragment.ends_at < oldest:
                continue
            if count == most:
                return found
            found.append(fragment)
            count += 1
        if index.end is not None and ends.get(epoch) != index.end:
            found.append(index.end)
    return found


def settled_epochs(
    frames: FrameStore, indices: Mapping[str, EpochIndex], book: Book, oldest: datetime
) -> set[str]:
    """Epochs that need not be looked at again: they have ended and nothing is left to do.

    None where more may come after the end: of a host that is back, or, as in every bucket, older
    fragments after fresh ones.
    """
    if not frames.ends_are_final:
        return set()
    return {epoch for epoch, index in indices.items() if _is_settled(index, book, oldest)}


def _is_settled(index: EpochIndex, book: Book, oldest: datetime) -> bool:
    return index.end is not None and all(
        book.ledger.has_settled(each.epoch, each.fragment) or each.ends_at < oldest
        for each in index.fragments
    )


def still_there(
    frames: FrameStore, folder: ClipFolder, clips: Iterable[CommittedClip]
) -> list[Manifest]:
    """Manifests of the clips whose last fragment is still in the frame store."""
    clips = list(clips)
    there = {camera: frames.epochs(camera) for camera in {clip.identity.camera for clip in clips}}
    last_ones = (
        (fragment_path(each.camera, each.epoch, each.last), each.manifest_key)
        for each in (clip.identity for clip in clips)
        if each.epoch in there[each.camera]
    )
    return folder.manifests(key for path, key in last_ones if frames.sizes([path]) != [None])


def empty_windows(
    camera: str, clip_seconds: int, since: int, now: datetime, filled: Collection[int], reason: str
) -> tuple[list[EmptyWindow], int]:
    """Records of the windows without footage from `since` (Unix seconds) on.

    Returns them and where to go on next time. `filled` holds the starts of windows with footage.
    """
    second = milliseconds(now) // 1000
    earliest = second - int(LONGEST_LOOK_BACK.total_seconds())
    start = max(since, earliest)
    start += -start % clip_seconds
    latest = second - int(EMPTY_AFTER_SECONDS) - clip_seconds
    records: list[EmptyWindow] = []
    while start <= latest:
        if start not in filled:
            records.append(
                EmptyWindow(
                    camera=camera,
                    starts_at=from_milliseconds(start * 1000),
                    ends_at=from_milliseconds((start + clip_seconds) * 1000),
                    reason=reason,
                )
            )
        start += clip_seconds
    return records, start
