"""Which fragments are in committed clips: said by the archiver, and seen in the bucket.

What is stored may be deleted, and a `stored` event is a word that anybody on the broker could say.
So a word (`stored.py`) only says where to look: before it counts, the clips that hold its fragments
are looked up among the names in the bucket, once, with one listing for all that is new in an epoch.
A fragment is stored since its clip's manifest was created there. What the bucket does not bear out
is looked up again with the epoch's next word. With the store away nothing new is believed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path

from ingest import figures
from ingest.shelf import Kept
from ingest.stored import read_stored, stored_bytes
from shared.clipfolder import ClipFolder
from shared.errors import CradleError
from shared.identity import ClipIdentity
from shared.log import Log
from shared.objectstore import ObjectStore


@dataclass
class _Epoch:
    heard_bytes: int = 0
    """So much of what was said has been looked up."""
    stored_at: dict[int, datetime] = field(default_factory=dict)


class Confirmation:
    """What is known to be stored of one frame store. Used by one thread."""

    def __init__(self, root: Path, store: ObjectStore, log: Log) -> None:
        self._root = root
        self._store = store
        self._log = log
        self._epochs: dict[tuple[str, str], _Epoch] = {}

    def look(self, kept: Sequence[Kept], now: datetime) -> list[Kept]:
        """`kept`, epoch by epoch, each with the time (UTC) since when it is stored, if it is."""
        return list(self._look(kept, now))

    def _look(self, kept: Sequence[Kept], now: datetime) -> Iterator[Kept]:
        before, self._epochs = self._epochs, {}
        is_store_away = False
        for key, group in groupby(kept, key=lambda each: (each.camera, each.epoch)):
            fragments = list(group)
            known = self._epochs[key] = before.get(key) or _Epoch()
            if not is_store_away:
                try:
                    self._take_up(known, fragments, now)
                except CradleError as error:
                    is_store_away = True
                    self._log.warning("not looked up", action="stored.wait", reason=str(error))
                except OSError as error:  # of this epoch's folder alone
                    self._log.warning(
                        "not looked up",
                        action="stored.unread",
                        camera=key[0],
                        epoch=key[1],
                        reason=error.strerror,
                    )
            for each in fragments:
                yield each._replace(stored_at=known.stored_at.get(each.number))

    def _take_up(self, known: _Epoch, fragments: Sequence[Kept], now: datetime) -> None:
        """Look up what was said since the last time. Raises StoreUnavailable, BadMessage."""
        camera, epoch = fragments[0].camera, fragments[0].epoch
        folder = self._root / camera / epoch
        heard_bytes = stored_bytes(folder)
        if heard_bytes == known.heard_bytes:
            return
        words = read_stored(folder)
        named = [
            each
            for each in fragments
            if each.number in words and each.number not in known.stored_at
        ]
        if named:
            found = self._in_clips(named[0], named[-1], now)
            there = known.stored_at | found
            known.stored_at = {
                each.number: there[each.number] for each in fragments if each.number in there
            }
            self._report([each for each in named if each.number not in there])
        known.heard_bytes = heard_bytes

    def _in_clips(self, first: Kept, last: Kept, now: datetime) -> dict[int, datetime]:
        identity = ClipIdentity(
            first.camera, first.epoch, first.number, last.number, first.starts_at
        )
        clips = ClipFolder(self._store, first.camera).around(identity, last.starts_at)
        return {
            number: min(clip.committed_at or now, now)
            for clip in clips
            for number in range(
                max(clip.identity.first, first.number), min(clip.identity.last, last.number) + 1
            )
        }

    def _report(self, not_found: list[Kept]) -> None:
        if not not_found:
            return
        first = not_found[0]
        figures.NOT_BORNE_OUT.labels(first.camera).inc(len(not_found))
        self._log.warning(
            "said to be stored, and no clip holds them",
            action="stored.not_borne_out",
            camera=first.camera,
            epoch=first.epoch,
            first=first.number,
            last=not_found[-1].number,
            count=len(not_found),
        )
