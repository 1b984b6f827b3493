"""What is said to be in committed clips: beside each epoch's fragments, a list of ranges.

The archiver says `stored` when a clip is committed; that word is written down here so that it
outlives this worker. It is a hint: a word that got lost only means that a fragment stays longer,
and one that is false nothing at all, for the bucket is asked before it counts (`confirmation.py`).
"""

import re
from pathlib import Path

from shared.errors import BadMessage
from shared.identity import EPOCH_PATTERN
from shared.messages import Stage, read_event
from shared.ranges import Ranges

STORED_NAME = "stored.txt"


def note_stored(root: Path, body: bytes, *, make: bool = False) -> bool:
    """Write an `archiver.<camera>.stored` event down; False if its epoch is not here any more.

    With `make` the epoch's folder is made: `root` holds nothing but such words.

    Raises BadMessage for any other event.
    """
    event = read_event(body)
    if (event.stage, event.event) != (Stage.ARCHIVER, "stored"):
        raise BadMessage(f"{event.stage}.{event.event} does not say that a clip is stored")
    epoch, first, last = (event.detail.get(key) for key in ("epoch", "first", "last"))
    if not isinstance(epoch, str) or type(first) is not int or type(last) is not int:
        raise BadMessage("a stored event must say epoch, first and last")
    if not re.fullmatch(EPOCH_PATTERN, epoch) or not 0 <= first <= last:
        raise BadMessage("a stored event must name an epoch and a range")
    folder = root / event.camera / epoch
    if make:
        folder.mkdir(parents=True, exist_ok=True)
    if not folder.is_dir():
        return False
    with (folder / STORED_NAME).open("a", encoding="ascii") as file:
        file.write(f"{first} {last}\n")
    return True


def stored_bytes(folder: Path) -> int:
    """The length of what was said about an epoch: it grows with each word."""
    try:
        return (folder / STORED_NAME).stat().st_size
    except FileNotFoundError:
        return 0


def read_stored(folder: Path) -> Ranges:
    """The fragments of an epoch that are said to be in committed clips."""
    ranges = Ranges()
    try:
        lines = (folder / STORED_NAME).read_text(encoding="ascii").splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return ranges
    for line in lines:
        first, _, last = line.partition(" ")
        if first.isdigit() and last.isdigit() and int(first) <= int(last):
            ranges.add(int(first), int(last))
    return ranges
