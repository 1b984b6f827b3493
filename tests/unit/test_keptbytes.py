"""What is kept in memory is young and bounded, and the newest is always there."""

from shared.clock import SimulatedClock
from shared.keptbytes import KeptBytes

SECONDS, MOST_BYTES = 10.0, 100


def kept_of(kept: KeptBytes, *names: str) -> list[str]:
    return [name for name in names if kept.get(name) is not None]


def test_what_is_old_goes_when_something_comes() -> None:
    clock = SimulatedClock()
    kept = KeptBytes(clock, seconds=SECONDS, most_bytes=MOST_BYTES)
    kept.add("a", b"x")
    clock.advance(SECONDS)
    kept.add("b", b"x")
    assert kept_of(kept, "a", "b") == ["a", "b"]
    clock.advance(0.1)
    kept.add("c", b"x")
    assert kept_of(kept, "a", "b", "c") == ["b", "c"]


def test_what_is_too_much_goes_the_oldest_first_but_never_the_newest() -> None:
    kept = KeptBytes(SimulatedClock(), seconds=SECONDS, most_bytes=MOST_BYTES)
    for name in ("a", "b", "b", "c"):  # what is replaced counts once
        kept.add(name, bytes(MOST_BYTES // 2))
    assert kept_of(kept, "a", "b", "c") == ["b", "c"]
    kept.add("d", bytes(MOST_BYTES + 1))
    assert kept_of(kept, "b", "c", "d") == ["d"]
    kept.add("e", bytes(MOST_BYTES))
    assert kept_of(kept, "d", "e") == ["e"]


def test_who_wants_something_young_is_given_nothing_older() -> None:
    clock = SimulatedClock()
    kept = KeptBytes(clock, seconds=SECONDS, most_bytes=MOST_BYTES)
    kept.add("a", b"")
    clock.advance(1)
    assert kept.get("a", 1.0) is None
    assert kept.get("a", 1.1) == b""
    kept.add("a", b"new")
    assert kept.get("a", 1.0) == b"new"
