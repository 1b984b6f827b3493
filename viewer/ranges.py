"""HTTP byte ranges (RFC 9110, section 14), as players ask for them: one range of a known size."""

import re
from dataclasses import dataclass
from typing import Final

_FORM: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


@dataclass(frozen=True)
class ByteRange:
    """`first` to `last`, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The part that a request asks for, None for all of it (also if it asks for several parts).

    Raises ValueError if no byte of it exists.
    """
    form = None if header is None else _FORM.fullmatch(header.replace(" ", ""))
    if form is None or not (form[1] or form[2]):
        return None
    if not form[1]:
        first, last = max(0, size - int(form[2])), size - 1
    else:
        first, last = int(form[1]), int(form[2]) if form[2] else size - 1
    last = min(last, size - 1)
    if first > last:
        if form[1] and form[2] and int(form[2]) < int(form[1]):
            return None  # not a range at all: to be ignored
        raise ValueError(f"no byte of {size} is in the range")
    return ByteRange(first, last)
