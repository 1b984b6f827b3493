"""Sets of fragment numbers, kept as intervals: a day of one epoch is one entry."""

from bisect import bisect_right
from collections.abc import Iterator


class Ranges:
    """A set of whole numbers, as closed intervals that neither touch nor overlap."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def add(self, first: int, last: int) -> None:
        """Put `first`..`last`, both included, into the set."""
        begin = bisect_right(self._lasts, first - 2)  # the first interval that touches or follows
        end = bisect_right(self._firsts, last + 1)
        if begin < end:
            first = min(first, self._firsts[begin])
            last = max(last, self._lasts[end - 1])
        self._firsts[begin:end] = [first]
        self._lasts[begin:end] = [last]

    def copy(self) -> "Ranges":
        """A set of its own, with the same numbers."""
        same = Ranges()
        same._firsts, same._lasts = list(self._firsts), list(self._lasts)
        return same

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.covers(number, number)

    def covers(self, first: int, last: int) -> bool:
        """Whether every number of `first`..`last` is in the set."""
        index = bisect_right(self._firsts, first) - 1
        return index >= 0 and last <= self._lasts[index]

    def overlaps(self, first: int, last: int) -> bool:
        """Whether any number of `first`..`last` is in the set."""
        index = bisect_right(self._firsts, last) - 1
        return index >= 0 and first <= self._lasts[index]

    def gaps(self, first: int, last: int) -> list[range]:
        """What of `first`..`last` is not in the set, in order."""
        found: list[range] = []
        for begin, end in self:
            if first < begin and first <= last:
                found.append(range(first, min(begin, last + 1)))
            first = max(first, end + 1)
        if first <= last:
            found.append(range(first, last + 1))
        return found

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._firsts, self._lasts, strict=True))

    def __bool__(self) -> bool:
        return bool(self._firsts)
