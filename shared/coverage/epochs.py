"""The epochs of a camera, pieced together from clips and custody records.

Each knows which of its fragments are accounted for, in order: stored ones, and lost ones as far as
no clip holds them after all (whoever deletes while the store is away records more than was lost).
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from shared.clock import milliseconds
from shared.coverage.footage import Stretch, join
from shared.custody import CustodyRecord, EmptyWindow, EpochEnded, FragmentsLost
from shared.identity import epoch_started_at
from shared.ranges import Ranges

FOREVER: Final = 1 << 62


@dataclass(frozen=True)
class Unreadable:
    """A committed clip of which nothing can be had."""

    epoch: str
    first: int
    """Its first fragment."""
    words: str


@dataclass(frozen=True)
class Item:
    """Fragments `first`..`last`, stored or lost. Times in milliseconds since 1970, UTC."""

    first: int
    last: int
    starts: int
    ends: int
    lost: FragmentsLost | None = None


@dataclass
class Epoch:
    """One epoch. Lasts from `began` to `ended`, excluded; milliseconds since 1970, UTC."""

    id: str
    began: int
    ended: int = FOREVER
    end: EpochEnded | None = None
    items: list[Item] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)

    @property
    def last_number(self) -> int | None:
        """The number of its last fragment, -1 if it has none, None if that is not recorded."""
        return None if self.end is None else self.end.fragments - 1

    def around(self, moment: int) -> tuple[Item | None, Item | None]:
        """The last item that begins by `moment`, and the first one that begins later."""
        index = bisect_right(self.items, moment, key=lambda item: item.starts)
        before = self.items[index - 1] if index else None
        return before, self.items[index] if index < len(self.items) else None

    def is_before_first(self, moment: int) -> bool:
        """Its very first fragment begins later."""
        return bool(self.items) and self.items[0].first == 0 and moment < self.items[0].starts


def epochs_of(
    stretches: Iterable[Stretch],
    records: Iterable[CustodyRecord],
    unreadable: Iterable[Unreadable],
) -> list[Epoch]:
    """All epochs that anything speaks of, in the order in which they began."""
    stored: dict[str, list[Stretch]] = defaultdict(list)
    lost: dict[str, list[FragmentsLost]] = defaultdict(list)
    ends: dict[str, list[EpochEnded]] = defaultdict(list)
    broken: dict[str, list[Unreadable]] = defaultdict(list)
    names = set()
    for stretch in join(stretches):
        stored[stretch.epoch].append(stretch)
    for clip in unreadable:
        broken[clip.epoch].append(clip)
    for record in records:
        if isinstance(record, EmptyWindow):
            continue
        names.add(record.epoch)
        if isinstance(record, EpochEnded):
            ends[record.epoch].append(record)
        elif isinstance(record, FragmentsLost):
            lost[record.epoch].append(record)
    epochs = [
        Epoch(
            name,
            began=milliseconds(epoch_started_at(name)),
            end=_true_end(ends[name]),
            items=_items(stored[name], lost[name]),
            unreadable=broken[name],
        )
        for name in names | set(stored) | set(broken)
    ]
    epochs.sort(key=lambda epoch: (epoch.began, epoch.id))
    _set_ends(epochs)
    return epochs


def _true_end(said: list[EpochEnded]) -> EpochEnded | None:
    """The end that no other record of the epoch corrects, and that knows of the most fragments."""

    def is_corrected(end: EpochEnded) -> bool:
        return any(each.corrects == end.ended_at for each in said if each is not end)

    left = [each for each in said if not is_corrected(each)]
    return max(left or said, key=lambda end: end.fragments, default=None)


def _set_ends(epochs: list[Epoch]) -> None:
    following = FOREVER
    for epoch in reversed(epochs):
        epoch.ended = following if epoch.end is None else milliseconds(epoch.end.ended_at)
        following = min(following, epoch.began)


def _items(stretches: list[Stretch], lost: list[FragmentsLost]) -> list[Item]:
    stored = [Item(each.first, each.last, each.starts, each.ends) for each in stretches]
    known = Ranges()
    for each in stored:
        known.add(each.first, each.last)
    found: list[Item] = []
    for record in sorted(lost, key=lambda each: (each.starts_at, each.first)):
        for first, last in _unknown(known, record):
            found.append(_lost_item(stored, record, first, last))
        known.add(record.first, record.last)
    return sorted([*stored, *found], key=lambda item: (item.starts, item.first))


def _unknown(known: Ranges, record: FragmentsLost) -> Iterator[tuple[int, int]]:
    """The parts of a record that nothing else accounts for."""
    position = record.first
    for first, last in known:
        if first > record.last:
            break
        if position < first:
            yield position, first - 1
        position = max(position, last + 1)
    if position <= record.last:
        yield position, record.last


def _lost_item(stored: list[Item], record: FragmentsLost, first: int, last: int) -> Item:
    """Lost fragments between those that are stored, as far apart as the record says."""
    before = max((each.ends for each in stored if each.last < first), default=0)
    after = min((each.starts for each in stored if each.first > last), default=FOREVER)
    starts = max(milliseconds(record.starts_at), before)
    ends = max(starts, min(milliseconds(record.ends_at), after))
    return Item(first, last, starts, ends, record)
