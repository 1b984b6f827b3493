"""Which fragments are in committed clips: said by the archiver, and seen in the bucket.

What is stored may be deleted, and a `stored` event is a word that anybody on the broker could say.
So a word (`stored.py`) only says where to look: before it counts, the clips that hold its fragments
are looked up among the names in the bucket, once, with one listing for all that is new in an epoch.
A fragment is stored since its clip's manifest was created there. What the bucket does not bear out
is looked up again with the epoch's next word. With the store away nothing new is believed.

Words about fragments in a bucket lie in the spool of whoever held the camera when they were said.
So what is old and nobody has spoken of is looked up there as well: when its epoch is first met, and
now and then.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Final

from ingest import figures
from ingest.shelf import Kept
from ingest.stored import read_stored, stored_bytes
from shared.clipfolder import ClipFolder
from shared.errors import CradleError
from shared.identity import ClipIdentity
from shared.log import Log
from shared.objectstore import ObjectStore
from shared.ranges import Ranges

UNHEARD_LOOKS: Final = timedelta(minutes=10)
"""How often the clips of an epoch are looked for of which nobody has spoken."""


@dataclass
class _Epoch:
    heard_bytes: int = 0
    """So much of what was said has been looked up."""
    unheard_at: datetime | None = None
    """When it was last looked up what nobody has spoken of."""
    stored_at: dict[int, datetime] = field(default_factory=dict)


class Confirmation:
    """What is known to be stored of one frame store. Used by one thread."""

    def __init__(
        self, root: Path, store: ObjectStore, log: Log, unheard: timedelta | None = None
    ) -> None:
        """What is so old is looked up though nobody has spoken of it; without it, nothing is."""
        self._unheard = unheard
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
                stored_at = known.stored_at.get(each.number)
                # In a long outage of the archive there are hundreds of thousands: no copy of each.
                yield each if each.stored_at == stored_at else each._replace(stored_at=stored_at)

    def _take_up(self, known: _Epoch, fragments: Sequence[Kept], now: datetime) -> None:
        """Look up what was said since the last time. Raises StoreUnavailable, BadMessage."""
        camera, epoch = fragments[0].camera, fragments[0].epoch
        folder = self._root / camera / epoch
        heard_bytes = stored_bytes(folder)
        words = Ranges() if heard_bytes == known.heard_bytes else read_stored(folder)
        unknown = [each for each in fragments if each.number not in known.stored_at]
        named = [each for each in unknown if each.number in words]
        unheard = self._unheard_of(known, unknown, now)
        wanted = sorted({*named, *unheard})
        if wanted:
            found = self._in_clips(wanted[0], wanted[-1], now)
            known.unheard_at = now if unheard else known.unheard_at
            there = known.stored_at | found
            known.stored_at = {
                each.number: there[each.number] for each in fragments if each.number in there
            }
            self._report([each for each in named if each.number not in there])
        known.heard_bytes = heard_bytes

    def _unheard_of(self, known: _Epoch, unknown: list[Kept], now: datetime) -> list[Kept]:
        if self._unheard is None:
            return []
        if known.unheard_at and timedelta() <= now - known.unheard_at < UNHEARD_LOOKS:
            return []
        return [each for each in unknown if now - each.starts_at > self._unheard]

    def in_no_clip(self, fragments: Sequence[Kept], now: datetime) -> list[Kept]:
        """Those that no clip in the bucket holds. Raises StoreUnavailable, BadMessage."""
        found: list[Kept] = []
        for _, group in groupby(sorted(fragments), key=lambda each: (each.camera, each.epoch)):
            of_epoch = list(group)
            there = self._in_clips(of_epoch[0], of_epoch[-1], now)
            found += [each for each in of_epoch if each.number not in there]
        return found

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
