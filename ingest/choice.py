"""Which fragments must go now. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from ingest import figures
from ingest.shelf import Kept

GIB: Final = 1024**3


def choose(
    kept: list[Kept],
    now: datetime,
    *,
    keep_stored: timedelta,
    retention: timedelta,
    over_bytes: float,
    wanted_bytes: float = 0,
) -> dict[str, list[Kept]]:
    """What is to be deleted, by reason.

    So many bytes must go, whatever they are, and so many are to go if what is stored suffices.
    """
    chosen: dict[str, list[Kept]] = {"stored": [], figures.RETENTION: [], figures.QUOTA: []}
    rest: list[Kept] = []
    for each in kept:
        if each.stored_at is not None and now - each.stored_at > keep_stored:
            chosen["stored"].append(each)
        elif now - each.starts_at > retention:
            chosen[figures.RETENTION].append(each)
        else:
            rest.append(each)
    gone_bytes = sum(each.bytes for group in chosen.values() for each in group)
    if gone_bytes >= max(over_bytes, wanted_bytes):
        return chosen
    for each in sorted(rest, key=lambda each: (not each.stored, each.starts_at)):
        limit = max(over_bytes, wanted_bytes) if each.stored else over_bytes
        if gone_bytes >= limit:
            break
        chosen[figures.QUOTA].append(each)
        gone_bytes += each.bytes
    return chosen


def oldest_unarchived(kept: Iterable[Kept]) -> dict[str, datetime]:
    """By camera, when the oldest fragment began (UTC) that no clip is known to hold."""
    oldest: dict[str, datetime] = {}
    for each in kept:
        if not each.stored:
            oldest[each.camera] = min(each.starts_at, oldest.get(each.camera, each.starts_at))
    return oldest
